package signaling

import (
	"bytes"
	"cmp"
	"maps"
	"slices"

	"turnhub/signaling/internal/delivery"
	"turnhub/signaling/internal/wire"
)

// idsOf returns members by their ids.
func idsOf(list []*member) map[string]*member {
	m := make(map[string]*member)
	for _, s := range list {
		m[s.id] = s
	}
	return m
}

// outsOf says of those in an image who may not be in their hosted rooms any more, and why, by
// what this node has heard, and notes it in the image's rooms.
func (d *directory) outsOf(m *image) map[string]map[delivery.Ref]string {
	all := make(map[string]map[delivery.Ref]string)
	d.hostings.mu.Lock()
	defer d.hostings.mu.Unlock()
	for room, i := range m.hosts {
		h, ended := d.hostings.m[room], false
		for _, e := range d.hostings.endsOf(room) {
			knew := slices.ContainsFunc(i.Ends, func(o roomEnd) bool { return o.ID == e.ID })
			ended = ended || !knew && d.hub.now().Sub(e.at) < endHolds
		}
		outs := make(map[delivery.Ref]string)
		all[room] = outs
		for _, o := range i.All {
			key, user := sessionMark(o.ID), userMark(o.User)
			out := false
			for _, heard := range []*hosting{h, m.late[room]} {
				if heard != nil {
					out = out || newerOut(heard.marks[key], i.Marks[key]) || o.User != "" && newerOut(heard.marks[user], i.Marks[user])
				}
			}
			switch {
			case o.Node != "" || o.Out:
				continue
			case ended:
				outs[o.Ref] = "ended"
			case out && o.Waiting:
				outs[o.Ref] = "declined"
			case out:
				outs[o.Ref] = "removed"
			case h != nil && h.across.met && !i.Met && o.Seat != 0 && o.Seat < h.edition:
				outs[o.Ref] = "again"
			default:
				continue
			}
			if r := m.rooms[room]; r != nil {
				for at := range r.People {
					if p := &r.People[at]; p.Node == "" && p.ID == o.ID {
						p.out = cmp.Or(map[string]string{"again": "lost"}[outs[o.Ref]], outs[o.Ref])
					}
				}
			}
		}
	}
	return all
}

// newerOut reports whether somebody is out by a mark, beside what another one says.
func newerOut(m, than mark) bool {
	return m.Out && (m.Edition > than.Edition || !than.Out) && m.Edition >= than.Edition
}

// takeHostings goes on with what those who have moved here are to hosted rooms. It returns who
// has lost whom to relay to.
func (d *directory) takeHostings(m *image, byRef map[delivery.Ref]*member, known map[*member]*member, outs map[string]map[delivery.Ref]string, origin string) (gone []string) {
	d.hostings.mu.Lock()
	defer d.hostings.mu.Unlock()
	moved := make(map[*member]bool)
	for _, s := range byRef {
		moved[s] = true
	}
	for _, room := range slices.Sorted(maps.Keys(m.hosts)) {
		gone = append(gone, d.takeHosting(m, m.hosts[room], byRef, known, moved, outs[room], origin)...)
	}
	for _, h := range d.hostings.m { // who has moved here, and is not in the room any more, is not in what is told either
		h.across.last = nil
		d.tidy(h)
	}
	return gone
}

// takeHosting is takeHostings for one room. hostings.mu is held.
func (d *directory) takeHosting(m *image, i *hostImage, byRef map[delivery.Ref]*member, known map[*member]*member, moved map[*member]bool, outs map[delivery.Ref]string, origin string) (gone []string) {
	defer func() { gone = append(gone, d.takeEnds(i, origin, moved)...) }()
	if !slices.ContainsFunc(i.All, func(o imagePerson) bool { return o.Node == "" && byRef[o.Ref] != nil }) {
		return nil
	}
	h := d.hosted(i.Room)
	if h.own() == 0 {
		defer d.opened(i.Room)
	}
	defer d.tidy(h)
	begins := h.across.told == nil
	if begins {
		h.begin()
	}
	mine := slices.DeleteFunc(d.present(i.Room), func(s *member) bool { return s.node != nil || moved[s] })
	door, said, edition := idsOf(h.atDoor()), h.across.said, h.edition
	if late := m.late[i.Room]; late != nil {
		h.merge(late.part())
	}
	first := i.Met && !h.across.met
	news := h.merge(&i.hostPart)
	h.across.met, h.across.led = h.across.met || i.Met, h.across.led || i.Led

	wanted := make(map[*member][]string) // what hosts here have wanted of them meanwhile
	for old, s := range known {
		if st := h.people[old]; st != nil {
			wanted[s] = st.orders
			h.drop(old)
			if _, is := h.across.parts[old.node][old]; is {
				delete(h.across.parts[old.node], old)
				old.release()
			}
		}
	}
	for _, o := range i.All {
		s := byRef[o.Ref]
		if o.Node != "" || s == nil {
			continue
		}
		st := o.standing()
		switch why := outs[o.Ref]; why {
		case "":
			h.stand(s, st)
			if o.Waiting {
				h.waiting = append(h.waiting, s)
			}
		case "removed", "declined":
			h.stand(s, standing{out: true})
			s.push(wireOut(h.room, why))
		default:
			s.push(wireOut(h.room, why))
		}
		delete(h.across.outs, s.id)
	}
	orders := d.takeOthers(h, i)
	d.tellDoor(h, i, mine, door)

	gone = append(gone, d.enforce(h, news)...)
	if first {
		gone = append(gone, d.outdated(h, mine, i.Edition)...)
	}
	for s, list := range wanted {
		for _, action := range list {
			orders = append(orders, order{s, action})
		}
	}
	for _, o := range orders {
		d.orderTo(h, o)
	}
	if h.locked {
		for len(h.waiting) > 0 {
			d.turnAway(h, h.waiting[0], "locked")
		}
	}
	d.reseat(h)
	d.lead(h)
	members := d.present(h.room)
	b := h.describe(members)
	for _, s := range members {
		before, at := i.Said, i.Edition
		if slices.Contains(mine, s) {
			before, at = said, edition
		}
		if s.node == nil && (at != h.edition || !bytes.Equal(before, b)) {
			s.push(d.withSeat(h, s, b))
		}
	}
	h.across.said, h.across.last = b, nil
	if begins {
		d.seekHosting(h)
	}
	for _, name := range i.Parts {
		if q := d.nodes.get(name); q != nil {
			h.share(q)
		}
	}
	return gone
}

// order is what a host wants of somebody.
type order struct {
	of     *member
	action string
}

// orderTo has what a host has wanted done, where that may have got lost. hostings.mu is held.
func (d *directory) orderTo(h *hosting, o order) {
	switch st := h.people[o.of]; {
	case st == nil:
	case o.of.node != nil:
		d.orderThere(h, o.of, o.action)
	default:
		d.actLate(h, o.of, o.action)
	}
}

// takeOthers takes in whom the dead node knew on others, where this one has not heard of them
// yet, and returns what was wanted of them. hostings.mu is held.
func (d *directory) takeOthers(h *hosting, i *hostImage) (orders []order) {
	x := d.nodes
	heard := make(map[*peer]bool)
	for q := range h.across.parts {
		heard[q] = true
	}
	for _, o := range i.All {
		if o.Node == "" {
			continue
		}
		s := d.members.Get(o.ID)
		if q := x.process(o.Node, o.Run); q != nil && !heard[q] {
			if s = q.admit(&o.person); s != nil {
				if h.people[s] == nil {
					h.adds(s, o.standing())
				}
				s.release()
			}
		}
		if s == nil || h.people[s] == nil {
			continue
		}
		st := h.people[s]
		for _, action := range o.Orders {
			if s.node != nil && (action != "hand" || !st.waiting) { // who has left since, and knocks, is handed nothing
				if st.wants(action); action == "hand" {
					st.host, st.heir = true, true
				}
			}
			orders = append(orders, order{s, action})
		}
	}
	return orders
}

// process returns what a process of another node is here, also where it is dead and its people
// are waited for; nil: nothing.
func (x *nodes) process(node, run string) *peer {
	if p := x.get(node); p != nil && p.run == run {
		return p
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, p := range x.orphans {
		if p.name == node && p.run == run {
			return p
		}
	}
	return nil
}

// tellDoor tells the hosts here who is at the door that they have not heard of, and who is not
// any more. hostings.mu is held.
func (d *directory) tellDoor(h *hosting, i *hostImage, mine []*member, door map[string]*member) {
	now := idsOf(h.atDoor())
	theirs := make(map[string]*member)
	for _, o := range i.All {
		if o.Waiting {
			theirs[o.ID] = nil
		}
	}
	for _, p := range h.hosts(d.present(h.room)) {
		before := theirs
		if slices.Contains(mine, p) {
			before = door
		}
		if p.node != nil {
			continue
		}
		for _, id := range slices.Sorted(maps.Keys(now)) {
			if _, knows := before[id]; !knows {
				p.push(h.knocks(now[id]))
			}
		}
		for _, id := range slices.Sorted(maps.Keys(before)) {
			if now[id] == nil {
				p.push(wire.Begin("knock-left", 64).Text("room", h.room).Text("peer", id))
			}
		}
	}
}
