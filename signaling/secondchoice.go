package signaling

import (
	"maps"
	"slices"
	"time"
)

// The second is the next node by name. One that has not kept up stands back behind all others
// for a while; where there is no other it is chosen again once it has caught up, as without a
// second the sessions of this node would end with it.

const (
	// slowFor is for how long a node that did not keep up is not chosen while another one can be.
	slowFor = time.Minute
	// slowLeast is that where no other one can be. Everything waits for secondPatience once more
	// should it not keep up again: so that is not oftener, and each time twice as long.
	slowLeast = 10 * time.Second
)

// Why no other node could go on with the sessions of one.
const (
	NoOther   = "alone"  // there is none, or none that could
	NoneSwift = "slow"   // none keeps up
	NotYet    = "behind" // one is being named, or does not have everything yet
)

// Uncovered says why no other node could go on with this one's sessions; empty: one could. It
// must not be called in a step.
func (h *Hub) Uncovered() string {
	x := h.second
	if x == nil {
		return NoOther
	}
	x.step.Lock() // in steps a node says of which process it is
	others := slices.ContainsFunc(h.directory.nodes.all(), func(p *peer) bool { return p.run != "" })
	x.step.Unlock()
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case x.state == covered && x.has:
		return ""
	case !others:
		return NoOther
	case x.state == alone && len(x.slow) > 0:
		return NoneSwift
	}
	return NotYet
}

// slowNode is one that did not keep up.
type slowNode struct {
	since time.Time
	least time.Duration // for so long it is not chosen at all
	at    uint64        // the step with which it was given up
	well  bool          // it has that, or has begun anew since
}

// isSlow notes that the second does not keep up. mu is held.
func (x *second) isSlow(now time.Time) {
	least := slowLeast
	if s := x.slow[x.node]; s != nil {
		least = 2 * s.least
	}
	x.slow[x.node] = &slowNode{since: now, least: least, at: x.at}
}

// choose finds a second where there is none. It is called in a step.
func (x *second) choose() {
	nodes := x.h.directory.nodes
	var all []string
	for _, p := range nodes.all() {
		if p.run != "" { // it can be one
			all = append(all, p.name)
		}
	}
	now := x.h.now()
	x.mu.Lock()
	if x.over || x.state == syncing || x.state == covered || x.state == naming && x.node != "" {
		x.mu.Unlock()
		return
	}
	maps.DeleteFunc(x.slow, func(_ string, s *slowNode) bool { return now.Sub(s.since) >= slowFor })
	to := ""
	for _, name := range all { // the next one by name
		if x.slow[name] == nil && (to == "" || name > nodes.self && to < nodes.self) {
			to = name
		}
	}
	if to == "" {
		to = x.leastSlow(all, now)
	}
	if to == "" && x.state == alone {
		if len(x.slow) > 0 {
			x.h.timers.Set(&x.renew, now.Add(slowLeast))
		}
		x.mu.Unlock()
		return
	}
	x.state, x.node = naming, to
	x.asked++
	asked := x.asked
	x.mu.Unlock()
	x.ask.Name(x.process(), to, asked, func(ok bool) { x.named(asked, ok) })
}

// leastSlow returns the node that has kept up for the longest of those that had not; empty: none
// has. mu is held.
func (x *second) leastSlow(all []string, now time.Time) (to string) {
	for _, name := range all {
		s := x.slow[name]
		if s.well && now.Sub(s.since) >= s.least && (to == "" || s.since.Before(x.slow[to].since)) {
			to = name
		}
	}
	return to
}

// keepsUp is told which step a node has. mu is held.
func (x *second) keepsUp(p *peer, at uint64) {
	if s := x.slow[p.name]; s != nil && at >= s.at {
		s.well = true
	}
}

// begins is told that the stream to a node has begun anew.
func (x *second) begins(p *peer) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.keepsUp(p, x.at)
}
