package main

import (
	"bytes"
	"fmt"
	"math/rand"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// server is a process of the ensemble. Only its own process is ever signalled.
type server struct {
	id         int
	binary     string // of the release that it runs, or runs next
	directory  string
	client     string
	quorum     int
	election   int
	descriptor int // limit of file descriptors; 0 for none
	mutex      sync.Mutex
	process    *exec.Cmd
	ended      chan struct{}
	expected   atomic.Bool // its end is part of a fault
	mayEnd     bool        // the process that is started next may end by itself
	disk       disk
	namespace  string // of its network, if it has one of its own
}

type cluster struct {
	binary    string
	former    string // of another release; empty without one
	directory string
	servers   []*server
	gates     [][]*gate // from, to
	proxies   [][]*proxy
	findings  *findings
	clock     clock
}

// given are the ports that freePort has given out.
var given = map[int]bool{}

// freePort finds a port that nobody has, and that it has given to nobody; below those that the system
// takes for connections, which would take it before the server does.
func freePort() int {
	for {
		port := 20000 + rand.Intn(12000)
		if given[port] {
			continue
		}
		given[port] = true
		if listener, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", port)); err == nil {
			listener.Close()
			return port
		}
	}
}

func newCluster(binary, former, directory string, count int, found *findings) (*cluster, error) {
	c := &cluster{binary: binary, former: former, directory: directory, findings: found, clock: findClock()}
	for id := 1; id <= count; id++ {
		s := &server{
			id: id, binary: binary, directory: filepath.Join(directory, fmt.Sprint("server", id)),
			client: fmt.Sprintf("127.0.0.1:%d", freePort()), quorum: freePort(), election: freePort(),
		}
		if err := os.MkdirAll(filepath.Join(s.directory, "data"), 0o750); err != nil {
			return nil, err
		}
		if former != "" {
			s.binary = former
		}
		data := filepath.Join(s.directory, "data")
		s.disk = newDisk(data)
		c.servers = append(c.servers, s)
	}
	secret := filepath.Join(directory, "secret")
	if err := os.WriteFile(secret, []byte("the members of this ensemble know it\n"), 0o600); err != nil {
		return nil, err
	}
	for from := range c.servers {
		c.gates = append(c.gates, make([]*gate, count))
		for to := range c.servers {
			c.gates[from][to] = &gate{}
		}
	}
	for from, s := range c.servers {
		lines := []string{
			"tickTime=1000", "initLimit=20", "syncLimit=10", "snapCount=2000", "maxClientCnxns=0",
			"admin.enableServer=false", "4lw.commands.whitelist=*", "minSessionTimeout=2000",
			"coordinator.secretFile=" + secret,
			"dataDir=" + filepath.Join(s.directory, "data"),
			"clientPortAddress=127.0.0.1", "clientPort=" + s.client[strings.LastIndex(s.client, ":")+1:],
		}
		for to, other := range c.servers {
			quorum, election := other.quorum, other.election
			if to != from {
				there, back := c.gates[from][to], c.gates[to][from]
				q, err := newProxy(fmt.Sprintf("127.0.0.1:%d", other.quorum), there, back)
				if err != nil {
					return nil, err
				}
				e, err := newProxy(fmt.Sprintf("127.0.0.1:%d", other.election), there, back)
				if err != nil {
					return nil, err
				}
				c.proxies = append(c.proxies, []*proxy{q, e})
				quorum, election = q.port(), e.port()
			}
			lines = append(lines, fmt.Sprintf("server.%d=127.0.0.1:%d:%d", other.id, quorum, election))
		}
		if err := s.configure(lines); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// configure writes the file that the server reads at its start, and its number.
func (s *server) configure(lines []string) error {
	text := strings.Join(lines, "\n") + "\n"
	if err := os.WriteFile(filepath.Join(s.directory, "zookeeper.properties"), []byte(text), 0o640); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.directory, "data", "myid"), []byte(fmt.Sprintln(s.id)), 0o640)
}

// startAll starts the servers; false is a finding: not all of them serve 30 s later.
func (c *cluster) startAll() bool {
	for _, s := range c.servers {
		c.start(s)
	}
	_, ok := c.waitServing(30 * time.Second)
	if !ok {
		c.findings.add("the ensemble does not serve")
	}
	return ok
}

func (c *cluster) start(s *server) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.process != nil {
		return
	}
	log, err := os.OpenFile(filepath.Join(s.directory, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		c.findings.add("cannot open the log of server %d: %v", s.id, err)
		return
	}
	defer log.Close()
	arguments := []string{s.binary, "serve", filepath.Join(s.directory, "zookeeper.properties")}
	if s.descriptor > 0 {
		limit := fmt.Sprintf(`ulimit -n %d; exec "$@"`, s.descriptor)
		arguments = append([]string{"sh", "-c", limit, "sh"}, arguments...)
	}
	if s.namespace != "" {
		arguments = append([]string{"ip", "netns", "exec", s.namespace}, arguments...)
	}
	process := exec.Command(arguments[0], arguments[1:]...)
	process.Stdout, process.Stderr = log, log
	process.Env = append(os.Environ(), c.clock.environment(s)...)
	process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := process.Start(); err != nil {
		c.findings.add("cannot start server %d: %v", s.id, err)
		return
	}
	ended := make(chan struct{})
	s.process, s.ended = process, ended
	s.expected.Store(s.mayEnd)
	go func() {
		err := process.Wait()
		if !s.expected.Load() {
			c.findings.add("server %d ended by itself (%v); its log ends: %s", s.id, err, c.logEnd(s))
		}
		s.mutex.Lock()
		s.process = nil
		s.mutex.Unlock()
		close(ended)
	}()
}

func (c *cluster) logEnd(s *server) string {
	text, _ := os.ReadFile(filepath.Join(s.directory, "log"))
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-4):], " / ")
}

func (s *server) signal(signal syscall.Signal) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.process != nil {
		s.process.Process.Signal(signal)
	}
}

// stop ends the process and waits for that.
func (s *server) stop(signal syscall.Signal) {
	s.mutex.Lock()
	process, ended := s.process, s.ended
	s.expected.Store(true)
	s.mutex.Unlock()
	if process == nil {
		return
	}
	process.Process.Signal(signal)
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		process.Process.Kill()
		<-ended
	}
}

// word asks a four-letter word.
func (s *server) word(word string) string {
	conn, err := net.DialTimeout("tcp", s.client, time.Second)
	if err != nil {
		return ""
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(2 * time.Second))
	conn.Write([]byte(word))
	var answer bytes.Buffer
	answer.ReadFrom(conn)
	return answer.String()
}

func (s *server) serves() bool { return strings.Contains(s.word("srvr"), "Mode: ") }

func (c *cluster) leader() *server {
	for _, s := range c.servers {
		if strings.Contains(s.word("srvr"), "Mode: leader") {
			return s
		}
	}
	return nil
}

// waitServing returns how long it took until all serve, or false.
func (c *cluster) waitServing(limit time.Duration) (time.Duration, bool) {
	start := time.Now()
	for _, s := range c.servers {
		for !s.serves() {
			if time.Since(start) > limit {
				return time.Since(start), false
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	return time.Since(start), true
}

// end stops the servers and removes their logs and data, unless somebody wants to look at them.
func (c *cluster) end(keep bool) {
	for _, s := range c.servers {
		s.signal(syscall.SIGCONT)
		s.stop(syscall.SIGTERM)
		s.disk.unmount()
	}
	if keep || len(c.findings.list) > 0 {
		fmt.Println("logs and data are under", c.directory)
	} else {
		os.RemoveAll(c.directory)
	}
}

// searchLogs finds what no server may ever say.
func (c *cluster) searchLogs() {
	for _, s := range c.servers {
		text, _ := os.ReadFile(filepath.Join(s.directory, "log"))
		for _, line := range strings.Split(string(text), "\n") {
			if strings.Contains(line, "panicked") {
				c.findings.add("server %d: %s", s.id, line)
			}
		}
	}
}
