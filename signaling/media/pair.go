package media

import (
	"slices"
	"sync/atomic"

	"turnhub/signaling/internal/wire"
	"turnhub/signaling/internal/wsock"
)

// pair is a path between two sessions. It is there as long as one of them has a socket.
type pair struct {
	sessions [2]string
	ends     [2]atomic.Pointer[socket] // written under Server.mu
	far      atomic.Pointer[far]       // likewise: the end that is on another node; nil: none
}

// receiver is one end as the other one sees it.
type receiver interface {
	// take queues a frame of from. !ok: the limit does not let it through.
	take(kind Kind, payload []byte, now int64, from *socket) (limit string, ok bool)
	// miss is told that a picture for it was dropped.
	miss()
	// askKey asks it for a key picture.
	askKey(by *wsock.Line)
}

// side is which end is a session's.
func (p *pair) side(session string) int {
	if p.sessions[0] == session {
		return 0
	}
	return 1
}

func newPair(session, peer string) *pair {
	if peer < session {
		session, peer = peer, session
	}
	return &pair{sessions: [2]string{session, peer}}
}

// enter makes k the end of its session in the pair with its peer; a socket that was that
// before ends. Where it fails it says how k ends.
func (s *Server) enter(k *socket, session, peer string) (wire.CloseCode, *wire.Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at, is := s.seats[[2]string{session, peer}]; is { // it has come to its own node meanwhile
		delete(s.seats, [2]string{session, peer})
		s.sayTo(at.node, record{what: sayNo, to: at.id, from: 1})
	}
	return s.enterLocked(k, session, peer)
}

// enterLocked is enter, under s.mu.
func (s *Server) enterLocked(k *socket, session, peer string) (wire.CloseCode, *wire.Fault) {
	if s.draining {
		return wire.CloseRestart, nil
	}
	fresh := newPair(session, peer)
	p := s.pairs[fresh.sessions]
	if n := s.held(session, p); n >= maxSockets {
		return wire.CloseFull, wire.Faultf(wire.CodeTooMany, "a session may have %d media sockets: close one first", maxSockets)
	}
	if p == nil {
		p = fresh
		s.pairs[p.sessions] = p
		for _, id := range p.sessions {
			if s.of[id] == nil {
				s.of[id] = make(map[*pair]struct{})
			}
			s.of[id][p] = struct{}{}
		}
	}
	side := p.side(session)
	old, other := p.ends[side].Load(), p.ends[1-side].Load()
	here := other != nil
	if !here {
		here = s.again(p, k)
	}
	k.open(p, side, here)
	p.ends[side].Store(k)
	s.ids[k.id] = k
	if s.look(p); other == nil && s.nodes != nil {
		s.seek(p, k, k.opened)
	}
	if old != nil {
		old.shut(wire.CloseReplaced, nil)
	}
	if other != nil { // after old, too: what was on its way there is lost
		other.meet(true)
	}
	return 0, nil
}

// held is how many sockets a session has, but in the pair p, and with those who have gone with
// their nodes: another one takes the place of each. s.mu is held.
func (s *Server) held(session string, p *pair) (n int) {
	for o := range s.of[session] {
		if o != p && o.ends[o.side(session)].Load() != nil && !s.hub.Parted(o.sessions[0], o.sessions[1]) {
			n++
		}
	}
	return n
}

// part takes a socket out of its pair, if it is in it still.
func (s *Server) part(k *socket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := k.pair
	delete(s.ids, k.id)
	delete(s.guests, k)
	if p == nil || !p.ends[k.side].CompareAndSwap(k, nil) {
		return
	}
	s.look(p)
	if other := p.ends[1-k.side].Load(); other != nil {
		other.meet(false)
		return
	}
	delete(s.pairs, p.sessions)
	for _, id := range p.sessions {
		if delete(s.of[id], p); len(s.of[id]) == 0 {
			delete(s.of, id)
		}
	}
}

// Recheck is told which sessions have lost somebody with whom they shared a room or a
// call: where a pair shares none any more, its sockets end.
func (s *Server) Recheck(sessions ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range sessions {
		for p := range s.of[id] {
			// Of guests their own nodes hear.
			own := slices.ContainsFunc([]int{0, 1}, func(i int) bool { k := p.ends[i].Load(); return k != nil && k.guest == nil })
			if own && !s.hub.Share(p.sessions[0], p.sessions[1]) {
				for i := range p.ends {
					if k := p.ends[i].Load(); k != nil {
						k.shut(wire.CloseRefused, apart(p.sessions[1-i]))
					}
				}
			}
		}
	}
}

// apart is what a client is told that shares nothing with a peer.
func apart(peer string) *wire.Fault {
	return wire.Faultf(wire.CodeNotInRoom, "you share no room or call with %.40q", peer)
}

// Ended is told that a session is no more, before Recheck is: whoever was revoked hears
// that.
func (s *Server) Ended(session, reason string) {
	if reason != "revoked" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := range s.of[session] {
		if k := p.ends[p.side(session)].Load(); k != nil {
			k.shut(wire.CloseRevoked, nil)
		}
	}
}
