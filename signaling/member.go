package signaling

import (
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"turnhub/signaling/internal/delivery"
	"turnhub/signaling/internal/wire"
)

// member is what a session is to others: where it is and with whom. Its stream is
// delivery's, which knows it by ref.
type member struct {
	d        *directory
	ref      delivery.Ref
	id       string
	name     string
	user     string
	inviters []string // through whose hands its invitation went
	opener   netip.Addr
	since    time.Time
	allowed  []string // rooms; nil: all. Only calls of Meaning about it use this
	hosts    bool     // its access token makes it a host; likewise

	// Written in calls of Meaning and under directory.mu; read without a lock by the
	// relay.
	rooms atomic.Pointer[[]*room]
	calls atomic.Pointer[[]*call]
	visit atomic.Pointer[visit] // the lobby it is in; nil: none
	addr  atomic.Pointer[netip.Addr]
	away  atomic.Bool // the others have been told that its socket is lost

	// Of a session on another node, which speaks for it: see remote.go.
	node  *peer        // nil: it is on this one
	there delivery.Ref // its number there
	uses  int          // what knows it, under node.mu: it is forgotten with the last
	slow  atomic.Int64 // until when it is not to be sent more, Unix nanoseconds
	going atomic.Bool  // it has gone with its node, see parted.go

	// Of one of this node, in steps.
	origin string          // of one that has moved here: the process whose it was, see moved.go
	hadOf  map[string]*had // what it has had of others, by their ids

	parted atomic.Pointer[[]*parted] // those it was with who have gone with their nodes

	hostings map[string]*hosting // hosted rooms that it is in or at, under hostings.mu

	subs     map[string]struct{}  // under directory.mu
	endpoint string               // of its push subscription, under directory.mu
	pending  []*call              // its calls that ring somebody, under directory.mu
	quality  *Report              // the last one, under directory.mu
	reported map[string]time.Time // when about whom, under directory.mu
}

// push sends a message. It reports whether the session has a socket.
func (s *member) push(b wire.Object) (reached bool) { return s.d.post.Send(s.ref, 0, b) }

// pushBy is push for what a message of by has caused.
func (s *member) pushBy(by *member, b wire.Object) { s.d.post.Send(s.ref, by.ref, b) }

// ok answers a request that has nothing to say.
func (s *member) ok(m *wire.Message) {
	if m.ID != nil {
		s.pushBy(s, wire.Answer("ok", m.ID, 0))
	}
}

// allows reports whether the session's access token allows a room.
func (s *member) allows(room string) bool {
	return s.allowed == nil || slices.Contains(s.allowed, room)
}

func (s *member) roomList() []*room {
	if p := s.rooms.Load(); p != nil {
		return *p
	}
	return nil
}

// changeRooms puts another list of rooms in place of the one there is. A host may take
// somebody out of a room while he joins another.
func (s *member) changeRooms(change func([]*room) []*room) {
	for {
		old := s.rooms.Load()
		var list []*room
		if old != nil {
			list = slices.Clone(*old)
		}
		list = change(list)
		if s.rooms.CompareAndSwap(old, &list) {
			return
		}
	}
}

func (s *member) callList() []*call {
	if p := s.calls.Load(); p != nil {
		return *p
	}
	return nil
}

func (s *member) seenAt() netip.Addr {
	if p := s.addr.Load(); p != nil {
		return *p
	}
	return netip.Addr{}
}

// describe adds what others see of a session.
func (s *member) describe(b wire.Object) wire.Object {
	if s.name != "" {
		b = b.Text("name", s.name)
	}
	if s.user != "" {
		b = b.Text("user", s.user)
	}
	return b
}

// partnerAt reports whether somebody else who shares a room or an accepted call
// with s, or has gone with his node, has been seen at addr.
func (s *member) partnerAt(addr netip.Addr) bool {
	for _, r := range s.roomList() {
		if r.seen(s, addr) {
			return true
		}
	}
	for _, c := range s.callList() {
		if o := c.other(s); o.seenAt() == addr || o.relaysAt(addr) {
			return true
		}
	}
	for _, p := range s.partedList() {
		if p.gone.seenAt() == addr || p.gone.relaysAt(addr) {
			return true
		}
	}
	return false
}

// partners returns the ids of everybody who shares a room or an accepted call
// with s, and its own.
func (s *member) partners() []string {
	ids := []string{s.id}
	for _, r := range s.roomList() {
		ids = append(ids, r.others(s)...)
	}
	for _, c := range s.callList() {
		ids = append(ids, c.other(s).id)
	}
	return ids
}
