package signaling

import (
	"encoding/binary"
	"slices"
	"time"

	"turnhub/signaling/internal/delivery"
	"turnhub/signaling/internal/timers"
	"turnhub/signaling/internal/wire"
)

// A node that dies leaves its people behind: they stay in their rooms, and what is said to
// them waits, until its second says that it has them (kindMoved), or for movedWait.

// movedWait is how long the second of a dead node has to go on with its sessions.
const movedWait = 2 * time.Second

// movedFrame is of kindMoved.
type movedFrame struct {
	From   string        `json:"from"`
	Run    string        `json:"run"` // the process whose sessions they were
	People []movedPerson `json:"people,omitempty"`
	Heard  heardImage    `json:"heard"` // of the node to which this goes
}

type movedPerson struct {
	ID  string       `json:"id"`
	Ref delivery.Ref `json:"ref"`
	// Rooms are those in which it is; in others it was, and has left without a word to here.
	Rooms []string `json:"rooms,omitempty"`
}

// orphans keeps the people of a dead node for a while.
func (d *directory) orphans(p *peer) {
	x := d.nodes
	x.mu.Lock()
	x.orphans = append(x.orphans, p)
	x.mu.Unlock()
	p.late = &timers.Timer{Fire: func(time.Time) { d.scatter(p) }}
	d.hub.timers.Set(p.late, d.hub.now().Add(movedWait))
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
	p.mu.Lock()
	left := p.pending
	p.pending, p.orphan = nil, false
	p.mu.Unlock()
	for _, o := range left {
		d.settled(o.wait, o.wait.lost)
	}
}

// orphaned returns the peers that were a process of a node, which counts as dead from now on.
func (d *directory) orphaned(node, run string) (list []*peer) {
	x := d.nodes
	if alive := x.get(node); alive != nil && alive.run == run { // not missed here yet, or it was frozen
		d.hub.lose(node, true)
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

// back is told which process a node is now: if it is one that was missed here, it has been
// frozen or cut off, and says anew who is there.
func (d *directory) back(p *peer) {
	x := d.nodes
	x.mu.Lock()
	var old []*peer
	for _, o := range x.orphans {
		if o.name == p.name && o.run == p.run {
			old = append(old, o)
		}
	}
	x.mu.Unlock()
	for _, o := range old {
		d.scatter(o)
	}
}

// movedFrom is told that another node goes on with the sessions of a dead one.
func (d *directory) movedFrom(q *peer, m *movedFrame) {
	old := d.orphaned(m.From, m.Run)
	for _, o := range m.People {
		s := d.members.Get(o.ID)
		if s == nil || !slices.Contains(old, s.node) {
			continue // it is new to this node
		}
		n := &member{
			d: d, node: q, there: o.Ref, ref: remote | delivery.Ref(d.nodes.next.Add(1)),
			id: s.id, name: s.name, user: s.user, opener: s.opener, since: s.since, taken: s.taken, uses: 1,
		}
		n.addr.Store(s.addr.Load())
		n.away.Store(s.away.Load())
		q.mu.Lock()
		q.members[o.Ref] = n
		q.mu.Unlock()
		d.members.Put(n.id, n)
		for _, r := range d.replace(s, n, o.Rooms) {
			r.share(q)
		}
		n.release()
	}
	for _, p := range old {
		d.handOn(p, q, m)
		d.scatter(p)
	}
	q.say(kindHanded, movedFrame{From: m.From, Run: m.Run})
}

// handedFrom is told that a node has said again what waited for those who have moved here:
// what it says from now on is for them too.
func (p *peer) handedFrom(m *movedFrame) { delete(p.awaits, originOf(m.From, m.Run)) }

// replace puts a member in another one's place in rooms, where it is the same session.
func (d *directory) replace(s, n *member, in []string) (rooms []*room) {
	for _, r := range s.roomList() {
		if slices.Contains(in, r.name) {
			rooms = append(rooms, r)
		}
	}
	for _, r := range rooms {
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
	}
	return rooms
}

// handOn says again what a dead node has not taken, to the one that goes on with its
// sessions; nil: this one.
func (d *directory) handOn(p, q *peer, m *movedFrame) {
	p.mu.Lock()
	left := p.pending
	p.pending = nil
	p.mu.Unlock()
	known := m.Heard.Generation == p.generation
	for _, o := range left {
		if known && o.number <= m.Heard.UpTo {
			var f *wire.Fault
			if slices.Contains(m.Heard.Refused, o.number) {
				f = notYetThere
			}
			d.settled(o.wait, f)
			continue
		}
		if o.room != "" {
			d.allOn(q, o, m)
		} else {
			d.oneOn(q, o)
		}
	}
}

// oneOn says a message again to a session that has moved.
func (d *directory) oneOn(q *peer, o pending) {
	to := d.members.Get(o.wait.to)
	switch {
	case to == nil || to.node != q:
		d.settled(o.wait, o.wait.lost)
	case q != nil:
		if !q.send(o.wait, oneFrame(o.wait.by, 0, to, o.text)) {
			d.settled(o.wait, o.wait.lost)
		}
	default:
		var f *wire.Fault
		if s := d.member(o.wait.by); s != nil && s.reaches(to) && !d.post.SendOnly(to.ref, s.ref, o.text, nil) {
			f = notYetThere
		}
		d.settled(o.wait, f)
	}
}

// allOn says a message again to those of a room who have moved. Others on that node may
// have heard it.
func (d *directory) allOn(q *peer, o pending, m *movedFrame) {
	origin := originOf(m.From, m.Run)
	if q == nil {
		if s := d.member(o.wait.by); s != nil {
			if r := s.inRoom(o.room); r != nil {
				d.tellMoved(r, s.ref, origin, o.text)
			}
		}
		d.settled(o.wait, nil)
		return
	}
	sent := q.send(o.wait, pending{text: o.text, room: o.room, head: func(number uint64) []byte {
		b := append(make([]byte, 0, len(o.text)+len(o.room)+len(origin)+32), kindRest)
		b = binary.AppendUvarint(b, number)
		b = binary.AppendUvarint(b, uint64(o.wait.by))
		b = binary.AppendUvarint(b, uint64(len(o.room)))
		b = append(b, o.room...)
		b = binary.AppendUvarint(b, uint64(len(origin)))
		return append(append(b, origin...), o.text...)
	}})
	if !sent {
		d.settled(o.wait, nil)
	}
}

// restFrom takes what is said again to those of a room who have moved here.
func (d *directory) restFrom(p *peer, f []byte) bool {
	number, ok1 := uvarint(&f)
	cause, ok2 := uvarint(&f)
	room, ok3 := text(&f)
	origin, ok4 := text(&f)
	if !ok1 || !ok2 || !ok3 || !ok4 || !valid(f) {
		return false
	}
	p.heard = number
	if from := p.member(delivery.Ref(cause)); from != nil {
		if r := from.inRoom(room); r != nil {
			d.tellMoved(r, from.ref, origin, f)
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

// tellMoved sends a message to those of a room here who have moved from a process.
func (d *directory) tellMoved(r *room, cause delivery.Ref, origin string, b wire.Object) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, s := range r.members {
		if s.node == nil && s.origin == origin {
			d.post.Send(s.ref, cause, b)
		}
	}
}

func originOf(node, run string) string { return node + " " + run }

// touch says that a room has changed. It may be called under the room's lock.
func (r *room) touch() { r.d.hub.second.room(r.name) }
