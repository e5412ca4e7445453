package signaling

import (
	"slices"

	"turnhub/internal/netaddr"
	"turnhub/signaling/internal/wire"
)

// host does what a host wants done in its room.
func (d *directory) host(s *member, m *wire.Message) *wire.Fault {
	name, f := roomName(m.Room)
	if f != nil {
		return f
	}
	action, f := wire.NeedText("action", m.Action)
	if f != nil {
		return f
	}
	gone, f := d.hostAction(s, m, name, string(action))
	// The relay asks who is together: not under a lock.
	d.hub.changed(gone...)
	if f == nil {
		d.hub.second.answers(s.ref)
		s.ok(m)
	}
	return f
}

// hostAction reports who has lost whom to relay to.
func (d *directory) hostAction(s *member, m *wire.Message, name, action string) (gone []string, f *wire.Fault) {
	d.hostings.mu.Lock()
	defer d.hostings.mu.Unlock()
	h := s.hostings[name]
	r := s.inRoom(name)
	if r == nil || h == nil || !h.people[s].host {
		return nil, wire.Faultf(wire.CodeForbidden, "you are not the host of room %s", name)
	}
	defer d.tidy(h)
	defer func() {
		if f == nil && (action == "remove" || action == "decline" || action == "end") {
			h.sealed = true
		}
	}()
	switch action {
	case "lock", "unlock":
		h.edition++
		if h.setLocked(action == "lock"); h.locked {
			for len(h.waiting) > 0 {
				d.turnAway(h, h.waiting[0], "locked")
			}
		}
		d.tell(h)
		return nil, nil
	case "end":
		d.tellEnd(h)
		return d.endRoom(h, nil), nil
	case "admit", "decline", "remove", "mute", "unmute", "hand":
	default:
		return nil, wire.Faultf(wire.CodeBadMessage, "action must be admit, decline, remove, mute, unmute, hand, lock, unlock or end")
	}
	id, f := wire.NeedText("peer", m.Peer)
	if f != nil {
		return nil, f
	}
	p := d.members.Find(id)
	var st *standing
	if p != nil {
		st = h.people[p]
	}
	inside := st != nil && p.inRoom(name) == r
	switch {
	case st == nil, action == "decline" && !st.waiting, action != "admit" && action != "decline" && !inside:
		return nil, wire.Faultf(wire.CodeNotInRoom, "%.40q is not in room %s, or not at its door", id, name)
	case p == s && action != "mute" && action != "unmute":
		return nil, wire.Faultf(wire.CodeBadMessage, "peer is you: leave the room instead, or hand it over first")
	}
	switch action {
	case "remove":
		return d.expel(h, r, s, p)
	case "admit":
		if !st.waiting && !st.out {
			return nil, nil // another host was faster
		}
		h.setMark(userMark(p.user), false)
		h.setMark(sessionMark(p.id), false)
		d.tellHosting(h) // first: who is out is not let in by what may be late
	case "hand":
		h.people[s].host = false
	}
	if p.node != nil {
		st.wants(action)
		d.orderThere(h, p, action)
		if action != "hand" {
			return nil, nil
		}
		st.host, st.heir = true, true
		h.edition++
		d.tell(h)
		return nil, nil
	}
	d.act(h, p, action)
	return nil, nil
}

// act does to somebody of this node what a host wants. hostings.mu is held.
func (d *directory) act(h *hosting, p *member, action string) {
	st := h.people[p]
	switch action {
	case "admit":
		if st.waiting {
			d.leaveDoor(h, p)
		}
		if st.waiting || st.out {
			h.stand(p, standing{})
			p.push(wire.Begin("admitted", 64).Text("room", h.room))
		}
	case "decline":
		if st.waiting {
			d.leaveDoor(h, p)
			h.stand(p, standing{out: true})
			p.push(wireOut(h.room, "declined"))
		}
	case "mute", "unmute":
		st.muted = action == "mute"
		h.edition++
		d.tell(h)
	case "hand":
		d.makeHost(h, p)
		h.edition++
		d.tell(h)
	}
}

// expel removes somebody from the room, with all his devices where he has a user name. It
// reports who has lost whom to relay to. hostings.mu is held.
func (d *directory) expel(h *hosting, r *room, s, p *member) (gone []string, f *wire.Fault) {
	if h.full() {
		return nil, wire.Faultf(wire.CodeTooMany, "so many were removed from room %s that it cannot remember more: lock it, or end it", h.room)
	}
	h.edition++
	// A user goes with all his devices; a host's own other device goes alone.
	user := p.user
	if user == s.user {
		user = ""
	}
	if user != "" {
		h.setMark(userMark(user), true)
	}
	h.setMark(sessionMark(p.id), true)
	h.households[netaddr.Household(p.opener)] = struct{}{}
	gone = append(r.others(s), s.id)
	out := map[string]bool{sessionMark(p.id): true}
	if user != "" {
		out[userMark(user)] = true
	}
	gone = append(gone, d.enforce(h, out)...) // other nodes hear of the marks
	d.tell(h)
	return gone, nil
}

// endRoom sends everybody of this node out of the room, and away from its door, or those of
// them. It reports who has lost whom to relay to. hostings.mu is held.
func (d *directory) endRoom(h *hosting, which func(*member) bool) (gone []string) {
	h.sealed = true
	for _, p := range slices.Clone(h.waiting) {
		if which == nil || which(p) {
			d.turnAway(h, p, "ended")
		}
	}
	for _, p := range d.present(h.room) {
		if p.node != nil || h.people[p] == nil || which != nil && !which(p) {
			continue // another node speaks for it
		}
		if r := p.inRoom(h.room); r != nil {
			gone = append(append(gone, r.others(p)...), p.id)
			d.quitRoom(p, r, "ended")
		}
		h.drop(p)
		p.push(wireOut(h.room, "ended"))
	}
	return gone
}

// actLate is act for what may have been said before somebody left, or was put out by another
// host. hostings.mu is held.
func (d *directory) actLate(h *hosting, p *member, action string) {
	st := h.people[p]
	switch action {
	case "admit":
		if h.isMarked(p.id, p.user) {
			return
		}
	case "mute", "unmute", "hand":
		if st.waiting || st.out || p.inRoom(h.room) == nil {
			return
		}
	}
	d.act(h, p, action)
}
