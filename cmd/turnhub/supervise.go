package main

import (
	"context"
	"fmt"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// supervisor talks to systemd by the protocol of sd_notify(3). Without systemd
// it does nothing.
type supervisor struct{ n *node }

func (s supervisor) notify(state string) { daemon.SdNotify(false, state) }

// serve tells that the server works, once the relay has proved itself, and goes
// on to tell that it still does.
func (s supervisor) serve(ctx context.Context) {
	s.notify("STATUS=Proving the relay")
	select {
	case <-ctx.Done():
		return
	case <-s.n.prober.First():
	}
	tick := time.NewTicker(250 * time.Millisecond) // failed probes are tried again
	defer tick.Stop()
	for err := s.n.prober.Ready(); err != nil; err = s.n.prober.Ready() {
		s.notify(fmt.Sprintf("STATUS=Not ready: %.200q", err.Error()))
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
	s.notify("READY=1\nSTATUS=" + s.n.status())
	s.watchdog(ctx)
}

// watchdog feeds systemd's watchdog from a real check: a STUN round trip and a
// hub round trip through the listeners. When the check fails, the watchdog is
// not fed, and systemd restarts the server if that goes on.
func (s supervisor) watchdog(ctx context.Context) {
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil || every <= 0 {
		return
	}
	every /= 3
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if err := s.n.selfCheck(ctx, every); err == nil {
			s.notify("WATCHDOG=1\nSTATUS=" + s.n.status())
		} else if ctx.Err() == nil {
			s.n.log.Error("the self check failed; systemd restarts the server if this goes on", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// reloading and stopping announce themselves, as systemd wants it.
func (s supervisor) reloading() func() {
	s.notify("RELOADING=1\n" + daemon.SdNotifyMonotonicUsec() + "STATUS=Reading the configuration again")
	return func() { s.notify("READY=1\nSTATUS=" + s.n.status()) }
}

func (s supervisor) stopping() { s.notify("STOPPING=1\nSTATUS=Going down") }

// status is one line for `systemctl status`.
func (n *node) status() string {
	allocations := 0
	for _, families := range n.turn.Stats().Allocations {
		for _, count := range families {
			allocations += count
		}
	}
	return fmt.Sprintf("Serving %d allocations and %d sessions", allocations, len(n.hub.Sessions()))
}
