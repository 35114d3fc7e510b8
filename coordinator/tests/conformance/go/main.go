// A session of go-zk: it shakes hands without the read-only byte, matches replies by xid, and
// reads `srvr` by a regular expression.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"
)

// With TLS_STORES in the environment, the folder of certificates, TLS is spoken.
func dialer() zk.Dialer {
	stores := os.Getenv("TLS_STORES")
	if stores == "" {
		return net.DialTimeout
	}
	own, err := tls.LoadX509KeyPair(stores+"/client.pem", stores+"/client.key")
	must(err)
	authority, err := os.ReadFile(stores + "/ca.pem")
	must(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	config := &tls.Config{Certificates: []tls.Certificate{own}, RootCAs: roots}
	return func(network, address string, timeout time.Duration) (net.Conn, error) {
		return tls.DialWithDialer(&net.Dialer{Timeout: timeout}, network, address, config)
	}
}

func main() {
	hosts := strings.Split(os.Args[1], ",")
	connection, events, err := zk.Connect(hosts, 10*time.Second, zk.WithLogInfo(false), zk.WithDialer(dialer()))
	must(err)
	await(events)
	root := fmt.Sprintf("/go-%x", time.Now().UnixNano())
	open := zk.WorldACL(zk.PermAll)

	path, err := connection.Create(root, []byte("x"), 0, open)
	must(err)
	equal(path, root)
	data, stat, err := connection.Get(root)
	must(err)
	equal(string(data), "x")
	equal(stat.Version, int32(0))
	_, err = connection.Set(root, []byte("y"), 7)
	is(err, zk.ErrBadVersion)
	stat, err = connection.Set(root, []byte("y"), 0)
	must(err)
	equal(stat.Version, int32(1))
	path, err = connection.Create(root+"/s-", nil, zk.FlagEphemeral|zk.FlagSequence, open)
	must(err)
	equal(path, root+"/s-0000000000")
	path, err = connection.CreateProtectedEphemeralSequential(root+"/p-", nil, open)
	must(err)
	must(connection.Delete(path, -1))
	path, err = connection.CreateContainer(root+"/c", nil, zk.FlagContainer, open)
	must(err)
	path, err = connection.CreateTTL(root+"/t", nil, zk.FlagTTL, open, time.Minute)
	must(err)
	_, err = connection.Sync(root)
	must(err)
	children, stat, err := connection.Children(root)
	must(err)
	equal(len(children), 3)
	equal(stat.NumChildren, int32(3))

	_, _, exists, err := connection.ExistsW(root + "/w")
	must(err)
	_, _, child, err := connection.ChildrenW(root)
	must(err)
	_, err = connection.Create(root+"/w", nil, 0, open)
	must(err)
	event(exists, zk.EventNodeCreated, root+"/w")
	event(child, zk.EventNodeChildrenChanged, root)
	_, _, changed, err := connection.GetW(root)
	must(err)
	_, err = connection.Set(root, nil, -1)
	must(err)
	event(changed, zk.EventNodeDataChanged, root)

	responses, err := connection.Multi(
		&zk.CreateRequest{Path: root + "/m", Data: nil, Acl: open, Flags: 0},
		&zk.SetDataRequest{Path: root + "/m", Data: []byte("1"), Version: 0},
		&zk.CheckVersionRequest{Path: root + "/m", Version: 1},
		&zk.DeleteRequest{Path: root + "/m", Version: 1},
	)
	must(err)
	equal(len(responses), 4)
	equal(responses[1].Stat.Version, int32(1))
	responses, err = connection.Multi(
		&zk.CreateRequest{Path: root + "/m", Data: nil, Acl: open, Flags: 0},
		&zk.CreateRequest{Path: root + "/w", Data: nil, Acl: open, Flags: 0},
		&zk.DeleteRequest{Path: root + "/m", Version: -1},
	)
	is(err, zk.ErrNodeExists)
	equal(len(responses), 3)
	found, _, err := connection.Exists(root + "/m")
	must(err)
	equal(found, false)

	must(connection.AddAuth("digest", []byte("user:secret")))
	_, err = connection.Create(root+"/a", nil, 0, zk.DigestACL(zk.PermAll, "user", "secret"))
	must(err)
	stranger, strangerEvents, err := zk.Connect(hosts, 10*time.Second, zk.WithLogInfo(false), zk.WithDialer(dialer()))
	must(err)
	await(strangerEvents)
	_, err = stranger.Sync(root)
	must(err)
	_, _, err = stranger.Get(root + "/a")
	is(err, zk.ErrNoAuth)

	lock, other := zk.NewLock(connection, root+"/lock", open), zk.NewLock(stranger, root+"/lock", open)
	must(lock.Lock())
	taken := make(chan error)
	go func() { taken <- other.Lock() }()
	select {
	case <-taken:
		fail("two hold the lock")
	case <-time.After(200 * time.Millisecond):
	}
	must(lock.Unlock())
	must(<-taken)
	must(other.Unlock())
	stranger.Close()

	if os.Args[2] == "coordinator" {
		words(hosts, connection.SessionID())
	}
	connection.Close()
	fmt.Println("done")
}

// The words, as go-zk reads them. Debian's build of ZooKeeper has a version it does not understand.
func words(hosts []string, session int64) {
	stats, ok := zk.FLWSrvr(hosts, 5*time.Second)
	if !ok {
		for _, one := range stats {
			must(one.Error)
		}
	}
	leaders := 0
	for _, one := range stats {
		if one.Mode == zk.ModeLeader {
			leaders++
		}
	}
	equal(leaders, 1)
	for _, alive := range zk.FLWRuok(hosts, 5*time.Second) {
		equal(alive, true)
	}
	// Its flag is false on every server: the line of the asking connection has no session.
	clients, _ := zk.FLWCons(hosts, 5*time.Second)
	named := false
	for _, server := range clients {
		for _, client := range server.Clients {
			named = named || client.SessionID == session
		}
	}
	equal(named, true)
}

func await(events <-chan zk.Event) {
	deadline := time.After(30 * time.Second)
	for {
		select {
		case event := <-events:
			if event.State == zk.StateHasSession {
				return
			}
		case <-deadline:
			fail("no session")
		}
	}
}

func event(events <-chan zk.Event, kind zk.EventType, path string) {
	select {
	case event := <-events:
		equal(event.Type, kind)
		equal(event.Path, path)
	case <-time.After(30 * time.Second):
		fail("no event " + kind.String() + " " + path)
	}
}

func is(found, expected error) {
	if !errors.Is(found, expected) {
		fail(fmt.Sprintf("found %v, expected %v", found, expected))
	}
}

func equal[T comparable](found, expected T) {
	if found != expected {
		fail(fmt.Sprintf("found %v, expected %v", found, expected))
	}
}

func must(err error) {
	if err != nil {
		fail(err.Error())
	}
}

func fail(message string) { panic(message) }
