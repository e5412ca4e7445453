package signaling

import (
	"maps"
	"slices"
)

// What holds in the model of hosted rooms once everything has arrived.

// inside returns who is in the room, by all nodes that live.
func (m *doorsModel) inside() (ids []string) {
	for _, n := range m.nodes {
		if n.dead || n.frozen {
			continue
		}
		if r := n.hub.directory.rooms.Get(m.room); r != nil {
			for _, s := range r.ours() {
				ids = append(ids, s.id)
			}
		}
	}
	slices.Sort(ids)
	return ids
}

// agree sees that all nodes and people have the same in mind.
func (m *doorsModel) agree() {
	inside := m.inside()
	var hosts, muted, waiting []string
	states := make(map[string]string)
	locked, seen := false, false
	for _, n := range m.nodes {
		if n.dead || n.frozen {
			continue
		}
		h := n.hub.directory.hostings.m[m.room]
		if h == nil || h.own() == 0 {
			continue
		}
		if seen && h.locked != locked {
			m.fail("%s takes the room for locked %v, edition %d, and others do not", n.name(), h.locked, h.lockedAt)
		}
		locked, seen = h.locked, true
		for s, st := range h.people {
			if s.node != nil {
				continue
			}
			in := s.inRoom(m.room) != nil
			switch {
			case st.waiting && (in || st.out || st.host):
				m.fail("%s waits, and is %+v", s.name, *st)
			case st.waiting:
				waiting = append(waiting, s.id)
				states[s.id] = "waits"
			case st.out && in:
				m.fail("%s was put out, and is inside", s.name)
			case st.out:
				states[s.id] = "out"
			case in:
				states[s.id] = "inside"
			default:
				states[s.id] = "admitted"
			}
			if st.host && in {
				hosts = append(hosts, s.id)
			}
			if st.muted && in {
				muted = append(muted, s.id)
			}
		}
	}
	for _, list := range [][]string{hosts, muted, waiting} {
		slices.Sort(list)
	}
	// Somebody who was admitted may come into a room that all others have left.
	if len(inside) > 0 && len(hosts) == 0 && m.strict && m.said["end "] == 0 && !slices.ContainsFunc(m.people, func(c *doorPerson) bool { return c.leaves > 0 }) {
		m.fail("%v are inside, and nobody is host", inside)
	}
	for _, id := range inside {
		c := m.by[id]
		switch {
		case !c.rules && m.said["admit "+id] == 0:
			m.fail("%s is inside, and no host has let it in", c.name)
		case m.removed(c) > 0 && m.removedBy(c, nil):
			m.fail("%s is inside, and was removed", c.name)
		}
	}
	sorted := func(list []string) []string { return slices.Sorted(slices.Values(list)) }
	for _, c := range m.people {
		if !c.live() || c.lost {
			continue
		}
		want := states[c.id]
		if want == "" {
			want = "outside"
		}
		if c.state != want && !(c.state == "out" && (want == "outside" || want != "inside" && m.removed(c) > 0)) {
			m.fail("%s takes itself to be %s, and is %s on %s", c.name, c.state, want, c.node.name())
		}
		if c.state != "inside" {
			continue
		}
		others := slices.DeleteFunc(slices.Clone(inside), func(id string) bool { return id == c.id })
		if got := slices.Sorted(maps.Keys(c.peers)); !slices.Equal(got, others) {
			m.fail("%s sees %v, not %v", c.name, got, others)
		}
		if got := sorted(c.hosts); !slices.Equal(got, hosts) {
			m.fail("for %s the hosts are %v, not %v", c.name, got, hosts)
		}
		if got := sorted(c.muted); !slices.Equal(got, muted) {
			m.fail("for %s %v are muted, not %v", c.name, got, muted)
		}
		if c.locked != locked {
			m.fail("for %s the room is locked %v", c.name, c.locked)
		}
		if got := slices.Sorted(maps.Keys(c.door)); c.isHost() && !slices.Equal(got, waiting) {
			m.fail("for %s %v are at the door, not %v", c.name, got, waiting)
		}
	}
	if locked && len(waiting) > 0 {
		m.fail("%v wait, and the room is locked", waiting)
	}
}

// removedBy reports whether a removal of somebody, one of those or any, was answered with ok, and
// nothing that was said later, or may have been handled later, lets him in again, or has everybody
// out: then it holds.
func (m *doorsModel) removedBy(c *doorPerson, is func(*doorAsk) bool) bool {
	for _, r := range m.done {
		if r.what != "remove" || r.of != c && (r.of.user == "" || r.of.user != c.user || r.by.user == c.user) {
			continue
		}
		if is != nil && !is(r) {
			continue
		}
		lifts := func(a *doorAsk) bool {
			admits := a.what == "admit" && (a.of == c || r.of != c && a.of.user == c.user)
			return (admits || a.what == "end") && !a.no && (a.over == 0 || a.over >= r.at)
		}
		if (!r.by.over || r.by.left || r.kept) && !slices.ContainsFunc(m.asks, lifts) {
			return true
		}
	}
	return false
}

// obeyed sees that the last of what was wanted has happened, where nothing was said against it.
func (m *doorsModel) obeyed() {
	last := make(map[string]*doorAsk)
	for _, a := range m.done {
		key := a.what
		switch a.what {
		case "lock", "unlock":
			key = "lock"
		case "mute", "unmute":
			key = "mute " + a.of.id
		case "admit", "decline":
			key = "door " + a.of.id
		}
		if o := last[key]; o == nil || o.at < a.at {
			last[key] = a
		}
	}
	m.ended()
	for key, a := range last {
		c := a.of
		switch {
		case !m.strict, c != nil && (m.removed(c) > 0 || c.left): // who was lost knocks again
		case a.what == "admit" && c.state == "waits" && c.joins == 1 && m.said["end "] == 0:
			m.fail("%s was admitted, and waits", c.name)
		case a.what == "decline" && c.state == "inside" && m.said["admit "+c.id] == 0:
			m.fail("%s was declined, and is inside", c.name)
		case key == "lock", c == nil:
		case a.what == "mute" && c.state == "inside" && m.said["unmute "+c.id] == 0 && c.leaves == 0 && m.said["end "] == 0 && !slices.Contains(c.muted, c.id):
			m.fail("%s was muted, and is not", c.name)
		}
	}
}

// ended sees that who was in the room when it was ended is out, and that a room which was locked,
// and not opened since, is.
func (m *doorsModel) ended() {
	left := m.said["end "]
	for _, c := range m.people {
		left += c.leaves
	}
	for _, a := range m.done {
		for _, c := range m.people {
			if a.what == "end" && m.strict && c.live() && c.state == "inside" && c.inSince > 0 && c.inSince < a.at && a.with[c.id] {
				m.fail("%s is in the room since before it was ended", c.name)
			}
		}
	}
	for _, a := range m.done {
		opens := func(o *doorAsk) bool { return o.what == "unlock" && !o.no && (o.over == 0 || o.over >= a.at) }
		if a.what != "lock" || slices.ContainsFunc(m.asks, opens) || left > 0 || !m.strict && !a.kept {
			continue
		}
		for _, c := range m.people {
			if c.live() && c.state == "inside" && !c.locked {
				m.fail("the room was locked, and is not for %s", c.name)
			}
		}
	}
}
