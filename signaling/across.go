package signaling

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
	"time"

	"turnhub/signaling/internal/delivery"
	"turnhub/signaling/internal/wire"
)

// What one says to others on other nodes is neither answered nor acknowledged before all of
// those nodes have it for their sessions, or are gone with them, and their peer-left has
// been told: else it would be lost with this node, although its sender counts on it. Others
// who speak meanwhile, and what the same one says to others, go on. Messages are numbered on
// each stream, and a node says up to which number it has handled them, and which of them it
// has refused.
//
// Each also carries the number that the sender's client gave it, by which whoever has it
// knows it again: a client whose node was lost says on another one what was not answered.

// waiting is a message that other nodes have not handled yet. Under its own peers' locks
// until it is settled.
type waiting struct {
	by   delivery.Ref
	held uint64 // see delivery.Post.Hold
	id   []byte // of the request; nil: it wants no answer
	to   string // the session it is to; empty: a room
	left int    // nodes, under nodes.mu
	bad  *wire.Fault
}

// fate is what a message comes to that a node had not handled when the stream to it was over.
// Who is in a room there may live, and not have heard it, unless its process has ended.
func (w *waiting) fate(how Loss) *wire.Fault {
	if w.to == "" && how != Ended {
		return perhaps()
	}
	return w.gone()
}

// gone is what is answered where the node of the only receiver is gone; nil: it is to a room.
func (w *waiting) gone() *wire.Fault {
	if w.to == "" {
		return nil
	}
	return wire.Faultf(wire.CodeNotInRoom, "%.40q has gone, with its node, before it had this", w.to)
}

func perhaps() *wire.Fault {
	f := wire.Faultf(wire.CodeRate, "some on another node may not have had this: say it again in a second")
	f.After = time.Second
	return f
}

// pending is one message on its way to one node.
type pending struct {
	number uint64
	wait   *waiting
	seq    uint64       // its client's number; 0: it has none
	to     delivery.Ref // there
	room   string       // to everybody there; empty: to one
	rest   bool         // to those in the room who have moved
	text   wire.Object
	apart  []byte // text with headRoom bytes before it, which are its frame's; nil: there are none
}

// headRoom is how long the head of a frame to one session is at most.
const headRoom = 1 + 4*binary.MaxVarintLen64

// frame makes the message's frame; counted: with its client's number.
func (m *pending) frame(counted bool) []byte {
	var room [headRoom]byte
	b := append(room[:0], kindOne)
	switch {
	case m.rest:
		b[0], counted = kindRest, true
	case m.room != "" && counted:
		b[0] = kindAllCounted
	case m.room != "":
		b[0] = kindAll
	case counted:
		b[0] = kindOneCounted
	}
	b = binary.AppendUvarint(b, m.number)
	b = binary.AppendUvarint(b, uint64(m.wait.by))
	if counted {
		b = binary.AppendUvarint(b, m.seq)
	}
	if m.room != "" {
		b = binary.AppendUvarint(b, uint64(len(m.room)))
	} else {
		b = binary.AppendUvarint(b, uint64(m.to))
	}
	if m.apart != nil {
		frame := m.apart[headRoom-len(b):]
		copy(frame, b)
		m.apart = nil // it is this frame's
		return frame
	}
	frame := make([]byte, 0, len(b)+len(m.room)+len(m.text))
	return append(append(append(frame, b...), m.room...), m.text...)
}

// send sends a message on its way. Where the stream is over, NodeLost says why: it settles
// what is pending by then, and what comes later is settled here. For the people of a dead node
// it waits, see moved.go.
func (p *peer) send(w *waiting, m pending) {
	p.mu.Lock()
	over, how := p.over, p.how
	if !over {
		p.number++
		m.number, m.wait = p.number, w
		if !p.orphan {
			p.x.out.Send(p.name, p.generation, m.frame(p.counts()))
		}
		p.pending = append(p.pending, m)
	}
	p.mu.Unlock()
	if over {
		p.x.d.settled(w, w.fate(how))
	}
}

// counts reports whether a node knows messages by their clients' numbers. It has said so
// before anything can be said to anybody there.
func (p *peer) counts() bool { return p.run != "" }

// mostForOrphan is how many messages wait for the people of a dead node.
const mostForOrphan = 1024

// roomy reports whether a message may be sent there.
func (p *peer) roomy() bool {
	p.mu.Lock()
	orphan, n := p.orphan, len(p.pending)
	p.mu.Unlock()
	if orphan {
		return n < mostForOrphan
	}
	return p.x.out.Roomy(p.name)
}

// hold begins to wait for n nodes.
func (d *directory) hold(s *member, m *wire.Message, n int) *waiting {
	return &waiting{by: s.ref, held: d.post.Hold(s.ref), id: slices.Clone(m.ID), left: n}
}

// oneAcross sends a message to one session on another node. apart is text as in pending.
func (d *directory) oneAcross(s, to *member, m *wire.Message, text wire.Object, apart []byte) *wire.Fault {
	p := to.node
	if !p.roomy() || to.slowNow() {
		return notYet(to)
	}
	w := d.hold(s, m, 1)
	w.to = to.id
	seq, _ := d.post.Numbered(s.ref)
	p.send(w, pending{seq: seq, to: to.there, text: text, apart: apart})
	return nil
}

// castAcross sends a message to all nodes that have a part of a room. room.mu is held.
func (d *directory) castAcross(s *member, m *wire.Message, r *room, text wire.Object) (later bool, f *wire.Fault) {
	var to []*peer
	for p := range r.across.parts {
		i := slices.IndexFunc(r.members, func(o *member) bool { return o.node == p })
		if i < 0 {
			continue
		}
		if !p.roomy() {
			return false, notYet(r.members[i])
		}
		to = append(to, p)
	}
	if len(to) == 0 {
		return false, nil
	}
	w := d.hold(s, m, len(to))
	seq, _ := d.post.Numbered(s.ref)
	for _, p := range to {
		p.send(w, pending{seq: seq, text: text, room: r.name})
	}
	return true, nil
}

// oneFrom takes a message of a session on another node to one of this node.
func (d *directory) oneFrom(p *peer, f []byte, counted bool) bool {
	number, ok1 := uvarint(&f)
	cause, ok2 := uvarint(&f)
	seq, ok3 := uint64(0), true
	if counted {
		seq, ok3 = uvarint(&f)
	}
	to, ok4 := uvarint(&f)
	if !ok1 || !ok2 || !ok3 || !ok4 || !valid(f) {
		return false
	}
	p.heard = number
	from, s := p.member(delivery.Ref(cause)), d.member(delivery.Ref(to))
	if from == nil || s == nil || !from.reaches(s) {
		return true // one of the two has left meanwhile, and the other is told so
	}
	if !d.oneTo(s, from, seq, f, d.hub.second.its(p, number)) {
		p.refused = append(p.refused, number)
	}
	return true
}

// oneTo takes a message of a session on another node to one of this node, unless it has come
// before. number is that by which this node's second knows it, see its. False: it is refused.
func (d *directory) oneTo(s, from *member, seq uint64, text wire.Object, number uint64) bool {
	if d.departing.Load() && d.post.Parting(s.ref) {
		d.goes(s)
		return true
	}
	if again, bad := s.has(from, seq); again {
		return !bad
	}
	buffer := delivery.NewBuffer(len(text))
	if buffer == nil {
		text = bytes.Clone(text)
	} else {
		text = append(*buffer, text...)
		*buffer = text
	}
	if !d.post.SendAs(s.ref, from.ref, text, buffer, number, false) {
		s.refuses(from, seq)
		return false
	}
	return true
}

// valid reports whether a frame holds a message, an object without its end, as the nodes
// write it. Nobody else can: it is sealed.
func valid(f []byte) bool { return len(f) > 0 && f[0] == '{' }

// allFrom takes a message of a session on another node to everybody of a room here.
func (d *directory) allFrom(p *peer, f []byte, counted bool) bool {
	number, ok1 := uvarint(&f)
	cause, ok2 := uvarint(&f)
	seq, ok3 := uint64(0), true
	if counted {
		seq, ok3 = uvarint(&f)
	}
	size, ok4 := uvarint(&f)
	if !ok1 || !ok2 || !ok3 || !ok4 || size > uint64(len(f)) || !valid(f[size:]) {
		return false
	}
	p.heard = number
	from, text := p.member(delivery.Ref(cause)), wire.Object(bytes.Clone(f[size:]))
	if from == nil {
		return true
	}
	r := from.inRoom(string(f[:size]))
	if r == nil {
		return true
	}
	number = d.hub.second.its(p, number)
	r.mu.RLock()
	defer r.mu.RUnlock()
	departing := d.departing.Load()
	for _, s := range r.members {
		if _, awaits := p.awaits[s.origin]; s.node != nil || awaits {
			continue // it comes from kindRest
		}
		if departing && d.post.Parting(s.ref) {
			p.say(kindLeave, r.goesFrom(s))
			continue
		}
		if again, _ := s.has(from, seq); again {
			continue
		}
		if !d.post.SendAs(s.ref, from.ref, text, nil, number, true) {
			p.say(kindSlow, partFrame{Ref: s.ref})
		}
	}
	return true
}

// said returns the text of a message that a node has not been told to have handled; nil:
// there is none.
func (p *peer) said(number uint64) wire.Object {
	p.mu.Lock()
	defer p.mu.Unlock()
	i, is := slices.BinarySearchFunc(p.pending, number, func(m pending, n uint64) int { return cmp.Compare(m.number, n) })
	if !is {
		return nil
	}
	return p.pending[i].text
}

// done tells a node what of its messages has been handled. peer.in is held.
func (p *peer) done() {
	if p.heard == p.told {
		return
	}
	b := binary.AppendUvarint([]byte{kindDone}, p.heard)
	for _, number := range p.refused {
		b = binary.AppendUvarint(b, number)
	}
	p.told, p.refused = p.heard, nil
	p.x.out.Send(p.name, p.generation, b)
}

// doneBy is told what another node has handled.
func (d *directory) doneBy(p *peer, f []byte) bool {
	upTo, ok := uvarint(&f)
	var refused []uint64
	for ok && len(f) > 0 {
		var number uint64
		if number, ok = uvarint(&f); ok {
			refused = append(refused, number)
		}
	}
	if !ok {
		return false
	}
	p.mu.Lock()
	n := 0
	for n < len(p.pending) && p.pending[n].number <= upTo {
		n++
	}
	over := append(p.handled[:0], p.pending[:n]...)
	if left := len(p.pending) - n; left <= n { // its room is used again
		p.pending = slices.Delete(p.pending, 0, n)
	} else {
		clear(p.pending[:n])
		p.pending = p.pending[n:]
	}
	p.mu.Unlock()
	defer func() {
		clear(over)
		p.handled = over
	}()
	for _, o := range over {
		var f *wire.Fault
		if slices.Contains(refused, o.number) {
			f = notYetThere
		}
		d.settled(o.wait, f)
	}
	return true
}

var notYetThere = notYet(&member{id: "somebody on another node"})

// settled says that one node has handled a message, or is gone. The last one answers it.
func (d *directory) settled(w *waiting, f *wire.Fault) {
	d.nodes.mu.Lock()
	w.left--
	if w.bad == nil {
		w.bad = f
	}
	left := w.left
	d.nodes.mu.Unlock()
	if left > 0 {
		return
	}
	if w.to != "" && w.bad == nil && d.members.Get(w.to) == nil {
		w.bad = w.gone() // its peer-left has been told
	}
	if w.bad == nil {
		d.hub.stats.relayed.Add(1)
	}
	switch {
	case w.bad != nil && w.id != nil:
		d.post.Send(w.by, 0, w.bad.Message(w.id))
	case w.bad == nil && w.id != nil:
		d.post.Send(w.by, 0, wire.Answer("ok", w.id, 0))
	}
	told := w.bad
	if w.id != nil {
		told = nil
	}
	d.post.Release(w.by, w.held, told)
}

// slowNow reports whether a remote member has not read what it was sent a moment ago.
func (s *member) slowNow() bool {
	at := s.slow.Load()
	return at != 0 && s.d.hub.now().UnixNano() < at
}
