package signaling

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"turnhub/internal/access"
	"turnhub/signaling/internal/wire"
)

// room is a set of sessions that may signal to each other. Its mutex guards
// everything below it; members only append to each other's queues under it.
type room struct {
	d     *directory
	name  string
	since time.Time

	mu      sync.RWMutex
	members []*member // the longest there first; those on other nodes with them
	across  shared
	dead    bool      // it is empty and out of the directory
	shared  time.Time // since when two or more have been there; zero: never
	most    int
	path    string   // the worst path that a member has reported
	bytes   uint64   // received by all, as far as reported
	who     []string // has been there, the first loggedPeople
	account *account // of the call that two or more are in
}

// inRoom returns the room of that name if the session is in it.
func (s *member) inRoom(name string) *room {
	for _, r := range s.roomList() {
		if r.name == name {
			return r
		}
	}
	return nil
}

func (d *directory) join(s *member, m *wire.Message) *wire.Fault {
	name, f := roomName(m.Room)
	switch {
	case f != nil:
		return f
	case !s.allows(name):
		return wire.Faultf(wire.CodeForbidden, "the access token does not allow room %s", name)
	case s.inRoom(name) == nil && len(s.roomList()) >= maxRoomsPerSession:
		return wire.Faultf(wire.CodeTooMany, "a session may be in %d rooms: leave one first", maxRoomsPerSession)
	}
	if isHosted(name) {
		return d.joinHosted(s, m, name)
	}
	return d.joinRoom(s, m, name)
}

// joinRoom is join for who may.
func (d *directory) joinRoom(s *member, m *wire.Message, name string) *wire.Fault {
	first := false
	for {
		r := s.inRoom(name)
		if r == nil {
			r = d.rooms.GetOrPut(name, func() *room { first = true; return &room{d: d, name: name, since: d.hub.now()} })
		}
		if f, dead := r.join(s, m, d.hub.now()); !dead {
			if first {
				d.opened(name)
				if d.nodes != nil {
					for _, p := range d.nodes.whoMet(name) {
						r.share(p)
					}
				}
			}
			if f == nil {
				d.joinFromLobby(s, name)
				d.sendOn(s, r)
			}
			return f
		}
		d.rooms.Remove(r.name, r)
	}
}

// join adds a member. Joining once more answers anew and tells nobody.
func (r *room) join(s *member, m *wire.Message, now time.Time) (f *wire.Fault, dead bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := slices.Index(r.members, s)
	switch {
	case r.dead:
		return nil, true
	case at < 0 && len(r.members) >= maxRoomMembers:
		return wire.Faultf(wire.CodeRoomFull, "room %s has its %d people", r.name, maxRoomMembers), false
	}
	reply := wire.Answer("joined", m.ID, 64+128*len(r.members)).Text("room", r.name)
	reply = append(reply, `,"peers":[`...)
	var first *member
	if v := s.visit.Load(); v != nil && v.room == r.name {
		if host := v.host.Load(); slices.Contains(r.members, host) {
			first = host
		}
	}
	for i, p := range r.members {
		if p == s {
			continue
		}
		away := p.away.Load()
		if first == nil && !away {
			first = p
		}
		if reply[len(reply)-1] != '[' {
			reply = append(reply, ',')
		}
		b := p.describe(wire.Inner("peer", p.id))
		// Who comes later is polite.
		reply = append(reply, b.Bool("polite", at < 0 || i < at).Bool("away", away).End()...)
	}
	reply = append(reply, ']')
	if first != nil {
		reply = reply.Text("first", first.id)
	}
	if at >= 0 {
		s.pushBy(s, reply)
		return nil, false
	}
	r.members = append(r.members, s)
	s.enterRoom(r)
	r.touch()
	s.pushBy(s, reply)
	news := s.describe(wire.Begin("peer-joined", 160).Text("room", r.name).Text("peer", s.id)).Bool("polite", false)
	for _, p := range r.members[:len(r.members)-1] {
		if p == first && m.First != nil {
			p.pushBy(s, append(slices.Clone(news), wire.Object(nil).Raw("first", m.First)...))
		} else {
			p.pushBy(s, news)
		}
	}
	if r.d.nodes != nil {
		r.stamp(s, now)
		r.announce(s, first, m.First)
	}
	r.noted(s, now)
	return nil, false
}

// noted keeps what the log says of a room in the end.
func (r *room) noted(s *member, now time.Time) {
	if len(r.members) > 1 && r.shared.IsZero() {
		r.shared = now
	}
	switch {
	case r.account != nil && s.node == nil:
		r.account.join(s, now)
	case r.account == nil && len(r.members) > 1: // each node accounts for its own people
		r.account = s.d.hub.beginCall(s.d.hub.callID(), "room", r.name, now, r.ours()...)
	}
	r.most = max(r.most, len(r.members))
	if who := s.who(); len(r.who) < loggedPeople && !slices.Contains(r.who, who) {
		r.who = append(r.who, who)
	}
}

func (d *directory) leave(s *member, m *wire.Message) *wire.Fault {
	name, f := roomName(m.Room)
	if f != nil {
		return f
	}
	r := s.inRoom(name)
	if r == nil {
		if d.leftHosted(s, name, true) {
			s.ok(m)
			return nil
		}
		if v := s.visit.Load(); v != nil && v.room == name {
			d.leaveLobby(s)
			s.ok(m)
			return nil
		}
		return wire.Faultf(wire.CodeNotInRoom, "you are not in room %s", name)
	}
	others := append(r.others(s), s.id)
	d.quitRoom(s, r, "leave")
	d.leftHosted(s, name, true)
	s.ok(m)
	d.hub.changed(others...)
	return nil
}

// quit takes a session out of a room and tells the others why.
func (d *directory) quit(s *member, r *room, reason string) {
	d.quitRoom(s, r, reason)
	d.leftHosted(s, r.name, false)
}

// quitRoom is quit for who decides himself what the session is to the room's host.
func (d *directory) quitRoom(s *member, r *room, reason string) {
	r.mu.Lock()
	if !slices.Contains(s.roomList(), r) {
		r.mu.Unlock()
		return // a host was faster
	}
	if i := slices.Index(r.members, s); i >= 0 {
		r.members = slices.Delete(r.members, i, i+1)
		now := d.hub.now()
		r.account.leave(s, reason, now)
		if len(r.members) < 2 {
			r.account.end(reason, now)
			r.account = nil
		}
	}
	s.exitRoom(r)
	r.touch()
	if d.nodes != nil {
		r.tellParts(kindLeave, partFrame{Room: r.name, Ref: s.ref, Reason: reason, Stamp: r.across.stamps[s]})
		delete(r.across.stamps, s)
	}
	b := wire.Begin("peer-left", 96).Text("room", r.name).Text("peer", s.id).Text("reason", reason)
	for _, p := range r.members {
		p.push(b)
	}
	if r.dead = len(r.members) == 0; d.nodes != nil && !r.own() {
		r.dead = true
		r.empty(reason)
	}
	dead := r.dead
	r.mu.Unlock()
	if dead {
		d.rooms.Remove(r.name, r)
		d.hub.logRoom(r, reason)
	}
	d.loseHost(s, r.name)
}

// cast sends a message to everybody else in a room. later says that it is answered when
// other nodes have it as well.
func (d *directory) cast(s *member, m *wire.Message, name string, b wire.Object) (later bool, f *wire.Fault) {
	r := s.inRoom(name)
	if r == nil {
		return false, wire.Faultf(wire.CodeNotInRoom, "you are not in room %s", name)
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	// When most have not acknowledged what came before, it is too much; when few have
	// not, it is they who do not read, and nobody else waits for them.
	var full *member
	lagging := 0
	departing := d.departing.Load()
	for _, p := range r.members {
		if departing && p != s && d.post.Parting(p.ref) {
			return false, notYet(p)
		}
		if p != s && !d.post.Fits(p.ref, s.ref, len(b)) {
			full = p
			lagging++
		}
	}
	if 2*lagging > len(r.members)-1 {
		return false, notYet(full)
	}
	if len(r.across.parts) > 0 {
		if later, f = d.castAcross(s, m, r, b); f != nil {
			return false, f
		}
	}
	counts, seq := d.numbers(s)
	for _, p := range r.members {
		if p == s {
			continue
		}
		if counts {
			if before, _ := p.has(s, seq); before {
				continue
			}
		}
		p.pushBy(s, b)
	}
	return later, nil
}

// seen reports whether a member other than s has been seen at addr.
func (r *room) seen(s *member, addr netip.Addr) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, p := range r.members {
		if p != s && (p.seenAt() == addr || p.relaysAt(addr)) {
			return true
		}
	}
	return false
}

// others returns the ids of the other members.
func (r *room) others(s *member) []string {
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

// longest returns the member who is longest in a room and not away; nil: nobody is.
func (d *directory) longest(room string) *member {
	r := d.rooms.Get(room)
	if r == nil {
		return nil
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, p := range r.members {
		if !p.away.Load() && p.node == nil { // a lobby is one node's
			return p
		}
	}
	return nil
}

// roomName reads and checks a room's name.
func roomName(raw []byte) (string, *wire.Fault) {
	s, f := wire.NeedText("room", raw)
	if f != nil {
		return "", f
	}
	name, ok := access.RoomName(string(s))
	if !ok {
		return "", wire.Faultf(wire.CodeBadName, "room must have 1 to %d bytes of %s", access.MaxRoomName, access.RoomLetters)
	}
	return name, nil
}
