package main

import (
	"context"
	"os"
	"syscall"
	"time"
)

// drain takes no new work and waits for the allocations in use, at most for
// drain_timeout or until another signal, which it reports.
func (n *node) drain(ctx context.Context, signals <-chan os.Signal) (interrupted bool) {
	n.farewell()
	return n.await(ctx, signals, n.settings().DrainTimeout)
}

// carried is how much would end with this process: allocations, media sockets, which go on
// until their clients have come back, and connections that are passed on to other servers.
func (n *node) carried() int {
	return len(n.turn.Allocations()) + n.media.Len() + int(n.mux.Stats().Forwarded)
}

// await waits until no allocation is left, no media socket, and no connection that is passed on. It reports
// whether a signal has ended that.
func (n *node) await(ctx context.Context, signals <-chan os.Signal, most time.Duration) (interrupted bool) {
	left := n.carried()
	if most == 0 || left == 0 {
		return false
	}
	n.log.Info("waiting for calls to end", "allocations", len(n.turn.Allocations()), "media_sockets", n.media.Len(), "passed_on", n.mux.Stats().Forwarded, "at_most", most)
	deadline := time.NewTimer(most)
	defer deadline.Stop()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for left > 0 {
		select {
		case <-ctx.Done():
			return false
		case s := <-signals:
			if s != syscall.SIGHUP && s != syscall.SIGUSR2 {
				return true
			}
		case <-deadline.C:
			n.log.Warn("allocations, media sockets, or connections that are passed on, are still in use and end now", "left", left)
			return false
		case <-tick.C:
			left = n.carried()
		}
	}
	return false
}

// farewell tells the clients to come back, without waiting for calls.
func (n *node) farewell() {
	n.draining.Store(true)
	n.turn.Drain()
	if n.cluster != nil {
		n.cluster.Drain(true)
	}
	n.sendAway(2 * time.Second)
}
