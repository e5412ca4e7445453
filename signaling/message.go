package signaling

import (
	"time"

	"turnhub/signaling/internal/delivery"
	"turnhub/signaling/internal/wire"
)

// Message implements delivery.Meaning: what a client asks, and below it what one says to
// another, and whether it may.
func (d *directory) Message(ref delivery.Ref, m *wire.Message) *wire.Fault {
	s := d.member(ref)
	if s == nil {
		return nil
	}
	switch string(m.Type) {
	case `"signal"`:
		return d.signal(s, m)
	case `"message"`:
		return d.message(s, m)
	case `"join"`:
		return d.join(s, m)
	case `"leave"`:
		return d.leave(s, m)
	case `"host"`:
		return d.host(s, m)
	case `"lobby"`:
		return d.lobby(s, m)
	case `"subscribe"`:
		return d.subscribe(s, m)
	case `"unsubscribe"`:
		return d.unsubscribe(s, m)
	case `"invite"`:
		return d.invite(s, m)
	case `"accept"`:
		return d.accept(s, m)
	case `"decline"`:
		return d.decline(s, m)
	case `"hangup"`:
		return d.hangup(s, m)
	case `"push-subscribe"`:
		return d.pushSubscribe(s, m)
	case `"push-unsubscribe"`:
		return d.pushUnsubscribe(s, m)
	case `"seen"`:
		return d.seen(s, m)
	case `"report"`:
		return d.report(s, m)
	}
	if typ, ok := wire.Text(m.Type); ok {
		return wire.Faultf(wire.CodeUnknownType, "there is no message type %.32q", typ)
	}
	return wire.Faultf(wire.CodeBadMessage, "type must be a string")
}

// addressee finds the session that a message is to, if s may send to it.
func (d *directory) addressee(s *member, m *wire.Message, may func(s, p *member) bool) (*member, *wire.Fault) {
	id, f := wire.NeedText("to", m.To)
	if f != nil {
		return nil, f
	}
	p := d.members.Find(id)
	if p == nil || p == s || !may(s, p) {
		return nil, wire.Faultf(wire.CodeNotInRoom, "you share no room or call with %.40q", id)
	}
	if d.departing.Load() && d.post.Parting(p.ref) {
		return nil, notYet(p)
	}
	return p, nil
}

// shares reports whether two sessions are in one room or one accepted call. It
// takes no lock.
func (s *member) shares(other *member) bool {
	if s == other {
		return true
	}
	for _, a := range s.roomList() {
		for _, b := range other.roomList() {
			if a == b {
				return true
			}
		}
	}
	for _, c := range s.callList() {
		if c.with(other) {
			return true
		}
	}
	return false
}

// reaches reports whether two sessions may exchange signaling data and packets
// through the relay: they share a room or a call, or one is the other's host in a
// lobby. It takes no lock.
func (s *member) reaches(other *member) bool {
	return s.shares(other) || s.visits(other) || other.visits(s)
}

func (s *member) visits(other *member) bool {
	v := s.visit.Load()
	return v != nil && v.host.Load() == other
}

// signal passes on what two browsers need to connect. It is the message of which
// there are most, and leaves no garbage.
func (d *directory) signal(s *member, m *wire.Message) *wire.Fault {
	p, f := d.addressee(s, m, (*member).reaches)
	if f != nil {
		return f
	}
	if m.Data == nil {
		return wire.Faultf(wire.CodeBadMessage, "data is missing")
	}
	if p.node != nil {
		b := appendSignal(make([]byte, headRoom, headRoom+signalSize(s.id, m.Data)), s.id, m.Data)
		return d.oneAcross(s, p, m, b[headRoom:], b)
	}
	if known, f := d.saidBefore(s, p); known {
		return d.answer(s, m, f)
	}
	if b, buffer := signalFrom(s.id, m.Data); !d.post.SendOnly(p.ref, s.ref, b, buffer) {
		return d.refusedNow(s, p)
	}
	d.hub.stats.relayed.Add(1)
	s.ok(m)
	return nil
}

// notYet refuses a message to a session that has not acknowledged what came before.
func notYet(p *member) *wire.Fault {
	f := wire.Faultf(wire.CodeRate, "%.40q has not acknowledged what you sent before: say it again in a second", p.id)
	f.After = time.Second
	return f
}

func signalFrom(id string, data []byte) (wire.Object, *[]byte) {
	buffer := delivery.NewBuffer(signalSize(id, data))
	if buffer == nil {
		return appendSignal(nil, id, data), nil
	}
	*buffer = appendSignal(*buffer, id, data)
	return *buffer, buffer
}

func signalSize(id string, data []byte) int { return len(id) + len(data) + 48 }

func appendSignal(b []byte, id string, data []byte) wire.Object {
	b = append(b, `{"type":"signal","from":"`...)
	b = append(b, id...)
	return wire.Object(append(b, '"')).Raw("data", data)
}

// message passes on what a page says to one other, or to everybody else in a room.
func (d *directory) message(s *member, m *wire.Message) *wire.Fault {
	if m.Data == nil {
		return wire.Faultf(wire.CodeBadMessage, "data is missing")
	}
	b := wire.Begin("message", len(s.id)+len(m.Data)+len(m.Room)+48).Text("from", s.id)
	if m.To != nil {
		p, f := d.addressee(s, m, (*member).shares)
		if f != nil {
			return f
		}
		if p.node != nil {
			return d.oneAcross(s, p, m, b.Raw("data", m.Data), nil)
		}
		if known, f := d.saidBefore(s, p); known {
			return d.answer(s, m, f)
		}
		if !d.post.SendOnly(p.ref, s.ref, b.Raw("data", m.Data), nil) {
			return d.refusedNow(s, p)
		}
	} else {
		room, f := roomName(m.Room)
		if f != nil {
			return f
		}
		if later, f := d.cast(s, m, room, b.Text("room", room).Raw("data", m.Data)); later || f != nil {
			return f
		}
	}
	d.hub.stats.relayed.Add(1)
	s.ok(m)
	return nil
}

// saidBefore reports whether somebody here has what a session says already, because it has
// come from the node on which the session was when it said so first. f is what it was answered.
func (d *directory) saidBefore(s, to *member) (known bool, f *wire.Fault) {
	is, seq := d.numbers(s)
	if !is {
		return false, nil
	}
	known, bad := to.has(s, seq)
	if bad {
		f = notYetThere
	}
	return known, f
}

// refusedNow refuses a message that does not fit.
func (d *directory) refusedNow(s, to *member) *wire.Fault {
	if is, seq := d.numbers(s); is {
		to.refuses(s, seq)
	}
	return notYet(to)
}

// answer answers what needs nothing else to be done.
func (d *directory) answer(s *member, m *wire.Message, f *wire.Fault) *wire.Fault {
	if f == nil {
		s.ok(m)
	}
	return f
}
