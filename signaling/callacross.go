package signaling

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"

	"turnhub/signaling/internal/delivery"
	"turnhub/signaling/internal/wire"
)

// A call by name is its caller's node's: that one knows who rings, and decides who has taken
// it. A node with devices that ring has an image of the call (call.owner), which tells them
// what happens, and which asks the owner for whatever they want. Both nodes know the other
// side of an accepted call as a remote member, so what the two say to each other goes as
// between two in a room.
//
// Two calls that cross are one call on one node. On two, each rings the other's caller
// before either node knows: the older one rings on, and the younger ends with busy.

// What nodes say of calls, callFrame.Op.
const (
	// By the owner, to the node of a device.
	opRing     = "ring"
	opAccepted = "accepted"
	opEnded    = "ended"
	opAnswer   = "answer"
	opMissed   = "missed"
	opTook     = "took" // by the node of the device: an account of it
	// By the node of a device.
	opStill   = "still" // it rings, for all that this node knows; see ringmoved.go
	opRings   = "rings"
	opAccept  = "accept"
	opDecline = "decline"
	opHangup  = "hangup"
	// By either: an accepted call is over here, or there is none.
	opGone = "gone"
)

// callFrame is of kindCall.
type callFrame struct {
	Op     string          `json:"op"`
	Call   string          `json:"call,omitempty"`
	Ref    delivery.Ref    `json:"ref,omitempty"` // the device, by its own node's number
	User   string          `json:"user,omitempty"`
	Caller *person         `json:"caller,omitempty"`
	Device *person         `json:"device,omitempty"`
	Since  int64           `json:"since,omitempty"` // milliseconds since 1970
	Left   int64           `json:"left,omitempty"`  // for how many milliseconds it rings yet
	Data   json.RawMessage `json:"data,omitempty"`
	Reason string          `json:"reason,omitempty"`
	Detail string          `json:"detail,omitempty"`
	Quiet  bool            `json:"quiet,omitempty"` // the device has ended it itself
	Goes   bool            `json:"goes,omitempty"`  // whom it is with has gone with its node, see parted.go
	Number uint64          `json:"number,omitempty"`
	Bad    bool            `json:"bad,omitempty"`
}

// asked is a request of a device that the owner of its call has not answered yet.
type asked struct {
	by    delivery.Ref
	held  uint64
	id    []byte
	ends  *call // what is over for the device with the answer; nil: nothing
	frame callFrame
}

// ask asks the owner of a call for what a device wants. m is its request; the answer comes
// when the owner has answered.
func (c *call) ask(s *member, m *wire.Message, f callFrame) {
	d, p := c.d, c.owner
	a := &asked{by: s.ref, held: d.post.Hold(s.ref)}
	if f.Op != opAccept {
		a.ends = c
	}
	if m != nil {
		a.id = slices.Clone(m.ID)
	}
	f.Call, f.Ref = c.id, s.ref
	a.frame = f
	d.askOf(p, a)
}

// askOf asks a node. One that is dead, but may be gone on with, is asked then.
func (d *directory) askOf(p *peer, a *asked) {
	p.mu.Lock()
	if p.asks == nil { // it is lost
		p.mu.Unlock()
		d.answered(a, true)
		return
	}
	p.asking++
	f := a.frame
	f.Number = p.asking
	p.asks[f.Number] = a
	p.mu.Unlock()
	p.say(kindCall, f)
}

// answered answers a request of a device.
func (d *directory) answered(a *asked, bad bool) {
	f := noSuchCall
	if !bad {
		f = nil
	}
	switch {
	case a.id != nil && bad:
		d.post.Send(a.by, 0, f.Message(a.id))
	case a.id != nil:
		d.post.Send(a.by, 0, wire.Answer("ok", a.id, 0))
	}
	if a.id != nil {
		f = nil
	}
	d.post.Release(a.by, a.held, f)
}

// callFrom takes what another node says of calls.
func (d *directory) callFrom(p *peer, raw []byte) bool {
	var f callFrame
	if json.Unmarshal(raw, &f) != nil {
		return false
	}
	if f.Op == opAnswer {
		p.mu.Lock()
		a := p.asks[f.Number]
		delete(p.asks, f.Number)
		p.mu.Unlock()
		if a != nil {
			d.answered(a, f.Bad)
		}
		if a == nil || a.ends == nil || f.Bad {
			return true
		}
		// It has been told so, and may not be told again should the stream end now.
		d.mu.Lock()
		defer d.unlock()
		if s := d.member(a.by); s != nil {
			a.ends.endedThere(s, &callFrame{Reason: "hangup", Quiet: true})
		}
		return true
	}
	if f.Op == opTook {
		if d.hub.cfg.OnCall != nil {
			d.hub.cfg.OnCall(CallStep{Step: CallTook, Call: f.Call, Kind: "call", Data: f.Data})
		}
		return true
	}
	d.mu.Lock()
	defer d.unlock()
	c := d.byCall[f.Call]
	switch f.Op {
	case opRing:
		d.rungFrom(p, c, &f)
	case opMissed:
		if u := d.users[f.User]; u != nil && f.Caller != nil {
			o := f.Caller
			for _, s := range u.own() {
				s.push((&member{name: o.Name, user: o.User}).describe(wire.Begin("missed", 160)).Text("reason", "busy"))
			}
		}
	case opAccepted:
		switch s := d.member(f.Ref); {
		case c == nil: // it has ended here by the clock
			p.say(kindCall, callFrame{Op: opGone, Call: f.Call, Reason: "lost"})
		case s != nil && c.owner == p && slices.Contains(c.rung, s):
			c.take(s)
		}
	case opEnded:
		if s := d.member(f.Ref); s != nil && c != nil && c.owner == p {
			c.parts(p, &f)
			c.endedThere(s, &f)
		}
	case opGone:
		if c != nil {
			c.parts(p, &f)
			c.goneThere(p, cmp.Or(f.Reason, "lost"))
		}
	case opStill:
		return d.stillFrom(p, c, &f)
	case opRings, opAccept, opDecline, opHangup:
		if c != nil && c.owner == nil {
			d.wantedFrom(p, c, &f)
		} else if f.Op != opRings {
			p.say(kindCall, callFrame{Op: opAnswer, Number: f.Number, Bad: true})
		}
	default:
		return false
	}
	return true
}

// wantedFrom does what a device on another node wants of a call of this one.
func (d *directory) wantedFrom(p *peer, c *call, f *callFrame) {
	s := p.member(f.Ref)
	rings := s != nil && slices.Contains(c.rung, s)
	if f.Op == opRings {
		if rings {
			c.rings()
		}
		return
	}
	talks := s != nil && c.peer == s && f.Op == opHangup
	again := s != nil && c.peer == s && f.Op == opAccept // it has moved, and not heard the answer
	p.say(kindCall, callFrame{Op: opAnswer, Number: f.Number, Bad: !rings && !talks && !again})
	switch {
	case talks:
		c.end("hangup", "", s)
	case !rings:
	case f.Op == opAccept:
		c.accept(s, f.Data)
	default:
		c.end("declined", f.Detail, s)
	}
}

// rungFrom rings a device for a call of another node. c is its image, if there is one.
func (d *directory) rungFrom(p *peer, c *call, f *callFrame) {
	s := d.member(f.Ref)
	if s == nil || f.Caller == nil || c != nil && (c.owner != p || c.peer != nil || slices.Contains(c.rung, s)) {
		return
	}
	u := d.users[s.user]
	if u == nil || s.user == "" {
		return
	}
	if c == nil {
		caller := p.admit(f.Caller)
		if caller == nil {
			return
		}
		c = &call{d: d, id: f.Call, owner: p, caller: caller, callee: u, stamp: f.Since, since: d.hub.now(), data: slices.Clone(f.Data)}
		if left := time.Duration(f.Left) * time.Millisecond; left > 0 && left < d.hub.ring {
			c.since = c.since.Add(left - d.hub.ring)
		}
		c.announces(f.Data)
		c.begins()
		c.expires()
	}
	for _, own := range slices.Clone(s.pending) {
		switch {
		case own.callee.name != c.caller.user:
		case c.before(own):
			own.end("busy", "", nil)
		case slices.Contains(own.rung, c.caller):
			if len(c.rung) == 0 {
				c.forget() // its owner ends it
			}
			return
		}
	}
	if c.ring(s); len(c.rung) == 0 {
		c.forget()
	}
}

// before reports whether a call is the older of two.
func (c *call) before(o *call) bool {
	if c.stamp != o.stamp {
		return c.stamp < o.stamp
	}
	return c.id < o.id
}

// take is told that the owner has given the call to a device of this node.
func (c *call) take(s *member) {
	d := c.d
	d.hub.timers.Stop(&c.timer)
	for _, device := range c.rung {
		if device != s { // the word that it has not got it was lost with a node
			device.push(ended(c.id, "elsewhere", ""))
		}
	}
	c.silence()
	c.unring()
	c.share(s)
	c.greet(s)
	c.account = d.hub.beginPart(c.owner, c.id, c.answered, s)
	d.occupy(s, 1)
}

// parts is told that the side of an accepted call that is on another node has gone with it.
func (c *call) parts(p *peer, f *callFrame) {
	if !f.Goes || c.peer == nil {
		return
	}
	for _, s := range [2]*member{c.caller, c.peer} {
		if o := c.other(s); s.node == p && o.node == nil {
			c.d.partsFrom(s, []*member{o})
		}
	}
}

// endedThere is told that the call is over for a device of this node.
func (c *call) endedThere(s *member, f *callFrame) {
	by := s
	if !f.Quiet {
		by = nil
	}
	switch {
	case c.d.byCall[c.id] != c: // over already
	case c.peer == s:
		c.over(f.Reason, f.Detail, by)
	case slices.Contains(c.rung, s):
		if by == nil {
			s.push(ended(c.id, f.Reason, f.Detail))
		}
		c.unringDevice(s)
	}
}

// over ends the image of a call for all devices of this node but by.
func (c *call) over(reason, detail string, by *member) {
	d := c.d
	tell := func(s *member) {
		if s != by {
			s.push(ended(c.id, reason, detail))
		}
	}
	for _, s := range c.rung {
		tell(s)
	}
	c.silence()
	if s := c.peer; s != nil {
		tell(s)
		c.unshare()
		now := d.hub.now()
		if by != nil {
			c.account.leave(by, reason, now)
		}
		c.account.end(reason, now)
		d.occupy(s, -1)
		caller := c.caller.id
		d.after = append(d.after, func() { d.hub.changed(caller, s.id) })
	}
	c.forget()
}

// forget takes the image of a call off the books.
func (c *call) forget() {
	delete(c.d.byCall, c.id)
	c.d.hub.second.call(c.id)
	c.d.hub.timers.Stop(&c.timer)
	c.unring()
	c.caller.release()
}

// unringDevice stops a device's ringing. A call that nobody can take any more ends.
func (c *call) unringDevice(s *member) {
	c.rung = slices.DeleteFunc(c.rung, func(o *member) bool { return o == s })
	s.release()
	c.d.hub.second.call(c.id)
	switch {
	case len(c.rung) > 0 || c.peer != nil:
	case c.owner != nil:
		c.forget()
	default:
		c.unlessAnybody()
	}
}

// unlessAnybody ends a ringing call of this node that nobody can take, once all devices are
// known, those too that come back after the death of their node.
func (c *call) unlessAnybody() {
	if c.owner == nil && c.peer == nil && len(c.rung) == 0 && !c.away && c.callee.known() && !c.d.unsure() {
		c.end("unavailable", "", nil)
	}
}

// tell tells somebody, on whatever node, that the call is over for him. quiet: he has ended
// it himself, and only his node needs to know. It reports whether he has heard it: whoever
// is on another node counts as one who has, and who has gone with it knows.
func (c *call) tell(s *member, reason, detail string, quiet bool) (reached bool) {
	if s.going.Load() {
		return true
	}
	if s.node != nil && c.owner == nil {
		s.node.say(kindCall, callFrame{Op: opEnded, Call: c.id, Ref: s.there, Reason: reason, Detail: detail, Quiet: quiet})
		return true
	}
	return quiet || s.push(ended(c.id, reason, detail))
}

// share makes caller and s, who has accepted, partners. Whoever finds the call by them
// takes no lock: it is whole before.
func (c *call) share(s *member) {
	c.peer, c.answered = s, c.d.hub.now()
	c.enlist()
}

// unshare undoes share.
func (c *call) unshare() {
	for _, p := range [2]*member{c.caller, c.peer} {
		list := slices.DeleteFunc(slices.Clone(p.callList()), func(o *call) bool { return o == c })
		p.calls.Store(&list)
		p.release()
	}
}

// missedThere tells the nodes with other devices of a busy user who has called.
func (u *user) missedThere(caller *member) {
	told := make(map[*peer]bool)
	for _, s := range u.sessions {
		if p := s.node; p != nil && !told[p] {
			told[p] = true
			p.say(kindCall, callFrame{Op: opMissed, User: u.name, Caller: caller.person(0)})
		}
	}
}
