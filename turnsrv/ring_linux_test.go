//go:build linux && (amd64 || arm64)

package turnsrv

import (
	"context"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"turnhub/turnsrv/internal/epoll"
)

// ringConfig is a configuration for io_uring, where the system has it.
func ringConfig(t *testing.T) Config {
	if _, _, err := ChooseDriver(DriverRing); err != nil {
		t.Skip(err)
	}
	cfg := scheduleConfig(t)
	cfg.Driver, cfg.Kernel = DriverRing, KernelOff // the packets are to come to the ring
	return cfg
}

// TestSmallRing runs schedules on rings so small that each round runs out of buffers, so
// that receives end, completions overflow and requests do not fit: nothing is lost and
// nothing comes twice.
func TestSmallRing(t *testing.T) {
	usual := epoll.RingConfig
	defer func() { epoll.RingConfig = usual }()
	for _, x := range []struct{ entries, completions, buffers uint32 }{{4, 8, 4}, {16, 16, 32}, {8, 64, 8}} {
		epoll.RingConfig.Entries, epoll.RingConfig.Completions, epoll.RingConfig.Buffers = x.entries, x.completions, int(x.buffers)
		ts := startServer(t, ringConfig(t))
		s := newSchedule(t, ts)
		s.crowd(5)
		s.run(randomSteps(uint64(x.entries), 60))
		s.peer.Close()
		ts.stop()
	}
}

// TestRingBreaks takes the rings away from a server that serves: it ends with an error
// that says so, since a process that is started again is better off than one that hears
// nothing any more.
func TestRingBreaks(t *testing.T) {
	cfg := ringConfig(t)
	before := rings(t)
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	s.Stats() // all workers answer
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	broken := 0
	for fd := range rings(t) {
		if before[fd] {
			continue
		}
		if err := unix.Dup3(int(null.Fd()), fd, unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		broken++
	}
	if broken != cfg.Workers {
		t.Fatalf("%d rings, want %d", broken, cfg.Workers)
	}
	select {
	case err := <-done:
		if err == nil || !strings.Contains(err.Error(), "io_uring") {
			t.Errorf("the server ended with %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("the server goes on without its rings")
	}
}

// rings are the descriptors of this process that are rings.
func rings(t *testing.T) map[int]bool {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[int]bool)
	for _, e := range entries {
		if what, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.Contains(what, "[io_uring]") {
			fd, err := strconv.Atoi(e.Name())
			if err != nil {
				t.Fatal(err)
			}
			found[fd] = true
		}
	}
	return found
}
