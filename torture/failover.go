package main

import (
	"flag"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"time"

	"github.com/go-zookeeper/zk"
)

// within is what clients of the majority may have to wait with the default timeouts.
const within = 2500 * time.Millisecond

// lines are those that a configuration gets besides.
type lines []string

func (l *lines) String() string { return strings.Join(*l, " ") }
func (l *lines) Set(line string) error {
	*l = append(*l, line)
	return nil
}

// failover measures how long clients of the majority wait when the leader is cut off, mute or frozen.
func failover(arguments []string) int {
	flags := flag.NewFlagSet("failover", flag.ExitOnError)
	binary := flags.String("coordinator", "", "the server's binary")
	count := flags.Int("servers", 3, "how many servers")
	tries := flags.Int("tries", 40, "of each fault")
	struck := flags.String("faults", "cut off,mute,frozen", "which ones; `none` only counts elections, for one second a try")
	hogs := flags.Int("hogs", 0, "busy processes beside")
	seed := flags.Int64("seed", 1, "of the pauses between tries")
	var more lines
	flags.Var(&more, "line", "a line for the servers' configuration")
	flags.Parse(arguments)
	directory, err := os.MkdirTemp("/var/tmp", "failover-")
	if err != nil {
		fmt.Println(err)
		return 2
	}
	found := &findings{}
	n, err := newNetwork(*count)
	if err != nil {
		fmt.Println(err)
		return 2
	}
	c, err := newSpreadCluster(n, *binary, directory, found, more)
	if err != nil {
		fmt.Println(err)
		return 2
	}
	for range *hogs {
		hog := exec.Command("sh", "-c", "while :; do :; done")
		hog.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := hog.Start(); err != nil {
			fmt.Println("cannot start a busy process:", err)
			return 2
		}
		defer hog.Wait()
		defer hog.Process.Kill()
	}
	defer c.end(false)
	if !c.startAll() {
		return 1
	}
	random := rand.New(rand.NewSource(*seed))
	fmt.Printf("%d servers, %d busy processes beside, %s\n", *count, *hogs, load())
	for _, fault := range strings.Split(*struck, ",") {
		if fault == "none" {
			c.countTerms(*tries)
			continue
		}
		var gaps []time.Duration
		for range *tries {
			gap, err := c.strike(n, fault, random)
			if err != nil {
				found.add("%s: %v", fault, err)
				break
			}
			gaps = append(gaps, gap)
		}
		tellGaps(fault, gaps, found)
	}
	if len(found.list) > 0 {
		return 1
	}
	return 0
}

func load() string {
	text, _ := os.ReadFile("/proc/loadavg")
	return "load average " + strings.SplitN(string(text), " ", 2)[0]
}

func tellGaps(fault string, gaps []time.Duration, found *findings) {
	if len(gaps) == 0 {
		return
	}
	sort.Slice(gaps, func(a, b int) bool { return gaps[a] < gaps[b] })
	good := sort.Search(len(gaps), func(at int) bool { return gaps[at] > within })
	ms := func(gap time.Duration) int64 { return gap.Milliseconds() }
	fmt.Printf("%s: %d of %d within %d ms; median %d ms, nine of ten %d ms, longest %d ms; %s\n", fault, good, len(gaps),
		ms(within), ms(gaps[len(gaps)/2]), ms(gaps[len(gaps)*9/10]), ms(gaps[len(gaps)-1]), load())
	if good < len(gaps) {
		found.add("%s: %d of %d took longer than %v: %v", fault, len(gaps)-good, len(gaps), within, gaps[good:])
	}
}

// newSpreadCluster has each server in a namespace of its own, with the default timeouts.
func newSpreadCluster(n *network, binary, directory string, found *findings, more []string) (*cluster, error) {
	c := &cluster{binary: binary, directory: directory, findings: found}
	for id := 1; id <= n.count; id++ {
		data := filepath.Join(directory, fmt.Sprint("server", id), "data")
		if err := os.MkdirAll(data, 0o750); err != nil {
			return nil, err
		}
		config := []string{
			"dataDir=" + data, "clientPort=2181", "maxClientCnxns=0", "admin.enableServer=false",
			"4lw.commands.whitelist=*", "initLimit=10", "syncLimit=5",
		}
		for other := 1; other <= n.count; other++ {
			config = append(config, fmt.Sprintf("server.%d=%s:2888:3888", other, n.address(other)))
		}
		s := &server{id: id, binary: binary, directory: filepath.Dir(data), client: n.address(id) + ":2181", namespace: n.namespace(id)}
		if err := s.configure(append(config, more...)); err != nil {
			return nil, err
		}
		c.servers = append(c.servers, s)
	}
	return c, nil
}

// strike hits the leader once, and returns the longest wait of two clients of the others.
func (c *cluster) strike(n *network, fault string, random *rand.Rand) (time.Duration, error) {
	leader := c.onlyLeader(30 * time.Second)
	if leader == nil {
		return 0, fmt.Errorf("no server leads, or more than one")
	}
	var others []string
	for _, s := range c.servers {
		if s != leader {
			others = append(others, s.client)
		}
	}
	struck := make(chan struct{})
	answered := make(chan time.Time)
	const clients = 2
	for client := range clients {
		go write(others, fmt.Sprint("/failover-", client), struck, answered)
	}
	// The time since the last heartbeat is another one in each try.
	time.Sleep(300*time.Millisecond + time.Duration(random.Intn(200))*time.Millisecond)
	var err error
	switch fault {
	case "cut off":
		err = n.drop(leader.id, true, true)
	case "mute":
		err = n.drop(leader.id, true, false)
	case "deaf":
		err = n.drop(leader.id, false, true)
	case "frozen":
		leader.signal(syscall.SIGSTOP)
	default:
		err = fmt.Errorf("no such fault")
	}
	at := time.Now()
	close(struck)
	if err != nil {
		return 0, err
	}
	var longest time.Duration
	for range clients {
		select {
		case when := <-answered:
			longest = max(longest, when.Sub(at))
		case <-time.After(30 * time.Second):
			return 0, fmt.Errorf("a client was not answered for 30 s")
		}
	}
	leader.signal(syscall.SIGCONT)
	if err := n.heal(); err != nil {
		return 0, err
	}
	if _, ok := c.waitServing(30 * time.Second); !ok {
		return 0, fmt.Errorf("30 s after the heal not all serve")
	}
	return longest, nil
}

// onlyLeader waits until one leads and all others follow: the one that was struck may not know yet
// that it was replaced.
func (c *cluster) onlyLeader(limit time.Duration) *server {
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		var leader *server
		followers := 0
		for _, s := range c.servers {
			switch word := s.word("srvr"); {
			case strings.Contains(word, "Mode: leader"):
				leader = s
			case strings.Contains(word, "Mode: follower"):
				followers++
			}
		}
		if leader != nil && followers == len(c.servers)-1 {
			return leader
		}
	}
	return nil
}

// write writes one after the other, until one is acknowledged that was sent after the fault.
func write(servers []string, path string, struck <-chan struct{}, answered chan<- time.Time) {
	conn, _, err := zk.Connect(servers, 10*time.Second, zk.WithLogger(quiet{}), zk.WithLogInfo(false))
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	conn.Create(path, nil, 0, zk.WorldACL(zk.PermAll))
	for {
		after := false
		select {
		case <-struck:
			after = true
		default:
		}
		if _, err := conn.Set(path, nil, -1); err != nil {
			time.Sleep(2 * time.Millisecond)
			continue
		}
		if after {
			answered <- time.Now()
			return
		}
	}
}

// countTerms looks, where nothing is wrong but the lack of processor time, how often a leader is
// replaced.
func (c *cluster) countTerms(seconds int) {
	before := c.term()
	conn := connect([]string{c.servers[0].client, c.servers[1].client})
	defer conn.Close()
	conn.Create("/terms", nil, 0, zk.WorldACL(zk.PermAll))
	var slowest time.Duration
	for end := time.Now().Add(time.Duration(seconds) * time.Second); time.Now().Before(end); {
		sent := time.Now()
		if _, err := conn.Set("/terms", nil, -1); err == nil {
			slowest = max(slowest, time.Since(sent))
		}
	}
	fmt.Printf("none: %d elections in %d s, slowest write %d ms; %s\n", c.term()-before, seconds, slowest.Milliseconds(), load())
}

// term is the upper half of the last zxid.
func (c *cluster) term() int64 {
	var term int64
	for _, s := range c.servers {
		for _, line := range strings.Split(s.word("srvr"), "\n") {
			var zxid int64
			if _, err := fmt.Sscanf(line, "Zxid: 0x%x", &zxid); err == nil {
				term = max(term, zxid>>32)
			}
		}
	}
	return term
}
