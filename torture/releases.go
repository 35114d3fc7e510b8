package main

import (
	"bytes"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"time"
)

// otherRelease puts a server from one release to the other. One server keeps the former one, so that the
// ensemble's feature level does not rise and each step can be taken back.
var otherRelease = fault{"other release", func(c *cluster, s *server, hold time.Duration, _ *rand.Rand) {
	former := 0
	for _, other := range c.servers {
		if other.binary == c.former {
			former++
		}
	}
	if s.binary == c.former && former == 1 {
		c.replace(s, c.former)
		return
	}
	if s.binary == c.former {
		c.replace(s, c.binary)
	} else {
		c.replace(s, c.former)
	}
	time.Sleep(hold / 4)
}}

func (c *cluster) replace(s *server, binary string) {
	s.stop(syscall.SIGTERM)
	s.binary = binary
	c.start(s)
}

// upgrade brings the last servers to this release, and tells whether the feature level rose on all of them.
func (c *cluster) upgrade(tell func(string)) (rose bool) {
	before := c.levels()
	for _, s := range c.servers {
		if s.binary == c.binary {
			continue
		}
		c.replace(s, c.binary)
		if _, ok := c.waitServing(30 * time.Second); !ok {
			c.findings.add("30 s after server %d got this release not all serve", s.id)
			return false
		}
	}
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end) && !rose; time.Sleep(50 * time.Millisecond) {
		rose = true
		for n, level := range c.levels() {
			rose = rose && level > before[n]
		}
	}
	tell(fmt.Sprintf("all run this release; feature levels were %v and are %v", before, c.levels()))
	return rose
}

// goBack starts the former release on a server of a risen ensemble, where it must end and say why, or of one
// that has not risen, where it must serve.
func (c *cluster) goBack(s *server, rose bool, tell func(string)) {
	s.stop(syscall.SIGTERM)
	log := filepath.Join(s.directory, "log")
	before, _ := os.ReadFile(log)
	s.binary, s.mayEnd = c.former, rose
	c.start(s)
	if rose {
		select {
		case <-s.ended:
			text, _ := os.ReadFile(log)
			said := bytes.TrimSpace(text[len(before):])
			if !bytes.Contains(said, []byte("level")) {
				c.findings.add("server %d ended without naming a level: %s", s.id, said)
			}
			tell(fmt.Sprintf("the former release said: %s", said))
		case <-time.After(10 * time.Second):
			c.findings.add("the former release runs on at a level that it does not know")
		}
	} else if _, ok := c.waitServing(30 * time.Second); !ok {
		c.findings.add("the former release does not serve, and no level rose")
	}
	s.mayEnd = false
	c.replace(s, c.binary)
	if _, ok := c.waitServing(30 * time.Second); !ok {
		c.findings.add("30 s after the former release was tried not all serve")
	}
}

var levelNow = regexp.MustCompile(`feature level is now (\d+)`)

// levels are the highest that each server's log tells.
func (c *cluster) levels() []int {
	var levels []int
	for _, s := range c.servers {
		text, _ := os.ReadFile(filepath.Join(s.directory, "log"))
		highest := 0
		for _, told := range levelNow.FindAllSubmatch(text, -1) {
			level, _ := strconv.Atoi(string(told[1]))
			highest = max(highest, level)
		}
		levels = append(levels, highest)
	}
	return levels
}
