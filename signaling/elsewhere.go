package signaling

import (
	"encoding/json"
	"maps"
	"slices"

	"turnhub/signaling/internal/wire"
)

// Of several nodes each room has one. Who has come to another is sent there.

// opened says that a room has somebody now.
func (d *directory) opened(room string) {
	if d.hub.cfg.OnRoom != nil {
		d.hub.cfg.OnRoom(room)
	}
}

// Rooms returns the names of all rooms that have somebody in them or in their lobby.
func (h *Hub) Rooms() (names []string) {
	d := h.directory
	for _, r := range d.rooms.All() {
		names = append(names, r.name)
	}
	names = append(append(names, d.lobbyRooms()...), d.hostedRooms()...)
	slices.Sort(names)
	return slices.Compact(names)
}

// lobbyRooms returns the rooms that have somebody in their lobby.
func (d *directory) lobbyRooms() []string {
	d.lobbies.mu.Lock()
	defer d.lobbies.mu.Unlock()
	return slices.Collect(maps.Keys(d.lobbies.m))
}

// hostedRooms returns the hosted rooms that somebody of this node is in or at.
func (d *directory) hostedRooms() (names []string) {
	d.hostings.mu.Lock()
	defer d.hostings.mu.Unlock()
	for name, h := range d.hostings.m {
		if h.own() > 0 {
			names = append(names, name)
		}
	}
	return names
}

// Elsewhere tells everybody in a room, and in its lobby, that another node has it. urls
// are those of its sockets and of the other nodes', the best first. Who is in a call, or
// with others in another room, is not told: the client would lose those. Whoever stays is
// made known to the others of that room (part.go). It reports how many were told.
func (h *Hub) Elsewhere(name, node string, urls []string) (told int) {
	d := h.directory
	list, err := json.Marshal(urls)
	if err != nil {
		return 0
	}
	h.enter()
	defer h.leave()
	b := wire.Begin("elsewhere", 64+len(list)).Text("room", name).Raw("signalings", list)
	for _, s := range d.presentIn(name) {
		if s.origin == "" && d.free(s, name) && !d.wasTold(name, node) {
			s.push(b)
			told++
		}
	}
	if d.nodes != nil {
		d.belongs(name, node, b, told)
	}
	return told
}

// free reports whether a session can go to the node of a room without losing anybody, or what
// it has with somebody who has gone with his node.
func (d *directory) free(s *member, name string) bool {
	return s.node == nil && len(s.callList()) == 0 && len(s.partedList()) == 0 && !slices.ContainsFunc(s.roomList(), func(r *room) bool { return r.name != name && len(r.others(s)) > 0 })
}

// wasTold reports whether the people of a room know already that this node has it: whoever
// is still here has stayed, and whoever comes is told then.
func (d *directory) wasTold(name, node string) bool {
	r := d.rooms.Get(name)
	if d.nodes == nil || r == nil {
		return false
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.across.home == node
}

// sendOn sends somebody who has joined a room to its node, where that is another one.
func (d *directory) sendOn(s *member, r *room) {
	if d.nodes == nil || !d.free(s, r.name) {
		return
	}
	r.mu.RLock()
	b := r.across.told
	r.mu.RUnlock()
	if b != nil {
		s.push(b)
	}
}

// presentIn returns who is in a room or in its lobby.
func (d *directory) presentIn(room string) (list []*member) {
	if r := d.rooms.Get(room); r != nil {
		r.mu.RLock()
		list = slices.Clone(r.members)
		r.mu.RUnlock()
	}
	d.hostings.mu.Lock()
	if h := d.hostings.m[room]; h != nil {
		list = append(list, h.waiting...)
	}
	d.hostings.mu.Unlock()
	d.lobbies.mu.Lock()
	defer d.lobbies.mu.Unlock()
	for _, v := range d.lobbies.m[room] {
		list = append(list, v.visitor)
	}
	return list
}
