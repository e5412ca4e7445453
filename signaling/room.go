package signaling

import (
	"net/netip"
	"slices"
	"sync"
	"time"
)

// room is a set of sessions that may signal to each other. Its mutex guards
// everything below it; members only append to each other's queues under it.
type room struct {
	name  string
	since time.Time

	mu      sync.RWMutex
	members []*Session // the longest there first
	dead    bool       // it is empty and out of the directory
	shared  time.Time  // since when two or more have been there; zero: never
	most    int
	path    string   // the worst path that a member has reported
	bytes   uint64   // received by all, as far as reported
	who     []string // has been there, the first loggedPeople
}

// rooms finds rooms by name.
type rooms struct {
	shards [64]struct {
		mu sync.Mutex
		m  map[string]*room
	}
}

func (x *rooms) init() {
	for i := range x.shards {
		x.shards[i].m = make(map[string]*room)
	}
}

func (x *rooms) shard(name string) int {
	h := uint32(2166136261) // FNV-1a
	for i := 0; i < len(name); i++ {
		h = (h ^ uint32(name[i])) * 16777619
	}
	return int(h % uint32(len(x.shards)))
}

func (x *rooms) open(name string, now time.Time) *room {
	sh := &x.shards[x.shard(name)]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	r := sh.m[name]
	if r == nil {
		r = &room{name: name, since: now}
		sh.m[name] = r
	}
	return r
}

func (x *rooms) remove(r *room) {
	sh := &x.shards[x.shard(r.name)]
	sh.mu.Lock()
	if sh.m[r.name] == r {
		delete(sh.m, r.name)
	}
	sh.mu.Unlock()
}

func (x *rooms) count() (n int) {
	for i := range x.shards {
		sh := &x.shards[i]
		sh.mu.Lock()
		n += len(sh.m)
		sh.mu.Unlock()
	}
	return n
}

// inRoom returns the room of that name if the session is in it.
func (s *Session) inRoom(name string) *room {
	for _, r := range s.roomList() {
		if r.name == name {
			return r
		}
	}
	return nil
}

func (d *directory) join(s *Session, m *message) *fault {
	name, f := roomName(m.room)
	switch {
	case f != nil:
		return f
	case !s.claims.AllowsRoom(name):
		return faultf(CodeForbidden, "the access token does not allow room %s", name)
	case s.inRoom(name) == nil && len(s.roomList()) >= maxRoomsPerSession:
		return faultf(CodeTooMany, "a session may be in %d rooms: leave one first", maxRoomsPerSession)
	}
	for {
		r := s.inRoom(name)
		if r == nil {
			r = d.rooms.open(name, d.hub.now())
		}
		if f, dead := r.join(s, m, d.hub.now()); !dead {
			if f == nil {
				d.joinFromLobby(s, name)
			}
			return f
		}
		d.rooms.remove(r)
	}
}

// join adds a member. Joining once more answers anew and tells nobody.
func (r *room) join(s *Session, m *message, now time.Time) (f *fault, dead bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := slices.Index(r.members, s)
	switch {
	case r.dead:
		return nil, true
	case at < 0 && len(r.members) >= maxRoomMembers:
		return faultf(CodeRoomFull, "room %s has its %d people", r.name, maxRoomMembers), false
	}
	reply := answer("joined", m.id, 64+128*len(r.members)).str("room", r.name)
	reply = append(reply, `,"peers":[`...)
	var first *Session
	if v := s.visit.Load(); v != nil && v.room == r.name {
		if host := v.host.Load(); slices.Contains(r.members, host) {
			first = host
		}
	}
	for i, p := range r.members {
		if p == s {
			continue
		}
		away := p.away()
		if first == nil && !away {
			first = p
		}
		if reply[len(reply)-1] != '[' {
			reply = append(reply, ',')
		}
		b := p.describe(open2("peer", p.id))
		// Who comes later is polite.
		reply = append(reply, b.flag("polite", at < 0 || i < at).flag("away", away).end()...)
	}
	reply = append(reply, ']')
	if first != nil {
		reply = reply.str("first", first.id)
	}
	if at >= 0 {
		s.pushBy(s, reply)
		return nil, false
	}
	r.members = append(r.members, s)
	list := append(slices.Clone(s.roomList()), r)
	s.rooms.Store(&list)
	s.pushBy(s, reply)
	news := s.describe(open("peer-joined", 160).str("room", r.name).str("peer", s.id)).flag("polite", false)
	for _, p := range r.members[:len(r.members)-1] {
		if p == first && m.first != nil {
			p.pushBy(s, append(slices.Clone(news), body(nil).raw("first", m.first)...))
		} else {
			p.pushBy(s, news)
		}
	}
	if len(r.members) > 1 && r.shared.IsZero() {
		r.shared = now
	}
	r.most = max(r.most, len(r.members))
	if who := s.who(); len(r.who) < loggedPeople && !slices.Contains(r.who, who) {
		r.who = append(r.who, who)
	}
	return nil, false
}

// describe adds what others see of a session.
func (s *Session) describe(b body) body {
	if s.name != "" {
		b = b.str("name", s.name)
	}
	if s.user != "" {
		b = b.str("user", s.user)
	}
	return b
}

func (d *directory) leave(s *Session, m *message) *fault {
	name, f := roomName(m.room)
	if f != nil {
		return f
	}
	r := s.inRoom(name)
	if r == nil {
		if v := s.visit.Load(); v != nil && v.room == name {
			d.leaveLobby(s)
			s.ok(m)
			return nil
		}
		return faultf(CodeNotInRoom, "you are not in room %s", name)
	}
	others := append(r.others(s), s.id)
	d.quit(s, r, "leave")
	s.ok(m)
	d.hub.changed(others...)
	return nil
}

// quit takes a session out of a room and tells the others why.
func (d *directory) quit(s *Session, r *room, reason string) {
	r.mu.Lock()
	if i := slices.Index(r.members, s); i >= 0 {
		r.members = slices.Delete(r.members, i, i+1)
	}
	list := slices.DeleteFunc(slices.Clone(s.roomList()), func(o *room) bool { return o == r })
	s.rooms.Store(&list)
	b := open("peer-left", 96).str("room", r.name).str("peer", s.id).str("reason", reason)
	for _, p := range r.members {
		p.push(b)
	}
	r.dead = len(r.members) == 0
	dead := r.dead
	r.mu.Unlock()
	if dead {
		d.rooms.remove(r)
		d.hub.logRoom(r, reason)
	}
	d.loseHost(s, r.name)
}

func (d *directory) cast(s *Session, name string, b body) *fault {
	r := s.inRoom(name)
	if r == nil {
		return faultf(CodeNotInRoom, "you are not in room %s", name)
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, p := range r.members {
		if p != s {
			p.pushBy(s, b)
		}
	}
	return nil
}

// seen reports whether a member other than s has been seen at addr.
func (r *room) seen(s *Session, addr netip.Addr) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, p := range r.members {
		if p != s && p.seenAt() == addr {
			return true
		}
	}
	return false
}

// others returns the ids of the other members.
func (r *room) others(s *Session) []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	ids := make([]string, 0, len(r.members))
	for _, p := range r.members {
		if p != s {
			ids = append(ids, p.id)
		}
	}
	return ids
}
