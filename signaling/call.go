package signaling

import (
	"net/netip"
	"slices"
	"time"

	"turnhub/internal/access"
	"turnhub/internal/netaddr"
	"turnhub/signaling/internal/timers"
	"turnhub/signaling/internal/wire"
)

// call is one call by name:
//
//	         invite                    accept
//	(none) ───────────► ringing ───────────────────────► accepted
//	                      │                                │
//	                      │ decline, busy, timeout,        │ hangup, lost,
//	                      │ hangup (= canceled), lost,     │ revoked
//	                      │ unavailable, elsewhere         │
//	                      ▼                                ▼
//	                    ended ◄──────────────────────── ended
//
// Everything here runs under directory.mu. Every session that still has a call when
// it ends is told; the session that ended it has its answer.
type call struct {
	d        *directory
	id       string
	caller   *member
	callee   *user
	incoming wire.Object // what the callee's devices are told
	rung     []*member   // devices that have the call and may answer it
	told     bool        // the caller knows that it rings
	peer     *member     // who accepted; nil while it rings
	since    time.Time
	answered time.Time
	path     string       // by the last report
	bytes    uint64       // received on both sides, as far as reported
	timer    timers.Timer // of an unanswered call
	account  *account     // since it was accepted
	away     bool         // devices without a session are rung, see absent.go
	decline  string       // by which such a device proves that it was
	spare    string       // the endpoint of the device that has settled it

	owner *peer  // whose call it is, see callacross.go; nil: this node's
	quiet bool   // another node goes on with it, and tells of it
	stamp int64  // by its owner's clock, milliseconds since 1970
	data  []byte // of the invitation, where there are other nodes
}

// with reports whether a session takes part in an accepted call.
func (c *call) with(s *member) bool { return c.caller == s || c.peer == s }

// other returns the other side of an accepted call.
func (c *call) other(s *member) *member {
	if c.caller == s {
		return c.peer
	}
	return c.caller
}

func callState(id, state string) wire.Object {
	return wire.Begin("call", 256).Text("call", id).Text("state", state)
}

func ended(id, reason, detail string) wire.Object {
	b := callState(id, "ended").Text("reason", reason)
	if detail != "" {
		b = b.Text("detail", detail)
	}
	return b
}

func (d *directory) invite(s *member, m *wire.Message) *wire.Fault {
	raw, f := wire.NeedText("user", m.User)
	if f != nil {
		return f
	}
	name := string(raw)
	if !access.ValidUser(name) {
		return wire.Faultf(wire.CodeBadName, "%.70q is not a user name", name)
	}
	d.mu.Lock()
	defer d.unlock()
	calling := func(id string) { s.push(wire.Answer("calling", m.ID, 40).Text("call", id)) }
	if own := d.users[s.user]; own != nil && s.user != "" {
		for _, c := range own.ringing {
			// Glare: the callee is calling us already.
			if c.caller.user == name && slices.Contains(c.rung, s) {
				calling(c.id)
				if c.owner != nil {
					c.ask(s, nil, callFrame{Op: opAccept, Data: slices.Clone(m.Data)})
				} else {
					c.accept(s, m.Data)
				}
				return nil
			}
		}
	}
	for _, c := range s.pending {
		if c.callee.name == name {
			calling(c.id)
			return nil
		}
	}
	if len(s.pending) >= maxPendingCalls {
		return wire.Faultf(wire.CodeTooMany, "a session may call %d people at once", maxPendingCalls)
	}
	c := &call{d: d, id: d.hub.callID(), caller: s, since: d.hub.now()}
	if d.nodes != nil {
		c.data, c.stamp = slices.Clone(m.Data), c.since.UnixMilli()
		d.user(name) // its devices on other nodes are looked for
	}
	calling(c.id)
	d.hub.stats.calls.Add(1)
	u := d.users[name]
	away := d.reachable(s, name)
	if u == nil && away {
		u = d.user(name)
	}
	switch {
	case !away && d.nobody(u, s):
		s.push(ended(c.id, "unavailable", ""))
		d.hub.stats.ended.Add("unavailable")
		d.hub.missed(c.id, s, name, "unavailable", 0)
		d.spare(u)
		return nil
	case u.busy() || len(u.ringing) >= maxRingingCalls && !u.makeRoom(s):
		s.push(ended(c.id, "busy", ""))
		d.hub.stats.ended.Add("busy")
		u.missed(s, c.since)
		d.hub.missed(c.id, s, name, "busy", 0)
		d.spare(u)
		return nil
	}
	c.callee = u
	c.announces(m.Data)
	c.timer.Fire = c.timeout
	c.begins()
	for _, device := range u.sessions {
		c.ring(device)
	}
	if away {
		if c.ringAbsent(); !c.away && len(c.rung) == 0 && u.known() && !d.unsure() { // called too often, or gone meanwhile
			c.end("unavailable", "", nil)
			return nil
		}
	}
	d.hub.timers.Set(&c.timer, c.since.Add(d.hub.ring))
	return nil
}

// makeRoom ends one of the calls that ring a user in favour of one more from s, if
// the household or network that it comes from has more than its share of them: else
// one stranger with two sessions could keep a user from being called by anybody.
func (u *user) makeRoom(s *member) bool {
	ours := slices.DeleteFunc(slices.Clone(u.ringing), func(c *call) bool { return c.owner != nil })
	from := make([]netip.Addr, len(ours))
	for i, c := range ours {
		from[i] = c.caller.opener
	}
	if len(ours) == 0 {
		return false
	}
	i := netaddr.Displace(from, s.opener)
	if i >= 0 {
		ours[i].end("busy", "", nil)
	}
	return i >= 0
}

// missed tells a busy user's devices who has called. No more often than
// missedEvery: whoever calls and calls must not fill the outboxes of somebody
// whom the hub does not even let ring.
func (u *user) missed(caller *member, now time.Time) {
	if now.Sub(u.missedAt) < missedEvery {
		return
	}
	u.missedAt = now
	news := caller.describe(wire.Begin("missed", 160)).Text("reason", "busy")
	for _, device := range u.sessions {
		if device != caller {
			device.push(news)
		}
	}
	u.missedThere(caller)
}

// call finds the call that a message names.
func (d *directory) call(m *wire.Message) (*call, *wire.Fault) {
	id, f := wire.NeedText("call", m.Call)
	if f != nil {
		return nil, f
	}
	if c := d.byCall[string(id)]; c != nil {
		return c, nil
	}
	return nil, noSuchCall
}

var noSuchCall = wire.Faultf(wire.CodeNoSuchCall, "the call does not exist, has ended, or is not yours")

func (d *directory) accept(s *member, m *wire.Message) *wire.Fault {
	d.mu.Lock()
	defer d.unlock()
	c, f := d.call(m)
	if f != nil {
		return f
	}
	if _, again := d.post.Numbered(s.ref); again && c.peer == s {
		s.ok(m) // it has been asked for on another node, and given since
		return nil
	}
	if !slices.Contains(c.rung, s) {
		return noSuchCall
	}
	if c.owner != nil {
		c.ask(s, m, callFrame{Op: opAccept, Data: slices.Clone(m.Data)})
		return nil
	}
	s.ok(m)
	c.accept(s, m.Data)
	return nil
}

func (c *call) accept(s *member, data []byte) {
	d := c.d
	d.hub.timers.Stop(&c.timer)
	if s.node != nil {
		c.callee.across.talks++
	}
	c.share(s)
	c.unring()
	for _, device := range c.rung {
		if device != s {
			c.tell(device, "elsewhere", "", false)
		}
	}
	c.settleAbsent(true, true, "", s)
	c.silence()
	// The caller comes to the callee like a newcomer to a room: it is polite and
	// makes the first offer.
	toCaller := s.describe(callState(c.id, "accepted").Text("peer", s.id)).Bool("polite", true)
	if data != nil {
		toCaller = toCaller.Raw("data", data)
	}
	c.caller.push(toCaller)
	if s.node != nil {
		s.node.say(kindCall, callFrame{Op: opAccepted, Call: c.id, Ref: s.there})
		c.account = d.hub.beginCall(c.id, "call", "", c.answered, c.caller)
		c.account.await()
	} else {
		c.greet(s)
		c.account = d.hub.beginCall(c.id, "call", "", c.answered, c.caller, s)
	}
	d.occupy(c.caller, 1)
	d.occupy(s, 1)
}

// occupy counts a user's accepted calls, of sessions of this node. Whoever is in a call is
// not rung any more.
func (d *directory) occupy(s *member, n int) {
	u := d.users[s.user]
	if u == nil || s.user == "" || s.node != nil {
		return
	}
	u.inCall += n
	d.tellNames(u, nil, "")
	if u.inCall > 0 {
		u.occupied()
	}
	if a := u.across; a != nil && !a.firm {
		d.weigh(u) // who has yielded the name ends when he is with nobody any more
	}
	d.show(u)
}

// occupied ends what rings a user who is in a call. The calls of other nodes do so too.
func (u *user) occupied() {
	for _, c := range slices.Clone(u.ringing) {
		if c.owner == nil {
			c.end("busy", "", nil)
		}
	}
}

func (d *directory) decline(s *member, m *wire.Message) *wire.Fault {
	detail := ""
	if m.Reason != nil {
		b, f := wire.NeedText("reason", m.Reason)
		if f != nil {
			return f
		}
		if len(b) > maxReason {
			return wire.Faultf(wire.CodeBadMessage, "reason must have at most %d bytes", maxReason)
		}
		detail = string(b)
	}
	d.mu.Lock()
	defer d.unlock()
	c, f := d.call(m)
	if f != nil {
		return f
	}
	if !slices.Contains(c.rung, s) {
		return noSuchCall
	}
	if c.owner != nil {
		c.ask(s, m, callFrame{Op: opDecline, Detail: detail})
		return nil
	}
	s.ok(m)
	c.end("declined", detail, s)
	return nil
}

func (d *directory) hangup(s *member, m *wire.Message) *wire.Fault {
	d.mu.Lock()
	defer d.unlock()
	c, f := d.call(m)
	if f != nil {
		return f
	}
	switch {
	case c.owner != nil && c.peer == s && c.owner.waits(): // whoever goes on with the other side hears of it then
		s.ok(m)
		c.over("hangup", "", s)
	case c.owner != nil && (c.peer == s || slices.Contains(c.rung, s)):
		c.ask(s, m, callFrame{Op: opHangup})
	case c.owner == nil && c.peer != nil && c.with(s):
		s.ok(m)
		c.end("hangup", "", s)
	case c.owner == nil && c.peer == nil && c.caller == s:
		s.ok(m)
		c.end("canceled", "", s)
	case slices.Contains(c.rung, s):
		s.ok(m)
		c.end("declined", "", s)
	default:
		return noSuchCall
	}
	return nil
}

func (c *call) timeout(time.Time) {
	c.d.mu.Lock()
	defer c.d.unlock()
	if c.d.byCall[c.id] == c && c.peer == nil {
		c.end("timeout", "", nil)
	}
}

func (d *directory) endCall(id string) bool {
	d.mu.Lock()
	defer d.unlock()
	c := d.byCall[id]
	if c == nil || c.owner != nil { // its owner ends it
		return false
	}
	c.end("revoked", "", nil)
	return true
}

// dropCalls ends what a session has to do with calls, because it has ended
// itself.
func (d *directory) dropCalls(s *member, reason string) {
	hangup, cancel := reason, reason
	if reason == "leave" {
		hangup, cancel = "hangup", "canceled"
	}
	for _, c := range slices.Clone(s.callList()) {
		switch {
		case s.node != nil && s.node.waits(): // it may go on
		case c.owner == nil:
			c.end(hangup, "", s)
		case s.node == nil:
			c.owner.say(kindCall, callFrame{Op: opGone, Call: c.id, Reason: hangup})
			c.over(hangup, "", s)
		}
	}
	for _, c := range slices.Clone(s.pending) {
		if c.owner == nil {
			c.end(cancel, "", s)
		}
	}
	u := d.users[s.user]
	if u == nil || s.user == "" {
		return
	}
	for _, c := range slices.Clone(u.ringing) {
		if slices.Contains(c.rung, s) && !(s.node != nil && s.node.waits()) {
			c.unringDevice(s)
		}
	}
}

// end ends the call for everyone who has it, but by, who has ended it. With
// declined the callee's other devices hear that it was settled elsewhere.
func (c *call) end(reason, detail string, by *member) {
	d := c.d
	tell := func(s *member, reason string) (reached bool) { return c.tell(s, reason, detail, s == by) }
	accepted := c.peer != nil
	tell(c.caller, reason)
	if accepted {
		tell(c.peer, reason)
	}
	if reason == "declined" {
		reason, detail = "elsewhere", ""
	}
	seen := false
	for _, device := range c.rung {
		seen = tell(device, reason) || seen
	}
	if d.nodes != nil {
		d.overs.add(c.id, reason)
	}
	if reason == "elsewhere" {
		reason = "declined"
	}
	delete(d.byCall, c.id)
	d.hub.second.call(c.id)
	d.hub.timers.Stop(&c.timer)
	d.hub.stats.ended.Add(reason)
	now := d.hub.now()
	if !accepted {
		c.unring()
		c.settleAbsent(reason == "declined", seen, reason, by)
		c.silence()
		if !c.quiet {
			d.hub.missed(c.id, c.caller, c.callee.name, reason, now.Sub(c.since))
		}
		d.after = append(d.after, func() { d.hub.logCall(c, reason, now) })
		return
	}
	c.unshare()
	if by != nil {
		c.account.leave(by, reason, now)
	}
	c.account.end(reason, now)
	d.occupy(c.caller, -1)
	d.occupy(c.peer, -1)
	if c.peer.node != nil {
		c.callee.across.talks--
		d.show(c.callee)
	}
	d.after = append(d.after, func() {
		d.hub.logCall(c, reason, now)
		d.hub.changed(c.caller.id, c.peer.id)
	})
}
