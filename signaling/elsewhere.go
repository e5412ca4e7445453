package signaling

import (
	"encoding/json"
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
	d.lobbies.mu.Lock()
	for name := range d.lobbies.m {
		names = append(names, name)
	}
	d.lobbies.mu.Unlock()
	slices.Sort(names)
	return slices.Compact(names)
}

// Elsewhere tells everybody in a room, and in its lobby, that another node has it. urls
// are those of its sockets and of the other nodes', the best first. Who is in a call, or
// with others in another room, is not told: the client would lose those. It reports how
// many were told.
func (h *Hub) Elsewhere(name string, urls []string) (told int) {
	d := h.directory
	list, err := json.Marshal(urls)
	if err != nil {
		return 0
	}
	b := wire.Begin("elsewhere", 64+len(list)).Text("room", name).Raw("signalings", list)
	for _, s := range d.presentIn(name) {
		if len(s.callList()) > 0 || slices.ContainsFunc(s.roomList(), func(r *room) bool { return r.name != name && len(r.others(s)) > 0 }) {
			continue
		}
		s.push(b)
		told++
	}
	return told
}

// presentIn returns who is in a room or in its lobby.
func (d *directory) presentIn(room string) (list []*member) {
	if r := d.rooms.Get(room); r != nil {
		r.mu.RLock()
		list = slices.Clone(r.members)
		r.mu.RUnlock()
	}
	d.lobbies.mu.Lock()
	defer d.lobbies.mu.Unlock()
	for _, v := range d.lobbies.m[room] {
		list = append(list, v.visitor)
	}
	return list
}
