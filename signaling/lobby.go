package signaling

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"turnhub/internal/netaddr"
	"turnhub/signaling/internal/wire"
)

// visit is a session in the lobby of a room: it has not joined, but may exchange
// signaling data with one other, its host, so that their connection exists when
// both have. The host is the member who is longest there or, in an empty room, who
// waits longest. Nobody else hears of it.
type visit struct {
	visitor *member
	room    string
	first   []byte // what the host gets; nil once one has got it. Under lobbies.mu
	// host is read without a lock by whoever asks whether two may reach each
	// other; written under lobbies.mu. nil: nobody else is there.
	host atomic.Pointer[member]
}

// lobbies finds visits by the room's name. Its mutex comes before room.mu.
type lobbies struct {
	mu sync.Mutex
	m  map[string][]*visit
}

// lobby takes a session into the lobby of a room, out of any other.
func (d *directory) lobby(s *member, m *wire.Message) *wire.Fault {
	name, f := roomName(m.Room)
	switch {
	case f != nil:
		return f
	case m.First == nil:
		return wire.Faultf(wire.CodeBadMessage, "first is missing: signaling data for whoever is in the room")
	case !s.allows(name):
		return wire.Faultf(wire.CodeForbidden, "the access token does not allow room %s", name)
	case s.inRoom(name) != nil:
		return wire.Faultf(wire.CodeBadMessage, "you are in room %s itself", name)
	}
	if isHosted(name) {
		// A connection with a member is what the host decides on.
		return wire.Faultf(wire.CodeForbidden, "room %s has a host and no lobby: join", name)
	}
	// With another offer for the same room, whoever it is the host of stays.
	if old := d.endVisit(s); old != nil && old.room != name {
		d.loseHost(s, old.room)
	}
	v := &visit{visitor: s, room: name, first: slices.Clone(m.First)}
	d.lobbies.mu.Lock()
	if out := d.crowded(name, s); out != nil {
		d.lobbies.mu.Unlock()
		d.putOut(out)
		d.lobbies.mu.Lock()
	}
	defer d.lobbies.mu.Unlock()
	if len(d.lobbies.m[name]) >= maxLobby {
		return wire.Faultf(wire.CodeTooMany, "the lobby of room %s has its %d people: join without", name, maxLobby)
	}
	v.host.Store(d.hostFor(v))
	d.lobbies.m[name] = append(d.lobbies.m[name], v)
	if len(d.lobbies.m[name]) == 1 {
		d.opened(name)
	}
	s.visit.Store(v)
	s.pushBy(s, v.describe(m.ID))
	v.present()
	d.hub.second.lobby(name)
	return nil
}

// crowded returns the visit that makes room in a lobby that is full for a session
// from elsewhere, nil for none. lobbies.mu is held.
func (d *directory) crowded(name string, s *member) *visit {
	there := d.lobbies.m[name]
	if len(there) < maxLobby {
		return nil
	}
	from := make([]netip.Addr, len(there))
	for i, v := range there {
		from[i] = v.visitor.opener
	}
	if i := netaddr.Displace(from, s.opener); i >= 0 {
		return there[i]
	}
	return nil
}

// putOut ends somebody else's visit. Its visitor hears that it has no host.
func (d *directory) putOut(v *visit) {
	d.forgetVisit(v)
	v.visitor.push(wire.Begin("lobby", 64).Text("room", v.room))
	if host := v.host.Load(); host != nil {
		v.goodbye(host)
		d.hub.changed(v.visitor.id, host.id)
	}
	d.loseHost(v.visitor, v.room)
}

// hostFor chooses a visitor's host. lobbies.mu is held.
func (d *directory) hostFor(v *visit) *member {
	if host := d.longest(v.room); host != nil {
		return host
	}
	for _, o := range d.lobbies.m[v.room] {
		if o != v && o.host.Load() == nil && !o.visitor.away.Load() {
			return o.visitor
		}
	}
	return nil
}

// describe is what the visitor is told of its visit.
func (v *visit) describe(id []byte) wire.Object {
	b := wire.Answer("lobby", id, 64).Text("room", v.room)
	if host := v.host.Load(); host != nil {
		b = b.Text("first", host.id)
	}
	return b
}

// present gives the host, if there is one, what the visitor brings. The visitor has
// been told who the host is before, so that it knows whose answer it gets.
// lobbies.mu is held.
func (v *visit) present() {
	if host := v.host.Load(); host != nil {
		host.push(wire.Begin("lobby-peer", 96+len(v.first)).Text("room", v.room).Text("peer", v.visitor.id).Raw("first", v.first))
		v.first = nil
	}
}

// goodbye tells a host that it has lost this visitor.
func (v *visit) goodbye(host *member) {
	host.push(wire.Begin("lobby-left", 64).Text("room", v.room).Text("peer", v.visitor.id))
}

// joinFromLobby ends the visit of a session that has joined the room, and lets those
// who wait there come to it.
func (d *directory) joinFromLobby(s *member, room string) {
	if v := s.visit.Load(); v != nil && v.room == room {
		d.forgetVisit(v)
		// A host that has not joined either is the visitor from now on.
		if host := v.host.Load(); host != nil && host.inRoom(room) == nil {
			d.reverse(host, s, v)
		}
	}
	d.fillLobby(room)
}

// reverse swaps host and visitor after the visitor has joined first: a host that
// still waits becomes the visitor of the one that waited for it, and their connection
// stays.
func (d *directory) reverse(host, joined *member, v *visit) {
	d.lobbies.mu.Lock()
	defer d.lobbies.mu.Unlock()
	if hosts := host.visit.Load(); hosts != nil && hosts.room == v.room {
		hosts.first = nil
		hosts.host.Store(joined)
		host.push(hosts.describe(nil))
		d.hub.second.lobby(v.room)
	}
}

// fillLobby gives those who wait in the lobby of a room to the member that has come.
// Those whose host only waits there too make a new offer.
func (d *directory) fillLobby(name string) {
	var apart []string
	d.lobbies.mu.Lock()
	if host := d.longest(name); host != nil {
		for _, v := range d.lobbies.m[name] {
			old := v.host.Load()
			switch {
			case v.first != nil:
				v.host.Store(host)
				v.visitor.push(v.describe(nil))
				v.present()
			case old != nil && old.inRoom(name) == nil:
				v.host.Store(nil)
				v.visitor.push(v.describe(nil))
				v.goodbye(old)
				apart = append(apart, v.visitor.id, old.id)
			}
		}
		if len(d.lobbies.m[name]) > 0 {
			d.hub.second.lobby(name)
		}
	}
	d.lobbies.mu.Unlock()
	d.hub.changed(apart...)
}

// leaveLobby takes a session out of the lobby it is in, if any, and tells its host
// and whoever it is the host of.
func (d *directory) leaveLobby(s *member) {
	if v := d.endVisit(s); v != nil {
		d.loseHost(s, v.room)
	}
}

// endVisit forgets a session's visit, tells its host, and returns it; nil: there is
// none.
func (d *directory) endVisit(s *member) *visit {
	v := s.visit.Load()
	if v == nil {
		return nil
	}
	d.forgetVisit(v)
	if host := v.host.Load(); host != nil {
		v.goodbye(host)
		d.hub.changed(s.id, host.id)
	}
	return v
}

func (d *directory) forgetVisit(v *visit) {
	d.lobbies.mu.Lock()
	defer d.lobbies.mu.Unlock()
	v.visitor.visit.CompareAndSwap(v, nil) // it may have another by now
	d.hub.second.lobby(v.room)
	list := slices.DeleteFunc(d.lobbies.m[v.room], func(o *visit) bool { return o == v })
	if len(list) == 0 {
		delete(d.lobbies.m, v.room)
	} else {
		d.lobbies.m[v.room] = list
	}
}

// loseHost tells the visitors of a host who leaves the room or the lobby that nobody
// has their offers any more: they make new ones.
func (d *directory) loseHost(host *member, room string) {
	var left []string
	d.lobbies.mu.Lock()
	for _, v := range d.lobbies.m[room] {
		if v.host.CompareAndSwap(host, nil) {
			v.visitor.push(v.describe(nil))
			left = append(left, v.visitor.id)
		}
	}
	d.lobbies.mu.Unlock()
	if left != nil {
		d.hub.second.lobby(room)
		d.hub.changed(append(left, host.id)...)
	}
}
