package socketio

import "sync"

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

// room is a set of members. Its lock makes what they say one sequence that all
// of them see alike.
type room struct {
	mu      sync.Mutex
	members map[*member]struct{}
}

// say sends packets to everybody but one.
func (r *room) say(except *member, packets ...packet) (reached int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for who := range r.members {
		if who != except && who.session.send(packets...) {
			reached++
		}
	}
	return reached
}

// enter puts a member into a room that has place, and returns how many were
// there before; ok is false when it is full. In any case the member is told the first
// packets, before the others can say anything to it and not after it has missed something.
func (s *Server) enter(key roomKey, who *member, first ...packet) (before int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.rooms[key]
	if r == nil {
		r = &room{members: make(map[*member]struct{})}
		s.rooms[key] = r
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	before = len(r.members)
	who.session.send(first...)
	if key.joined && before >= pair || before >= maxLobby {
		return before, false
	}
	r.members[who] = struct{}{}
	return before, true
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
	delete(r.members, who)
	if len(r.members) == 0 {
		delete(s.rooms, key)
	}
	r.mu.Unlock()
	s.mu.Unlock()
	if key.joined {
		r.say(who, event("bye"))
	}
}

// find returns a room, or nil.
func (s *Server) find(key roomKey) *room {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rooms[key]
}
