// torture runs an ensemble of real processes with recording clients under faults: kills, freezes, cut
// and slow links, full disks, no descriptors. Registers are checked by Porcupine, the rest by checkers
// of its own. `torture failover` measures how long clients wait for a new leader. `make torture`,
// `make failover`; `docs/torture.md` says what they check.
package main

import (
	"flag"
	"fmt"
	"math/rand"
	"os"
	"sort"
	"strings"
	"sync"
	"syscall"
	"time"
)

func main() {
	const mounts = syscall.CLONE_NEWNS
	arguments := os.Args[1:]
	command := "run"
	if len(arguments) > 0 && !strings.HasPrefix(arguments[0], "-") {
		command, arguments = arguments[0], arguments[1:]
	}
	switch command {
	case "run":
		if os.Geteuid() != 0 {
			os.Exit(run(arguments))
		}
		os.Exit(enter(mounts, append([]string{"run-inside"}, arguments...)...))
	case "failover":
		os.Exit(enter(mounts|syscall.CLONE_NEWNET, append([]string{"failover-inside"}, arguments...)...))
	case "run-inside":
		if err := keepMounts(); err != nil {
			fmt.Println(err)
			os.Exit(2)
		}
		os.Exit(run(arguments))
	case "failover-inside":
		os.Exit(failover(arguments))
	default:
		fmt.Println("usage: torture [run|failover] -coordinator BINARY ...")
		os.Exit(2)
	}
}

func run(arguments []string) int {
	flag := flag.NewFlagSet("run", flag.ExitOnError)
	binary := flag.String("coordinator", "", "the server's binary")
	former := flag.String("former", "", "a binary of another release: begin with it, mix them, then go over to this one")
	count := flag.Int("servers", 3, "how many servers")
	seconds := flag.Int("seconds", 300, "how long faults go on")
	seed := flag.Int64("seed", time.Now().UnixNano(), "which faults in which order; processes take their own time")
	keep := flag.Bool("keep", false, "keep the directory of logs and data")
	flag.Parse(arguments)
	directory, err := os.MkdirTemp("/var/tmp", "torture-")
	if err != nil {
		fmt.Println(err)
		return 2
	}
	fmt.Printf("%d servers, %d s, seed %d, under %s\n", *count, *seconds, *seed, directory)
	found := &findings{}
	c, err := newCluster(*binary, *former, directory, *count, found)
	if err != nil {
		fmt.Println(err)
		return 2
	}
	defer c.end(*keep)
	if !c.startAll() {
		return 1
	}

	r := &recorder{
		start: time.Now(), findings: found,
		created: map[string]bool{}, taken: map[string]int{}, maybeTaken: map[string]bool{},
	}
	var addresses []string
	for _, s := range c.servers {
		addresses = append(addresses, s.client)
	}
	var clients sync.WaitGroup
	spawn := func(client func(id int, random *rand.Rand), count int) {
		for n := 0; n < count; n++ {
			id := n
			clients.Add(1)
			go func() {
				defer clients.Done()
				client(id, rand.New(rand.NewSource(*seed+int64(id)*7919)))
			}()
		}
	}
	spawn(func(_ int, _ *rand.Rand) { r.lay(addresses) }, 1)
	for r.epoch.Load() == 0 {
		time.Sleep(10 * time.Millisecond)
	}
	spawn(func(id int, random *rand.Rand) { r.registerClient(id, addresses, random) }, 6)
	spawn(func(id int, random *rand.Rand) { r.queueClient(id, addresses, random) }, 3)
	spawn(func(id int, random *rand.Rand) { r.lockClient(id, addresses, random) }, 3)
	spawn(func(id int, _ *rand.Rand) { r.watchClient(id, addresses) }, 2)
	spawn(func(_ int, random *rand.Rand) { r.changeWatched(addresses, random) }, 1)
	spawn(func(_ int, random *rand.Rand) { r.lostClient(addresses, random) }, 1)

	counts, random := map[string]int{}, rand.New(rand.NewSource(*seed))
	tell := func(text string) { fmt.Printf("%8.3f %s\n", time.Since(r.start).Seconds(), text) }
	torment := func(share int, mixed bool) bool {
		until := time.Now().Add(time.Duration(*seconds) * time.Second / time.Duration(share))
		return c.torment(until, mixed, random, counts, tell)
	}
	if *former == "" {
		torment(1, false)
	} else if torment(2, true) {
		rose := c.upgrade(tell)
		if torment(2, false) {
			c.goBack(c.servers[random.Intn(len(c.servers))], rose, tell)
		}
	}
	r.ended.Store(true)
	clients.Wait()
	time.Sleep(sessionTimeout + 3*time.Second)
	r.settle(c)
	checked, undecided := r.checkRegisters()
	r.checkTimes()
	r.checkLock()
	c.searchLogs()

	names := make([]string, 0, len(counts))
	for name := range counts {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		fmt.Printf("%s: %d\n", name, counts[name])
	}
	fmt.Printf("%d operations on registers checked (%d histories undecided), %d elements queued, %d holds of the lock, %d watches; "+
		"longest time without an acknowledged write %v; %d findings\n",
		checked, undecided, len(r.created), len(r.holds), r.watches,
		time.Duration(r.longest.Load()).Round(time.Millisecond), len(found.list))
	if len(found.list) > 0 {
		return 1
	}
	return 0
}
