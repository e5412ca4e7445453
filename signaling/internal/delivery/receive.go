package delivery

import (
	"slices"
	"sync"
	"time"

	"turnhub/signaling/internal/wire"
)

// parsed holds messages to parse into: together with the buffers of signals this
// leaves the hub's hot path without garbage of its own.
var parsed = sync.Pool{New: func() any { return new(wire.Message) }}

// receive handles one message of the session's socket c.
func (s *session) receive(c *conn, b []byte, isText bool, now time.Time) {
	m := parsed.Get().(*wire.Message)
	defer func() {
		*m = wire.Message{}
		parsed.Put(m)
	}()
	f := m.Parse(b)
	if f == nil && !isText {
		f = wire.Faultf(wire.CodeBadMessage, "messages are text, not binary")
	}
	s.in.Lock()
	defer s.in.Unlock()
	s.reader = c
	s.number, s.anew = 0, false
	defer func() { s.reader = nil }()
	if s.parting.Load() {
		return // it is said again on another node, or refused there
	}
	current, fresh, numbers := s.account(c, m, f)
	if !current {
		return
	}
	if f == nil {
		f = numbers
	}
	limits := s.node.limits()
	switch Count(&s.messages, now, limits.Messages()) {
	case ErrFlood:
		s.node.stats.dropped.Add("flood")
		s.endIn("lost", wire.CloseFlood)
		return
	case ErrRate:
		s.node.stats.dropped.Add("rate")
		if string(m.Type) == `"ping"` || string(m.Type) == `"ack"` {
			return
		}
		f = wire.Faultf(wire.CodeRate, "more than %d messages per second: this one was dropped", limits.MessagesPerSecond)
		f.After = time.Second
	}
	if !fresh {
		return
	}
	if f == nil {
		f = s.dispatch(m)
	}
	if f != nil {
		s.node.stats.faults.Add(string(f.Code))
		if m.ID != nil {
			s.pushBy(c, f.Message(m.ID))
		} else {
			s.loose(f.Message(nil))
		}
	}
}

// account reads the numbers of a message. It reports whether the socket is still
// the session's, and whether the message was not handled before.
func (s *session) account(c *conn, m *wire.Message, bad *wire.Fault) (current, fresh bool, f *wire.Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != c || s.ended || c.code != 0 || s.leaving != 0 {
		return false, false, nil
	}
	if bad != nil {
		return true, true, nil // nothing in it can be trusted
	}
	if m.Ack != nil {
		n, ok := wire.Integer(m.Ack)
		base := s.out.base
		if !ok || !s.out.ack(n) {
			return true, true, wire.Faultf(wire.CodeBadMessage, "ack must be the number of a message that was sent")
		}
		// Acknowledged before the writer came to it: sent on another socket.
		c.next = max(c.next, n+1)
		if s.out.base != base {
			s.changed()
		}
	}
	if string(m.Type) == `"ping"` {
		c.pong = true
		s.kick(c)
	}
	if m.Seq == nil {
		return true, true, nil
	}
	n, ok := wire.Integer(m.Seq)
	switch {
	case !ok || n == 0:
		return true, true, wire.Faultf(wire.CodeBadMessage, "seq must be a positive integer")
	case n <= s.handled && s.redo(n):
		s.number, s.anew = n, true
		s.acknowledge(c, c)
		s.changed()
		return true, true, nil
	case n <= s.handled:
		return true, false, nil
	case n > s.handled+1 && s.adopted:
		// The node that was lost had acknowledged more than its image had, as it went on
		// alone: the client has no more of what is missing.
		s.doomLocked("lost", wire.CloseSlow)
		return false, false, nil
	case n > s.handled+1:
		return true, true, wire.Faultf(wire.CodeBadMessage, "seq %d is missing: send it first", s.handled+1)
	}
	s.handled, s.number = n, n
	s.acknowledge(c, c)
	s.changed()
	return true, true, nil
}

// acknowledge sees to it that what has been handled is acknowledged soon. by is the socket
// whose reader is here, or nil. session.mu is held.
func (s *session) acknowledge(c, by *conn) {
	switch {
	case s.settled() < s.told+AckEvery:
		if s.ackAt.IsZero() {
			s.ackAt = s.node.now().Add(s.node.timing.Ack)
			s.schedule()
		}
	default:
		c.ackDue = true
		s.kick(by)
	}
}

// done is the highest number of those that are done with, as all before it are.
// session.mu is held.
func (s *session) done() uint64 {
	if len(s.held) > 0 {
		return s.held[0] - 1
	}
	return s.handled
}

// settled is the highest number that may be acknowledged. session.mu is held.
func (s *session) settled() uint64 { return min(s.done(), s.mayAck) }

// Hold implements Post.
func (n *Node) Hold(ref Ref) (held uint64) {
	s := n.session(ref)
	if s == nil || s.number == 0 {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at, _ := slices.BinarySearch(s.held, s.number)
	s.held = slices.Insert(s.held, at, s.number)
	s.changed()
	return s.number
}

// Release implements Post.
func (n *Node) Release(ref Ref, held uint64, f *wire.Fault) {
	s := n.session(ref)
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case f == nil:
	case held == 0:
		s.looseLocked(f.Message(nil), nil)
	default: // numbered: it must not be lost while what it is about is acknowledged
		s.pushLocked(item{text: f.Message(nil)}, nil)
	}
	if i := slices.Index(s.held, held); i >= 0 {
		s.held = slices.Delete(s.held, i, i+1)
		if len(s.held) == 0 {
			s.held = nil
		}
		s.changed()
	}
	if s.conn != nil && s.conn.code == 0 && !s.ended && s.doom == "" && s.settled() != s.told {
		s.acknowledge(s.conn, nil)
	}
}

// dispatch does what a message about the session itself asks, and hands every other
// to the floor above. session.in is held.
func (s *session) dispatch(m *wire.Message) *wire.Fault {
	switch string(m.Type) {
	case `"ping"`, `"ack"`:
		return nil
	case `"config"`:
		s.sendConfig(m.ID)
		return nil
	case `"token"`:
		return s.renewToken(m)
	case `"bye"`:
		s.ok(m)
		if !s.leaves() {
			s.endIn("leave", wire.CloseNormal)
		}
		return nil
	case `"hello"`:
		return wire.Faultf(wire.CodeBadMessage, "hello comes once, at the beginning of a socket")
	}
	return s.node.meaning.Message(s.ref, m)
}

// ok answers a request that has nothing to say.
func (s *session) ok(m *wire.Message) {
	if m.ID != nil {
		s.pushBy(s.reader, wire.Answer("ok", m.ID, 0))
	}
}
