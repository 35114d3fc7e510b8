package main

import (
	"fmt"
	"math/rand"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// fault strikes one server and takes it back after `hold`.
type fault struct {
	name string
	run  func(c *cluster, s *server, hold time.Duration, random *rand.Rand)
}

var faults = []fault{
	{"kill", func(c *cluster, s *server, hold time.Duration, _ *rand.Rand) {
		s.stop(syscall.SIGKILL)
		time.Sleep(hold / 2)
		c.start(s)
	}},
	{"kill all", func(c *cluster, _ *server, _ time.Duration, _ *rand.Rand) {
		for _, s := range c.servers {
			s.stop(syscall.SIGKILL)
		}
		for _, s := range c.servers {
			c.start(s)
		}
	}},
	{"stop in order", func(c *cluster, s *server, hold time.Duration, _ *rand.Rand) {
		s.stop(syscall.SIGTERM)
		time.Sleep(hold / 4)
		c.start(s)
	}},
	{"freeze", func(_ *cluster, s *server, hold time.Duration, _ *rand.Rand) {
		s.signal(syscall.SIGSTOP)
		time.Sleep(hold)
		s.signal(syscall.SIGCONT)
	}},
	{"cut off", func(c *cluster, s *server, hold time.Duration, _ *rand.Rand) {
		c.shut(s, true, true, true)
		time.Sleep(hold)
		c.shut(s, true, true, false)
	}},
	{"mute", func(c *cluster, s *server, hold time.Duration, _ *rand.Rand) {
		c.shut(s, true, false, true)
		time.Sleep(hold)
		c.shut(s, true, false, false)
	}},
	{"deaf", func(c *cluster, s *server, hold time.Duration, _ *rand.Rand) {
		c.shut(s, false, true, true)
		time.Sleep(hold)
		c.shut(s, false, true, false)
	}},
	{"slow links", func(c *cluster, s *server, hold time.Duration, random *rand.Rand) {
		for other := range c.servers {
			for _, g := range []*gate{c.gates[s.id-1][other], c.gates[other][s.id-1]} {
				g.delay.Store(int64(time.Duration(random.Intn(100)) * time.Millisecond))
			}
		}
		time.Sleep(hold)
		for other := range c.servers {
			c.gates[s.id-1][other].delay.Store(0)
			c.gates[other][s.id-1].delay.Store(0)
		}
	}},
	{"break links", func(c *cluster, _ *server, _ time.Duration, random *rand.Rand) {
		for _, pair := range c.proxies {
			if random.Intn(2) == 0 {
				pair[0].reset()
			}
		}
	}},
	{"full disk", func(c *cluster, s *server, hold time.Duration, _ *rand.Rand) {
		// A server may end for want of space, with a message; it is started again.
		s.expected.Store(true)
		name := filepath.Join(s.directory, "data", "filler")
		if file, err := os.Create(name); err == nil {
			zeroes := make([]byte, 1<<20)
			for {
				if _, err := file.Write(zeroes); err != nil {
					break
				}
			}
			file.Close()
		}
		time.Sleep(hold)
		os.Remove(name)
		s.mutex.Lock()
		s.expected.Store(s.process == nil)
		s.mutex.Unlock()
		c.start(s)
	}},
	{"hanging disk", func(_ *cluster, s *server, hold time.Duration, _ *rand.Rand) {
		s.disk.hang(hold)
	}},
	{"clock jump", func(c *cluster, s *server, hold time.Duration, random *rand.Rand) {
		// Up to 20 hours are followed at once, more than a day only when it lasts (`node/clock.rs`).
		far := []time.Duration{time.Second, time.Minute, 20 * time.Hour, 30 * time.Hour}[random.Intn(4)]
		by := time.Duration(random.Int63n(int64(far)))
		if far > 24*time.Hour {
			by = far
		} else if random.Intn(2) == 0 {
			by = -by
		}
		c.clock.set(s, by)
		time.Sleep(hold)
		c.clock.set(s, 0)
	}},
	{"no descriptors", func(c *cluster, s *server, hold time.Duration, _ *rand.Rand) {
		s.stop(syscall.SIGTERM)
		s.descriptor = 64
		c.start(s)
		var idle []net.Conn
		for end := time.Now().Add(hold); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			if conn, err := net.DialTimeout("tcp", s.client, 100*time.Millisecond); err == nil && len(idle) < 200 {
				idle = append(idle, conn)
			}
		}
		for _, conn := range idle {
			conn.Close()
		}
		s.stop(syscall.SIGTERM)
		s.descriptor = 0
		c.start(s)
	}},
}

// shut closes or opens the ways from and to a server.
func (c *cluster) shut(s *server, from, to, shut bool) {
	for other := range c.servers {
		if other == s.id-1 {
			continue
		}
		if from {
			c.gates[s.id-1][other].shut.Store(shut)
		}
		if to {
			c.gates[other][s.id-1].shut.Store(shut)
		}
	}
}

// lacks is why a fault cannot strike a server on this machine; empty where it can.
func (c *cluster) lacks(f fault, s *server) string {
	switch {
	case f.name == "full disk" && s.disk.kind == "":
		return "no disk of its own"
	case f.name == "hanging disk" && s.disk.kind != "ext4":
		return "no ext4 of its own"
	case f.name == "clock jump" && c.clock.library == "":
		return "no libfaketime"
	}
	return ""
}

// torment strikes until the time is up, now and then the leader by preference. Servers of mixed releases go
// from one to the other besides.
func (c *cluster) torment(until time.Time, mixed bool, random *rand.Rand, counts map[string]int, tell func(string)) bool {
	for time.Now().Before(until) {
		f := faults[random.Intn(len(faults))]
		if mixed && random.Intn(3) == 0 {
			f = otherRelease
		}
		s := c.servers[random.Intn(len(c.servers))]
		if random.Intn(2) == 0 {
			if leader := c.leader(); leader != nil {
				s = leader
			}
		}
		hold := time.Duration(200+random.Intn(5000)) * time.Millisecond
		if why := c.lacks(f, s); why != "" {
			counts[f.name+", left out: "+why]++
			continue
		}
		tell(fmt.Sprintf("%s: server %d, %v", f.name, s.id, hold))
		f.run(c, s, hold, random)
		counts[f.name]++
		took, ok := c.waitServing(30 * time.Second)
		if !ok {
			c.findings.add("30 s after `%s` of server %d not all serve", f.name, s.id)
			return false
		}
		tell(fmt.Sprintf("all serve %v after `%s`", took.Round(time.Millisecond), f.name))
		time.Sleep(time.Duration(random.Intn(1500)) * time.Millisecond)
	}
	return true
}
