package main

import (
	"context"
	"sync"
)

// maxPending is how many sessions wait to be rechecked one by one; with more
// than these, all are.
const maxPending = 256

// rechecker carries the hub's changes to the relay. The hub tells them while it
// holds locks that the relay's policy needs, so they go through a goroutine of
// their own.
type rechecker struct {
	recheck func(users ...string)
	revoke  func(user string) int

	mu      sync.Mutex
	changed map[string]struct{}
	all     bool
	revoked map[string]struct{}
	wake    chan struct{}
}

func newRechecker() *rechecker {
	return &rechecker{changed: make(map[string]struct{}), revoked: make(map[string]struct{}), wake: make(chan struct{}, 1)}
}

// change is told which sessions have lost somebody to relay to.
func (r *rechecker) change(sessions ...string) {
	r.mu.Lock()
	for _, s := range sessions {
		if r.all = r.all || len(r.changed) >= maxPending; r.all {
			clear(r.changed)
			break
		}
		r.changed[s] = struct{}{}
	}
	r.mu.Unlock()
	r.poke()
}

// end is told which session the operator has ended.
func (r *rechecker) end(session string) {
	r.mu.Lock()
	r.revoked[session] = struct{}{}
	r.mu.Unlock()
	r.poke()
}

func (r *rechecker) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// serve works until ctx ends.
func (r *rechecker) serve(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		}
		r.mu.Lock()
		changed, all, revoked := r.changed, r.all, r.revoked
		r.changed, r.all, r.revoked = make(map[string]struct{}), false, make(map[string]struct{})
		r.mu.Unlock()
		for s := range revoked {
			r.revoke(s)
		}
		switch {
		case all:
			r.recheck()
		case len(changed) > 0:
			users := make([]string, 0, len(changed))
			for s := range changed {
				users = append(users, s)
			}
			r.recheck(users...)
		}
	}
}
