package signaling

import (
	"bytes"
	"slices"
	"time"

	"turnhub/signaling/internal/delivery"
	"turnhub/signaling/internal/timers"
	"turnhub/signaling/internal/wire"
)

// A node that dies leaves its people behind: they stay in their rooms, and what is said to
// them waits, until its second says that it has them (kindMoved), or for a while (patienceFor). So
// do those of a node to which a stream begins anew, or that was frozen, until it says which
// process it is: if it is the same one they are there again (returns).

const (
	// movedWait is how long the second of a dead node has to go on with its sessions.
	movedWait = 2 * time.Second
	// silentWait is that where the process may live: then the first client that comes decides.
	// Those who are with others see within 3 s that their node is silent, on a narrow line
	// within 11 s; for the nodes it has been so for 4 s already.
	silentWait = 10 * time.Second
)

// patienceFor is for how long the people of a node that is lost are waited for. A stream that
// is given up is so as nothing is heard of the node: it may be silent, and counts as gone later.
func patienceFor(how Loss) time.Duration {
	if how == Ended {
		return movedWait
	}
	return silentWait
}

// deafWait is for how long the people of a dead node are waited for where this one hears nothing
// of the others, and deafLook how often it looks.
const (
	deafWait = 75 * time.Second
	deafLook = 250 * time.Millisecond
)

// movedFrame is of kindMoved.
type movedFrame struct {
	From   string        `json:"from"`
	Run    string        `json:"run"` // the process whose sessions they were
	People []movedPerson `json:"people,omitempty"`
	More   bool          `json:"more,omitempty"` // another one follows
}

type movedPerson struct {
	ID  string       `json:"id"`
	Ref delivery.Ref `json:"ref"`
	// Rooms are those in which it is, and its place there; in others, or at another place, it
	// was, and has left without a word to here.
	Rooms map[string]uint64 `json:"rooms,omitempty"`
	// Calls are its accepted calls with sessions of the node that is told: these.
	Calls map[string]string `json:"calls,omitempty"`
	// Rings are calls of that node which ring it.
	Rings []string `json:"rings,omitempty"`
}

// move is that sessions have moved here, which is told again where a stream has begun anew
// since: what was on its way is void.
type move struct {
	at     time.Time
	frames []movedFrame
	handed map[string]bool // the processes that have answered with kindHanded
}

const (
	// movedAtOnce is how many people are in a frame.
	movedAtOnce = 500
	// mostMoves and movesFor bound what is told again.
	mostMoves = 16
	movesFor  = 5 * movedWait
)

// keepMove tells all nodes that sessions have moved here.
func (d *directory) keepMove(m movedFrame) {
	x := d.nodes
	people := m.People
	var frames []movedFrame
	for first := true; first || len(people) > 0; first = false {
		n := min(len(people), movedAtOnce)
		m.People, people = people[:n], people[n:]
		m.More = len(people) > 0
		frames = append(frames, m)
	}
	v := move{d.hub.now(), frames, make(map[string]bool)}
	x.moves = append(x.moves, v)
	x.moves = x.moves[max(0, len(x.moves)-mostMoves):]
	for _, p := range x.all() {
		p.tellMove(v)
	}
}

// tellMoves tells a node of those that have moved here a short while ago.
func (d *directory) tellMoves(p *peer) {
	x := d.nodes
	x.moves = slices.DeleteFunc(x.moves, func(m move) bool { return d.hub.now().Sub(m.at) > movesFor })
	for _, m := range x.moves {
		p.tellMove(m)
	}
}

// tellMove tells a node. Until it has said again what waited for them, what it says else is
// not for them: it would come too early.
func (p *peer) tellMove(v move) {
	if p.greeted && p.run == "" {
		return // an older version, which knows nothing of this
	}
	for _, m := range v.frames {
		m.People = slices.Clone(m.People)
		for i := range m.People {
			if s := p.x.d.member(m.People[i].Ref); s != nil {
				m.People[i].Calls, m.People[i].Rings = s.callsWith(p), s.rungBy(p)
			}
		}
		p.say(kindMoved, m)
	}
	p.tellRings(v.frames)
	if p.awaits == nil {
		p.awaits = make(map[string]move)
	}
	p.awaits[originOf(v.frames[0].From, v.frames[0].Run)] = v
}

// orphans keeps the people of a node that is lost for a while.
func (d *directory) orphans(p *peer, how Loss) {
	x := d.nodes
	x.mu.Lock()
	x.orphans = append(x.orphans, p)
	x.mu.Unlock()
	p.since = d.hub.now()
	p.late = &timers.Timer{}
	p.late.Fire = func(now time.Time) {
		if now.Sub(p.since) < deafWait && x.out.Deaf() { // somebody may have gone on with them
			d.hub.timers.Set(p.late, now.Add(deafLook))
			return
		}
		d.scatter(p)
	}
	d.hub.timers.Set(p.late, p.since.Add(patienceFor(how)))
}

// lostAgain is told that a node is lost before it has said which process it is: its people are
// waited for as long as if it had.
func (d *directory) lostAgain(node string, how Loss) {
	x, now := d.nodes, d.hub.now()
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, o := range x.orphans {
		if o.name != node || now.Sub(o.since) > deafWait {
			continue
		}
		d.hub.timers.Set(o.late, now.Add(patienceFor(how)))
		if how != Void {
			d.hub.wanted.loses(processOf(o.name, o.run), how, now)
		}
	}
}

// scatter gives up the people of a dead node who are there still, and what was said to them.
func (d *directory) scatter(p *peer) {
	x := d.nodes
	x.mu.Lock()
	x.orphans = slices.DeleteFunc(x.orphans, func(o *peer) bool { return o == p })
	x.mu.Unlock()
	if p.late != nil {
		d.hub.timers.Stop(p.late)
	}
	for _, r := range d.rooms.All() {
		d.dropPart(r, p)
	}
	d.callsScattered(p)
	d.asksLost(p, false)
	p.mu.Lock()
	left := p.pending
	p.pending, p.orphan, p.over, p.how = nil, false, true, Silent
	p.mu.Unlock()
	d.hostingsScattered(p)
	for _, o := range left { // somebody may go on with them later all the same
		d.settled(o.wait, o.wait.fate(Silent))
	}
}

// orphaned returns the peers that were a process of a node, which counts as dead from now on.
func (d *directory) orphaned(node, run string) (list []*peer) {
	x := d.nodes
	if of := originOf(node, run); !slices.Contains(x.taken, of) {
		x.taken = append(x.taken[max(0, len(x.taken)-mostLost+1):], of)
	}
	if alive := x.get(node); alive != nil && alive.run == run { // not missed here yet, or it was frozen
		d.hub.lose(node, Silent)
		x.out.Void(node)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, o := range x.orphans {
		if o.name == node && o.run == run {
			list = append(list, o)
		}
	}
	return list
}

// movedFrom is told that another node goes on with the sessions of a dead one, which may have
// been those of yet another one before.
func (d *directory) movedFrom(q *peer, m *movedFrame) {
	if m.From == q.name || m.From == d.nodes.self { // of a process that was before: nobody waits for its people
		for i := range m.People {
			d.callsMoved(q, &m.People[i])
		}
		q.say(kindHanded, movedFrame{From: m.From, Run: m.Run})
		return
	}
	old := d.orphaned(m.From, m.Run)
	for _, o := range m.People {
		s := d.members.Get(o.ID)
		if s == nil || s.node == nil || !s.node.waits() {
			continue // it is new to this node, or here
		}
		d.leftElsewhere(s, o.Rooms)
		d.becomes(s, q, o.Ref)
	}
	d.movedHostings(q, m)
	for i := range m.People {
		d.callsMoved(q, &m.People[i])
	}
	if m.More {
		return
	}
	d.handAll(q, originOf(m.From, m.Run))
	for _, p := range old {
		d.scatter(p)
	}
	q.say(kindHanded, movedFrame{From: m.From, Run: m.Run})
}

// waits reports whether a node is dead and its people are waited for.
func (p *peer) waits() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.orphan
}

// has reports whether people known of a peer are p's: so are, until it is known which process p is,
// those who were its node's before, for they may be still.
func (p *peer) has(o *peer) bool {
	return o == p || o != nil && p.run == "" && o.name == p.name && o.waits()
}

// handedFrom is told that a node has said again what waited for those who have moved here:
// what it says from now on is for them too.
func (p *peer) handedFrom(m *movedFrame) {
	of := originOf(m.From, m.Run)
	if v, is := p.awaits[of]; is {
		v.handed[originOf(p.name, p.run)] = true
		delete(p.awaits, of)
	}
}

// hasHanded is told which process a node is: what it has handed is here, whatever the stream.
func (p *peer) hasHanded() {
	for of, v := range p.awaits {
		if v.handed[originOf(p.name, p.run)] {
			delete(p.awaits, of)
		}
	}
}

// leftElsewhere takes a member of a dead node out of the rooms that its session has left, or
// left and come to again: then others have another place for it than its own client.
func (d *directory) leftElsewhere(s *member, in map[string]uint64) {
	for _, r := range slices.Clone(s.roomList()) {
		r.mu.RLock()
		stamp, is := in[r.name]
		same := is && stamp == r.across.stamps[s]
		r.mu.RUnlock()
		if !same {
			d.leftThere(s, r, "lost")
		}
	}
}

// whyLost is why somebody is in a room no more of whom another node does not say so.
func (d *directory) whyLost(s *member, room string) string {
	if isHosted(room) {
		d.hostings.mu.Lock()
		defer d.hostings.mu.Unlock()
		if h := d.hostings.m[room]; h != nil && h.isMarked(s.id, s.user) {
			return "removed"
		}
	}
	return "lost"
}

// replace puts a member in another one's place in rooms, where it is the same session.
func (d *directory) replace(s, n *member) (rooms []*room) {
	for _, r := range slices.Clone(s.roomList()) {
		r.mu.Lock()
		if i := slices.Index(r.members, s); i >= 0 {
			r.members[i] = n
			r.across.stamps[n] = r.across.stamps[s]
			delete(r.across.stamps, s)
			n.enterRoom(r)
			s.exitRoom(r)
		}
		r.mu.Unlock()
		r.touch()
		rooms = append(rooms, r)
	}
	return rooms
}

// handAll says again what waits for the people of dead nodes, to the node on which some of
// them have come back; nil: this one. Whoever has had it takes no notice.
func (d *directory) handAll(q *peer, origin string) {
	x := d.nodes
	x.mu.Lock()
	all := slices.Clone(x.orphans)
	x.mu.Unlock()
	for _, p := range all {
		p.mu.Lock()
		left, nobody := p.pending, len(p.members) == 0
		p.pending = nil
		p.mu.Unlock()
		gone := originOf(p.name, p.run) == origin || nobody
		for _, o := range left {
			to := d.members.Get(o.wait.to)
			switch {
			case o.room == "" && to != nil && to.node == q:
				d.oneOn(q, to, o)
			case o.room != "" && gone:
				d.allOn(q, o)
			case gone:
				d.settled(o.wait, o.wait.gone())
			default: // its people are somewhere else
				p.mu.Lock()
				p.pending = append(p.pending, o)
				p.mu.Unlock()
			}
		}
	}
}

// oneOn says a message again to a session that has moved.
func (d *directory) oneOn(q *peer, to *member, o pending) {
	s := d.member(o.wait.by)
	switch {
	case o.seq == 0: // nobody could tell whether it has come
		d.settled(o.wait, perhaps())
	case q != nil:
		q.send(o.wait, pending{seq: o.seq, to: to.there, text: o.text})
	case s != nil && s.reaches(to) && !d.oneTo(to, s, o.seq, o.text, 0):
		d.settled(o.wait, notYetThere)
	default:
		d.settled(o.wait, nil)
	}
}

// allOn says a message again to those of a room who have moved.
func (d *directory) allOn(q *peer, o pending) {
	switch {
	case o.seq == 0:
		d.settled(o.wait, perhaps())
	case q == nil:
		if s := d.member(o.wait.by); s != nil {
			if r := s.inRoom(o.room); r != nil {
				d.tellMoved(r, s, o.seq, o.text)
			}
		}
		d.settled(o.wait, nil)
	default:
		q.send(o.wait, pending{seq: o.seq, text: o.text, room: o.room, rest: true})
	}
}

// restFrom takes what is said again to those of a room who have moved here.
func (d *directory) restFrom(p *peer, f []byte) bool {
	number, ok1 := uvarint(&f)
	cause, ok2 := uvarint(&f)
	seq, ok3 := uvarint(&f)
	room, ok4 := text(&f)
	if !ok1 || !ok2 || !ok3 || !ok4 || !valid(f) {
		return false
	}
	p.heard = number
	if from := p.member(delivery.Ref(cause)); from != nil {
		if r := from.inRoom(room); r != nil {
			d.tellMoved(r, from, seq, bytes.Clone(f))
		}
	}
	return true
}

// text takes a text behind its length off a frame.
func text(f *[]byte) (s string, ok bool) {
	size, ok := uvarint(f)
	if !ok || size > uint64(len(*f)) {
		return "", false
	}
	s, *f = string((*f)[:size]), (*f)[size:]
	return s, true
}

// tellMoved sends a message to those of a room here who have moved, and have not had it.
func (d *directory) tellMoved(r *room, from *member, seq uint64, b wire.Object) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, s := range r.members {
		if s.node == nil && s.origin != "" && s != from {
			if again, _ := s.has(from, seq); !again {
				d.post.Send(s.ref, from.ref, b)
			}
		}
	}
}

func originOf(node, run string) string { return node + " " + run }

// touch says that a room has changed. It may be called under the room's lock.
func (r *room) touch() { r.d.hub.second.room(r.name) }
