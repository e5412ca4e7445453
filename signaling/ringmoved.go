package signaling

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"turnhub/signaling/internal/delivery"
)

// A call that rings outlives the nodes that it needs, its caller's and those of its devices.
// The image of each has it: the caller's what it takes to go on with it (ringImage.Caller is
// of that node then), a device's that it rings. While nobody goes on with a dead node's
// sessions, what rings rings on, and what a device asks of a dead owner waits (peer.asks).
//
// Then the two who have the call now compare. The owner's node, the dead one's second or the
// one that has lived, says anew whom the call rings (opRing), of which whoever rings takes no
// notice. The node of a device says for each call that it rings (opStill), and hears where it
// should not any more. So a word that died with a node is said again by one of the two, and as
// the owner alone decides who has taken a call, one has.

// ringImage is what an image has of a call that rings.
type ringImage struct {
	Caller  callSide       `json:"caller"`
	Callee  string         `json:"callee"`
	Since   int64          `json:"since"` // how long ago, in milliseconds
	Stamp   int64          `json:"stamp"`
	Data    []byte         `json:"data,omitempty"`
	Told    bool           `json:"told,omitempty"`
	Rung    []delivery.Ref `json:"rung,omitempty"` // the devices of the node whose image it is
	Away    bool           `json:"away,omitempty"`
	Decline string         `json:"decline,omitempty"`
}

// ringing says what there is of a call that rings. d.mu is held.
func (c *call) ringing() *ringImage {
	i := &ringImage{
		Caller: sideOf(c.caller), Callee: c.callee.name, Since: c.d.hub.now().Sub(c.since).Milliseconds(), Stamp: c.stamp, Data: c.data,
		Told: c.told, Away: c.away, Decline: c.decline,
	}
	for _, s := range c.rung {
		if s.node == nil {
			i.Rung = append(i.Rung, s.ref)
		}
	}
	return i
}

// owned reports whether an image is of a call that rings, and of its caller's node.
func (i *callImage) owned() bool { return i != nil && i.Ring != nil && i.Ring.Caller.Node == "" }

// rang returns those of a dead node's devices that a call rings, by its image.
func (i *callImage) rang(byRef map[delivery.Ref]*member) (list []*member) {
	if i == nil || i.Ring == nil {
		return nil
	}
	for _, ref := range i.Ring.Rung {
		if s := byRef[ref]; s != nil {
			list = append(list, s)
		}
	}
	return list
}

// fromImage makes a call of its image. d.mu is held.
func (d *directory) fromImage(i *callImage, caller *member) *call {
	c := &call{
		d: d, id: i.Call, caller: caller, callee: d.user(i.Ring.Callee), owner: caller.node, stamp: i.Ring.Stamp, data: i.Ring.Data, told: i.Ring.Told,
		since: i.at.Add(-time.Duration(i.Ring.Since) * time.Millisecond),
	}
	c.announces(c.data)
	c.begins()
	return c
}

// ownRing goes on with a call that rings, whose caller has moved here.
func (d *directory) ownRing(i *callImage, caller *member, byRef map[delivery.Ref]*member) *call {
	c := d.byCall[i.Call]
	if c == nil {
		c = d.fromImage(i, caller)
	} else { // it rings devices of this node
		c.movesTo(caller)
		c.told = i.Ring.Told
		d.hub.second.call(c.id)
	}
	c.timer.Fire = c.timeout
	d.hub.timers.Set(&c.timer, c.since.Add(d.hub.ring))
	for _, s := range i.rang(byRef) {
		if !slices.Contains(c.rung, s) {
			c.adds(s)
		}
	}
	if i.Ring.Away {
		c.resumeAbsent(i.Ring.Decline)
	}
	return c
}

// ringHere goes on with the ringing of devices that have moved here, of a call of another node.
// It reports whether that is there.
func (d *directory) ringHere(i *callImage, byRef map[delivery.Ref]*member) bool {
	c, devices := d.byCall[i.Call], i.rang(byRef)
	if c == nil && i.Ring.Caller.Node != d.nodes.self {
		if caller := d.side(&i.Ring.Caller, byRef); caller != nil && caller.node != nil {
			c = d.fromImage(i, caller)
			c.expires()
		}
	}
	why := ""
	switch {
	case c == nil && i.Ring.Caller.Node == d.nodes.self:
		why = cmp.Or(d.overs.of(i.Call), "lost")
	case c == nil:
		return false
	case c.peer != nil:
		why = "elsewhere"
	}
	for _, s := range devices {
		switch {
		case why != "":
			s.push(ended(i.Call, why, ""))
		case !slices.Contains(c.rung, s):
			c.adds(s)
		}
	}
	return true
}

// movesTo has a call that rings go on with its caller on another node, or here.
func (c *call) movesTo(caller *member) {
	old := c.caller
	caller.hold()
	if i := slices.Index(old.pending, c); i >= 0 {
		old.pending = slices.Delete(slices.Clone(old.pending), i, i+1)
	}
	caller.pending = append(caller.pending, c)
	c.caller, c.owner = caller, caller.node
	old.release()
	c.d.hub.second.call(c.id)
}

// takeRings goes on with what rings, of those who have moved here; on are calls that are done
// with. It returns those whose caller has.
func (d *directory) takeRings(m *image, byRef map[delivery.Ref]*member, known map[*member]*member, on map[string]bool) (own []*call) {
	for _, id := range slices.Sorted(maps.Keys(d.byCall)) {
		c := d.byCall[id]
		if c == nil || c.peer != nil || c.owner != nil {
			continue
		}
		rang := m.calls[id].rang(byRef)
		for at, s := range c.rung { // a call of this node that rings devices of the dead one
			n := known[s]
			if n == nil {
				continue
			}
			on[id] = true
			c.rung[at] = n
			s.release()
			d.hub.second.call(id)
			if !slices.Contains(rang, n) {
				n.push(c.incoming)
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(m.calls)) {
		i := m.calls[id]
		switch {
		case on[id] || i.Ring == nil:
		case !i.owned():
			on[id] = d.ringHere(i, byRef)
		default:
			if caller := byRef[i.Ring.Caller.Ref]; caller != nil {
				own = append(own, d.ownRing(i, caller, byRef))
				on[id] = true
			}
		}
	}
	// What rings here for the dead node, and has ended there.
	for _, id := range slices.Sorted(maps.Keys(d.byCall)) {
		if c := d.byCall[id]; c != nil && c.peer == nil && c.owner != nil && known[c.caller] != nil && !on[id] && m.calls[id] == nil {
			c.over(cmp.Or(m.overs.of(id), "lost"), "", nil)
		}
	}
	return own
}

// takeAsks takes what devices here have asked of a dead owner of calls that are this node's now.
func (d *directory) takeAsks(old []*peer) (list []*asked) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range old {
		list = append(list, p.takeAsks(func(a *asked) bool { c := d.byCall[a.frame.Call]; return c != nil && c.owner == nil })...)
	}
	return list
}

// ringOn has calls that have moved here ring whom they should, once the other nodes know where
// they are and the names are claimed, and does what devices here have asked of their dead owner.
func (d *directory) ringOn(own []*call, asks []*asked) {
	d.mu.Lock()
	defer d.unlock()
	rings := func(c *call) bool { return d.byCall[c.id] == c && c.peer == nil }
	for _, c := range own {
		for _, device := range slices.Clone(c.callee.sessions) {
			if rings(c) {
				c.ring(device)
			}
		}
	}
	for _, a := range asks {
		c, s := d.byCall[a.frame.Call], d.member(a.by)
		may := c != nil && s != nil && slices.Contains(c.rung, s)
		has := c != nil && s != nil && c.peer == s && a.frame.Op == opAccept
		d.answered(a, !may && !has)
		switch {
		case !may:
		case a.frame.Op == opAccept:
			c.accept(s, a.frame.Data)
		default:
			c.end("declined", a.frame.Detail, s)
		}
	}
	for _, c := range own {
		if rings(c) && c.callee.busy() {
			c.end("busy", "", nil)
		}
	}
}

// takeAsks takes those requests off a dead node that are to be done somewhere else.
func (p *peer) takeAsks(which func(*asked) bool) (list []*asked) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range slices.Sorted(maps.Keys(p.asks)) {
		if which(p.asks[n]) {
			list = append(list, p.asks[n])
			delete(p.asks, n)
		}
	}
	return list
}

// asksLost gives up what devices here have asked of a node. waits: somebody may go on with its
// sessions, and what is about a call that rings is asked again then.
func (d *directory) asksLost(p *peer, waits bool) {
	d.mu.Lock()
	left := p.takeAsks(func(a *asked) bool {
		c := d.byCall[a.frame.Call]
		return !waits || c == nil || c.owner != p || c.peer != nil
	})
	d.mu.Unlock()
	if !waits {
		p.mu.Lock()
		p.asks = nil
		p.mu.Unlock()
	}
	for _, a := range left {
		d.answered(a, !waits || !d.hungUp(a))
	}
}

// rungBy returns the calls of another node that ring a session of this one.
func (s *member) rungBy(p *peer) (calls []string) {
	for _, c := range s.rungCalls(p) {
		calls = append(calls, c.id)
	}
	return calls
}

func (s *member) rungCalls(p *peer) (list []*call) {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	if u := s.d.users[s.user]; u != nil && s.user != "" {
		for _, c := range u.ringing {
			if p.has(c.owner) && slices.Contains(c.rung, s) {
				list = append(list, c)
			}
		}
	}
	return list
}

// tellRings says to their owner which calls ring devices that have moved here.
func (p *peer) tellRings(frames []movedFrame) {
	for _, m := range frames {
		for _, o := range m.People {
			if s := p.x.d.member(o.Ref); s != nil {
				for _, c := range s.rungCalls(p) {
					c.still(s)
				}
			}
		}
	}
}

// still tells the owner of a call that it rings a device here.
func (c *call) still(s *member) {
	c.owner.say(kindCall, callFrame{Op: opStill, Call: c.id, Device: s.person(0)})
}

// stillFrom is told that a call of this node rings a device of another one, which hears if it
// should not. It reports whether that could be read.
func (d *directory) stillFrom(p *peer, c *call, f *callFrame) bool {
	if f.Device == nil {
		return false
	}
	over := func(reason string) {
		p.say(kindCall, callFrame{Op: opEnded, Call: f.Call, Ref: f.Device.Ref, Reason: reason})
	}
	switch {
	case c == nil || c.owner != nil:
		over(cmp.Or(d.overs.of(f.Call), "lost"))
	case c.peer != nil && c.peer.id == f.Device.ID:
		p.say(kindCall, callFrame{Op: opAccepted, Call: c.id, Ref: f.Device.Ref})
	case c.peer != nil:
		over("elsewhere")
	default:
		s := p.admit(f.Device)
		switch {
		case s == nil || s.user != c.callee.name:
			over("elsewhere")
		case !slices.Contains(c.rung, s):
			c.adds(s)
		}
		if s != nil {
			s.release()
		}
	}
	return true
}

// replaceRings is replace for calls that ring.
func (d *directory) replaceRings(s, n *member) {
	d.mu.Lock()
	defer d.unlock()
	for _, c := range slices.Clone(s.pending) {
		c.movesTo(n)
		for _, device := range c.rung {
			c.still(device)
		}
		if c.told && len(c.rung) > 0 {
			c.told = false
			c.rings()
		}
		for _, a := range s.node.takeAsks(func(a *asked) bool { return a.frame.Call == c.id }) {
			d.askOf(n.node, a)
		}
	}
	u := d.users[s.user]
	if u == nil || s.user == "" {
		return
	}
	for _, c := range u.ringing {
		if i := slices.Index(c.rung, s); i >= 0 {
			n.hold()
			c.rung[i] = n
			s.release()
			c.ringThere(n)
		}
	}
}

// stillThere gives up devices that a node does not speak of any more, although nothing was
// known of them before but that they ring.
func (d *directory) stillThere(u *user, p *peer, part *namePart) {
	for _, c := range slices.Clone(u.ringing) {
		for _, s := range slices.Clone(c.rung) {
			if _, is := part.people[s]; s.node == p && !is {
				c.tell(s, "elsewhere", "", false)
				c.unringDevice(s)
			}
		}
	}
}

// unsureFor is for how long somebody who is nowhere may still come back, once the people of a
// node that is lost are not waited for any more.
const unsureFor = time.Second

// unsure reports whether a node was lost so lately that not all of its people are known again.
func (d *directory) unsure() bool { return d.nodes != nil && d.hub.now().Before(d.nodes.sure) }

// beUnsure is told that a node is lost whose sessions another one may go on with.
func (d *directory) beUnsure(how Loss) {
	x := d.nodes
	d.mu.Lock()
	defer d.unlock()
	if at := d.hub.now().Add(patienceFor(how) + unsureFor); at.After(x.sure) {
		x.sure = at
	}
	if x.surely.Fire == nil {
		x.surely.Fire = func(time.Time) {
			d.mu.Lock()
			defer d.unlock()
			for _, id := range slices.Sorted(maps.Keys(d.byCall)) {
				if c := d.byCall[id]; c != nil {
					c.unlessAnybody()
				}
			}
			for _, name := range slices.Sorted(maps.Keys(d.users)) {
				if u := d.users[name]; u.across.lately != "" || len(u.across.untold) > 0 {
					u.across.lately = ""
					d.show(u)
				}
			}
		}
	}
	d.hub.timers.Set(&x.surely, x.sure)
}
