package socketio

import (
	"fmt"
	"sync"

	"turnhub/signaling/internal/across"
)

// maxLobby is how many members share a channel without joining. One more is
// connected, but in no room until it joins one.
const maxLobby = 256

// pair is how many members a joined room holds.
const pair = 2

// roomKey names a room. Rooms of different channels are different; the room
// without a name is the lobby, in which everybody of a channel is who never
// joined.
type roomKey struct {
	channel string
	joined  bool
	name    string
}

// label is the room's name in the console.
func (k roomKey) label() string {
	label := "socketio/" + k.channel
	if k.joined {
		label += "/" + k.name
	}
	return label
}

// topic is the name under which nodes meet for a room.
func (k roomKey) topic() string {
	if !k.joined {
		return "channel " + k.channel
	}
	return fmt.Sprintf("room %d:%s\x00%s", len(k.channel), k.channel, k.name)
}

// room is a set of members. Its lock makes what they say one sequence that all
// of them see alike.
type room struct {
	mu      sync.Mutex
	joined  bool
	members map[*member]*across.Seat

	// Of several nodes.
	seats   *across.Seats
	pending int // who is about to enter
	there   map[string]across.Part
}

// say sends packets to everybody but one, on other nodes too.
func (r *room) say(except *member, packets ...packet) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seats != nil {
		r.seats.Say(encodePackets(packets))
	}
	r.sayLocked(except, packets...)
}

// sayLocked sends packets to everybody on this node but one.
func (r *room) sayLocked(except *member, packets ...packet) {
	for who := range r.members {
		if who != except {
			who.session.send(packets...)
		}
	}
}

// enter puts a member into a room that has place, and returns how many were
// there before; ok is false when it is full. In any case the member is told the first
// packets, before the others can say anything to it and not after it has missed something.
func (s *Server) enter(key roomKey, who *member, first ...packet) (before int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.roomLocked(key)
	r.mu.Lock()
	defer r.mu.Unlock()
	before = len(r.members)
	who.session.send(first...)
	if key.joined && before >= pair || before >= maxLobby {
		return before, false
	}
	r.members[who] = nil
	return before, true
}

// roomLocked returns a room, a new one where there is none.
func (s *Server) roomLocked(key roomKey) *room {
	r := s.rooms[key]
	if r == nil {
		r = &room{joined: key.joined, members: make(map[*member]*across.Seat), there: make(map[string]across.Part)}
		r.seats = across.New(s.topics, "socketio", key.topic(), &r.mu)
		s.rooms[key] = r
	}
	return r
}

// exit takes a member out of a room, and tells the one who is left behind in a
// joined room.
func (s *Server) exit(key roomKey, who *member) {
	s.mu.Lock()
	r := s.rooms[key]
	if r == nil {
		s.mu.Unlock()
		return
	}
	r.mu.Lock()
	r.seats.Remove(r.members[who]) // by which other nodes know
	delete(r.members, who)
	if len(r.members) == 0 && r.pending == 0 {
		delete(s.rooms, key)
	}
	s.mu.Unlock()
	if key.joined {
		r.sayLocked(who, event("bye"))
	}
	r.mu.Unlock()
}

// find returns a room, or nil.
func (s *Server) find(key roomKey) *room {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rooms[key]
}
