package signaling

import (
	"maps"
	"slices"
)

// What somebody is to a hosted room outlives his node. The image has all that the node knew of
// the room (hostImage). While nobody goes on with a dead node's sessions they stay what they
// are at the others (hosting.people, parts), and each node tells all others what changes
// meanwhile: the second that goes on merges it with the image, so that who was put out does not
// come in, and what was locked or ended is so for those who have moved too.
//
// What a host has wanted of somebody on another node (standing.orders) is said again to whoever
// goes on with him, until his node has shown that it is done. Both sides of what was on its
// way have it then: the image of the host's node has it as well.

// waits reports whether people of a dead node are in a hosted room, or may be.
func (h *hosting) waits() bool {
	for p := range h.across.told {
		if p.waits() {
			return true
		}
	}
	return false
}

// owes reports whether a host here, who may have gone, has wanted something of somebody on another
// node that is not done there yet: should that node die, it is said to the next one.
func (h *hosting) owes() bool {
	for s, st := range h.people {
		if s.node != nil && len(st.orders) > 0 {
			return true
		}
	}
	return false
}

// tellRest tells the nodes that have nobody of a hosted room what is here: they may go on with
// somebody. hostings.mu is held.
func (d *directory) tellRest(h *hosting, kind byte, m partFrame) {
	for _, p := range d.nodes.all() {
		if _, knows := h.across.told[p]; !knows && p.run != "" {
			p.say(kind, m)
		}
	}
}

// wants remembers what a host has wanted of somebody on another node. hostings.mu is held.
func (st *standing) wants(action string) {
	same := func(other string) bool {
		switch action {
		case "admit", "decline":
			return other == "admit" || other == "decline"
		case "mute", "unmute":
			return other == "mute" || other == "unmute"
		}
		return other == action
	}
	st.orders = append(slices.DeleteFunc(slices.Clone(st.orders), same), action)
}

// unmet returns of these the ones that somebody's node has not shown to be done.
func (st *standing) unmet(o *hostPerson) []string {
	return slices.DeleteFunc(slices.Clone(st.orders), func(action string) bool {
		switch action {
		case "mute", "unmute":
			return o.Waiting || o.Muted == (action == "mute")
		case "hand":
			return o.Waiting || o.Host
		}
		return !o.Waiting
	})
}

// putOutThere takes somebody of a dead node, who has been removed or declined, out at once: his
// second does the same. It returns who has lost whom to relay to. hostings.mu is held.
func (d *directory) putOutThere(h *hosting, s *member) (gone []string) {
	if r := s.inRoom(h.room); r != nil {
		gone = d.goneThere(s, r, "removed")
	}
	waited := h.people[s].waiting
	h.drop(s)
	delete(h.across.parts[s.node], s)
	if waited {
		d.tellLeft(h, s)
	}
	if len(h.across.outs) < 2*maxRemoved {
		if h.across.outs == nil {
			h.across.outs = make(map[string]*outThere)
		}
		h.across.outs[s.id] = &outThere{user: s.user, of: originOf(s.node.name, s.node.run)}
	}
	s.release()
	return gone
}

// heeds is told that a node knows who is out. Whom this one has put out for a dead node may be
// there again only by what has happened there since. hostings.mu is held.
func (h *hosting) heeds(p *peer, part *hostPart) {
	for id, x := range h.across.outs {
		if !h.isMarked(id, x.user) {
			delete(h.across.outs, id)
			continue
		}
		out := part.Marks[sessionMark(id)].Out || x.user != "" && part.Marks[userMark(x.user)].Out
		if out && !slices.ContainsFunc(part.People, func(o *hostPerson) bool { return o != nil && o.Who != nil && o.Who.ID == id }) {
			if x.on == p.name {
				delete(h.across.outs, id)
			}
		}
	}
}

// shuns reports whether somebody who comes on another node was put out here, and that one does
// not know yet. Whom a host has let in again since is not shunned.
func (d *directory) shuns(room, id string) bool {
	if !isHosted(room) {
		return false
	}
	d.hostings.mu.Lock()
	defer d.hostings.mu.Unlock()
	h := d.hostings.m[room]
	return h != nil && h.shuns(id)
}

func (h *hosting) shuns(id string) bool {
	x := h.across.outs[id]
	return x != nil && h.isMarked(id, x.user)
}

// movedHostings is told that another node goes on with sessions: those that were put out here
// are out there as well, once it has heard so.
func (d *directory) movedHostings(q *peer, m *movedFrame) {
	d.hostings.mu.Lock()
	defer d.hostings.mu.Unlock()
	for _, h := range d.hostings.m {
		for _, o := range m.People {
			if x := h.across.outs[o.ID]; x != nil {
				x.on, x.of = q.name, originOf(q.name, q.run)
			}
		}
		if !m.More && h.waitsFor(m.From, m.Run) {
			h.share(q)
		}
	}
	if m.More {
		return
	}
	of := originOf(m.From, m.Run)
	for _, e := range d.hostings.ends {
		if slices.Contains(e.To, of) && d.hub.now().Sub(e.at) < endHolds {
			q.say(kindOrder, partFrame{Room: hostPrefix + e.Room, Reason: "ended", Node: e.ID, Origin: of})
		}
	}
}

// waitsFor reports whether people of a process are in a hosted room, or may be.
func (h *hosting) waitsFor(node, run string) bool {
	for p := range h.across.told {
		if p.name == node && p.run == run && p.waits() {
			return true
		}
	}
	return false
}

// replaceHosted puts a member in another one's place in hosted rooms, where it is the same
// session on another node.
func (d *directory) replaceHosted(s, n *member) {
	d.hostings.mu.Lock()
	defer d.hostings.mu.Unlock()
	for _, room := range slices.Sorted(maps.Keys(s.hostings)) {
		h := s.hostings[room]
		st := *h.people[s]
		h.drop(s)
		if _, is := h.across.parts[s.node][s]; is {
			delete(h.across.parts[s.node], s)
			s.release()
		}
		h.adds(n, st)
		for _, action := range st.orders {
			d.orderThere(h, n, action)
		}
		h.share(n.node)
		d.hub.second.hosting(h.room)
	}
}

// adds has somebody of another node. hostings.mu is held.
func (h *hosting) adds(s *member, st standing) {
	if h.across.parts[s.node] == nil {
		h.across.parts[s.node] = make(map[*member]struct{})
	}
	s.hold()
	h.across.parts[s.node][s] = struct{}{}
	h.stand(s, st)
}

// hostingsScattered gives up those of a dead node.
func (d *directory) hostingsScattered(p *peer) {
	d.hostings.mu.Lock()
	defer d.hostings.mu.Unlock()
	for _, h := range d.hostings.m {
		if h.across.told != nil {
			d.dropHosting(h, p)
			d.reseat(h)
			d.tidy(h)
		}
	}
}

// hostingsBack is told that a node which was missed here is back, with the same sessions: what
// was wanted of them meanwhile is told.
func (d *directory) hostingsBack(old, p *peer) {
	d.hostings.mu.Lock()
	defer d.hostings.mu.Unlock()
	for _, h := range d.hostings.m {
		if _, knew := h.across.told[old]; !knew {
			continue
		}
		h.share(p)
		for _, x := range h.across.outs {
			if x.of == originOf(p.name, p.run) {
				x.on = p.name
			}
		}
		for s := range h.across.parts[old] {
			for _, action := range h.people[s].orders {
				p.say(kindOrder, partFrame{Room: hostPrefix + h.room, Ref: s.there, Reason: action})
			}
		}
	}
	of := originOf(p.name, p.run)
	for _, e := range d.hostings.ends {
		if slices.Contains(e.To, of) && d.hub.now().Sub(e.at) < endHolds {
			p.say(kindOrder, partFrame{Room: hostPrefix + e.Room, Reason: "end", Node: e.ID})
		}
	}
}
