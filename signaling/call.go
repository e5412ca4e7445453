package signaling

import (
	"net/netip"
	"slices"
	"time"

	"turnhub/internal/access"
	"turnhub/internal/netaddr"
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
// Everything here runs under directory.mu. Whoever still has a call when it
// ends is told; whoever ended it himself has his answer.
type call struct {
	d        *directory
	id       string
	caller   *Session
	callee   *user
	incoming body       // what the callee's devices are told
	rung     []*Session // devices that have the call and may answer it
	told     bool       // the caller knows that it rings
	peer     *Session   // who accepted; nil while it rings
	since    time.Time
	answered time.Time
	path     string // by the last report
	bytes    uint64 // received on both sides, as far as reported
	timer    timer  // of an unanswered call
}

// with reports whether a session takes part in an accepted call.
func (c *call) with(s *Session) bool { return c.caller == s || c.peer == s }

// other returns the other side of an accepted call.
func (c *call) other(s *Session) *Session {
	if c.caller == s {
		return c.peer
	}
	return c.caller
}

func callState(id, state string) body {
	return open("call", 256).str("call", id).str("state", state)
}

func ended(id, reason, detail string) body {
	b := callState(id, "ended").str("reason", reason)
	if detail != "" {
		b = b.str("detail", detail)
	}
	return b
}

func (d *directory) invite(s *Session, m *message) *fault {
	raw, f := needText("user", m.user)
	if f != nil {
		return f
	}
	name := string(raw)
	if !access.ValidUser(name) {
		return faultf(CodeBadName, "%.70q is no user name", name)
	}
	d.mu.Lock()
	defer d.unlock()
	calling := func(id string) { s.push(answer("calling", m.id, 40).str("call", id)) }
	if own := d.users[s.user]; own != nil && s.user != "" {
		for _, c := range own.ringing {
			// Glare: he is calling us already.
			if c.caller.user == name && slices.Contains(c.rung, s) {
				calling(c.id)
				c.accept(s, m.data)
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
		return faultf(CodeTooMany, "a session may call %d people at once", maxPendingCalls)
	}
	c := &call{d: d, id: d.hub.callID(), caller: s, since: d.hub.now()}
	calling(c.id)
	d.hub.stats.calls.Add(1)
	u := d.users[name]
	switch {
	case u == nil || len(u.sessions) == 0 || len(u.sessions) == 1 && u.sessions[0] == s:
		s.push(ended(c.id, "unavailable", ""))
		d.hub.stats.ended("unavailable")
		return nil
	case u.inCall > 0 || len(u.ringing) >= maxRingingCalls && !u.makeRoom(s):
		s.push(ended(c.id, "busy", ""))
		d.hub.stats.ended("busy")
		u.missed(s, c.since)
		return nil
	}
	c.callee = u
	c.incoming = s.describe(callState(c.id, "incoming").str("from", s.id))
	if m.data != nil {
		c.incoming = c.incoming.raw("data", m.data)
	}
	c.timer.fire = c.timeout
	d.byCall[c.id] = c
	u.ringing = append(u.ringing, c)
	s.pending = append(s.pending, c)
	for _, device := range u.sessions {
		c.ring(device)
	}
	d.hub.timers.set(&c.timer, c.since.Add(d.hub.timing.Ring))
	return nil
}

// makeRoom ends one of the calls that ring a user in favour of one more from s, if
// the household or network that it comes from has more than its share of them: else
// one stranger with two sessions could keep a user from being called by anybody.
func (u *user) makeRoom(s *Session) bool {
	from := make([]netip.Addr, len(u.ringing))
	for i, c := range u.ringing {
		from[i] = c.caller.opener
	}
	i := netaddr.Displace(from, s.opener)
	if i >= 0 {
		u.ringing[i].end("busy", "", nil)
	}
	return i >= 0
}

// missed tells a busy user's devices who has called. No more often than
// missedEvery: whoever calls and calls must not fill the outboxes of somebody
// whom the hub does not even let ring.
func (u *user) missed(caller *Session, now time.Time) {
	if now.Sub(u.missedAt) < missedEvery {
		return
	}
	u.missedAt = now
	news := caller.describe(open("missed", 160)).str("reason", "busy")
	for _, device := range u.sessions {
		if device != caller {
			device.push(news)
		}
	}
}

// ring gives the call to one of the callee's devices.
func (c *call) ring(device *Session) {
	if device == c.caller {
		return
	}
	c.rung = append(c.rung, device)
	device.push(c.incoming)
	if device.online() {
		c.rings()
	}
}

// rings tells the caller, once, that a device has been reached.
func (c *call) rings() {
	if !c.told {
		c.told = true
		c.caller.push(callState(c.id, "ringing"))
	}
}

func (d *directory) reached(s *Session) {
	if s.user == "" {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if u := d.users[s.user]; u != nil {
		for _, c := range u.ringing {
			if slices.Contains(c.rung, s) {
				c.rings()
			}
		}
	}
}

// call finds the call that a message names.
func (d *directory) call(m *message) (*call, *fault) {
	id, f := needText("call", m.call)
	if f != nil {
		return nil, f
	}
	if c := d.byCall[string(id)]; c != nil {
		return c, nil
	}
	return nil, noSuchCall
}

var noSuchCall = faultf(CodeNoSuchCall, "the call does not exist, has ended, or is not yours")

func (d *directory) accept(s *Session, m *message) *fault {
	d.mu.Lock()
	defer d.unlock()
	c, f := d.call(m)
	if f != nil {
		return f
	}
	if !slices.Contains(c.rung, s) {
		return noSuchCall
	}
	s.ok(m)
	c.accept(s, m.data)
	return nil
}

func (c *call) accept(s *Session, data []byte) {
	d := c.d
	d.hub.timers.stop(&c.timer)
	c.unring()
	for _, device := range c.rung {
		if device != s {
			device.push(ended(c.id, "elsewhere", ""))
		}
	}
	c.rung = nil
	c.peer, c.answered = s, d.hub.now()
	for _, p := range [2]*Session{c.caller, s} {
		list := append(slices.Clone(p.callList()), c)
		p.calls.Store(&list)
	}
	// The caller comes to the callee, like a newcomer to a room: he is polite
	// and makes the first offer.
	toCaller := s.describe(callState(c.id, "accepted").str("peer", s.id)).flag("polite", true)
	if data != nil {
		toCaller = toCaller.raw("data", data)
	}
	c.caller.push(toCaller)
	s.push(c.caller.describe(callState(c.id, "accepted").str("peer", c.caller.id)).flag("polite", false))
	d.occupy(c.caller, 1)
	d.occupy(s, 1)
}

// occupy counts a user's accepted calls. Whoever is in a call is not rung any
// more.
func (d *directory) occupy(s *Session, n int) {
	u := d.users[s.user]
	if u == nil || s.user == "" {
		return
	}
	u.inCall += n
	if u.inCall > 0 {
		for _, c := range slices.Clone(u.ringing) {
			c.end("busy", "", nil)
		}
	}
	d.show(u)
}

func (d *directory) decline(s *Session, m *message) *fault {
	detail := ""
	if m.reason != nil {
		b, f := needText("reason", m.reason)
		if f != nil {
			return f
		}
		if len(b) > maxReason {
			return faultf(CodeBadMessage, "reason must have at most %d bytes", maxReason)
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
	s.ok(m)
	c.end("declined", detail, s)
	return nil
}

func (d *directory) hangup(s *Session, m *message) *fault {
	d.mu.Lock()
	defer d.unlock()
	c, f := d.call(m)
	if f != nil {
		return f
	}
	switch {
	case c.peer != nil && c.with(s):
		s.ok(m)
		c.end("hangup", "", s)
	case c.peer == nil && c.caller == s:
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
	if c != nil {
		c.end("revoked", "", nil)
	}
	return c != nil
}

// dropCalls ends what a session has to do with calls, because it has ended
// itself.
func (d *directory) dropCalls(s *Session, reason string) {
	hangup, cancel := reason, reason
	if reason == "leave" {
		hangup, cancel = "hangup", "canceled"
	}
	for _, c := range slices.Clone(s.callList()) {
		c.end(hangup, "", s)
	}
	for _, c := range slices.Clone(s.pending) {
		c.end(cancel, "", s)
	}
	u := d.users[s.user]
	if u == nil || s.user == "" {
		return
	}
	for _, c := range slices.Clone(u.ringing) {
		if i := slices.Index(c.rung, s); i >= 0 {
			if c.rung = slices.Delete(c.rung, i, i+1); len(c.rung) == 0 {
				c.end("unavailable", "", nil)
			}
		}
	}
}

// end ends the call for everyone who has it, but by, who has ended it. With
// declined the callee's other devices hear that it was settled elsewhere.
func (c *call) end(reason, detail string, by *Session) {
	d := c.d
	tell := func(s *Session, reason string) {
		if s != by {
			s.push(ended(c.id, reason, detail))
		}
	}
	accepted := c.peer != nil
	tell(c.caller, reason)
	if accepted {
		tell(c.peer, reason)
	}
	if reason == "declined" {
		reason, detail = "elsewhere", ""
	}
	for _, device := range c.rung {
		tell(device, reason)
	}
	if reason == "elsewhere" {
		reason = "declined"
	}
	delete(d.byCall, c.id)
	d.hub.timers.stop(&c.timer)
	d.hub.stats.ended(reason)
	now := d.hub.now()
	if !accepted {
		c.unring()
		c.rung = nil
		d.after = append(d.after, func() { d.hub.logCall(c, reason, now) })
		return
	}
	for _, p := range [2]*Session{c.caller, c.peer} {
		list := slices.DeleteFunc(slices.Clone(p.callList()), func(o *call) bool { return o == c })
		p.calls.Store(&list)
	}
	d.occupy(c.caller, -1)
	d.occupy(c.peer, -1)
	d.after = append(d.after, func() {
		d.hub.logCall(c, reason, now)
		d.hub.changed(c.caller.id, c.peer.id)
	})
}

// unring takes the call out of those that wait for an answer.
func (c *call) unring() {
	is := func(o *call) bool { return o == c }
	c.callee.ringing = slices.DeleteFunc(c.callee.ringing, is)
	c.caller.pending = slices.DeleteFunc(c.caller.pending, is)
	c.d.show(c.callee)
}

// worse returns the path that says more about how hard a call had it.
func worse(a, b string) string {
	if slices.Index(paths, a) > slices.Index(paths, b) {
		return a
	}
	return b
}

// paths are the media paths that a report may name, the best first.
var paths = []string{"direct", "relay-udp", "relay-tcp", "relay-tls"}

func (d *directory) report(s *Session, m *message) *fault {
	r := &Report{At: d.hub.now()}
	if m.path != nil && string(m.path) != "null" {
		raw, _ := text(m.path)
		i := slices.Index(paths, string(raw))
		if i < 0 {
			return faultf(CodeBadMessage, "path must be one of %q", paths)
		}
		r.Path = paths[i]
	}
	for _, n := range []struct {
		member string
		raw    []byte
		to     *float64
	}{{"rtt", m.rtt, &r.RTT}, {"loss", m.loss, &r.Loss}, {"bitrate", m.bitrate, &r.Bitrate}, {"firstFrame", m.firstFrame, &r.FirstFrame}} {
		if n.raw == nil || string(n.raw) == "null" {
			continue
		}
		v, ok := number(n.raw)
		if !ok {
			return faultf(CodeBadMessage, "%s must be a number of at least 0", n.member)
		}
		*n.to = v
	}
	peer, f := needText("peer", m.peer)
	if f != nil {
		return f
	}
	r.Peer = string(peer)
	p := d.hub.sessions.get(r.Peer)
	if p == nil || p == s || !s.shares(p) {
		return faultf(CodeNotInRoom, "you share no room or call with %.40q", r.Peer)
	}
	d.hub.stats.reported(r)
	d.mu.Lock()
	bytes := s.volume(r)
	s.quality = r
	for _, c := range s.callList() {
		if !c.with(p) {
			continue
		}
		c.bytes += bytes
		if r.Path != "" {
			c.path = r.Path
		}
	}
	d.mu.Unlock()
	if room, ok := text(m.room); ok {
		if at := s.inRoom(string(room)); at != nil {
			at.mu.Lock()
			at.path = worse(at.path, r.Path)
			at.bytes += bytes
			at.mu.Unlock()
		}
	}
	s.ok(m)
	return nil
}
