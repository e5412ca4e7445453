package signaling

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"turnhub/signaling/internal/timers"
	"turnhub/signaling/internal/wire"
)

// Whose a name is: of several claims with different secrets the one that is firm, then the
// oldest. A claim outlives its node with the sessions, as old as it was.

// claim is how a name was claimed on a node that is dead.
type claim struct {
	secret secretDigest
	stamp  uint64 // 0: another claim was older
}

// reclaim claims the name of sessions that have moved, of all at once: whom others are not told
// of is not there. It is theirs as it was, whoever has claimed it since.
func (d *directory) reclaim(user string, was claim, list []*member) {
	d.mu.Lock()
	defer d.unlock()
	u := d.users[user]
	if u != nil && len(u.own()) > 0 && u.secret != was.secret {
		if was.stamp == 0 || u.across.firm && u.across.stamp <= was.stamp {
			return // they are nobody of that name any more
		}
		d.yield(u)
		u.across.own, u.across.yielded = nil, false
	}
	known := u != nil
	if !known {
		u = d.newUser(user)
	}
	a := u.across
	u.secret = was.secret
	if len(a.own) == 0 {
		a.stamp, a.firm = cmp.Or(was.stamp, uint64(d.hub.now().UnixMilli())), was.stamp != 0
	}
	if !known {
		a.own = list
		for _, s := range list {
			if a.firm {
				u.appear(s)
			}
		}
		list = nil
		d.seek(u)
	}
	if u.inCall > 0 { // one has come with its call
		u.occupied()
	}
	d.claimed(u, list...)
}

// rivalled reports whether the name is somebody's with another secret than this: whose claim
// stands before all others, once they are known or that one has been found to.
func (u *user) rivalled(proof []byte) bool {
	if u == nil || u.across == nil {
		return false
	}
	a := u.across
	var first *namePart
	var node string
	claim := func(name string, c *namePart) {
		var before bool
		switch {
		case first == nil:
			before = true
		case c.firm != first.firm:
			before = c.firm
		case c.stamp != first.stamp:
			before = c.stamp < first.stamp
		default:
			before = name < node
		}
		if before {
			first, node = c, name
		}
	}
	if len(a.own) > 0 {
		claim(a.self, &namePart{proof: u.secret[:], stamp: a.stamp, firm: a.firm})
	}
	for p, part := range a.parts {
		if part.proof != nil {
			claim(p.name, part)
		}
	}
	return first != nil && !bytes.Equal(first.proof, proof) && (first.firm || u.known())
}

var userTaken = wire.Faultf(wire.CodeUserTaken, "another person uses this name: choose another, or give the same userSecret")

// weigh draws the consequences of what is known of a user now: whose the name is, who can
// be rung, what the subscribers are told.
func (d *directory) weigh(u *user) {
	a := u.across
	switch {
	case len(a.own) == 0:
		a.firm, a.yielded = false, false
	case u.rivalled(u.secret[:]):
		d.yield(u)
	case !a.firm && u.known():
		a.firm, a.yielded = true, false
		for _, s := range a.own {
			u.appear(s)
		}
		d.tellNames(u, nil, "")
	}
	if u.known() {
		d.hub.timers.Stop(&a.late)
		for _, c := range slices.Clone(u.ringing) {
			c.unlessAnybody()
		}
	}
	d.show(u)
}

// yield leaves the name to another node's claim. Who has just come ends; who was here while
// the nodes could not hear each other, and is with others, stays as nobody of that name.
func (d *directory) yield(u *user) {
	a := u.across
	was := a.firm
	a.firm, a.yielded = false, a.yielded || was
	for _, s := range slices.Clone(a.own) {
		if was {
			d.disappear(u, s)
		}
		if a.yielded && (len(s.roomList()) > 0 || len(s.callList()) > 0) {
			continue
		}
		// From the timers' goroutine: a message of that very session may be at work.
		d.hub.timers.Set(&timers.Timer{Fire: func(time.Time) {
			d.post.Release(s.ref, 0, userTaken)
			d.post.End(s.ref, "lost", wire.CloseRefused)
		}}, d.hub.now())
	}
	if was {
		d.tellNames(u, nil, "")
	}
}

// claimed takes in sessions of this node.
func (d *directory) claimed(u *user, list ...*member) {
	a := u.across
	first := len(a.own) == 0
	a.own = append(a.own, list...)
	if first && !a.firm {
		a.stamp = uint64(d.hub.now().UnixMilli())
		for _, part := range a.parts {
			a.stamp = max(a.stamp, part.stamp+1)
		}
	}
	for _, s := range list {
		if a.firm {
			u.appear(s)
		}
	}
	d.tellNames(u, nil, "")
	d.weigh(u)
}
