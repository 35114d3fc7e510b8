package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// enter runs this program again in namespaces of its own: mounts and networks that end with it.
// Nothing of the machine's own is touched.
func enter(namespaces uintptr, arguments ...string) int {
	self, err := os.Executable()
	if err != nil {
		fmt.Println("cannot find this program:", err)
		return 2
	}
	command := exec.Command(self, arguments...)
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaces, Pdeathsig: syscall.SIGTERM}
	if err := command.Run(); err != nil {
		if command.ProcessState != nil && command.ProcessState.ExitCode() > 0 {
			return command.ProcessState.ExitCode()
		}
		fmt.Println("cannot run in namespaces of its own, for which it must be root:", err)
		return 2
	}
	return 0
}

// keepMounts has what is mounted from now on seen in this namespace alone.
func keepMounts() error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("cannot keep mounts to itself: %w", err)
	}
	return nil
}

// network is a bridge with a namespace for each server; the clients' address is the bridge's.
type network struct{ count int }

func (n *network) address(id int) string   { return fmt.Sprintf("10.91.0.%d", id) }
func (n *network) namespace(id int) string { return fmt.Sprint("server", id) }

func tool(input, name string, arguments ...string) error {
	command := exec.Command(name, arguments...)
	command.Stdin = strings.NewReader(input)
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(arguments, " "), err, strings.TrimSpace(string(output)))
	}
	return nil
}

func newNetwork(count int) (*network, error) {
	if err := keepMounts(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll("/run/netns", 0o755); err != nil {
		return nil, err
	}
	if err := syscall.Mount("tmpfs", "/run/netns", "tmpfs", 0, "size=1m"); err != nil {
		return nil, fmt.Errorf("cannot mount over /run/netns: %w", err)
	}
	n := &network{count}
	commands := []string{"link set lo up", "link add members type bridge", "addr add 10.91.0.254/24 dev members", "link set members up"}
	for id := 1; id <= count; id++ {
		name, wire := n.namespace(id), fmt.Sprint("wire", id)
		commands = append(commands,
			"netns add "+name,
			fmt.Sprintf("link add %s type veth peer name eth0 netns %s", wire, name),
			fmt.Sprintf("link set %s master members up", wire),
			fmt.Sprintf("-n %s addr add %s/24 dev eth0", name, n.address(id)),
			fmt.Sprintf("-n %s link set eth0 up", name),
			fmt.Sprintf("-n %s link set lo up", name))
	}
	for _, line := range commands {
		if err := tool("", "ip", strings.Fields(line)...); err != nil {
			return nil, err
		}
	}
	return n, tool("add table bridge cut\nadd chain bridge cut forward { type filter hook forward priority 0; }\n", "nft", "-f", "-")
}

// drop loses, from one moment on, what a member sends to the others, and what they send to it.
func (n *network) drop(id int, from, to bool) error {
	var rules strings.Builder
	for other := 1; other <= n.count; other++ {
		if other == id {
			continue
		}
		if from {
			fmt.Fprintf(&rules, "add rule bridge cut forward ip saddr %s ip daddr %s drop\n", n.address(id), n.address(other))
		}
		if to {
			fmt.Fprintf(&rules, "add rule bridge cut forward ip saddr %s ip daddr %s drop\n", n.address(other), n.address(id))
		}
	}
	return tool(rules.String(), "nft", "-f", "-")
}

func (n *network) heal() error { return tool("", "nft", "flush", "table", "bridge", "cut") }
