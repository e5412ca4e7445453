package signaling

import (
	"maps"
	"slices"

	"turnhub/signaling/internal/delivery"
	"turnhub/signaling/internal/wire"
)

// Who waits in the lobby of a room outlives his node, with the host that he has: both are on one
// node, and their image has both.

// lobbyImage is who is in the lobby of a room. Nobody: it is empty.
type lobbyImage struct {
	Room   string       `json:"room"`
	Visits []visitImage `json:"visits,omitempty"` // the longest first
}

type visitImage struct {
	Ref   delivery.Ref `json:"ref"`
	ID    string       `json:"id"`
	First []byte       `json:"first,omitempty"` // until a host has it
	Host  delivery.Ref `json:"host,omitempty"`
}

// imageOfLobby says who is in the lobby of a room here.
func (d *directory) imageOfLobby(room string) lobbyImage {
	i := lobbyImage{Room: room}
	d.lobbies.mu.Lock()
	defer d.lobbies.mu.Unlock()
	for _, v := range d.lobbies.m[room] {
		o := visitImage{Ref: v.visitor.ref, ID: v.visitor.id, First: v.first}
		if host := v.host.Load(); host != nil {
			o.Host = host.ref
		}
		i.Visits = append(i.Visits, o)
	}
	return i
}

// takeLobbies goes on with lobbies in which somebody is who has moved here.
func (d *directory) takeLobbies(m *image, byRef map[delivery.Ref]*member) {
	for _, room := range slices.Sorted(maps.Keys(m.lobbies)) {
		before := len(d.lobbyOf(room))
		d.takeLobby(m.lobbies[room], byRef)
		if before == 0 && len(d.lobbyOf(room)) > 0 {
			d.opened(room)
		}
		d.fillLobby(room)
	}
}

func (d *directory) lobbyOf(room string) []*visit {
	d.lobbies.mu.Lock()
	defer d.lobbies.mu.Unlock()
	return d.lobbies.m[room]
}

func (d *directory) takeLobby(i *lobbyImage, byRef map[delivery.Ref]*member) {
	d.lobbies.mu.Lock()
	defer d.lobbies.mu.Unlock()
	for _, o := range i.Visits {
		s, host := byRef[o.Ref], byRef[o.Host]
		switch {
		case s == nil && host != nil: // he does not go on
			host.push(wire.Begin("lobby-left", 64).Text("room", i.Room).Text("peer", o.ID))
			continue
		case s == nil:
			continue
		}
		v := &visit{visitor: s, room: i.Room, first: o.First}
		v.host.Store(host)
		d.lobbies.m[i.Room] = append(d.lobbies.m[i.Room], v)
		s.visit.Store(v)
		if host == nil && o.Host != 0 {
			s.push(v.describe(nil)) // nobody has his offer any more
		}
	}
	d.hub.second.lobby(i.Room)
}
