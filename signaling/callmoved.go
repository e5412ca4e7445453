package signaling

import (
	"maps"
	"slices"
	"time"

	"turnhub/signaling/internal/delivery"
)

// An accepted call by name outlives the nodes of its two sides. What it needs is in the image
// of each of these nodes. While nobody goes on with a dead one's sessions the other side's node
// keeps the call, as it keeps the dead one's people in rooms (moved.go). The second that goes
// on says with whom in a call each session is that has moved (movedPerson.Calls), and whoever
// does not know of such a call says so (opGone), or ends what he knows and is not named. So in
// the end both nodes have the call, or both sides have heard that it is over.
//
// A call that only rings goes on likewise, see ringmoved.go.

// talkImage is what an image has of an accepted call.
type talkImage struct {
	Caller   callSide `json:"caller"`
	Peer     callSide `json:"peer"`
	Callee   string   `json:"callee"`
	Since    int64    `json:"since"`    // how long ago, in milliseconds
	Answered int64    `json:"answered"` // likewise
}

type callSide struct {
	Node string `json:"node,omitempty"` // empty: the one whose image it is
	Run  string `json:"run,omitempty"`  // its process
	person
}

// talk says what there is of an accepted call. d.mu is held.
func (c *call) talk() *talkImage {
	now := c.d.hub.now()
	return &talkImage{
		Caller: sideOf(c.caller), Peer: sideOf(c.peer), Callee: c.callee.name,
		Since: now.Sub(c.since).Milliseconds(), Answered: now.Sub(c.answered).Milliseconds(),
	}
}

func sideOf(s *member) callSide {
	o := callSide{person: *s.person(0)}
	if s.node != nil {
		o.Node, o.Run, o.Ref = s.node.name, s.node.run, s.there
	}
	return o
}

// is reports whether an image and a call here are of the same two.
func (i *callImage) is(c *call) bool {
	return i != nil && i.Talk != nil && c.peer != nil && i.Talk.Caller.ID == c.caller.id && i.Talk.Peer.ID == c.peer.id
}

// takeCalls goes on with the calls of those who have moved here: byRef by their numbers on the
// dead node, known by what they were here. Other calls of theirs are over. It returns those that
// ring and are this node's now.
func (d *directory) takeCalls(m *image, byRef map[delivery.Ref]*member, known map[*member]*member) (own []*call) {
	d.mu.Lock()
	defer d.unlock()
	on := make(map[string]bool)
	for _, id := range slices.Sorted(maps.Keys(d.byCall)) {
		c := d.byCall[id]
		if c == nil || c.peer == nil {
			continue
		}
		caller, peer := known[c.caller], known[c.peer]
		switch {
		case caller == nil && peer == nil:
			continue
		case caller == nil && slices.Contains(m.calls[id].rang(byRef), peer): // it has taken it, and not heard so
			c.callee.across.talks--
			c.account.comes()
			c.account.join(peer, c.answered)
			d.comesBusy(peer)
			c.goesOn(c.caller, peer)
			c.greet(peer)
			for _, s := range m.calls[id].rang(byRef) {
				if s != peer {
					s.push(ended(id, "elsewhere", ""))
				}
			}
			on[id] = true
			continue
		case !m.calls[id].is(c):
			c.lost()
			continue
		case caller != nil:
			c.account.alone()
			c.account.again(caller, c.answered)
			d.comesBusy(caller)
			c.goesOn(caller, c.peer)
		default:
			c.callee.across.talks--
			c.account.comes()
			c.account.again(peer, c.answered)
			d.comesBusy(peer)
			c.goesOn(c.caller, peer)
		}
		on[id] = true
	}
	own = d.takeRings(m, byRef, known, on)
	for _, id := range slices.Sorted(maps.Keys(m.calls)) {
		i := m.calls[id]
		if on[id] || i.Talk != nil && d.takeTalk(i, byRef) {
			continue
		}
		for _, ref := range i.Refs {
			if s := byRef[ref]; s != nil {
				s.push(ended(id, "lost", ""))
			}
		}
	}
	return own
}

// takeTalk goes on with an accepted call of those who have moved here, which was a dead node's
// only, or of which this node knows no more than that it rings.
func (d *directory) takeTalk(i *callImage, byRef map[delivery.Ref]*member) bool {
	c := d.byCall[i.Call]
	if c == nil {
		return d.restore(i, byRef, nil)
	}
	if c.peer != nil || c.owner == nil {
		return false
	}
	var taken *member // by a device of this node, which has not heard so
	for _, s := range c.rung {
		if s.id == i.Talk.Peer.ID {
			taken = s
		} else {
			s.push(ended(c.id, "elsewhere", ""))
		}
	}
	c.silence()
	c.forget()
	if !d.restore(i, byRef, taken) {
		if taken != nil {
			taken.push(ended(i.Call, "lost", ""))
		}
		return false
	}
	if taken != nil {
		d.byCall[i.Call].greet(taken)
	}
	return true
}

// restore has an accepted call here that was a dead node's only. It reports whether both sides
// are there. taken is a device of this node that has it; nil: none is known to.
func (d *directory) restore(i *callImage, byRef map[delivery.Ref]*member, taken *member) bool {
	caller, peer := d.side(&i.Talk.Caller, byRef), taken
	if peer == nil {
		peer = d.side(&i.Talk.Peer, byRef)
	}
	for _, s := range [2]*member{caller, peer} {
		if s != nil {
			defer s.release()
		}
	}
	if caller == nil || peer == nil || caller.node != nil && peer.node != nil {
		return false
	}
	age := func(ms int64) time.Time { return i.at.Add(-time.Duration(ms) * time.Millisecond) }
	c := &call{
		d: d, id: i.Call, caller: caller, peer: peer, callee: d.user(i.Talk.Callee), told: true, owner: caller.node,
		since: age(i.Talk.Since), answered: age(i.Talk.Answered),
	}
	for _, s := range [2]*member{caller, peer} {
		switch {
		case s == taken:
			d.occupy(s, 1)
		case s.node == nil:
			d.comesBusy(s)
		}
	}
	switch {
	case caller.node != nil:
		c.account = d.hub.resumePart(c.owner, c.id, c.answered, peer)
	case peer.node != nil:
		c.callee.across.talks++
		c.account = d.hub.resumeCall(c.id, c.answered, caller)
		c.account.await()
	case taken != nil: // it comes only now
		c.account = d.hub.resumeCall(c.id, c.answered, caller)
		c.account.join(peer, c.answered)
	default:
		c.account = d.hub.resumeCall(c.id, c.answered, caller, peer)
	}
	c.enlist()
	c.keepsCaller()
	c.changed()
	return true
}

// side finds one side of a call, which is to be released; nil: it is nowhere.
func (d *directory) side(o *callSide, byRef map[delivery.Ref]*member) *member {
	if o.Node == "" {
		return byRef[o.Ref]
	}
	x := d.nodes
	if s := d.members.Get(o.ID); s != nil {
		if s.node == nil || s.node.lost.Load() && !s.node.waits() {
			return nil // it is here, and knows of no such call
		}
		s.hold()
		return s
	}
	if p := x.get(o.Node); p != nil {
		if p.run == o.Run {
			return p.admit(&o.person)
		}
		return nil
	}
	x.mu.Lock()
	orphans := slices.Clone(x.orphans)
	x.mu.Unlock()
	for _, p := range orphans {
		if p.name == o.Node && p.run == o.Run {
			return p.admit(&o.person)
		}
	}
	return nil
}

// comesBusy counts a session that has come with its call as one of its user's that is in one,
// which is told when it claims the name.
func (d *directory) comesBusy(s *member) {
	if s.user != "" {
		d.user(s.user).inCall++
	}
}

// goesOn puts another call in the place of this one, where a side has moved. Whoever finds a
// call by its sides takes no lock, so it does not change.
func (c *call) goesOn(caller, peer *member) {
	n := &call{
		d: c.d, id: c.id, caller: caller, peer: peer, callee: c.callee, told: true, owner: caller.node, since: c.since, answered: c.answered,
		path: c.path, bytes: c.bytes, account: c.account, stamp: c.stamp,
	}
	n.enlist()
	n.keepsCaller()
	c.unshare()
	if c.owner != nil {
		c.caller.release()
	}
	n.changed()
}

// keepsCaller holds the caller of another node's call until that is forgotten.
func (c *call) keepsCaller() {
	if c.owner != nil {
		c.caller.hold()
	}
}

// enlist has an accepted call known by its id and its two sides.
func (c *call) enlist() {
	d := c.d
	d.byCall[c.id] = c
	d.hub.second.call(c.id)
	for _, p := range [2]*member{c.caller, c.peer} {
		list := append(slices.Clone(p.callList()), c)
		p.calls.Store(&list)
		p.hold()
	}
}

// changed says that the two sides are somewhere else.
func (c *call) changed() {
	c.d.after = append(c.d.after, func() { c.d.hub.changed(c.caller.id, c.peer.id) })
}

// lost ends an accepted call whose other side has not gone on.
func (c *call) lost() {
	if c.owner == nil {
		c.end("lost", "", nil)
		return
	}
	c.account.alone()
	c.over("lost", "", nil)
}

// hush has nobody told of the calls of this node, with which another one goes on.
func (d *directory) hush() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.byCall {
		c.quiet, c.away, c.account = true, false, nil
	}
}

// callsWith says with whom of a node a session of this one is in a call.
func (s *member) callsWith(p *peer) (calls map[string]string) {
	for _, c := range s.callList() {
		if o := c.other(s); p.has(o.node) {
			if calls == nil {
				calls = make(map[string]string)
			}
			calls[c.id] = o.id
		}
	}
	return calls
}

// replaceCalls is replace for calls.
func (d *directory) replaceCalls(s, n *member) {
	d.mu.Lock()
	defer d.unlock()
	for _, c := range slices.Clone(s.callList()) {
		if c.caller == s {
			c.account.takes(n.node)
			c.goesOn(n, c.peer)
		} else {
			c.goesOn(c.caller, n)
		}
	}
}

// callsMoved compares the calls of a session that has moved with what is known of them here.
func (d *directory) callsMoved(q *peer, o *movedPerson) {
	d.mu.Lock()
	defer d.unlock()
	s := d.members.Get(o.ID)
	for _, id := range slices.Sorted(maps.Keys(o.Calls)) {
		c := d.byCall[id]
		if c != nil && c.peer == nil && c.owner == q && slices.ContainsFunc(c.rung, func(r *member) bool { return r.id == o.Calls[id] }) {
			continue // the device has taken it, and hears so: see stillFrom
		}
		if c == nil || s == nil || s.node != q || c.peer == nil || !c.with(s) || c.other(s).id != o.Calls[id] {
			q.say(kindCall, callFrame{Op: opGone, Call: id, Reason: "lost"})
		}
	}
	if s == nil || s.node != q {
		return
	}
	for _, c := range slices.Clone(s.callList()) {
		if _, is := o.Calls[c.id]; !is && !(c.owner == nil && slices.Contains(o.Rings, c.id)) {
			c.lost()
		}
	}
}

// goneThere is told that an accepted call is over for somebody on another node, or was none.
func (c *call) goneThere(p *peer, reason string) {
	switch {
	case c.peer == nil || c.caller.node != p && c.peer.node != p:
	case c.owner == nil:
		c.end(reason, "", nil)
	default:
		c.over(reason, "", nil)
	}
}

// callsScattered gives up the calls with people of a dead node.
func (d *directory) callsScattered(p *peer) {
	d.mu.Lock()
	defer d.unlock()
	for _, id := range slices.Sorted(maps.Keys(d.byCall)) {
		c := d.byCall[id]
		switch {
		case c == nil:
		case c.peer != nil:
			if c.caller.node == p || c.peer.node == p {
				c.lost()
			}
		case c.owner == p:
			c.over("lost", "", nil)
		case c.owner == nil:
			for _, s := range slices.Clone(c.rung) {
				if s.node == p {
					c.unringDevice(s)
				}
			}
		}
	}
}

// hungUp is told that a dead node has not answered a request: a device that wanted to end
// an accepted call has done so. It reports whether that is so.
func (d *directory) hungUp(a *asked) bool {
	if a.ends == nil {
		return false
	}
	d.mu.Lock()
	defer d.unlock()
	c, s := a.ends, d.member(a.by)
	if s == nil || d.byCall[c.id] != c || c.peer != s {
		return false
	}
	c.over("hangup", "", s)
	return true
}
