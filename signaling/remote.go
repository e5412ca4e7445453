package signaling

import (
	"net/netip"
	"slices"
	"strings"

	"turnhub/signaling/internal/delivery"
	"turnhub/signaling/internal/wire"
)

// remote marks the numbers by which remote members are known here: no session of this node
// has one of these.
const remote delivery.Ref = 1 << 63

// member returns a member of that node by its own number; nil: there is none.
func (p *peer) member(ref delivery.Ref) *member {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.members[ref]
}

// person is what nodes tell each other of a session.
type person struct {
	Ref    delivery.Ref `json:"ref"`
	ID     string       `json:"id"`
	Name   string       `json:"name,omitempty"`
	User   string       `json:"user,omitempty"`
	Opener netip.Addr   `json:"opener"`
	Seen   netip.Addr   `json:"seen"`
	Away   bool         `json:"away,omitempty"`
	Stamp  uint64       `json:"stamp,omitempty"`  // see room.stamps
	Hidden bool         `json:"hidden,omitempty"` // see names.go
}

func (s *member) person(stamp uint64) *person {
	return &person{Ref: s.ref, ID: s.id, Name: s.name, User: s.user, Opener: s.opener, Seen: s.seenAt(), Away: s.away.Load(), Stamp: stamp}
}

// admit returns the remote member that a node speaks of, which it makes if need be, and which
// is to be released; nil: what is said of it cannot be.
func (p *peer) admit(o *person) *member {
	if !strings.HasPrefix(o.ID, SessionPrefix) {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.members[o.Ref]
	if s != nil && s.id == o.ID {
		s.uses++
		return s
	}
	d := p.x.d
	if d.members.Get(o.ID) != nil {
		return nil // of this node, or of another one
	}
	s = &member{
		d: d, node: p, there: o.Ref, ref: remote | delivery.Ref(p.x.next.Add(1)),
		id: o.ID, name: o.Name, user: o.User, opener: o.Opener, since: d.hub.now(), uses: 1,
	}
	s.addr.Store(&o.Seen)
	s.away.Store(o.Away)
	p.members[o.Ref] = s
	d.members.Put(s.id, s)
	return s
}

// enterRoom adds a room to those that a session is in. The room's lock is held.
func (s *member) enterRoom(r *room) {
	if s.node != nil { // those of a node's own are written one after the other anyway
		s.hold()
		s.node.mu.Lock()
		defer s.node.mu.Unlock()
	}
	s.changeRooms(func(list []*room) []*room { return append(list, r) })
}

// exitRoom undoes enterRoom. A remote member that is nowhere any more is forgotten.
func (s *member) exitRoom(r *room) {
	if s.node != nil {
		defer s.release()
		s.node.mu.Lock()
		defer s.node.mu.Unlock()
	}
	s.changeRooms(func(list []*room) []*room {
		return slices.DeleteFunc(list, func(o *room) bool { return o == r })
	})
}

// hold keeps a remote member known until release.
func (s *member) hold() {
	if s.node != nil {
		s.node.mu.Lock()
		s.uses++
		s.node.mu.Unlock()
	}
}

// release undoes hold, or admit. A remote member that is nowhere any more is forgotten.
func (s *member) release() {
	if s.node == nil {
		return
	}
	s.node.mu.Lock()
	defer s.node.mu.Unlock()
	if s.uses--; s.uses > 0 {
		return
	}
	if s.node.members[s.there] == s {
		delete(s.node.members, s.there)
	}
	s.d.members.Remove(s.id, s)
}

// relaysAt reports whether a remote member's node relays at an address: the packets of its
// allocations come from there.
func (s *member) relaysAt(addr netip.Addr) bool {
	if s.node == nil {
		return false
	}
	list := s.node.relays.Load()
	return list != nil && slices.Contains(*list, addr)
}

// post is delivery's Post where there are other nodes: what is sent to remote members goes
// nowhere, as their own node tells them what happens.
type post struct{ *delivery.Node }

var _ delivery.Post = post{}

// Send implements delivery.Post.
func (n post) Send(to, cause delivery.Ref, b wire.Object) bool {
	return to&remote == 0 && n.Node.Send(to, cause, b)
}

// End implements delivery.Post.
func (n post) End(s delivery.Ref, reason string, code wire.CloseCode) {
	if s&remote == 0 {
		n.Node.End(s, reason, code)
	}
}
