package signaling

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"turnhub/signaling/internal/delivery"
	"turnhub/signaling/internal/wire"
)

// takeOver goes on with the sessions of a dead node, by their image: they wait for their
// clients as if those had just lost their sockets.
func (h *Hub) takeOver(node string, m *image) {
	d := h.directory
	origin, old := originOf(node, m.run), d.orphaned(node, m.run)
	moved := make(map[string]*member)
	byRef := make(map[delivery.Ref]*member)
	var people []movedPerson
	rooms := make(map[string][]string) // of each session
	for _, r := range m.rooms {
		for _, o := range r.People {
			if o.Node == "" {
				rooms[o.ID] = append(rooms[o.ID], r.Name)
			}
		}
	}
	for _, ref := range slices.Sorted(maps.Keys(m.sessions)) {
		i := m.sessions[ref]
		if !i.plain {
			continue
		}
		s := d.adopt(node, i, origin)
		if s == nil {
			continue
		}
		moved[s.id], byRef[ref] = s, s
		people = append(people, movedPerson{s.id, s.ref, rooms[s.id]})
	}
	frame := movedFrame{From: node, Run: m.run, People: people}
	for _, q := range d.nodes.all() {
		frame.Heard = m.heard[q.name]
		q.say(kindMoved, frame)
		if q.awaits == nil {
			q.awaits = make(map[string]bool)
		}
		q.awaits[origin] = true
	}
	// What others have said to them here, and who of them was known here.
	for _, p := range old {
		for _, s := range p.all() {
			if n := moved[s.id]; n != nil {
				d.replace(s, n, rooms[s.id])
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.rooms)) {
		d.takeRoom(m.rooms[name], moved)
	}
	frame.Heard = m.heard[d.nodes.self]
	for _, p := range old {
		d.handOn(p, nil, &frame)
		d.scatter(p)
	}
	for _, id := range slices.Sorted(maps.Keys(m.calls)) {
		for _, ref := range m.calls[id].Refs {
			if s := byRef[ref]; s != nil {
				s.push(ended(id, "lost", ""))
			}
		}
	}
	for _, ref := range slices.Sorted(maps.Keys(byRef)) {
		d.reenter(byRef[ref], &m.sessions[ref].stayImage)
	}
	h.log.Info("the sessions of a node that is gone go on here", "node", node, "sessions", len(moved), "of", len(m.sessions))
}

// adopt opens a session that was another node's; nil: it cannot go on.
func (d *directory) adopt(from string, i *sessionImage, origin string) *member {
	ref, ok := d.hub.node.Adopt(from, i.Stay, i.kept, i.Away)
	if !ok {
		return nil
	}
	s := &member{
		d: d, ref: ref, id: i.Stay.ID, name: i.Name, user: i.Stay.User, inviters: i.Inviters, opener: i.Stay.Opener,
		since: d.hub.now(), allowed: i.Stay.Rooms, hosts: i.Stay.Host, origin: origin,
	}
	if i.Stay.Seen.IsValid() {
		s.addr.Store(&i.Stay.Seen)
	}
	s.away.Store(i.Away)
	if old := d.members.Get(s.id); old != nil {
		s.taken = old.taken
	} else {
		d.nodes.mu.Lock()
		s.taken = d.nodes.taken.get(s.id)
		d.nodes.mu.Unlock()
	}
	d.byRef.Set(uint64(ref), s)
	d.members.Put(s.id, s)
	d.hub.second.opened(ref)
	return s
}

// takeRoom puts those who have moved into their room, where they are not there yet, and
// tells everybody what has changed for them.
func (d *directory) takeRoom(i *roomImage, moved map[string]*member) {
	known := make(map[string]bool) // to those who have moved
	any := false
	for _, o := range i.People {
		known[o.ID] = true
		any = any || o.Node == "" && moved[o.ID] != nil
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
	var own, others, came []*member // moved; those of this node; moved and not known here
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
		case o.Node == "" && s != nil:
			own = append(own, s)
			if !in[s.id] {
				r.insert(s, o.Stamp)
				came = append(came, s)
			}
		case o.Node != "" && first && !in[o.ID]:
			if q := d.nodes.get(o.Node); q != nil {
				if s := q.admit(&o.person); s != nil {
					r.insert(s, o.Stamp)
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
	now := make(map[string]bool)
	for _, o := range r.members {
		now[o.id] = true
	}
	for _, s := range own {
		for _, o := range i.People {
			if !now[o.ID] {
				s.push(wire.Begin("peer-left", 96).Text("room", r.name).Text("peer", o.ID).Text("reason", "lost"))
			}
		}
		for _, o := range r.members {
			if !known[o.id] {
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
	at, _ := slices.BinarySearchFunc(r.members, s, func(a, b *member) int {
		if r.before(a, b) {
			return -1
		}
		return 1
	})
	r.members = slices.Insert(r.members, at, s)
	s.enterRoom(r)
}

// reenter claims the name of a session that has moved, and watches whom it has watched.
func (d *directory) reenter(s *member, i *stayImage) {
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
		s.push(presence(nil, []string{name}, func(string) string { return u.presence() }))
	}
	secret, ok := digestOf(i.Secret)
	if s.user == "" || !ok {
		return
	}
	u := d.users[s.user]
	if u != nil && len(u.own()) > 0 && u.secret != secret {
		return // it is nobody of that name any more
	}
	u = d.user(s.user)
	u.secret = secret
	d.claimed(u, s)
}

// superseded is told that another node has this one's sessions: it was frozen, or cut off.
// They end here, without a word to anybody. It is called in a step.
func (h *Hub) superseded() {
	d := h.directory
	h.log.Error("another node has taken this one's sessions over meanwhile: it was frozen or cut off for too long. They end here")
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
	x.run, x.state, x.shut, x.began = run, alone, false, x.h.now()
	x.waiting, x.frames, x.bytes = nil, nil, 0
	x.clear()
	clear(x.fresh)
	x.mu.Unlock()
	x.h.node.Ungate()
}

// decide asks whether this node has the sessions of a dead one from now on, if it has their
// image.
func (h *Hub) decide(p *peer) {
	x := h.directory.nodes
	m := x.imageOf(p.name)
	if m == nil {
		return
	}
	if p.run == "" {
		p.run = m.run // it has not said so since it was lost last
	}
	if m.run != p.run {
		x.forgetImage(p.name)
		return
	}
	h.take(p.name, m)
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
	h.second.ask.Take(node, m.run, m.number, func(ok bool) {
		h.enter()
		defer h.leave()
		now := x.imageOf(node)
		if now == nil || now.run != m.run || now.number != m.number {
			return
		}
		x.forgetImage(node)
		if ok && !h.node.Draining() {
			h.takeOver(node, now)
		}
	})
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

// all returns the members of a node that are known.
func (p *peer) all() (list []*member) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.members {
		list = append(list, s)
	}
	return list
}

// takeFor has a client's coming decide what silence does not: that a node is dead to it.
func (h *Hub) takeFor(node, session, token string) {
	x := h.directory.nodes
	if x.get(node) != nil {
		return
	}
	m := x.imageOf(node)
	if m == nil {
		return
	}
	s := m.sessions[m.refs[session]]
	if s != nil && s.Stay.OwnedBy(token) {
		h.take(node, m)
	}
}

// resumeWait is for how long a client is sent on to the next node before it gets a fresh
// session.
const resumeWait = 2 * time.Second

// wanted are sessions that clients have asked for here. The zero value is ready.
type wanted struct {
	mu sync.Mutex
	m  map[string]*asking
}

// asking is how a client has asked for its session.
type asking struct {
	first, last time.Time
	again       int // how often it has begun anew
}

const (
	// mostWanted bounds how many are remembered, askAgain how often one may begin anew: after
	// a pause in which it was somewhere else.
	mostWanted = 4096
	askAgain   = 4
)

// waits reports whether a client should ask for its session once more.
func (w *wanted) waits(session string, now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	a := w.m[session]
	if a == nil {
		if w.m == nil {
			w.m = make(map[string]*asking)
		}
		if len(w.m) >= mostWanted {
			maps.DeleteFunc(w.m, func(_ string, a *asking) bool { return now.Sub(a.last) > time.Minute })
		}
		if len(w.m) >= mostWanted {
			return false
		}
		w.m[session] = &asking{first: now, last: now}
		return true
	}
	pause := now.Sub(a.last)
	a.last = now
	switch {
	case pause > time.Minute:
		a.first, a.again = now, 0
	case now.Sub(a.first) >= resumeWait && pause > resumeWait/4 && a.again < askAgain:
		a.first = now
		a.again++
	}
	return now.Sub(a.first) < resumeWait
}

// elsewhere reports whether a session that is not here may be on another node, or may be
// here once this one knows that the other is dead.
func (h *Hub) elsewhere(session, token string) bool {
	node, _, ok := strings.Cut(token, ".")
	if !ok || len(session) > 64 {
		return false
	}
	x := h.directory.nodes
	now := h.now()
	if node != x.self {
		h.takeFor(node, session, token)
		switch x.out.Suspect(node) {
		case NodeLives, NodeLeaves:
			return false
		}
	} else if now.Sub(h.second.since()) > 2*resumeWait {
		return false // it has ended here
	}
	return h.wanted.waits(session, now)
}
