//go:build linux && (amd64 || arm64)

package turnsrv

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/pion/turn/v4"
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
	notPortable(t, "hands nothing over")
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
	notPortable(t, "hands nothing over")
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
	notPortable(t, "hands nothing over")
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
