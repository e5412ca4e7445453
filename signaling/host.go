package signaling

import (
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
		if h.locked = action == "lock"; h.locked {
			for len(h.waiting) > 0 {
				d.turnAway(h, h.waiting[0], "locked")
			}
		}
		d.tell(h)
		return nil, nil
	case "end":
		for len(h.waiting) > 0 {
			d.turnAway(h, h.waiting[0], "ended")
		}
		gone = append(r.others(s), s.id)
		for _, p := range d.present(name) {
			if h.people[p] == nil {
				continue // another node speaks for it
			}
			d.quitRoom(p, r, "ended")
			h.drop(p)
			p.push(out(name, "ended"))
		}
		return gone, nil
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
	case "admit":
		if !st.waiting && !st.out {
			return nil, nil // another host was faster
		}
		d.leaveDoor(h, p)
		delete(h.users, p.user)
		h.stand(p, standing{})
		p.push(wire.Begin("admitted", 64).Text("room", name))
	case "decline":
		d.leaveDoor(h, p)
		h.stand(p, standing{out: true})
		p.push(out(name, "declined"))
	case "remove":
		if len(h.users) >= maxRemoved || len(h.households) >= maxRemoved {
			return nil, wire.Faultf(wire.CodeTooMany, "so many were removed from room %s that it cannot remember more: lock it, or end it", name)
		}
		// A user goes with all his devices; a host's own other device goes alone.
		user := p.user
		if user == s.user {
			user = ""
		}
		if user != "" {
			h.users[user] = struct{}{}
		}
		h.households[netaddr.Household(p.opener)] = struct{}{}
		gone = append(r.others(s), s.id)
		for _, o := range d.present(name) {
			if h.people[o] == nil {
				continue // another node speaks for it
			}
			if o == p || user != "" && o.user == user {
				d.quitRoom(o, r, "removed")
				h.stand(o, standing{out: true})
				o.push(out(name, "removed"))
			}
		}
		h.edition++
		d.tell(h)
	case "mute", "unmute":
		st.muted = action == "mute"
		h.edition++
		d.tell(h)
	case "hand":
		h.people[s].host = false
		d.makeHost(h, p)
		h.edition++
		d.tell(h)
	}
	return gone, nil
}
