//go:build linux && (amd64 || arm64)

package turnsrv

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/pion/stun/v2"
	"github.com/pion/turn/v4"
	"golang.org/x/sys/unix"

	"turnhub/turnsrv/internal/turntest"
)

// TestHandoverWithoutSockets holds a conversation without sockets while a successor takes
// over, which gives none of its ports out, be they with a socket or without, and has all
// the others.
func TestHandoverWithoutSockets(t *testing.T) {
	notPortable(t, "hands nothing over")
	cfg := testConfig(t)
	cfg.Relay = cfg.Relay[:1]
	cfg.PortMin, cfg.PortMax = 12300, 12307
	cfg.Sockets = SocketsOn
	old := startServer(t, cfg)
	taken := make(map[string]bool)
	allocate := func(ts *testServer, name string) (*turn.Client, net.PacketConn) {
		t.Helper()
		c := pionClient(t, ts, "udp4", name)
		conn, err := c.Allocate()
		if err != nil {
			t.Fatal(err)
		}
		if at := conn.LocalAddr().String(); taken[at] {
			t.Fatalf("%s was given out twice", at)
		}
		taken[conn.LocalAddr().String()] = true
		return c, conn
	}
	_, socket := allocate(old, "socket")
	defer socket.Close()
	old.SetSockets(SocketsOff)
	alice, a := allocate(old, "alice")
	bob, b := allocate(old, "bob")
	for _, permit := range []error{alice.CreatePermission(b.LocalAddr()), bob.CreatePermission(a.LocalAddr())} {
		if permit != nil {
			t.Fatal(permit)
		}
	}
	talk := func() {
		t.Helper()
		for i := range 20 {
			payload := bytes.Repeat([]byte{byte(i)}, 100+i)
			if _, err := a.WriteTo(payload, b.LocalAddr()); err != nil {
				t.Fatal(err)
			}
			exchange(t, b, payload, a.LocalAddr())
		}
	}
	talk()
	spare, err := old.ListenerFiles()
	if err != nil {
		t.Fatal(err)
	}
	next := cfg
	next.Sockets = SocketsOff
	young := successor(t, old, next)
	young.SetElders(old.Ports())
	talk()
	for i := range 5 {
		_, conn := allocate(young, fmt.Sprint("young", i))
		defer conn.Close()
	}
	if _, err := pionClient(t, young, "udp4", "ninth").Allocate(); err == nil {
		t.Error("a ninth of eight ports was given out")
	}
	talk()
	a.Close()
	b.Close()
	until(t, func() bool { return len(old.Allocations()) == 1 })
	young.SetElders(old.Ports())
	for range 2 {
		conn, err := pionClient(t, young, "udp4", "later").Allocate()
		if err != nil {
			t.Fatalf("a port that the old server has given back: %v", err)
		}
		if conn.LocalAddr().String() == socket.LocalAddr().String() {
			t.Error("the old server's socket was given out too")
		}
		defer conn.Close()
	}
	for _, f := range spare {
		f.Close()
	}
}

// TestHandoverWithoutDescriptors hands over in a process that has no descriptor left: by
// relay.sockets: auto the relay sockets that were never used make room for the clients,
// whose conversation goes on; by on the clients are lost, and counted.
func TestHandoverWithoutDescriptors(t *testing.T) {
	notPortable(t, "hands nothing over")
	for _, mode := range []Sockets{SocketsAuto, SocketsOn} {
		cfg := testConfig(t)
		cfg.Relay, cfg.Sockets = cfg.Relay[:1], mode
		old := startServer(t, cfg)
		alice, bob := dialRaw(t, old, "alice"), dialRaw(t, old, "bob")
		at := []netip.AddrPort{alice.Allocate()[0], bob.Allocate()[0]}
		talk := func() {
			t.Helper()
			for i, c := range []*turntest.Client{alice, bob} {
				if code := turntest.CodeOf(c.Do(stun.MethodCreatePermission, turntest.Peer(at[1-i].String()))); code != 0 {
					t.Fatal(code)
				}
			}
			for _, way := range []struct {
				from, to *turntest.Client
				at       netip.AddrPort
			}{{alice, bob, at[1]}, {bob, alice, at[0]}} {
				way.from.Send(turntest.Send(way.at.String(), []byte("here")))
				if got := way.to.Receive(); !strings.Contains(string(got), "here") {
					t.Errorf("%q", got)
				}
			}
		}
		var again func()
		_, lost := handOver(t, old, cfg, func() { again = noDescriptors(t) })
		again()
		if (lost > 0) != (mode == SocketsOn) {
			t.Errorf("mode %v: %d clients are lost", mode, lost)
		}
		if mode == SocketsAuto {
			talk()
			if n := old.Stats().Bare; n != 2 {
				t.Errorf("%d relayed addresses have no socket, want 2", n)
			}
		}
	}
}

// noDescriptors uses up this process's descriptors, and lowers their limit so that each
// that is closed can be had again. again gives them back.
func noDescriptors(t *testing.T) (again func()) {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	highest := 0
	for _, fd := range open {
		if n, _ := strconv.Atoi(fd.Name()); n > highest {
			highest = n
		}
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(highest) + 1, Max: limit.Max}); err != nil {
		t.Fatal(err)
	}
	var fill []int
	for {
		fd, err := unix.Dup(0)
		if err != nil {
			break
		}
		fill = append(fill, fd)
	}
	return func() {
		for _, fd := range fill {
			unix.Close(fd)
		}
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Fatal(err)
		}
	}
}
