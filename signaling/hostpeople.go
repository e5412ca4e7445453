package signaling

import (
	"slices"

	"turnhub/signaling/internal/wire"
)

// Whom other nodes have of a hosted room, and what hosts there want of those who are here.

// peopleFrom takes in whom another node has. hostings.mu is held.
func (d *directory) peopleFrom(h *hosting, p *peer, people []*hostPerson) {
	old := h.across.parts[p]
	there := make(map[*member]struct{}, len(people))
	for _, o := range people[:min(len(people), maxRoomMembers+maxKnocks)] {
		if o == nil || o.Who == nil || h.shuns(o.Who.ID) {
			continue
		}
		s := p.admit(o.Who)
		if s == nil {
			continue
		}
		if _, twice := there[s]; twice {
			s.release()
			continue
		}
		there[s] = struct{}{}
		_, known := old[s]
		waited := known && h.people[s] != nil && h.people[s].waiting
		heir := known && h.people[s] != nil && h.people[s].heir && !o.Host && !o.Waiting // else he has left, and knocks
		now := standing{waiting: o.Waiting, host: o.Host || heir, muted: o.Muted, heir: heir}
		if known && h.people[s] != nil {
			now.orders = h.people[s].unmet(o)
		}
		h.stand(s, now)
		switch {
		case o.Waiting && !waited:
			for _, host := range h.hosts(d.present(h.room)) {
				host.push(h.knocks(s))
			}
		case waited && !o.Waiting:
			d.tellLeft(h, s)
		}
		if known {
			s.release() // it is held for having been there before
		}
	}
	h.across.parts[p] = there
	d.loseFrom(h, old, there)
}

// loseFrom gives up those of another node who are not there any more. hostings.mu is held.
func (d *directory) loseFrom(h *hosting, old, now map[*member]struct{}) {
	for s := range old {
		if _, still := now[s]; still {
			continue
		}
		st := h.people[s]
		h.drop(s)
		if st != nil && st.waiting {
			d.tellLeft(h, s)
		}
		s.release()
	}
}

// dropHosting is told that a node has nobody of a hosted room any more, or cannot be heard.
// hostings.mu is held.
func (d *directory) dropHosting(h *hosting, p *peer) {
	delete(h.across.told, p)
	old, had := h.across.parts[p]
	delete(h.across.parts, p)
	if !had {
		return
	}
	d.loseFrom(h, old, nil)
	d.lead(h)
	d.retell(h, false)
}

// reseat lets in who knocked with a seat that this node knows only now to be good.
// hostings.mu is held.
func (d *directory) reseat(h *hosting) {
	for _, p := range slices.Clone(h.waiting) {
		st := h.people[p]
		if st.brings == nil || h.isOut(p.user) {
			continue
		}
		seat := d.seatBy(h, st.brings)
		if seat == nil {
			continue
		}
		d.leaveDoor(h, p)
		h.seated[seat.session] = struct{}{}
		h.stand(p, standing{host: seat.host, muted: seat.muted, seat: seat.edition})
		p.push(wire.Begin("admitted", 64).Text("room", h.room))
	}
}

// lead makes the member that is longest there the host, where the last one has left and that
// is one of this node's: all nodes know the same order. hostings.mu is held.
func (d *directory) lead(h *hosting) {
	members := d.present(h.room)
	if len(h.hosts(members)) > 0 {
		h.across.led = true
		return
	}
	for p, st := range h.people {
		if st.host && p.node != nil {
			h.across.led = true
			return // of whose coming the room has not heard yet
		}
	}
	if h.across.led && hostMark(h.room) == follows {
		d.follow(h, members)
	}
}

// orderThere has another node do what a host wants of somebody there. hostings.mu is held.
func (d *directory) orderThere(h *hosting, p *member, action string) {
	p.node.say(kindOrder, partFrame{Room: hostPrefix + h.room, Ref: p.there, Reason: action})
}

// ordered does what a host on another node wants of somebody here. It reports who has lost
// whom to relay to. hostings.mu is held.
func (d *directory) ordered(h *hosting, m *partFrame) (gone []string) {
	if m.Reason == "end" || m.Reason == "ended" {
		if m.Node != "" && d.hostings.knows(m.Node, m.Origin) {
			return nil
		}
		gone = d.endRoom(h, func(s *member) bool {
			return (m.Reason == "end" || s.origin == m.Origin) && !d.hostings.knows(m.Node, s.origin)
		})
		if m.Node != "" {
			d.ends(roomEnd{ID: m.Node, Room: h.room})
		}
		return gone
	}
	p := d.member(m.Ref)
	if p == nil || h.people[p] == nil {
		return nil // it has left meanwhile
	}
	d.actLate(h, p, m.Reason)
	return nil
}
