package signaling

import (
	"cmp"
	"encoding/binary"
	"maps"
	"slices"
	"time"

	"turnhub/signaling/internal/delivery"
	"turnhub/signaling/internal/timers"
	"turnhub/signaling/internal/wire"
)

// takeOver goes on with the sessions of a dead node, by their image: they wait for their
// clients as if those had just lost their sockets.
func (h *Hub) takeOver(node string, m *image) {
	d := h.directory
	origin, old := originOf(node, m.run), d.orphaned(node, m.run)
	moved := make(map[string]*member)
	byRef := make(map[delivery.Ref]*member)
	stays := make(map[delivery.Ref]*stayImage)
	here := make(map[*member]*member) // who was known here, as one of the dead node
	frame := movedFrame{From: node, Run: m.run}
	outs := d.outsOf(m)
	rooms := make(map[string]map[string]uint64) // of each session, with its place
	for _, r := range m.rooms {
		for _, o := range r.People {
			if o.Node != "" || o.out != "" {
				continue
			}
			if rooms[o.ID] == nil {
				rooms[o.ID] = make(map[string]uint64)
			}
			rooms[o.ID][r.Name] = o.Stamp
		}
	}
	for _, i := range m.sessions { // before anybody has moved: those have been told
		if known := d.members.Get(i.id); i.goesOn() && known != nil && known.node != nil {
			d.leftElsewhere(known, rooms[i.id])
		}
	}
	for _, ref := range slices.Sorted(maps.Keys(m.sessions)) {
		i := m.sessions[ref]
		if !i.goesOn() {
			continue
		}
		known, stay := d.members.Get(i.id), i.stay()
		s := d.adopt(node, i, &stay, origin)
		if s == nil {
			continue
		}
		moved[s.id], byRef[ref], stays[ref] = s, s, &stay
		frame.People = append(frame.People, movedPerson{ID: s.id, Ref: s.ref, Rooms: rooms[s.id]})
		if known != nil && known != s { // here, as one of a dead node
			d.replace(known, s)
			here[known] = s
		}
	}
	rings := d.takeCalls(m, byRef, here)
	d.keepMove(frame)
	asks := d.takeAsks(old)
	for _, name := range slices.Sorted(maps.Keys(m.rooms)) {
		d.takeRoom(m.rooms[name], moved)
	}
	d.hub.changed(d.takeHostings(m, byRef, here, outs, origin)...)
	d.takeLobbies(m, byRef)
	d.handAll(nil, origin)
	for _, p := range old {
		d.scatter(p)
	}
	names := make(map[string][]*member)
	claims := make(map[string]claim)
	for _, ref := range slices.Sorted(maps.Keys(byRef)) {
		s, i := byRef[ref], stays[ref]
		if secret, ok := digestOf(i.Secret); ok && s.user != "" {
			names[s.user], claims[s.user] = append(names[s.user], s), claim{secret, i.Claimed}
		}
	}
	for _, user := range slices.Sorted(maps.Keys(names)) {
		d.reclaim(user, claims[user], names[user])
	}
	for _, ref := range slices.Sorted(maps.Keys(byRef)) {
		d.rewatch(byRef[ref], stays[ref])
	}
	d.ringOn(rings, asks)
	h.log.Info("the sessions of a node that is gone go on here", "node", node, "sessions", len(moved), "of", len(m.sessions))
}

// adopt opens a session that was another node's; nil: it cannot go on.
func (d *directory) adopt(from string, i *sessionImage, s *stayImage, origin string) *member {
	ref, ok := d.hub.node.Adopt(from, s.Stay, i.kept, s.Away)
	if !ok {
		return nil
	}
	moved := &member{
		d: d, ref: ref, id: s.Stay.ID, name: s.Name, user: s.Stay.User, inviters: s.Inviters, opener: s.Stay.Opener,
		since: d.hub.now(), allowed: s.Stay.Rooms, hosts: s.Stay.Host, origin: origin,
	}
	if s.Stay.Seen.IsValid() {
		moved.addr.Store(&s.Stay.Seen)
	}
	moved.away.Store(s.Away)
	moved.hadOf = i.hadOf
	d.byRef.Set(uint64(ref), moved)
	d.members.Put(moved.id, moved)
	d.hub.second.opened(ref)
	return moved
}

// takeRoom puts those who have moved into their room, where they are not there yet, and
// tells everybody what has changed for them.
func (d *directory) takeRoom(i *roomImage, moved map[string]*member) {
	known := make(map[string]uint64) // to those who have moved: the places of all
	any := false
	for _, o := range i.People {
		known[o.ID] = o.Stamp
		any = any || o.Node == "" && o.out == "" && moved[o.ID] != nil
	}
	if !any {
		return
	}
	first := false
	r := d.rooms.GetOrPut(i.Name, func() *room { first = true; return &room{d: d, name: i.Name, since: d.hub.now()} })
	r.mu.Lock()
	if r.across.stamps == nil {
		r.across.stamps = make(map[*member]uint64)
	}
	var own, others, came []*member // moved; those of this node; not known here
	in := make(map[string]bool)
	for _, s := range r.members {
		in[s.id] = true
		if s.node == nil && moved[s.id] != s {
			others = append(others, s)
		}
	}
	for _, o := range i.People {
		s := moved[o.ID]
		switch {
		case o.out != "":
		case o.Node == "" && s != nil:
			own = append(own, s)
			if !in[s.id] {
				r.insert(s, o.Stamp)
				came = append(came, s)
			}
		case o.Node != "" && !in[o.ID]:
			if q := d.nodes.get(o.Node); q != nil && q.run == o.Run && o.Stamp > r.across.heard[q] { // else it has left
				if s := q.admit(&o.person); s != nil {
					r.insert(s, o.Stamp)
					came = append(came, s)
					s.release()
				}
			}
		}
	}
	news := func(to, about *member) {
		at, i := slices.Index(r.members, about), slices.Index(r.members, to)
		b := about.describe(wire.Begin("peer-joined", 160).Text("room", r.name).Text("peer", about.id)).Bool("polite", i > at)
		if away := about.away.Load(); away {
			b = b.Bool("away", away)
		}
		to.push(b)
	}
	for _, s := range came {
		for _, to := range others {
			news(to, s)
		}
	}
	now := make(map[string]uint64)
	for _, o := range r.members {
		now[o.id] = r.across.stamps[o]
	}
	for _, s := range own {
		for _, o := range i.People {
			if at, is := now[o.ID]; !is || at != o.Stamp {
				s.push(wire.Begin("peer-left", 96).Text("room", r.name).Text("peer", o.ID).Text("reason", cmp.Or(o.out, "lost")))
			}
		}
		for _, o := range r.members {
			if at, is := known[o.id]; !is || at != r.across.stamps[o] {
				news(s, o)
			}
		}
	}
	for q := range r.across.parts {
		for _, s := range own {
			q.say(kindJoin, partFrame{Room: r.name, Person: s.person(r.across.stamps[s])})
		}
	}
	for _, s := range own {
		r.noted(s, d.hub.now())
	}
	r.mu.Unlock()
	r.touch()
	with := slices.Clone(i.Parts)
	for _, o := range i.People {
		with = append(with, o.Node)
	}
	for _, name := range with {
		if q := d.nodes.get(name); q != nil {
			r.share(q)
		}
	}
	if first {
		d.opened(r.name)
		for _, q := range d.nodes.whoMet(r.name) {
			r.share(q)
		}
	}
}

// insert puts a member at its place. room.mu is held.
func (r *room) insert(s *member, stamp uint64) {
	r.across.stamps[s] = stamp
	if s.node == nil {
		r.across.last = max(r.across.last, stamp)
	}
	at, _ := slices.BinarySearchFunc(r.members, s, func(a, b *member) int {
		if r.before(a, b) {
			return -1
		}
		return 1
	})
	r.members = slices.Insert(r.members, at, s)
	s.enterRoom(r)
}

// rewatch watches whom a session that has moved has watched.
func (d *directory) rewatch(s *member, i *stayImage) {
	d.mu.Lock()
	defer d.unlock()
	for _, name := range i.Subs {
		u := d.user(name)
		if len(u.watchers) >= maxWatchers {
			continue
		}
		if u.watchers == nil {
			u.watchers = make(map[*member]struct{})
		}
		if s.subs == nil {
			s.subs = make(map[string]struct{})
		}
		u.watchers[s] = struct{}{}
		s.subs[name] = struct{}{}
		u.across.untold = append(u.across.untold, s)
		d.show(u)
	}
}

// superseded is told that another node has this one's sessions: it was frozen, or cut off.
// They end here, without a word to anybody. It is called in a step.
func (h *Hub) superseded() {
	d := h.directory
	h.log.Error("another node has taken this one's sessions over meanwhile: it was frozen or cut off for too long. They end here")
	d.hush()
	for _, s := range d.own() {
		d.post.End(s.ref, "lost", wire.CloseRestart)
	}
	h.second.reset(newRun())
	for _, q := range d.nodes.all() {
		d.nodes.out.Void(q.name)
	}
}

// reset begins anew, without sessions.
func (x *second) reset(run string) {
	x.mu.Lock()
	x.run, x.state, x.shut, x.thawed, x.node = run, alone, false, false, ""
	x.asked++
	x.waiting, x.frames, x.bytes = nil, nil, 0
	x.changes = newChanges()
	clear(x.fresh)
	clear(x.hostly)
	x.mu.Unlock()
	x.h.node.Ungate(x.waitsFor)
}

// decide asks whether this node has the sessions of a dead one from now on, if it has their
// image.
func (h *Hub) decide(p *peer) {
	x := h.directory.nodes
	m := x.imageOf(p.name)
	switch {
	case m == nil:
	case p.run != "" && m.run != p.run: // it has not said so since it was lost last
		x.forgetImage(p.name)
	default:
		h.take(p.name, m)
	}
}

// take is decide for one that is dead for certain, or one of whose clients has come.
func (h *Hub) take(node string, m *image) {
	x := h.directory.nodes
	x.mu.Lock()
	asked := m.asked
	m.asked = true
	x.mu.Unlock()
	if asked {
		return
	}
	h.second.ask.Take(node, m.run, m.number, func(ok, lives bool) {
		h.enter()
		defer h.leave()
		if x.imageBy(node, m.run) != m {
			return
		}
		if lives { // it may be asked once more
			x.mu.Lock()
			m.asked = false
			x.mu.Unlock()
			return
		}
		x.dropImage(node, m)
		if ok && !h.node.Draining() {
			h.takeOver(node, m)
		}
	})
}

// imageFor is for how long the image of a dead node is kept: its clients do not come later.
const imageFor = 2 * time.Minute

// imageEnds forgets the image of a node that is lost after a while, if it is lost still.
func (h *Hub) imageEnds(node string) {
	x := h.directory.nodes
	if m := x.imageOf(node); m != nil {
		h.timers.Set(&timers.Timer{Fire: func(time.Time) {
			if x.imageOf(node) == m && x.get(node) == nil {
				x.forgetImage(node)
			}
		}}, h.now().Add(imageFor))
	}
}

// CutOff says that this node has been without the others for so long that they may have gone
// on without it: the images that it has of their sessions are worth nothing any more.
func (h *Hub) CutOff() {
	if h.second == nil {
		return
	}
	h.enter()
	defer h.leave()
	x := h.directory.nodes
	x.mu.Lock()
	clear(x.images)
	x.before = nil
	x.mu.Unlock()
	for _, p := range x.all() {
		if p.building != nil {
			p.decline()
		}
	}
}

// decline tells a node that there is no image of its sessions here any more. It is called in
// a step.
func (p *peer) decline() {
	b := binary.AppendUvarint([]byte{kindDecline}, p.building.number)
	p.building = nil
	p.x.forgetImage(p.name)
	p.x.d.hub.second.out.Send(p.name, p.generation, b)
}

// all returns the nodes to which there is a stream.
func (x *nodes) all() (list []*peer) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(x.by)) {
		list = append(list, x.by[name])
	}
	return list
}
