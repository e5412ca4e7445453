package signaling

import (
	"slices"
	"sync"
	"sync/atomic"

	"turnhub/signaling/internal/delivery"
	"turnhub/signaling/internal/lookup"
	"turnhub/signaling/internal/wire"
)

// directory is what sessions are to each other on one node: who is in which room or
// lobby, which sessions a user has, and which calls there are. It is the Meaning of
// the hub's delivery.
//
// Its methods answer a request by pushing the answer to the session, so that it
// stands in the right order with everything else that the session is told; a fault is
// answered by the caller.
type directory struct {
	hub       *Hub
	post      delivery.Post
	members   *lookup.ByName[member] // by the session's id
	byRef     lookup.ByNumber[member]
	rooms     *lookup.ByName[room]
	lobbies   lobbies
	hostings  hostings
	departing atomic.Bool // see Departure
	nodes     *nodes      // nil: this is the only one

	mu     sync.Mutex // users, calls and presence
	users  map[string]*user
	byCall map[string]*call
	overs  overs    // calls that have ended a short while ago
	after  []func() // what is to be done once mu is free, see unlock
}

var _ delivery.Meaning = (*directory)(nil)

func newDirectory(h *Hub) *directory {
	d := &directory{
		hub: h, members: lookup.NewByName[member](), rooms: lookup.NewByName[room](),
		users: make(map[string]*user), byCall: make(map[string]*call),
	}
	d.lobbies.m = make(map[string][]*visit)
	d.hostings.m = make(map[string]*hosting)
	return d
}

// unlock frees the mutex and then does what must not be done under it: telling
// the relay, writing the log.
func (d *directory) unlock() {
	after := d.after
	d.after = nil
	d.mu.Unlock()
	for _, f := range after {
		f()
	}
}

func (d *directory) member(ref delivery.Ref) *member { return d.byRef.Get(uint64(ref)) }

// Opened implements delivery.Meaning.
func (d *directory) Opened(o delivery.Opening) *wire.Fault {
	s := &member{
		d: d, ref: o.Session, id: o.ID, name: o.Name, user: o.User, inviters: o.Inviters,
		opener: o.Opener, since: o.Since, allowed: o.Rooms, hosts: o.Host,
	}
	if o.Seen.IsValid() {
		s.addr.Store(&o.Seen)
	}
	d.byRef.Set(uint64(s.ref), s)
	d.members.Put(s.id, s)
	d.hub.second.opened(s.ref)
	f := d.enter(s, o.Secret)
	if f != nil {
		d.forget(s)
	}
	return f
}

// Reached implements delivery.Meaning.
func (d *directory) Reached(ref delivery.Ref, now delivery.Standing) {
	s := d.member(ref)
	if s == nil {
		return
	}
	s.allowed, s.hosts = now.Rooms, now.Host
	d.hub.second.more(ref)
	moved := s.seenAt() != now.Seen
	var partners []string
	if moved {
		partners = s.partners()
		s.addr.Store(&now.Seen)
		d.tellNodes(s, kindSeen, partFrame{Ref: s.ref, Seen: now.Seen})
	}
	d.answers(s)
	d.hub.changed(partners...)
}

// Away implements delivery.Meaning.
func (d *directory) Away(ref delivery.Ref, away bool) {
	s := d.member(ref)
	if s == nil || s.away.Swap(away) == away {
		return
	}
	d.hub.second.more(ref)
	d.tellAway(s, away)
	d.tellNodes(s, kindAway, partFrame{Ref: s.ref, Away: away})
}

// tellAway tells the others that a session is away, or back.
func (d *directory) tellAway(s *member, away bool) {
	typ := "peer-back"
	if away {
		typ = "peer-away"
	}
	b := wire.Begin(typ, 48).Text("peer", s.id)
	told := make(map[*member]bool)
	tell := func(p *member) {
		if p != s && !told[p] {
			told[p] = true
			p.push(b)
		}
	}
	for _, r := range s.roomList() {
		r.mu.RLock()
		for _, p := range r.members {
			tell(p)
		}
		r.mu.RUnlock()
	}
	for _, c := range s.callList() {
		tell(c.other(s))
	}
}

// Ended implements delivery.Meaning.
func (d *directory) Ended(ref delivery.Ref, reason string) {
	s := d.member(ref)
	if s == nil {
		return
	}
	d.hub.departed.add(s)
	partners := s.partners()
	d.exit(s, reason)
	d.forget(s)
	if d.hub.cfg.OnEnd != nil {
		d.hub.cfg.OnEnd(s.id, reason)
	}
	d.hub.changed(partners...)
}

// forget takes a session off the directory's books.
func (d *directory) forget(s *member) {
	d.members.Remove(s.id, s)
	d.byRef.Remove(uint64(s.ref))
	d.hub.second.end(s.ref)
}

// exit takes a session out of everything. reason is what others are told.
func (d *directory) exit(s *member, reason string) {
	d.leaveLobby(s)
	for _, r := range slices.Clone(s.roomList()) {
		d.quit(s, r, reason)
	}
	d.endHosted(s)
	d.mu.Lock()
	defer d.unlock()
	d.dropCalls(s, reason)
	for name := range s.subs {
		u := d.users[name]
		delete(u.watchers, s)
		d.show(u)
	}
	s.subs = nil
	if u := d.users[s.user]; u != nil && s.user != "" {
		d.leftName(u, s, reason)
		d.show(u)
	}
}

func (d *directory) counts() (rooms, ringing, accepted, users int) {
	rooms = d.rooms.Len()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.byCall {
		switch {
		case c.owner != nil:
		case c.peer != nil:
			accepted++
		default:
			ringing++
		}
	}
	for _, u := range d.users {
		if len(u.own()) > 0 {
			users++
		}
	}
	return rooms, ringing, accepted, users
}
