package main

import (
	"context"
	"os"
	"syscall"
	"time"
)

const (
	// leastSmear and mostSmear bound the time over which a node of several sends its
	// clients to the others: leaveTime for each session.
	leastSmear = 2 * time.Second
	mostSmear  = 20 * time.Second
	leaveTime  = time.Second / 2000

	// movePatience is for how long relayed calls of clients that have gone to another node
	// may go on here: they restart ICE there meanwhile.
	movePatience = 10 * time.Second
)

// drain takes no new work and waits for the allocations in use, at most for
// drain_timeout or until another signal, which it reports. Of several nodes this one gives
// its rooms and clients to the others before.
func (n *node) drain(ctx context.Context, signals <-chan os.Signal) (interrupted bool) {
	most := n.settings().DrainTimeout
	if n.cluster != nil {
		if n.empty(ctx, signals) {
			n.farewell()
			return true
		}
		most = max(most, movePatience)
	}
	n.farewell()
	return n.await(ctx, signals, most)
}

// empty sends the clients to other nodes, those of one room together and one room after
// the other. It reports whether a signal has ended that.
func (n *node) empty(ctx context.Context, signals <-chan os.Signal) (interrupted bool) {
	n.draining.Store(true)
	n.cluster.Drain(true)
	leaving := n.hub.Depart()
	_, all := leaving.Done()
	smear := min(max(time.Duration(all)*leaveTime, leastSmear), mostSmear)
	n.log.Info("the clients of this node go to others", "sessions", all, "within", smear)
	began := time.Now()
	next := time.NewTimer(0)
	defer next.Stop()
	for left := true; left; {
		select {
		case <-ctx.Done():
			return false
		case s := <-signals:
			if ends(s) {
				return true
			}
			continue
		case <-next.C:
		}
		left = leaving.Next(leastSmear, func(rooms, nodes []string, session string) []string {
			return n.cluster.HandOver(ctx, rooms, nodes, session)
		})
		gone, _ := leaving.Done()
		next.Reset(max(0, smear*time.Duration(gone)/time.Duration(max(all, 1))-time.Since(began)))
	}
	return false
}

// ends reports whether a signal that comes while the server goes down ends it at once.
func ends(s os.Signal) bool { return s != syscall.SIGHUP && s != syscall.SIGUSR2 }

// askDrain has serve do what SIGTERM does, for `turnhub drain`. It returns how many
// sessions there are.
func (n *node) askDrain() (sessions int) {
	select {
	case n.commands <- syscall.SIGTERM:
	default: // it was asked already
	}
	return n.hub.Stats().Sessions
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
			if ends(s) {
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
