package main

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// gate is one direction between two members: open, shut, or slow.
type gate struct {
	shut  atomic.Bool
	delay atomic.Int64 // of each read, in nanoseconds
}

func (g *gate) pass() {
	for g.shut.Load() {
		time.Sleep(2 * time.Millisecond)
	}
	if delay := g.delay.Load(); delay > 0 {
		time.Sleep(time.Duration(delay))
	}
}

// proxy carries the connections that one member dials to a port of another one. A shut gate holds
// bytes back as a network does that loses packets: neither end is told.
type proxy struct {
	listener    net.Listener
	target      string
	there, back *gate
	mutex       sync.Mutex
	open        map[net.Conn]bool
}

func newProxy(target string, there, back *gate) (*proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: listener, target: target, there: there, back: back, open: map[net.Conn]bool{}}
	go p.accept()
	return p, nil
}

func (p *proxy) port() int { return p.listener.Addr().(*net.TCPAddr).Port }

func (p *proxy) accept() {
	for {
		dialled, err := p.listener.Accept()
		if err != nil {
			return
		}
		go p.carry(dialled)
	}
}

func (p *proxy) carry(dialled net.Conn) {
	p.there.pass()
	p.back.pass()
	accepted, err := net.DialTimeout("tcp", p.target, time.Second)
	if err != nil {
		dialled.Close()
		return
	}
	p.mutex.Lock()
	p.open[dialled], p.open[accepted] = true, true
	p.mutex.Unlock()
	end := func() {
		dialled.Close()
		accepted.Close()
		p.mutex.Lock()
		delete(p.open, dialled)
		delete(p.open, accepted)
		p.mutex.Unlock()
	}
	go func() { copyThrough(accepted, dialled, p.there); end() }()
	copyThrough(dialled, accepted, p.back)
	end()
}

func copyThrough(to io.Writer, from io.Reader, g *gate) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		g.pass()
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// reset ends all connections at once.
func (p *proxy) reset() {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	for conn := range p.open {
		conn.Close()
	}
}
