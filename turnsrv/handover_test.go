//go:build linux && (amd64 || arm64)

package turnsrv

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/stun/v2"
	"github.com/pion/turn/v4"
	"golang.org/x/sys/unix"

	"turnhub/turnsrv/internal/turntest"
)

// successor starts a server on the listeners of another.
func successor(t *testing.T, old *testServer, cfg Config) *testServer {
	t.Helper()
	young, lost := handOver(t, old, cfg, func() {})
	if lost != 0 {
		t.Fatalf("%d clients were lost", lost)
	}
	return young
}

// handOver is successor, with something done just before the old server yields, and
// returns how many clients were lost.
func handOver(t *testing.T, old *testServer, cfg Config, before func()) (young *testServer, lost int) {
	t.Helper()
	files, err := old.ListenerFiles()
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	addresses, err := s.AdoptUDP(files)
	if err != nil {
		t.Fatal(err)
	}
	if len(addresses) != 2 || addresses[0] != old.udp || addresses[1] != old.udp6 {
		t.Fatalf("adopted %v, want %v and %v", addresses, old.udp, old.udp6)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	before()
	lost = old.Yield()
	go func() { done <- s.Serve(ctx) }()
	s.Stats()
	return &testServer{Server: s, udp: old.udp, udp6: old.udp6}, lost
}

// TestHandover holds a relayed conversation while a successor takes the port over:
// the old allocations go on, new ones are made by the successor, and a client that
// has ended its allocation meets the successor on the same five-tuple.
func TestHandover(t *testing.T) {
	old := startServer(t, testConfig(t))
	alice, bob := pionClient(t, old, "udp4", "alice"), pionClient(t, old, "udp4", "bob")
	a, err := alice.Allocate()
	if err != nil {
		t.Fatal(err)
	}
	b, err := bob.Allocate()
	if err != nil {
		t.Fatal(err)
	}
	talk := func(from, to net.PacketConn) {
		t.Helper()
		for i := range 20 {
			payload := bytes.Repeat([]byte{byte(i)}, 8+i*53)
			if _, err := from.WriteTo(payload, to.LocalAddr()); err != nil {
				t.Fatal(err)
			}
			exchange(t, to, payload, from.LocalAddr())
		}
	}
	for _, permit := range []error{alice.CreatePermission(b.LocalAddr()), bob.CreatePermission(a.LocalAddr())} {
		if permit != nil {
			t.Fatal(permit)
		}
	}
	talk(a, b)
	talk(b, a)

	young := successor(t, old, testConfig(t))
	talk(a, b)
	talk(b, a)
	if n := len(old.Allocations()); n != 2 {
		t.Errorf("the old server has %d allocations, want 2", n)
	}
	for i := range 8 { // by whichever of the sockets the kernel picks
		carol := pionClient(t, young, "udp4", "carol")
		c, err := carol.Allocate()
		if err != nil {
			t.Fatalf("client %d: %v", i, err)
		}
		defer c.Close()
	}
	if n := len(young.Allocations()); n != 8 {
		t.Errorf("the successor has %d allocations, want 8", n)
	}

	a.Close()
	b.Close()
	until(t, func() bool { return len(old.Allocations()) == 0 })
	if a, err = alice.Allocate(); err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if n := len(young.Allocations()); n != 9 {
		t.Errorf("the successor has %d allocations, want 9", n)
	}
}

// TestHandoverAfterTheEnd: a server that has ended meanwhile neither closes descriptors
// that are somebody else's by now, nor hands them over, nor waits for ever.
func TestHandoverAfterTheEnd(t *testing.T) {
	s := startServer(t, testConfig(t))
	files, err := s.ListenerFiles()
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	s.stop()
	var others []*os.File
	for range 100 {
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		others = append(others, f)
	}
	s.Yield()
	if again, err := s.ListenerFiles(); err != nil || len(again) != 0 {
		t.Errorf("%d listeners, %v", len(again), err)
	}
	if err := s.Resume(files); err != nil {
		t.Error(err)
	}
	for _, f := range others {
		if _, err := f.Stat(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestHandoverTakenBack takes the listeners back from a successor that has ended:
// what the old server carries goes on, new clients are served by it again, and it can
// hand over once more, the sockets that it has kept for single clients excepted.
func TestHandoverTakenBack(t *testing.T) {
	old := startServer(t, testConfig(t))
	alice, bob := pionClient(t, old, "udp4", "alice"), pionClient(t, old, "udp4", "bob")
	a, err := alice.Allocate()
	if err != nil {
		t.Fatal(err)
	}
	b, err := bob.Allocate()
	if err != nil {
		t.Fatal(err)
	}
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
	listeners, err := old.ListenerFiles()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range listeners {
		f.Close()
	}
	for round := range 3 {
		spare, err := old.ListenerFiles()
		if err != nil {
			t.Fatal(err)
		}
		if len(spare) != len(listeners) {
			t.Fatalf("round %d: %d listeners are handed over, want %d", round, len(spare), len(listeners))
		}
		if lost := old.Yield(); lost != 0 {
			t.Fatalf("%d clients were lost", lost)
		}
		talk()
		if err := old.Resume(spare); err != nil {
			t.Fatal(err)
		}
		talk()
		for range 4 {
			carol := pionClient(t, old, "udp4", "carol")
			c, err := carol.Allocate()
			if err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
			defer c.Close()
		}
		talk()
	}
	if n := len(old.Allocations()); n != 14 {
		t.Errorf("%d allocations, want 14", n)
	}
}

// TestHandoverLeavesTheOthersAlone ends the clients that an old server has kept, one
// by one: the successor's own clients, spread over its workers by the kernel, stay
// with the worker that knows them.
func TestHandoverLeavesTheOthersAlone(t *testing.T) {
	cfg := testConfig(t)
	cfg.Workers = 4
	old := startServer(t, cfg)
	var kept []net.PacketConn
	for i := range 6 {
		a, err := pionClient(t, old, "udp4", fmt.Sprintf("kept%d", i)).Allocate()
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, a)
	}
	again := testConfig(t)
	again.Workers = 4
	young := successor(t, old, again)
	var ends []net.PacketConn
	for range 8 {
		var pair [2]net.PacketConn
		var clients [2]*turn.Client
		for i := range pair {
			clients[i] = pionClient(t, young, "udp4", "anna")
			var err error
			if pair[i], err = clients[i].Allocate(); err != nil {
				t.Fatal(err)
			}
		}
		for i, c := range clients {
			if err := c.CreatePermission(pair[1-i].LocalAddr()); err != nil {
				t.Fatal(err)
			}
		}
		ends = append(ends, pair[0], pair[1])
	}
	talk := func(left int) {
		t.Helper()
		for i := range ends {
			payload := []byte{byte(i), byte(left)}
			if _, err := ends[i].WriteTo(payload, ends[i^1].LocalAddr()); err != nil {
				t.Fatal(err)
			}
			exchange(t, ends[i^1], payload, ends[i].LocalAddr())
		}
	}
	talk(len(kept))
	for i, a := range kept {
		a.Close()
		until(t, func() bool { return len(old.Allocations()) == len(kept)-1-i })
		talk(len(kept) - 1 - i)
	}
}

// until polls for what another goroutine brings about.
func until(t *testing.T, ok func() bool) {
	t.Helper()
	for !ok() {
		if t.Context().Err() != nil {
			t.Fatal("it did not come")
		}
		runtime.Gosched()
	}
}

// TestHandoverLosesNothing hands over while calls go on, each with a packet on its way at
// any moment: all of them arrive, though the kernel gives some to sockets that are not
// their client's yet, or not any more.
func TestHandoverLosesNothing(t *testing.T) {
	cfg := testConfig(t)
	cfg.Workers = 4
	s := startServer(t, cfg)
	for round := range 10 {
		stop := make(chan struct{})
		var calls sync.WaitGroup
		for range 6 {
			var ends [2]net.PacketConn
			var clients [2]*turn.Client
			for i := range ends {
				clients[i] = pionClient(t, s, "udp4", "anna")
				var err error
				if ends[i], err = clients[i].Allocate(); err != nil {
					t.Fatal(err)
				}
				defer ends[i].Close()
			}
			for i, c := range clients {
				if err := c.CreatePermission(ends[1-i].LocalAddr()); err != nil {
					t.Fatal(err)
				}
			}
			calls.Go(func() {
				buf := make([]byte, 100)
				for n := 0; ; n++ {
					select {
					case <-stop:
						return
					default:
					}
					from, to := ends[n%2], ends[1-n%2]
					payload := fmt.Sprint("packet ", n)
					if _, err := from.WriteTo([]byte(payload), to.LocalAddr()); err != nil {
						t.Error(err)
						return
					}
					to.SetReadDeadline(time.Now().Add(5 * time.Second))
					if k, _, err := to.ReadFrom(buf); err != nil || string(buf[:k]) != payload {
						t.Errorf("round %d: %s: %q, %v", round, payload, buf[:k], err)
						return
					}
				}
			})
		}
		spare, err := s.ListenerFiles()
		if err != nil {
			t.Fatal(err)
		}
		if lost := s.Yield(); lost != 0 {
			t.Fatalf("%d clients were lost", lost)
		}
		close(stop)
		calls.Wait()
		if err := s.Resume(spare); err != nil {
			t.Fatal(err)
		}
		if t.Failed() {
			return
		}
	}
}

// TestHandoverWithoutSockets holds a conversation without sockets while a successor takes
// over, which gives none of its ports out, be they with a socket or without, and has all
// the others.
func TestHandoverWithoutSockets(t *testing.T) {
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
