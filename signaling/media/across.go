package media

import (
	"crypto/rand"
	"encoding/binary"
	"slices"
	"time"

	"turnhub/signaling/internal/wsock"
)

// Where the sessions of a pair are on two nodes, each has its socket at its own, and the
// nodes hand the frames to each other, by datagrams that are neither acknowledged nor said
// again. Each says of its socket to the node where it knows the other session to be, again
// and again, and takes in what is said of a pair only if its own hub has the two together,
// and the other one on the node that says it: who shares nothing is never met, and a node
// whose sessions are another's by now is not heard.

// Nodes are the datagrams to other nodes.
type Nodes interface {
	// Node is this node's name.
	Node() string
	// Others are the nodes to which something might be sent.
	Others() []string
	// Process is the process of a node to which something can be sent now; empty: none.
	Process(node string) string
	// Most is the longest that can be sent, in bytes.
	Most() int
	// Send sends something. It may wait for some seconds. False: it is lost.
	Send(node, run string, packet []byte) bool
}

const (
	// Who has not met the other end says so every seekEvery, for seekLong, and then every
	// beatEvery, as do those that have met; of which nothing has come for goneAfter, that is gone.
	seekEvery = 250 * time.Millisecond
	seekLong  = 5 * time.Second
	beatEvery = time.Second
	goneAfter = 3500 * time.Millisecond
)

// Across has pairs meet whose sessions are on two nodes. It is called before anybody comes.
func (s *Server) Across(nodes Nodes) { s.nodes = nodes }

// spanOf returns what is said to a process; nil: the server ends. s.mu is held.
func (s *Server) spanOf(node, run string) *span {
	x := s.spans[node]
	if x != nil && x.run == run {
		return x
	}
	if s.ended {
		return nil
	}
	others := s.nodes.Others()
	for name, old := range s.spans { // of a node that is gone nothing is wanted any more, see seek
		if name == node || !slices.Contains(others, name) {
			close(old.over)
			delete(s.spans, name)
		}
	}
	x = &span{server: s, node: node, run: run, wake: make(chan struct{}, 1), over: make(chan struct{})}
	s.spans[node] = x
	s.spoken.Go(x.serve)
	return x
}

// endSpans ends all of them, when all sockets have.
func (s *Server) endSpans() {
	s.mu.Lock()
	s.ended = true
	for _, x := range s.spans {
		close(x.over)
	}
	clear(s.spans)
	s.mu.Unlock()
}

// newID draws a number that nobody can guess.
func newID() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand
	return binary.BigEndian.Uint64(b[:]) | 1
}

// look puts a pair onto the books of those with one end here, or takes it off. s.mu is held.
func (s *Server) look(p *pair) {
	if s.nodes == nil {
		return
	}
	if (p.ends[0].Load() == nil) == (p.ends[1].Load() == nil) {
		s.lose(p)
		delete(s.apart, p)
		return
	}
	s.apart[p] = struct{}{}
	s.tendSoon()
}

// tendSoon has all of them looked after. s.mu is held.
func (s *Server) tendSoon() {
	if s.tending == nil && !s.closed {
		s.tending = time.AfterFunc(seekEvery, s.tend)
	}
}

// lose forgets the far end of a pair. s.mu is held.
func (s *Server) lose(p *pair) {
	if f := p.far.Swap(nil); f != nil {
		f.say(sayClose)
		f.end()
	}
}

// again has the other end of a pair meet another socket here. s.mu is held.
func (s *Server) again(p *pair, k *socket) (here bool) {
	f := p.far.Load()
	if f == nil || f.own == k {
		return f != nil
	}
	f.end()
	n := newFar(f.span, k, f.id, f.heard.Load())
	p.far.Store(n)
	return true
}

// seek says to the other end of a pair that this one is here. s.mu is held.
func (s *Server) seek(p *pair, k *socket, now int64) {
	session, peer := p.sessions[k.side], p.sessions[1-k.side]
	f := p.far.Load()
	node, id := s.whereIs(peer, session, now)
	if k.guest != nil { // who has told of the other end knows better
		if node = ""; f != nil {
			node = f.span.node
		}
	}
	run := ""
	if node != "" {
		run = s.nodes.Process(node)
	}
	if f != nil && (f.span.node != node || f.span.run != run || s.spans[node] != f.span || now-f.heard.Load() > int64(goneAfter)) {
		s.lose(p)
		k.meet(false)
		f = nil
	}
	if run == "" {
		k.said = 0
		return
	}
	every := int64(beatEvery)
	if f == nil && now-k.opened < int64(seekLong) {
		every = int64(seekEvery)
	}
	if k.said != 0 && now-k.said < every-int64(seekEvery)/2 {
		return
	}
	k.said = now
	if x := s.spanOf(node, run); x != nil {
		r := record{what: sayOpen, to: id, from: k.id, session: session, peer: peer}
		if f != nil {
			r.to = f.id
		}
		x.say(r)
	}
}

// tend does so for all that have one end here.
func (s *Server) tend() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tendLocked()
	if s.tending = nil; len(s.apart)+len(s.guests)+len(s.seats) > 0 {
		s.tendSoon()
	}
}

func (s *Server) tendLocked() {
	now := s.hub.Now().UnixNano()
	s.tendGuests(now)
	for p := range s.apart {
		for i := range p.ends {
			if k := p.ends[i].Load(); k != nil {
				s.seek(p, k, now)
				if f := p.far.Load(); f != nil {
					f.tend(now)
				}
			}
		}
	}
}

// NodesChanged is told that datagrams can be sent again, or no longer.
func (s *Server) NodesChanged() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tendLocked()
}

// Heard takes in a datagram of a process of another node. It is called by one goroutine.
func (s *Server) Heard(node, run string, packet []byte) {
	now := s.hub.Now().UnixNano()
	together := wsock.Together()
	defer together.Spread()
	for len(packet) > 0 {
		var r record
		rest, ok := r.read(packet)
		if !ok {
			s.counts.drop(0, "stray")
			return
		}
		packet = rest
		if s.toldOf(node, run, &r, now) {
			continue
		}
		f := s.farOf(node, run, &r)
		if f == nil { // of one that has just gone, as a rule
			s.counts.drop(0, "stray")
			continue
		}
		switch r.what {
		case sayClose:
			s.mu.Lock()
			if f.own.pair.far.CompareAndSwap(f, nil) {
				f.end()
				f.own.meet(false)
			}
			s.mu.Unlock()
		case sayKey:
			f.own.askKey(together)
		case sayLost:
			f.own.meet(true)
		case sayFlood:
			f.own.flooded()
		case sayFrame:
			f.come(&r, now, together)
		}
	}
}

// toldOf takes in what is said of no socket here in particular, or of a guest.
func (s *Server) toldOf(node, run string, r *record, now int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch r.what {
	case sayOpen:
		s.met(node, run, r, now)
	case sayAsk:
		s.asked(node, run, r, now)
	case sayGuest:
		s.toldSeat(node, r, now)
	case sayYes, sayNo:
		s.let(node, r, now)
	default:
		return false
	}
	return true
}

// farOf is the end of which another node says something; nil: it has none such.
func (s *Server) farOf(node, run string, r *record) *far {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.ids[r.to]
	if k == nil {
		return nil
	}
	if f := k.pair.far.Load(); f != nil && f.own == k && f.id == r.from && f.span.node == node && f.span.run == run {
		return f
	}
	return nil
}

// met is told that another node has the socket of a session for a peer. s.mu is held.
func (s *Server) met(node, run string, r *record, now int64) {
	k, p := s.alone([2]string{r.session, r.peer})
	if k == nil {
		return
	}
	// Who knows the number of a guest's socket has been told of it by the node of its session.
	if known := k.guest != nil && r.to == k.id; !known {
		at, id := s.whereIs(r.session, r.peer, now)
		if k.guest != nil || at != node || id != 0 && id != r.from || !s.hub.Share(r.session, r.peer) {
			s.counts.drop(0, "stray") // or this node has not heard of it yet: it is said again
			return
		}
	}
	if s.nodes.Process(node) != run {
		s.counts.drop(0, "stray")
		return
	}
	f := s.joins(p, k, node, run, r.from, now)
	if f == nil {
		return
	}
	f.heard.Store(now)
	if r.to != k.id && k.said != now { // it does not know of this one
		k.said = now
		f.span.say(record{what: sayOpen, to: f.id, from: k.id, session: r.peer, peer: r.session})
	}
}

// joins has a socket here meet one on another node; nil: the server ends. s.mu is held.
func (s *Server) joins(p *pair, k *socket, node, run string, id uint64, now int64) *far {
	f := p.far.Load()
	if f != nil && f.id == id && f.span.node == node && f.span.run == run {
		return f
	}
	x := s.spanOf(node, run)
	if x == nil {
		return nil
	}
	if f != nil {
		f.end()
	}
	f = newFar(x, k, id, now)
	p.far.Store(f)
	k.meet(true)
	k.said = 0
	s.seek(p, k, now)
	return f
}
