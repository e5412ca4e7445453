package signaling

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"turnhub/internal/netaddr"
)

// visit is a session in the lobby of a room: it has not joined, but may exchange
// signaling data with one other, its host, so that their connection exists when
// both have. The host is the member who is longest there or, in an empty room, who
// waits longest. Nobody else hears of it.
type visit struct {
	visitor *Session
	room    string
	first   []byte // what the host gets; nil once one has got it. Under lobbies.mu
	// host is read without a lock by whoever asks whether two may reach each
	// other; written under lobbies.mu. nil: nobody else is there.
	host atomic.Pointer[Session]
}

// lobbies finds visits by the room's name. Its mutex comes after Session.in and
// before room.mu.
type lobbies struct {
	mu sync.Mutex
	m  map[string][]*visit
}

// reaches reports whether two sessions may exchange signaling data and packets
// through the relay: they share a room or a call, or one is the other's host in a
// lobby. It takes no lock.
func (s *Session) reaches(other *Session) bool {
	return s.shares(other) || s.visits(other) || other.visits(s)
}

func (s *Session) visits(other *Session) bool {
	v := s.visit.Load()
	return v != nil && v.host.Load() == other
}

// lobby takes a session into the lobby of a room, out of any other.
func (d *directory) lobby(s *Session, m *message) *fault {
	name, f := roomName(m.room)
	switch {
	case f != nil:
		return f
	case m.first == nil:
		return faultf(CodeBadMessage, "first is missing: signaling data for whoever is in the room")
	case !s.claims.AllowsRoom(name):
		return faultf(CodeForbidden, "the access token does not allow room %s", name)
	case s.inRoom(name) != nil:
		return faultf(CodeBadMessage, "you are in room %s itself", name)
	}
	// With another offer for the same room, whoever it is the host of stays.
	if old := d.endVisit(s); old != nil && old.room != name {
		d.loseHost(s, old.room)
	}
	v := &visit{visitor: s, room: name, first: slices.Clone(m.first)}
	d.lobbies.mu.Lock()
	if out := d.crowded(name, s); out != nil {
		d.lobbies.mu.Unlock()
		d.putOut(out)
		d.lobbies.mu.Lock()
	}
	defer d.lobbies.mu.Unlock()
	if len(d.lobbies.m[name]) >= maxLobby {
		return faultf(CodeTooMany, "the lobby of room %s has its %d people: join without", name, maxLobby)
	}
	v.host.Store(d.hostFor(v))
	d.lobbies.m[name] = append(d.lobbies.m[name], v)
	s.visit.Store(v)
	s.pushBy(s, v.describe(m.id))
	v.present()
	return nil
}

// crowded returns the visit that makes room in a lobby that is full for a session
// from elsewhere, nil for none. lobbies.mu is held.
func (d *directory) crowded(name string, s *Session) *visit {
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
	v.visitor.push(open("lobby", 64).str("room", v.room))
	if host := v.host.Load(); host != nil {
		v.goodbye(host)
		d.hub.changed(v.visitor.id, host.id)
	}
	d.loseHost(v.visitor, v.room)
}

// hostFor chooses a visitor's host. lobbies.mu is held.
func (d *directory) hostFor(v *visit) *Session {
	if host := d.rooms.longest(v.room); host != nil {
		return host
	}
	for _, o := range d.lobbies.m[v.room] {
		if o != v && o.host.Load() == nil && !o.visitor.away() {
			return o.visitor
		}
	}
	return nil
}

// describe is what the visitor is told of his visit.
func (v *visit) describe(id []byte) body {
	b := answer("lobby", id, 64).str("room", v.room)
	if host := v.host.Load(); host != nil {
		b = b.str("first", host.id)
	}
	return b
}

// present gives the host, if there is one, what the visitor brings. The visitor has
// been told before, so that an answer finds him knowing whose it is. lobbies.mu is
// held.
func (v *visit) present() {
	if host := v.host.Load(); host != nil {
		host.push(open("lobby-peer", 96+len(v.first)).str("room", v.room).str("peer", v.visitor.id).raw("first", v.first))
		v.first = nil
	}
}

// goodbye tells a host that the visitor is not his any more.
func (v *visit) goodbye(host *Session) {
	host.push(open("lobby-left", 64).str("room", v.room).str("peer", v.visitor.id))
}

// joinFromLobby ends the visit of a session that has joined the room, and lets those
// who wait there come to it.
func (d *directory) joinFromLobby(s *Session, room string) {
	if v := s.visit.Load(); v != nil && v.room == room {
		d.forgetVisit(v)
		// A host who waits himself is the visitor from now on.
		if host := v.host.Load(); host != nil && host.inRoom(room) == nil {
			d.turn(host, s, v)
		}
	}
	d.fillLobby(room)
}

// turn makes a host who still waits the visitor of the one who was his and has
// joined: their connection stays.
func (d *directory) turn(host, joined *Session, v *visit) {
	d.lobbies.mu.Lock()
	defer d.lobbies.mu.Unlock()
	if hosts := host.visit.Load(); hosts != nil && hosts.room == v.room {
		hosts.first = nil
		hosts.host.Store(joined)
		host.push(hosts.describe(nil))
	}
}

// fillLobby gives those who wait in the lobby of a room to whoever has come. Those
// whose host waits himself make a new offer.
func (d *directory) fillLobby(name string) {
	var apart []string
	d.lobbies.mu.Lock()
	if host := d.rooms.longest(name); host != nil {
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
	}
	d.lobbies.mu.Unlock()
	d.hub.changed(apart...)
}

// leaveLobby takes a session out of the lobby it is in, if any, and tells its host
// and whoever it is the host of.
func (d *directory) leaveLobby(s *Session) {
	if v := d.endVisit(s); v != nil {
		d.loseHost(s, v.room)
	}
}

// endVisit forgets a session's visit, tells its host, and returns it; nil: there is
// none.
func (d *directory) endVisit(s *Session) *visit {
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
	list := slices.DeleteFunc(d.lobbies.m[v.room], func(o *visit) bool { return o == v })
	if len(list) == 0 {
		delete(d.lobbies.m, v.room)
	} else {
		d.lobbies.m[v.room] = list
	}
}

// loseHost tells the visitors of a host who leaves the room or the lobby that nobody
// has their offers any more: they make new ones.
func (d *directory) loseHost(host *Session, room string) {
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
		d.hub.changed(append(left, host.id)...)
	}
}

// longest returns the member who is longest in a room and not away.
func (x *rooms) longest(name string) *Session {
	sh := &x.shards[x.shard(name)]
	sh.mu.Lock()
	r := sh.m[name]
	sh.mu.Unlock()
	if r == nil {
		return nil
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, p := range r.members {
		if !p.away() {
			return p
		}
	}
	return nil
}
