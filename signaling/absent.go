package signaling

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/netip"
	"slices"
	"time"

	"turnhub/internal/access"
	"turnhub/internal/netaddr"
	"turnhub/internal/ratelimit"
	"turnhub/signaling/internal/wire"
)

// Absent reaches people by name who have no session, through the push services of their
// browsers. Nothing of it blocks, and none of it calls the hub before it returns.
type Absent interface {
	// Keeper returns the digest of the secret of whoever has a name, although no session of
	// his is here; false: nobody has.
	Keeper(user string) (proof [sha256.Size]byte, kept bool)
	// Use says that he, or whom a token has proved, uses it now.
	Use(user string)
	// Reachable reports whether a user has a device that can be rung.
	Reachable(user string) bool
	// Subscribe keeps a PushSubscription for who has proved a name, and calls done once
	// that outlives the process; with ErrAbsentFull, ErrAbsentLater, ErrAbsentForbidden, or
	// another error where it is none.
	Subscribe(user string, proof [sha256.Size]byte, from netip.Addr, subscription []byte, done func(error))
	// Unsubscribe takes one back.
	Unsubscribe(user, endpoint string, done func(error))
	// Ring rings the devices of a user until Settle. Hub.RungAbsent, or Hub.LostAbsent,
	// is told what comes of it. False: none is rung.
	Ring(AbsentCall) bool
	// Resume goes on with what a dead node has begun: a call that rings is this one's now. False:
	// nothing is known of it, or it is over.
	Resume(AbsentCall) bool
	// Settle says that a call does not ring any more: another device than spare, an
	// endpoint, has settled it, or nobody has seen it.
	Settle(call string, elsewhere bool, spare string)
	// Miss keeps a call that no session of the user has seen until Seen, Missed returns
	// such calls, the oldest first.
	Miss(user string, call MissedCall)
	Missed(user string) []MissedCall
	Seen(user string, calls []string)
	// Forget forgets a user, whom the operator has revoked.
	Forget(user string)
}

// AbsentCall is a call to somebody who may have no session.
type AbsentCall struct {
	Call       string // its id
	To         string // the user
	User, Name string // of who calls; may be empty
	Decline    string // by which Hub.Decline knows who was told of the call
	For        time.Duration
	From       netip.Addr // of the household that calls
}

// MissedCall is one that no session of the user has seen.
type MissedCall struct {
	Call, User, Name, Reason string
	At                       int64 // Unix milliseconds, of the time of day
}

// What Absent.Subscribe answers.
var (
	ErrAbsentFull      = errors.New("this server keeps as many as it can")
	ErrAbsentLater     = errors.New("try again in a minute")
	ErrAbsentForbidden = errors.New("its push service is none that this server may send to")
)

// guessRate bounds how often one household may be wrong about the secrets of names that
// are kept: they are kept for long.
var guessRate = ratelimit.Rate{PerSecond: 1. / 30, Burst: 10}

// SetPush says by which public key clients subscribe to be rung while they are away, from
// their next hello on; empty: they do not. Clients without a name never do, nor guests,
// whose names are made for a while.
func (h *Hub) SetPush(key string) { h.node.SetPush(key) }

// keeps checks the secret of a name that is kept for somebody. d.mu is held.
func (d *directory) keeps(s *member, proof [sha256.Size]byte) *wire.Fault {
	absent := d.hub.cfg.Absent
	if absent == nil || access.IsGuest(s.user) {
		return nil
	}
	if d.hub.cfg.Access.IsOpen() { // else the token has proved it
		kept, is := absent.Keeper(s.user)
		if !is {
			return nil
		}
		from := netaddr.Household(s.opener)
		now := int64(d.hub.now().Sub(d.hub.began))
		if subtle.ConstantTimeCompare(proof[:], kept[:]) != 1 {
			if !d.hub.guesses.Take(from, now, guessRate) {
				return wire.Faultf(wire.CodeUserTaken, "too many wrong secrets for names that others keep came from your network")
			}
			return wire.Faultf(wire.CodeUserTaken, "another person keeps the name %s: choose another, or give the same userSecret", s.user)
		}
	}
	absent.Use(s.user)
	return nil
}

// tellMissed tells a session that opens which calls nobody has seen.
func (d *directory) tellMissed(s *member) {
	absent := d.hub.cfg.Absent
	if absent == nil || s.user == "" {
		return
	}
	now := d.hub.day().UnixMilli()
	for _, m := range absent.Missed(s.user) {
		b := wire.Begin("missed", 160).Text("call", m.Call)
		if m.User != "" {
			b = b.Text("user", m.User)
		}
		if m.Name != "" {
			b = b.Text("name", m.Name)
		}
		s.push(b.Text("reason", m.Reason).Number("ago", uint64(max(now-m.At, 0))))
	}
}

// seen forgets calls that somebody has been told of.
func (d *directory) seen(s *member, m *wire.Message) *wire.Fault {
	calls, ok := wire.TextList(m.Calls)
	if !ok {
		return wire.Faultf(wire.CodeBadMessage, "calls must be a list of strings")
	}
	if absent := d.hub.cfg.Absent; absent != nil && s.user != "" {
		absent.Seen(s.user, calls)
	}
	s.ok(m)
	return nil
}

// mayBeRung says why a session cannot have itself rung while it is away.
func (d *directory) mayBeRung(s *member) *wire.Fault {
	switch {
	case d.hub.cfg.Absent == nil:
		return wire.Faultf(wire.CodeForbidden, "this server rings nobody by push: its operator sets push.mode")
	case s.user == "":
		return wire.Faultf(wire.CodeForbidden, "nobody calls you by name: say hello with a user")
	case access.IsGuest(s.user):
		return wire.Faultf(wire.CodeForbidden, "a guest's name ends with the invitation")
	}
	return nil
}

// pushSubscribe keeps a subscription of a session's user. The answer comes when it is
// written down.
func (d *directory) pushSubscribe(s *member, m *wire.Message) *wire.Fault {
	if f := d.mayBeRung(s); f != nil {
		return f
	}
	endpoint, f := wire.NeedText("endpoint of subscription", wire.Member(m.Subscription, "endpoint"))
	if f != nil {
		return f
	}
	d.mu.Lock()
	s.endpoint = string(endpoint)
	proof := d.user(s.user).secret
	d.mu.Unlock()
	done := d.later(s, m)
	d.hub.cfg.Absent.Subscribe(s.user, proof, s.opener, slices.Clone(m.Subscription), done)
	return nil
}

func (d *directory) pushUnsubscribe(s *member, m *wire.Message) *wire.Fault {
	if f := d.mayBeRung(s); f != nil {
		return f
	}
	endpoint, f := wire.NeedText("endpoint", m.Endpoint)
	if f != nil {
		return f
	}
	d.mu.Lock()
	if s.endpoint == string(endpoint) {
		s.endpoint = ""
	}
	d.mu.Unlock()
	d.hub.cfg.Absent.Unsubscribe(s.user, string(endpoint), d.later(s, m))
	return nil
}

// later returns what answers a message once something has been done about it. Until then
// it is not acknowledged.
func (d *directory) later(s *member, m *wire.Message) (done func(error)) {
	id, held := slices.Clone(m.ID), d.post.Hold(s.ref)
	return func(err error) {
		f := absentFault(err)
		switch {
		case f != nil && id != nil:
			d.post.Send(s.ref, 0, f.Message(id))
		case f == nil && id != nil:
			d.post.Send(s.ref, 0, wire.Answer("ok", id, 0))
		}
		if id != nil {
			f = nil
		}
		d.post.Release(s.ref, held, f)
	}
}

func absentFault(err error) *wire.Fault {
	if err == nil {
		return nil
	}
	code := wire.CodeBadMessage
	switch {
	case errors.Is(err, ErrAbsentFull):
		code = wire.CodeTooMany
	case errors.Is(err, ErrAbsentForbidden):
		code = wire.CodeForbidden
	case errors.Is(err, ErrAbsentLater):
		f := wire.Faultf(wire.CodeRate, "%v", err)
		f.After = time.Minute
		return f
	}
	return wire.Faultf(code, "%v", err)
}

// reachable reports whether a session may ring devices of a user who is away.
func (d *directory) reachable(s *member, user string) bool {
	absent := d.hub.cfg.Absent
	return absent != nil && user != s.user && absent.Reachable(user)
}

// ringAbsent rings the devices of the callee that have no session.
func (c *call) ringAbsent() {
	secret := make([]byte, 16)
	_, _ = rand.Read(secret) // never fails: crypto/rand
	c.decline = base64.RawURLEncoding.EncodeToString(secret)
	c.away = c.d.hub.cfg.Absent.Ring(c.absent(c.d.hub.ring))
}

func (c *call) absent(left time.Duration) AbsentCall {
	return AbsentCall{
		Call: c.id, To: c.callee.name, User: c.caller.user, Name: c.caller.name, Decline: c.decline, For: left, From: c.caller.opener,
	}
}

// resumeAbsent goes on with what ringAbsent has begun on a node that is dead.
func (c *call) resumeAbsent(decline string) {
	c.decline = decline
	if absent := c.d.hub.cfg.Absent; absent != nil {
		c.away = absent.Resume(c.absent(max(0, c.since.Add(c.d.hub.ring).Sub(c.d.hub.now()))))
	}
}

// settleAbsent stops what ringAbsent has begun: elsewhere a device has settled it, seen a
// session of the callee knows how it ended. by is the session that has ended it; nil: none.
func (c *call) settleAbsent(elsewhere, seen bool, reason string, by *member) {
	if !c.away {
		return
	}
	absent := c.d.hub.cfg.Absent
	if by != nil {
		c.spare = by.endpoint
	}
	if !seen && !elsewhere {
		absent.Miss(c.callee.name, MissedCall{Call: c.id, User: c.caller.user, Name: c.caller.name, Reason: reason, At: c.d.hub.day().UnixMilli()})
	}
	absent.Settle(c.id, elsewhere, c.spare)
	c.away = false
}

// RungAbsent says that a device without a session has been told of a call.
func (h *Hub) RungAbsent(call string) {
	h.enter()
	defer h.leave()
	d := h.directory
	d.mu.Lock()
	defer d.unlock()
	if c := d.byCall[call]; c != nil && c.peer == nil {
		c.rings()
	}
}

// LostAbsent says that no device without a session can be told of a call.
func (h *Hub) LostAbsent(call string) {
	h.enter()
	defer h.leave()
	d := h.directory
	d.mu.Lock()
	defer d.unlock()
	if c := d.byCall[call]; c != nil && c.peer == nil && c.away && len(c.rung) == 0 {
		c.end("unavailable", "", nil)
	}
}

// Decline declines a call for a device that has no session, but was told of it with the
// secret. spare is its endpoint. It reports whether the call was ringing.
func (h *Hub) Decline(call, secret, spare string) bool {
	h.enter()
	defer h.leave()
	d := h.directory
	d.mu.Lock()
	defer d.unlock()
	c := d.byCall[call]
	if c == nil || c.peer != nil || !c.away || subtle.ConstantTimeCompare([]byte(secret), []byte(c.decline)) != 1 {
		return false
	}
	c.spare = spare
	c.end("declined", "", nil)
	return true
}
