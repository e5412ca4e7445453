package signaling

import (
	"encoding/json"
	"net/netip"
	"slices"
	"time"

	"turnhub/signaling/internal/delivery"
	"turnhub/signaling/internal/timers"
	"turnhub/signaling/internal/wire"
)

// A room with people on several nodes has a part on each. A node that has a part tells the
// node of the room (cluster.Placement), which tells all who have one of each other; from
// then on those tell each other, without it, who is in theirs. So the node of a room is
// needed for others to be found, and for nothing else: when it dies, the parts go on.
//
// Who is in a room stands in the same order on all nodes, by room.stamps: somebody who joins
// comes after all whom the node knows of. Where two have joined on two nodes that did not
// know of each other yet, the order decides all the same which of them is the newcomer.

// meetAfter is for how long people who can go to the node of a room have the time for it,
// before those who are there hear of them here.
const meetAfter = 2 * time.Second

// partFrame is what nodes tell each other of rooms.
type partFrame struct {
	Room   string       `json:"room,omitempty"`
	Node   string       `json:"node,omitempty"`
	People []*person    `json:"people,omitempty"`
	Person *person      `json:"person,omitempty"`
	Ref    delivery.Ref `json:"ref,omitempty"`
	// First is signaling data for one member, see join.
	First  json.RawMessage `json:"first,omitempty"`
	For    delivery.Ref    `json:"for,omitempty"`
	Reason string          `json:"reason,omitempty"`
	Away   bool            `json:"away,omitempty"`
	Goes   bool            `json:"goes,omitempty"` // it leaves with its node, see parted.go
	Seen   netip.Addr      `json:"seen,omitzero"`
	Stamp  uint64          `json:"stamp,omitempty"`  // the place that was left; or shared.last
	Origin string          `json:"origin,omitempty"` // the process whose people were meant, see hostmoved.go
	// Of names, see names.go.
	Nodes []string   `json:"nodes,omitempty"`
	Claim *nameClaim `json:"claim,omitempty"`
	Host  *hostPart  `json:"host,omitempty"` // of hosted rooms, see hostacross.go
}

// shared is what a room has where there are other nodes. Under room.mu.
type shared struct {
	stamps map[*member]uint64 // the order in which they stand, and the id where that is the same
	parts  map[*peer]struct{} // nodes that know who is here
	last   uint64             // the highest that was given here
	heard  map[*peer]uint64   // and on other nodes, as far as they have said
	home   string             // the node of the room; empty: this one, as far as is known
	told   wire.Object        // what whoever comes is told of that node
	late   timers.Timer       // until when the people have time to go there
}

// belongs says that another node has a room: those who stay here all the same are made
// known to the others, at once or when the rest have had the time to go.
func (d *directory) belongs(name, node string, told wire.Object, left int) {
	r := d.rooms.Get(name)
	if r == nil {
		return
	}
	r.mu.Lock()
	if r.dead || r.across.home == node {
		r.mu.Unlock()
		return
	}
	if old := d.nodes.get(r.across.home); old != nil {
		old.say(kindUnmeet, partFrame{Room: name})
	}
	r.across.home, r.across.told = node, told
	r.touch()
	if left > 0 {
		r.across.late.Fire = func(time.Time) { r.meet() }
		d.hub.timers.Set(&r.across.late, d.hub.now().Add(meetAfter))
	}
	r.mu.Unlock()
	if left == 0 {
		r.meet()
	}
}

// meet tells the node of a room that there is a part of it here.
func (r *room) meet() {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.across.home == "" || r.dead {
		return
	}
	if p := r.d.nodes.get(r.across.home); p != nil {
		p.say(kindMeet, partFrame{Room: r.name})
	}
}

// home is the node of a room; empty: this one, as far as is known.
func (r *room) home() string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.across.home
}

// meet is told that a node has a part of a room and takes this one for the node of it.
func (x *nodes) meet(p *peer, room string) {
	x.mu.Lock()
	var others []*peer
	for o := range x.met[room] {
		if o != p {
			others = append(others, o)
		}
	}
	if x.met[room] == nil {
		x.met[room] = make(map[*peer]struct{})
	}
	x.met[room][p] = struct{}{}
	p.meets[room] = struct{}{}
	x.mu.Unlock()
	for _, o := range others {
		o.say(kindAlso, partFrame{Room: room, Node: p.name})
		p.say(kindAlso, partFrame{Room: room, Node: o.name})
	}
	if user, is := isName(room); is {
		x.d.metName(p, user, others)
	} else if room, is := isHosting(room); is {
		x.d.metHosting(p, room)
	} else if r := x.d.rooms.Get(room); r != nil {
		r.share(p)
	}
}

// unmeet undoes meet. nodes.mu is held.
func (x *nodes) unmeet(p *peer, room string) {
	delete(p.meets, room)
	delete(x.met[room], p)
	if len(x.met[room]) == 0 {
		delete(x.met, room)
	}
}

// whoMet returns the nodes that have a part of a room and take this one for its node.
func (x *nodes) whoMet(room string) (list []*peer) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for p := range x.met[room] {
		list = append(list, p)
	}
	return list
}

// share tells another node who is in a room here, unless it has been told.
func (r *room) share(p *peer) (alive bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.dead {
		return false
	}
	if _, knows := r.across.parts[p]; knows || p.lost.Load() {
		return true
	}
	m := partFrame{Room: r.name, Stamp: r.across.last}
	departing := r.d.departing.Load()
	for _, s := range r.members {
		if s.node == nil && !(departing && r.d.post.Parting(s.ref)) {
			m.People = append(m.People, s.person(r.across.stamps[s]))
		}
	}
	if r.across.parts == nil {
		r.across.parts = make(map[*peer]struct{})
	}
	r.across.parts[p] = struct{}{}
	r.touch()
	p.say(kindPart, m)
	return true
}

// tellParts tells the other nodes of a room something. room.mu is held.
func (r *room) tellParts(kind byte, m partFrame) {
	for p := range r.across.parts {
		p.say(kind, m)
	}
}

// stamp gives the next place to a member that joins here. room.mu is held.
func (r *room) stamp(s *member, now time.Time) {
	at := uint64(now.UnixMilli())
	for _, other := range r.across.stamps {
		at = max(at, other+1)
	}
	if r.across.stamps == nil {
		r.across.stamps = make(map[*member]uint64)
	}
	r.across.stamps[s] = at
	r.across.last = max(r.across.last, at)
}

// placeOf is where somebody stands; 0: nowhere.
func (r *room) placeOf(s *member) uint64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.across.stamps[s]
}

// hears is told which places another node has given. room.mu is held.
func (r *room) hears(p *peer, stamp uint64) {
	if r.across.heard == nil {
		r.across.heard = make(map[*peer]uint64)
	}
	r.across.heard[p] = max(r.across.heard[p], stamp)
}

// before reports whether a stands before b. room.mu is held.
func (r *room) before(a, b *member) bool {
	if x, y := r.across.stamps[a], r.across.stamps[b]; x != y {
		return x < y
	}
	return a.id < b.id
}

// partFrom is told who is in a room on another node.
func (d *directory) partFrom(p *peer, m *partFrame) {
	r := d.rooms.Get(m.Room)
	if r == nil || !r.share(p) {
		p.say(kindUnpart, partFrame{Room: m.Room}) // they have left meanwhile
		return
	}
	// What was on its way when the room was over here, and has begun again since, may be of
	// people who have left, or have left and come back.
	still := make(map[string]uint64)
	for _, o := range m.People {
		still[o.ID] = o.Stamp
	}
	r.mu.Lock()
	r.hears(p, m.Stamp)
	r.mu.Unlock()
	for s, stamp := range r.of(p) {
		if now, is := still[s.id]; !is || now != stamp {
			d.leftThere(s, r, "lost")
		}
	}
	for _, o := range m.People {
		if s := p.member(o.Ref); s != nil && s.id == o.ID { // known before, in a stream that is over
			s.addr.Store(&o.Seen)
			if s.away.Swap(o.Away) != o.Away {
				d.tellAway(s, o.Away)
			}
		}
		d.joinedThere(p, r, o, m)
	}
}

// of returns the members of a room that are on another node, and their stamps.
func (r *room) of(p *peer) map[*member]uint64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	list := make(map[*member]uint64)
	for _, s := range r.members {
		if s.node == p {
			list[s] = r.across.stamps[s]
		}
	}
	return list
}

// joinedThere is told of a member on another node.
func (d *directory) joinedThere(p *peer, r *room, o *person, m *partFrame) {
	if d.shuns(r.name, o.ID) {
		return
	}
	s := p.admit(o)
	if s == nil {
		return
	}
	defer s.release()
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, knows := r.across.parts[p]; r.dead || !knows {
		return
	}
	r.hears(p, o.Stamp)
	if slices.Contains(r.members, s) {
		return
	}
	r.across.stamps[s] = o.Stamp
	at, _ := slices.BinarySearchFunc(r.members, s, func(a, b *member) int {
		if r.before(a, b) {
			return -1
		}
		return 1
	})
	r.members = slices.Insert(r.members, at, s)
	s.enterRoom(r)
	r.touch()
	for i, l := range r.members {
		if l.node != nil {
			continue
		}
		news := s.describe(wire.Begin("peer-joined", 160).Text("room", r.name).Text("peer", s.id)).Bool("polite", i > at)
		if away := s.away.Load(); away {
			news = news.Bool("away", away)
		}
		if l.ref == m.For && m.First != nil {
			news = news.Raw("first", m.First)
		}
		l.push(news)
	}
	r.noted(s, d.hub.now())
}

// leftThere is told that a member on another node has left a room.
func (d *directory) leftThere(s *member, r *room, reason string) {
	d.hub.changed(d.goneThere(s, r, reason)...)
}

// goneThere is leftThere that reports who has lost whom to relay to.
func (d *directory) goneThere(s *member, r *room, reason string) (ids []string) {
	if reason == "lost" {
		reason = d.whyLost(s, r.name)
	}
	r.mu.Lock()
	ids = []string{s.id}
	if i := slices.Index(r.members, s); i >= 0 {
		r.members = slices.Delete(r.members, i, i+1)
		r.touch()
		delete(r.across.stamps, s)
		s.exitRoom(r)
		b := wire.Begin("peer-left", 96).Text("room", r.name).Text("peer", s.id).Text("reason", reason)
		for _, l := range r.members {
			ids = append(ids, l.id)
			l.push(b)
		}
		if len(r.members) < 2 {
			r.account.end(reason, d.hub.now())
			r.account = nil
		}
	}
	r.mu.Unlock()
	return ids
}

// dropPart is told that a node has nobody in a room any more, or cannot be heard.
func (d *directory) dropPart(r *room, p *peer) {
	r.mu.Lock()
	delete(r.across.parts, p)
	r.mu.Unlock()
	for s := range r.of(p) {
		d.leftThere(s, r, "lost")
	}
}

// forgets is told that a node can be heard no more.
func (r *room) forgets(p *peer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.across.heard, p)
}

// empty is told that a room has nobody of this node any more: it is over here. room.mu is
// held.
func (r *room) empty(reason string) {
	r.account.end(reason, r.d.hub.now())
	r.account = nil
	for _, s := range r.members {
		s.exitRoom(r)
	}
	r.members = nil
	r.tellParts(kindUnpart, partFrame{Room: r.name})
	r.across.parts, r.across.heard = nil, nil
	r.d.hub.timers.Stop(&r.across.late)
	if home := r.across.home; home != "" {
		if p := r.d.nodes.get(home); p != nil {
			p.say(kindUnmeet, partFrame{Room: r.name})
		}
	}
}

// announce tells the other nodes of a room of somebody who has joined it here, with the
// signaling data for the one that is longest there. room.mu is held.
func (r *room) announce(s, first *member, data []byte) {
	for p := range r.across.parts {
		m := partFrame{Room: r.name, Person: s.person(r.across.stamps[s])}
		if first != nil && first.node == p {
			m.First, m.For = data, first.there
		}
		p.say(kindJoin, m)
	}
}

// tellNodes tells the nodes that know a session something of it.
func (d *directory) tellNodes(s *member, kind byte, m partFrame) {
	if d.nodes == nil {
		return
	}
	told := make(map[*peer]bool)
	tell := func(p *peer) {
		if p != nil && !told[p] {
			told[p] = true
			p.say(kind, m)
		}
	}
	for _, r := range s.roomList() {
		r.mu.RLock()
		for p := range r.across.parts {
			tell(p)
		}
		r.mu.RUnlock()
	}
	for _, c := range s.callList() {
		tell(c.other(s).node)
	}
	d.mu.Lock()
	defer d.unlock()
	if u := d.users[s.user]; u != nil && s.user != "" {
		for p := range u.across.told {
			tell(p)
		}
	}
}

// goes tells other nodes that a session which is being sent away is in its rooms and calls no
// more: what they have sent to it may reach nobody. Here it is in them until it ends.
func (d *directory) goes(s *member) {
	if d.nodes == nil {
		return
	}
	for _, r := range s.roomList() {
		r.mu.RLock()
		r.tellParts(kindLeave, r.goesFrom(s))
		r.mu.RUnlock()
	}
	for _, c := range s.callList() {
		switch o := c.other(s); {
		case o.node == nil:
		case c.owner == nil:
			o.node.say(kindCall, callFrame{Op: opEnded, Call: c.id, Ref: o.there, Reason: "lost", Goes: true})
		default:
			c.owner.say(kindCall, callFrame{Op: opGone, Call: c.id, Reason: "lost", Goes: true})
		}
	}
}

func (r *room) goesFrom(s *member) partFrame {
	return partFrame{Room: r.name, Ref: s.ref, Reason: "lost", Goes: true}
}

// own returns the sessions of this node.
func (d *directory) own() []*member {
	return slices.DeleteFunc(d.members.All(), func(s *member) bool { return s.node != nil })
}

// own reports whether a room has somebody of this node. room.mu is held.
func (r *room) own() bool {
	return slices.ContainsFunc(r.members, func(s *member) bool { return s.node == nil })
}

// ours returns the members of a room that are on this node. room.mu is held.
func (r *room) ours() []*member {
	return slices.DeleteFunc(slices.Clone(r.members), func(s *member) bool { return s.node != nil })
}
