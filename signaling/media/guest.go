package media

import (
	"time"

	"turnhub/signaling/internal/wire"
)

// Behind a balancer that has one name for all nodes a socket may come to another node than
// that of its session: it is a guest there. Its node asks the session's whether it may be let
// in, once a second as long as it is here. The session's node says to the peer's where that
// socket is, and that one, where the peer is a guest as well, to the node at which he is one.
// Frames go between the nodes of the two sockets, and through no third one.

const (
	// guestWait is how long a guest waits to be let in.
	guestWait = 3 * time.Second
	// maxSeats bounds of how many guests elsewhere a node knows.
	maxSeats = 1 << 16
)

// guest is what a socket has whose session is on another node. Under Server.mu.
type guest struct {
	hello             hello
	owner             string // that node; empty: it has not been let in yet
	began, asked, let int64
}

// seat is where the socket of a session for a peer is, as a guest, by the word of the
// session's node.
type seat struct {
	node, run string
	id        uint64
	heard     int64
}

// invite has a socket wait whose session may be on another node. False: it cannot be.
func (s *Server) invite(k *socket, h hello) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.nodes == nil || s.closed || k.guest != nil || h.Session == h.Peer || max(len(h.Session), len(h.Peer), len(h.Token)) > 255 {
		return false
	}
	now := s.hub.Now().UnixNano()
	k.guest, k.id = &guest{hello: h, began: now}, newID()
	s.ids[k.id] = k
	s.guests[k] = struct{}{}
	s.ask(k, now)
	s.tendSoon()
	k.line.Pause(guestWait + time.Second)
	return true
}

// ask asks the node of a guest's session, or all of them, whether it may be here. s.mu is held.
func (s *Server) ask(k *socket, now int64) {
	g := k.guest
	g.asked = now
	node := g.owner
	if node == "" {
		node, _ = s.hub.NodeOf(g.hello.Session)
	}
	all := []string{node}
	if node == "" || s.nodes.Process(node) == "" {
		all = s.nodes.Others()
	}
	r := record{what: sayAsk, from: k.id, session: g.hello.Session, peer: g.hello.Peer, token: g.hello.Token}
	if g.owner != "" {
		r.to = 1 // it has been let in before
	}
	for _, node := range all {
		s.sayTo(node, r)
	}
}

// sayTo says something to a node, if that can be heard. s.mu is held.
func (s *Server) sayTo(node string, r record) {
	if run := s.nodes.Process(node); run != "" {
		if x := s.spanOf(node, run); x != nil {
			x.say(r)
		}
	}
}

// tendGuests asks again for guests, ends those that are not let in any more, and forgets the
// seats of others. s.mu is held.
func (s *Server) tendGuests(now int64) {
	for k := range s.guests {
		g := k.guest
		switch {
		case g.owner == "" && now-g.began > int64(guestWait), g.owner != "" && now-g.let > int64(goneAfter):
			s.turnAway(k, false)
		case g.owner == "" || now-g.asked >= int64(beatEvery-seekEvery/2):
			s.ask(k, now)
		}
	}
	for key, at := range s.seats {
		if now-at.heard > int64(goneAfter) {
			delete(s.seats, key)
		}
	}
}

// turnAway ends a guest. s.mu is held.
func (s *Server) turnAway(k *socket, replaced bool) {
	delete(s.guests, k)
	if replaced {
		k.shut(wire.CloseReplaced, nil)
	} else if k.pair != nil {
		k.shut(wire.CloseRefused, apart(k.guest.hello.Peer))
	} else {
		k.shut(wire.CloseRefused, wire.Faultf(wire.CodeForbidden, "the session is not here, or the token is not the one by which it is resumed, or it shares nothing with the peer"))
	}
}

// asked is told that another node has a guest whose session may be here. s.mu is held.
func (s *Server) asked(node, run string, r *record, now int64) {
	if s.nodes.Process(node) != run || !s.hub.Owns(r.session, r.token) {
		return // of a third node, or nobody's
	}
	key := [2]string{r.session, r.peer}
	at, is := s.seats[key]
	mine := is && at.id == r.from && at.node == node
	if r.session == r.peer || !s.hub.Share(r.session, r.peer) || is && !mine && r.to != 0 || !is && len(s.seats) >= maxSeats {
		s.sayTo(node, record{what: sayNo, to: r.from})
		return
	}
	if is && !mine { // it has come later
		s.sayTo(at.node, record{what: sayNo, to: at.id, from: 1})
	}
	if p := s.pairs[newPair(r.session, r.peer).sessions]; p != nil && !mine {
		if k := p.ends[p.side(r.session)].Load(); k != nil {
			k.shut(wire.CloseReplaced, nil)
		}
	}
	at = seat{node, run, r.from, now}
	s.seats[key] = at
	s.tendSoon()
	s.sayTo(node, record{what: sayYes, to: r.from})
	if peers, known := s.hub.NodeOf(r.peer); known && peers == "" {
		s.seated(key, at, now)
	} else if known {
		s.sayTo(peers, record{what: sayGuest, from: at.id, session: key[0], peer: key[1], token: at.node})
	}
}

// seated is told at the node of the peer where the socket of a session is. s.mu is held.
func (s *Server) seated(key [2]string, at seat, now int64) {
	if k, p := s.alone(key); k != nil {
		s.joins(p, k, at.node, at.run, at.id, now)
	} else if there, is := s.seats[[2]string{key[1], key[0]}]; is { // the peer is a guest, too
		s.sayTo(there.node, record{what: sayGuest, from: at.id, session: key[0], peer: key[1], token: at.node})
	}
}

// alone is the socket here of the peer of a session, where that has none here. s.mu is held.
func (s *Server) alone(key [2]string) (*socket, *pair) {
	p := s.pairs[newPair(key[0], key[1]).sessions]
	if p == nil || p.ends[p.side(key[0])].Load() != nil {
		return nil, nil
	}
	return p.ends[p.side(key[1])].Load(), p
}

// toldSeat takes in what another node says of a guest of a session. s.mu is held.
func (s *Server) toldSeat(node string, r *record, now int64) {
	key, at := [2]string{r.session, r.peer}, seat{r.token, s.nodes.Process(r.token), r.from, now}
	if k, p := s.alone(key); k != nil && k.guest != nil && k.guest.owner == node && at.run != "" {
		s.joins(p, k, at.node, at.run, at.id, now)
		return
	}
	_, is := s.seats[key]
	lives := at.run != "" || at.node == s.nodes.Node() // it may be a guest here
	if of, _ := s.hub.NodeOf(r.session); of != node || !s.hub.Share(r.session, r.peer) || !lives || !is && len(s.seats) >= maxSeats {
		if k, _ := s.alone(key); k == nil || k.guest == nil {
			s.counts.drop(0, "stray")
		}
		return
	}
	s.seats[key] = at
	s.tendSoon()
	s.seated(key, at, now)
}

// let is told what a node says of a guest here. s.mu is held.
func (s *Server) let(node string, r *record, now int64) {
	k := s.ids[r.to]
	if k == nil || k.guest == nil || k.over.Load() {
		return
	}
	g := k.guest
	if r.what == sayNo {
		if node == g.owner || g.owner == "" {
			s.turnAway(k, r.from != 0)
		}
		return
	}
	g.owner, g.let = node, now
	k.line.Resume()
}

// comeIn makes a guest that is let in the end of its session. It is called by its reader.
func (s *Server) comeIn(k *socket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := k.guest
	if k.over.Load() || k.pair != nil || g.owner == "" {
		return
	}
	if code, f := s.enterLocked(k, g.hello.Session, g.hello.Peer); code != 0 {
		delete(s.guests, k)
		k.shut(code, f)
	}
}

// whereIs returns the node on which the socket of a session for a peer is, or is to be, and
// what is known of it; empty: this one, or none is known. s.mu is held.
func (s *Server) whereIs(session, peer string, now int64) (node string, id uint64) {
	if at, is := s.seats[[2]string{session, peer}]; is && now-at.heard <= int64(goneAfter) {
		return at.node, at.id
	}
	node, _ = s.hub.NodeOf(session)
	return node, 0
}
