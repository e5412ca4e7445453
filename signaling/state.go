package signaling

import "net/netip"

// state is what the nodes of a cluster would have to agree on: who is in which
// room, which sessions a user has, and which calls there are. Sessions, their
// sockets and their queues belong to the node that holds them. The directory is
// the state of a single node.
//
// Its methods answer a request by pushing the answer to the session, so that it
// stands in the right order with everything else that the session is told; a
// fault is answered by the caller. They are called with Session.in held.
type state interface {
	// enter makes a session known, and claims its user name if it has one.
	enter(s *Session, secret string) *fault
	// exit takes a session out of everything. reason is what others are told.
	exit(s *Session, reason string)
	// away tells the others that a session's socket is lost, or is back.
	away(s *Session, away bool)
	// reached says that a session has a socket which it had not when it entered
	// or was called.
	reached(s *Session)

	join(s *Session, m *message) *fault
	leave(s *Session, m *message) *fault
	lobby(s *Session, m *message) *fault
	// cast sends to everyone else in a room.
	cast(s *Session, room string, b body) *fault

	subscribe(s *Session, m *message) *fault
	unsubscribe(s *Session, m *message) *fault
	invite(s *Session, m *message) *fault
	accept(s *Session, m *message) *fault
	decline(s *Session, m *message) *fault
	hangup(s *Session, m *message) *fault
	report(s *Session, m *message) *fault

	endCall(id string) bool
	counts() (rooms, ringing, accepted, users int)
	calls() []CallInfo
	reportOf(s *Session) *Report
}

// shares reports whether two sessions are in one room or one accepted call. It
// takes no lock.
func (s *Session) shares(other *Session) bool {
	if s == other {
		return true
	}
	for _, a := range s.roomList() {
		for _, b := range other.roomList() {
			if a == b {
				return true
			}
		}
	}
	for _, c := range s.callList() {
		if c.with(other) {
			return true
		}
	}
	return false
}

// partnerAt reports whether somebody else who shares a room or an accepted call
// with s has been seen at addr.
func (s *Session) partnerAt(addr netip.Addr) bool {
	for _, r := range s.roomList() {
		if r.seen(s, addr) {
			return true
		}
	}
	for _, c := range s.callList() {
		if c.other(s).seenAt() == addr {
			return true
		}
	}
	return false
}

// partners returns the ids of everybody who shares a room or an accepted call
// with s, and its own.
func (s *Session) partners() []string {
	ids := []string{s.id}
	for _, r := range s.roomList() {
		ids = append(ids, r.others(s)...)
	}
	for _, c := range s.callList() {
		ids = append(ids, c.other(s).id)
	}
	return ids
}
