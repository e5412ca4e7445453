package signaling

import (
	"maps"
	"slices"

	"turnhub/signaling/internal/delivery"
)

// A node that is back with the same process, after a freeze or on a stream that has begun anew,
// has its sessions still. Both sides put the people whom they knew in the place of themselves,
// and say anew what they have: rooms, names and hosted rooms as to any node, which calls their
// sessions have with the other's (kindMoved of the node's own process), and then what was said
// meanwhile. What has changed follows from that, and nobody is told anything else.

// becomes puts a session that is on another node, or in another stream, in its own place.
func (d *directory) becomes(s *member, q *peer, there delivery.Ref) {
	n := &member{
		d: d, node: q, there: there, ref: remote | delivery.Ref(d.nodes.next.Add(1)),
		id: s.id, name: s.name, user: s.user, opener: s.opener, since: s.since, uses: 1,
	}
	n.addr.Store(s.addr.Load())
	n.away.Store(s.away.Load())
	q.mu.Lock()
	q.members[there] = n
	q.mu.Unlock()
	d.members.Put(n.id, n)
	for _, r := range d.replace(s, n) {
		r.share(q)
	}
	d.replaceHosted(s, n)
	d.replaceCalls(s, n)
	d.replaceRings(s, n)
	n.release()
}

// back is told which process a node is now.
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
		d.returns(o, p)
	}
}

// returns has the people of a node that was missed here go on as those of the stream that has
// begun since.
func (d *directory) returns(o, p *peer) {
	o.mu.Lock()
	all := maps.Clone(o.members)
	o.mu.Unlock()
	for _, ref := range slices.Sorted(maps.Keys(all)) {
		if s := all[ref]; d.members.Get(s.id) == s {
			d.becomes(s, p, ref)
		}
	}
	d.hostingsBack(o, p)
	frame := movedFrame{From: d.nodes.self, Run: d.hub.second.process()}
	for _, s := range d.own() {
		m := movedPerson{ID: s.id, Ref: s.ref, Calls: s.callsWith(p), Rings: s.rungBy(p)}
		if len(m.Calls)+len(m.Rings) > 0 {
			frame.People = append(frame.People, m)
		}
	}
	p.say(kindMoved, frame)
	o.mu.Lock()
	left := o.pending
	o.pending = nil
	o.mu.Unlock()
	for _, w := range left { // whoever has had it takes no notice
		to := d.members.Get(w.wait.to)
		switch {
		case w.seq == 0 && w.number <= o.sent: // nobody could tell
			d.settled(w.wait, perhaps())
		case w.room != "":
			p.send(w.wait, pending{seq: w.seq, text: w.text, room: w.room, rest: w.rest})
		case to != nil && to.node == p:
			p.send(w.wait, pending{seq: w.seq, text: w.text, to: to.there})
		default:
			d.settled(w.wait, w.wait.gone())
		}
	}
	d.scatter(o)
}
