package signaling

import (
	"slices"
	"time"

	"turnhub/signaling/internal/delivery"
)

// Departure is the end of one node of several: its sessions are sent to others, each
// together with all who can hear it, so that a message which was answered is not lost
// between two nodes. Not safe for concurrent use.
type Departure struct {
	hub  *Hub
	left []*member // who may be here still
	all  int
}

// Depart begins to empty this node: nobody new is let in.
func (h *Hub) Depart() *Departure {
	h.enter()
	defer h.leave()
	h.node.Empty()
	h.directory.departing.Store(true)
	h.dialectClients.part()
	h.departed.begin(true)
	all := h.directory.own()
	return &Departure{hub: h, left: all, all: len(all)}
}

// Done is how many of the sessions that there were have been sent away or have ended, and
// of how many.
func (p *Departure) Done() (gone, all int) { return p.all - len(p.left), p.all }

// Next sends away one session and all that share a room, a lobby or a call with it. to
// says where to, by the rooms that they are in and the nodes that have others with whom they
// are: URLs of the sockets of other nodes, the one to go to first; none: back to this node
// after back. It reports whether there was one.
func (p *Departure) Next(back time.Duration, to func(rooms, nodes []string, session string) []string) bool {
	first, group, rooms, nodes := p.stopNext()
	if first == nil {
		return false
	}
	signalings := to(rooms, nodes, first.id) // not in a step: it asks the network
	if len(signalings) > 0 {
		back = 0
	}
	p.hub.enter()
	defer p.hub.leave()
	refs := make([]delivery.Ref, len(group))
	for i, m := range group {
		refs[i] = m.ref
		p.hub.directory.goes(m) // to other nodes, before they hear that what they said has been handled
	}
	p.hub.node.Part(refs, back, signalings)
	return true
}

// stopNext stops the next one of those who are left, and its group; nil: nobody is left.
func (p *Departure) stopNext() (first *member, group []*member, rooms, nodes []string) {
	p.hub.enter()
	defer p.hub.leave()
	d := p.hub.directory
	for len(p.left) > 0 {
		s := p.left[len(p.left)-1]
		p.left = p.left[:len(p.left)-1]
		if d.member(s.ref) == s && !d.post.Parting(s.ref) {
			group, rooms, nodes = d.stopGroup(s)
			return s, group, rooms, nodes
		}
	}
	return nil, nil, nil, nil
}

// stopGroup stops a session and all that can hear it, and all that can hear those. Who
// is stopped joins and calls nobody: when a round finds nobody new, nobody can come any
// more but somebody who still goes on, and whose messages to these are refused.
func (d *directory) stopGroup(first *member) (group []*member, rooms, nodes []string) {
	in := map[*member]bool{first: true}
	near := func(of []*member) (found []*member) {
		for _, s := range of {
			for _, m := range d.around(s) {
				if m.node != nil && !slices.Contains(nodes, m.node.name) {
					nodes = append(nodes, m.node.name)
				}
				if !in[m] && d.member(m.ref) == m {
					in[m] = true
					found = append(found, m)
				}
			}
		}
		return found
	}
	for found := []*member{first}; len(found) > 0; {
		for _, s := range found {
			d.hub.node.Stop(s.ref)
		}
		group = append(group, found...)
		if found = near(found); len(found) == 0 {
			found = near(group) // somebody may have come before those were stopped
		}
	}
	for _, s := range group {
		for _, r := range s.roomList() {
			rooms = append(rooms, r.name)
		}
		if v := s.visit.Load(); v != nil {
			rooms = append(rooms, v.room)
		}
	}
	slices.Sort(rooms)
	return group, slices.Compact(rooms), nodes
}

// around returns who shares a room, a lobby or a call with a session, ringing ones too;
// itself with them.
func (d *directory) around(s *member) (list []*member) {
	for _, r := range s.roomList() {
		list = append(list, d.presentIn(r.name)...)
	}
	if v := s.visit.Load(); v != nil {
		list = append(list, d.presentIn(v.room)...)
	}
	for _, c := range s.callList() {
		list = append(list, c.caller, c.peer)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range s.pending {
		list = append(list, c.rung...)
	}
	if u := d.users[s.user]; u != nil && s.user != "" {
		for _, c := range u.ringing {
			if slices.Contains(c.rung, s) {
				list = append(list, c.caller)
			}
		}
	}
	return list
}
