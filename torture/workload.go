package main

import (
	"errors"
	"fmt"
	"math/rand"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-zookeeper/zk"
)

const (
	sessionTimeout = 4 * time.Second
	registers      = 3
	epochTime      = 10 * time.Second
	// A watch is late after this: longer than any fault, and a client reconnects meanwhile.
	watchLate = 25 * time.Second
)

type quiet struct{}

func (quiet) Printf(string, ...interface{}) {}

// findings are broken promises.
type findings struct {
	mutex sync.Mutex
	list  []string
}

func (f *findings) add(format string, arguments ...interface{}) {
	text := fmt.Sprintf(format, arguments...)
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.list = append(f.list, text)
	fmt.Println("FINDING:", text)
}

// recorder is what clients have seen.
type recorder struct {
	start    time.Time
	findings *findings
	epoch    atomic.Int64
	mutex    sync.Mutex
	history  []operation
	// Queue: element by name, and whether it was taken.
	created map[string]bool
	taken   map[string]int
	// Its taking was not answered.
	maybeTaken map[string]bool
	holds      []hold
	watches    int
	lastWrite  atomic.Int64
	longest    atomic.Int64
	ended      atomic.Bool
}

// hold is the time during which a client had the lock for sure.
type hold struct {
	client   int
	from, to int64
}

func (r *recorder) now() int64 { return time.Since(r.start).Nanoseconds() }

// wrote keeps the longest time without an acknowledged write.
func (r *recorder) wrote() {
	now := r.now()
	gap := now - r.lastWrite.Swap(now)
	for longest := r.longest.Load(); gap > longest; longest = r.longest.Load() {
		if r.longest.CompareAndSwap(longest, gap) {
			return
		}
	}
}

func (r *recorder) record(op operation) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.history = append(r.history, op)
}

func connect(servers []string) *zk.Conn {
	conn, _, err := zk.Connect(servers, sessionTimeout, zk.WithLogger(quiet{}), zk.WithLogInfo(false))
	if err != nil {
		panic(err)
	}
	return conn
}

func register(epoch int64, n int) string { return fmt.Sprintf("/register-%d-%d", epoch, n) }

// lay creates what clients need; registers are new every so often, which keeps histories short.
func (r *recorder) lay(servers []string) {
	conn := connect(servers)
	defer conn.Close()
	acl := zk.WorldACL(zk.PermAll)
	must := func(path, data string) {
		for !r.ended.Load() {
			_, err := conn.Create(path, []byte(data), 0, acl)
			if err == nil || errors.Is(err, zk.ErrNodeExists) {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	for _, path := range []string{"/queue", "/lock", "/watched", "/here"} {
		must(path, "")
	}
	for next := int64(1); !r.ended.Load(); next++ {
		for n := 0; n < registers; n++ {
			must(register(next, n), "first")
		}
		r.epoch.Store(next)
		for wait := epochTime; wait > 0 && !r.ended.Load(); wait -= 50 * time.Millisecond {
			time.Sleep(50 * time.Millisecond)
		}
	}
}

// registerClient reads and writes registers; a read is of the moment, behind a sync.
func (r *recorder) registerClient(id int, servers []string, random *rand.Rand) {
	conn := connect(servers)
	defer conn.Close()
	var version int32
	for count := 0; !r.ended.Load(); count++ {
		epoch := r.epoch.Load()
		if epoch == 0 {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		path := register(epoch, random.Intn(registers))
		value := fmt.Sprintf("c%d.%d", id, count)
		op := operation{client: id, key: path, call: r.now()}
		var err error
		switch random.Intn(4) {
		case 0:
			op.kind, op.value = "set", value
			var stat *zk.Stat
			if stat, err = conn.Set(path, []byte(value), -1); err == nil {
				op.version, op.changed = stat.Version, stat.Mtime
			}
		case 1:
			op.kind, op.value, op.expected = "cas", value, version
			var stat *zk.Stat
			if stat, err = conn.Set(path, []byte(value), version); err == nil {
				op.version, op.changed = stat.Version, stat.Mtime
			} else if errors.Is(err, zk.ErrBadVersion) {
				op.refused, err = true, nil
			}
		default:
			op.kind = "get"
			if _, err = conn.Sync(path); err == nil {
				var data []byte
				var stat *zk.Stat
				if data, stat, err = conn.Get(path); err == nil {
					op.value, op.version, op.changed = string(data), stat.Version, stat.Mtime
					version = stat.Version
				}
			}
		}
		op.end, op.unknown = r.now(), err != nil
		if errors.Is(err, zk.ErrNoNode) {
			r.findings.add("client %d: %s is gone", id, path)
		}
		if !op.unknown && op.kind != "get" && !op.refused {
			r.wrote()
		}
		if !op.unknown || op.kind != "get" {
			r.record(op)
		}
		if err != nil {
			time.Sleep(20 * time.Millisecond)
		}
		time.Sleep(time.Duration(random.Intn(6)) * time.Millisecond)
	}
}

// queueClient puts elements in and takes the first ones out.
func (r *recorder) queueClient(id int, servers []string, random *rand.Rand) {
	conn := connect(servers)
	defer conn.Close()
	for !r.ended.Load() {
		if random.Intn(2) == 0 {
			name, err := conn.Create("/queue/e-", nil, zk.FlagSequence, zk.WorldACL(zk.PermAll))
			if err == nil {
				r.wrote()
				r.mutex.Lock()
				if r.created[name] {
					r.findings.add("client %d was given %s, which exists already", id, name)
				}
				r.created[name] = true
				r.mutex.Unlock()
			}
		} else if children, _, err := conn.Children("/queue"); err == nil && len(children) > 0 {
			sort.Strings(children)
			name := "/queue/" + children[0]
			err := conn.Delete(name, -1)
			r.mutex.Lock()
			switch {
			case err == nil:
				r.taken[name]++
				if r.taken[name] > 1 {
					r.findings.add("%s was taken %d times", name, r.taken[name])
				}
			case !errors.Is(err, zk.ErrNoNode):
				r.maybeTaken[name] = true
			}
			r.mutex.Unlock()
			if err == nil {
				r.wrote()
			}
		}
		time.Sleep(time.Duration(random.Intn(30)) * time.Millisecond)
	}
}

// lockClient takes the lock by an ephemeral sequential znode. Its hold counts only where it has let go
// itself: then its znode was there the whole time.
func (r *recorder) lockClient(id int, servers []string, random *rand.Rand) {
	conn := connect(servers)
	defer func() { conn.Close() }() // the last one
	for !r.ended.Load() {
		mine, err := conn.Create("/lock/l-", nil, zk.FlagEphemeral|zk.FlagSequence, zk.WorldACL(zk.PermAll))
		if err != nil {
			// It may be there all the same; with this session it would wait for itself.
			conn.Close()
			conn = connect(servers)
			time.Sleep(50 * time.Millisecond)
			continue
		}
		for waits := 0; !r.ended.Load(); waits++ {
			children, _, err := conn.Children("/lock")
			if err != nil {
				break
			}
			sort.Strings(children)
			if len(children) == 0 || waits > 2000 {
				break
			}
			if "/lock/"+children[0] == mine {
				held := hold{client: id, from: r.now()}
				time.Sleep(time.Duration(random.Intn(10)) * time.Millisecond)
				held.to = r.now()
				if conn.Delete(mine, -1) == nil {
					r.wrote()
					r.mutex.Lock()
					r.holds = append(r.holds, held)
					r.mutex.Unlock()
				}
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
		conn.Delete(mine, -1)
	}
}

// watchClient watches a znode that others change, and misses no change.
func (r *recorder) watchClient(id int, servers []string) {
	conn := connect(servers)
	defer conn.Close()
	for !r.ended.Load() {
		_, seen, events, err := conn.GetW("/watched")
		if err != nil {
			time.Sleep(20 * time.Millisecond)
			continue
		}
		begun := time.Now()
		for waiting := true; waiting && !r.ended.Load(); {
			select {
			case <-events:
				r.mutex.Lock()
				r.watches++
				r.mutex.Unlock()
				waiting = false
			case <-time.After(500 * time.Millisecond):
				if time.Since(begun) < watchLate {
					continue
				}
				if _, stat, err := conn.Get("/watched"); err == nil && stat.Version > seen.Version {
					r.findings.add("client %d: the watch of version %d did not fire, now it is %d",
						id, seen.Version, stat.Version)
					waiting = false
				}
			}
		}
	}
}

func (r *recorder) changeWatched(servers []string, random *rand.Rand) {
	conn := connect(servers)
	defer conn.Close()
	for !r.ended.Load() {
		if _, err := conn.Set("/watched", nil, -1); err == nil {
			r.wrote()
		}
		time.Sleep(time.Duration(random.Intn(400)) * time.Millisecond)
	}
}

// lostClient leaves ephemerals behind and is never heard of again.
func (r *recorder) lostClient(servers []string, random *rand.Rand) {
	for n := 0; !r.ended.Load(); n++ {
		conn := connect(servers)
		conn.Create(fmt.Sprintf("/here/e-%d", n), nil, zk.FlagEphemeral, zk.WorldACL(zk.PermAll))
		time.Sleep(time.Duration(random.Intn(1000)) * time.Millisecond)
		conn.Close()
		time.Sleep(time.Second)
	}
}

// settle holds the end against what clients have seen: all servers show the same.
func (r *recorder) settle(c *cluster) {
	var shown []string
	for _, s := range c.servers {
		conn := connect([]string{s.client})
		var all []string
		for _, path := range []string{"/queue", "/lock", "/here"} {
			var children []string
			var err error
			for try := 0; try < 200; try++ {
				if _, err = conn.Sync(path); err == nil {
					if children, _, err = conn.Children(path); err == nil {
						break
					}
				}
				time.Sleep(50 * time.Millisecond)
			}
			if err != nil {
				r.findings.add("server %d does not serve at the end: %v", s.id, err)
			}
			sort.Strings(children)
			if path != "/queue" && len(children) > 0 {
				r.findings.add("server %d: ephemerals outlive their sessions: %s/%v", s.id, path, children)
			}
			all = append(all, path+": "+strings.Join(children, " "))
			if path == "/queue" {
				r.checkQueue(children)
			}
		}
		conn.Close()
		shown = append(shown, strings.Join(all, "\n"))
	}
	for n, text := range shown {
		if text != shown[0] {
			r.findings.add("servers 1 and %d show different znodes", n+1)
		}
	}
}

func (r *recorder) checkQueue(children []string) {
	there := map[string]bool{}
	for _, name := range children {
		there["/queue/"+name] = true
	}
	for name := range r.created {
		if there[name] && r.taken[name] > 0 {
			r.findings.add("%s was taken and is there again", name)
		}
		if !there[name] && r.taken[name] == 0 && !r.maybeTaken[name] {
			r.findings.add("%s is gone, and nobody has taken it", name)
		}
	}
}
