package signaling

import (
	"sync"
	"time"
)

// parsed holds messages to parse into: together with the buffers of signals this
// leaves the hub's hot path without garbage of its own.
var parsed = sync.Pool{New: func() any { return new(message) }}

// receive handles one message of the session's socket c.
func (s *Session) receive(c *conn, b []byte, isText bool, now time.Time) {
	m := parsed.Get().(*message)
	defer func() {
		*m = message{}
		parsed.Put(m)
	}()
	f := m.parse(b)
	if f == nil && !isText {
		f = faultf(CodeBadMessage, "messages are text, not binary")
	}
	s.in.Lock()
	defer s.in.Unlock()
	s.reader = c
	defer func() { s.reader = nil }()
	current, fresh, numbers := s.account(c, m, f)
	if !current {
		return
	}
	if f == nil {
		f = numbers
	}
	limits := s.hub.limits()
	switch count(&s.messages, now, limits.messages()) {
	case ErrFlood:
		s.hub.stats.drop("flood")
		s.endIn("lost", CloseFlood)
		return
	case ErrRate:
		s.hub.stats.drop("rate")
		if string(m.typ) == `"ping"` || string(m.typ) == `"ack"` {
			return
		}
		f = faultf(CodeRate, "more than %d messages per second: this one was dropped", limits.MessagesPerSecond)
		f.after = time.Second
	}
	if !fresh {
		return
	}
	if f == nil {
		f = s.dispatch(m)
	}
	if f != nil {
		s.hub.stats.fault(f.code)
		if m.id != nil {
			s.pushBy(s, f.body(m.id))
		} else {
			s.loose(f.body(nil))
		}
	}
}

// account reads the numbers of a message. It reports whether the socket is still
// the session's, and whether the message was not handled before.
func (s *Session) account(c *conn, m *message, bad *fault) (current, fresh bool, f *fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != c || s.ended || c.code != 0 {
		return false, false, nil
	}
	if bad != nil {
		return true, true, nil // nothing in it can be trusted
	}
	if m.ack != nil {
		n, ok := integer(m.ack)
		if !ok || !s.out.ack(n) {
			return true, true, faultf(CodeBadMessage, "ack must be the number of a message that was sent")
		}
		// Acknowledged before the writer came to it: sent on another socket.
		c.next = max(c.next, n+1)
	}
	if string(m.typ) == `"ping"` {
		c.pong = true
		s.kick(c)
	}
	if m.seq == nil {
		return true, true, nil
	}
	n, ok := integer(m.seq)
	switch {
	case !ok || n == 0:
		return true, true, faultf(CodeBadMessage, "seq must be a positive integer")
	case n <= s.handled:
		return true, false, nil
	case n > s.handled+1:
		return true, true, faultf(CodeBadMessage, "seq %d is missing: send it first", s.handled+1)
	}
	s.handled = n
	switch {
	case s.handled-s.told >= ackEvery:
		c.ackDue = true
		s.kick(c)
	case s.ackAt.IsZero():
		s.ackAt = s.hub.now().Add(s.hub.timing.Ack)
		s.schedule()
	}
	return true, true, nil
}

// dispatch does what the message asks. Session.in is held.
func (s *Session) dispatch(m *message) *fault {
	st := s.hub.state
	switch string(m.typ) {
	case `"signal"`:
		return s.signal(m)
	case `"message"`:
		return s.message(m)
	case `"ping"`, `"ack"`:
		return nil
	case `"join"`:
		return st.join(s, m)
	case `"leave"`:
		return st.leave(s, m)
	case `"lobby"`:
		return st.lobby(s, m)
	case `"subscribe"`:
		return st.subscribe(s, m)
	case `"unsubscribe"`:
		return st.unsubscribe(s, m)
	case `"invite"`:
		return st.invite(s, m)
	case `"accept"`:
		return st.accept(s, m)
	case `"decline"`:
		return st.decline(s, m)
	case `"hangup"`:
		return st.hangup(s, m)
	case `"report"`:
		return st.report(s, m)
	case `"config"`:
		s.sendConfig(m.id)
		return nil
	case `"token"`:
		return s.renewToken(m)
	case `"bye"`:
		s.ok(m)
		s.endIn("leave", closeNormal)
		return nil
	case `"hello"`:
		return faultf(CodeBadMessage, "hello comes once, at the beginning of a socket")
	}
	if typ, ok := text(m.typ); ok {
		return faultf(CodeUnknownType, "there is no message type %.32q", typ)
	}
	return faultf(CodeBadMessage, "type must be a string")
}

// ok answers a request that has nothing to say.
func (s *Session) ok(m *message) {
	if m.id != nil {
		s.pushBy(s, answer("ok", m.id, 0))
	}
}

// peer finds the session that a message is to, if s may send to it.
func (s *Session) peer(m *message, may func(s, p *Session) bool) (*Session, *fault) {
	id, f := needText("to", m.to)
	if f != nil {
		return nil, f
	}
	p := s.hub.sessions.find(id)
	if p == nil || p == s || !may(s, p) {
		return nil, faultf(CodeNotInRoom, "you share no room or call with %.40q", id)
	}
	return p, nil
}

func (s *Session) signal(m *message) *fault {
	p, f := s.peer(m, (*Session).reaches)
	if f != nil {
		return f
	}
	if m.data == nil {
		return faultf(CodeBadMessage, "data is missing")
	}
	b, buffer := signalFrom(s.id, m.data)
	p.pushOnly(s, b, buffer)
	s.hub.stats.relayed.Add(1)
	s.ok(m)
	return nil
}

func signalFrom(id string, data []byte) (body, *[]byte) {
	buffer := newBuffer(len(id) + len(data) + 48)
	var b body
	if buffer != nil {
		b = *buffer
	}
	b = append(b, `{"type":"signal","from":"`...)
	b = append(b, id...)
	b = append(b, '"').raw("data", data)
	if buffer != nil {
		*buffer = b
	}
	return b, buffer
}

func (s *Session) message(m *message) *fault {
	if m.data == nil {
		return faultf(CodeBadMessage, "data is missing")
	}
	b := open("message", len(s.id)+len(m.data)+len(m.room)+48).str("from", s.id)
	if m.to != nil {
		p, f := s.peer(m, (*Session).shares)
		if f != nil {
			return f
		}
		p.pushBy(s, b.raw("data", m.data))
	} else {
		room, f := roomName(m.room)
		if f != nil {
			return f
		}
		if f := s.hub.state.cast(s, room, b.str("room", room).raw("data", m.data)); f != nil {
			return f
		}
	}
	s.hub.stats.relayed.Add(1)
	s.ok(m)
	return nil
}
