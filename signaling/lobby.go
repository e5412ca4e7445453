package signaling

import (
	"slices"
	"sync"
	"sync/atomic"
)

// visit is a session in the lobby of a room: it has not joined, but may exchange
// signaling data with one member, its host, so that their connection exists when
// it does. Nobody else hears of it.
type visit struct {
	visitor *Session
	room    string
	first   []byte // what the host gets; nil once one has got it. Under lobbies.mu
	// host is read without a lock by whoever asks whether two may reach each
	// other; written under lobbies.mu. nil: nobody is there.
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
	d.leaveLobby(s)
	v := &visit{visitor: s, room: name, first: slices.Clone(m.first)}
	d.lobbies.mu.Lock()
	defer d.lobbies.mu.Unlock()
	if len(d.lobbies.m[name]) >= maxLobby {
		return faultf(CodeTooMany, "the lobby of room %s has its %d people: join without", name, maxLobby)
	}
	d.lobbies.m[name] = append(d.lobbies.m[name], v)
	s.visit.Store(v)
	v.host.Store(d.rooms.longest(name))
	s.pushBy(s, v.describe(m.id))
	v.present()
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

// fillLobby gives those who wait in the lobby of a room to whoever has come.
func (d *directory) fillLobby(name string) {
	d.lobbies.mu.Lock()
	defer d.lobbies.mu.Unlock()
	for _, v := range d.lobbies.m[name] {
		if v.first == nil {
			continue // a host has it, or had it
		}
		host := d.rooms.longest(name)
		if host == nil {
			return
		}
		v.host.Store(host)
		v.visitor.push(v.describe(nil))
		v.present()
	}
}

// leaveLobby takes a session out of the lobby it is in, if any, and tells its host.
// It reports whether there was one.
func (d *directory) leaveLobby(s *Session) bool {
	v := d.endVisit(s)
	if v == nil {
		return false
	}
	if host := v.host.Load(); host != nil {
		host.push(open("lobby-left", 64).str("room", v.room).str("peer", s.id))
		d.hub.changed(s.id, host.id)
	}
	return true
}

// joinFromLobby forgets the visit of a session that has joined the room, and lets
// those who still wait there come to it.
func (d *directory) joinFromLobby(s *Session, room string) {
	if v := s.visit.Load(); v != nil && v.room == room {
		d.endVisit(s)
	}
	d.fillLobby(room)
}

// endVisit forgets a session's visit and returns it; nil: there is none.
func (d *directory) endVisit(s *Session) *visit {
	v := s.visit.Load()
	if v == nil {
		return nil
	}
	d.lobbies.mu.Lock()
	defer d.lobbies.mu.Unlock()
	s.visit.Store(nil)
	list := slices.DeleteFunc(d.lobbies.m[v.room], func(o *visit) bool { return o == v })
	if len(list) == 0 {
		delete(d.lobbies.m, v.room)
	} else {
		d.lobbies.m[v.room] = list
	}
	return v
}

// loseHost tells the visitors of a host who leaves the room that nobody has their
// offers any more: they make new ones.
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
