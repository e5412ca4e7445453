package signaling

import (
	"net/netip"
	"sync"
	"time"

	"turnhub/internal/access"
	"turnhub/internal/netaddr"
	"turnhub/internal/ratelimit"
	"turnhub/signaling/internal/delivery"
)

// SocketInfo is what a dialect knows about a connection.
type SocketInfo struct {
	Dialect string         // peerjs, socketio, relay
	Remote  netip.AddrPort // where the person is, see ClientAddress
	Direct  bool           // the connection came from Remote itself, not through a reverse proxy
	Claims  access.Claims  // of the access token; zero in mode open
}

// Socket is a person who speaks another dialect: somebody without a hub
// session. The hub counts it against the limits, shows it in the console, and
// lets other people without session reach its address through the relay.
type Socket struct {
	hub   *Hub
	info  SocketInfo
	seen  netip.Addr
	since time.Time
	sever func() // see Attach
	done  chan struct{}

	mu       sync.Mutex
	messages ratelimit.Meter
	rooms    map[string]struct{}
	gone     bool
	ended    bool
}

// Attach admits one connection of a dialect. The error is ErrFull, ErrDrain or, where
// the token has been revoked since it was checked, access.ErrRevoked.
// The caller calls Detach when the connection is gone. sever is called once, in a goroutine
// of its own, if the hub wants the connection to end: revoked by the operator, or the server
// is going down.
func (h *Hub) Attach(info SocketInfo, sever func()) (*Socket, error) {
	addr := info.Remote.Addr()
	s := &Socket{hub: h, info: info, seen: netaddr.SeenAddress(addr, info.Direct), since: h.now(), sever: sever, done: make(chan struct{})}
	if err := h.node.Admit(addr, info.Claims, func() { h.strangers.add(s) }); err != nil {
		return nil, err
	}
	return s, nil
}

// Addr is where the person is.
func (s *Socket) Addr() netip.Addr { return s.info.Remote.Addr() }

// Done is closed when the hub wants the connection to end, see Attach.
func (s *Socket) Done() <-chan struct{} { return s.done }

// Allow counts one message of so many bytes that came in. On ErrRate the
// dialect drops the message; on ErrTooBig and ErrFlood it ends the connection.
func (s *Socket) Allow(bytes int) error {
	limits := s.hub.node.Limits()
	if bytes > limits.MessageSize {
		s.hub.node.CountDropped("too-big")
		return ErrTooBig
	}
	s.mu.Lock()
	err := delivery.Count(&s.messages, s.hub.now(), limits.Messages())
	s.mu.Unlock()
	if err != nil {
		s.hub.node.CountDropped("rate")
		return err
	}
	s.hub.node.CountTaken()
	return nil
}

// Join says that the person is in a room of the dialect, named with the
// dialect in front: relay/chan. Rooms beyond 64 per socket are not shown.
func (s *Socket) Join(room string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, in := s.rooms[room]; in || s.gone || len(s.rooms) >= maxDialectRooms {
		return
	}
	if s.rooms == nil {
		s.rooms = make(map[string]struct{})
	}
	s.rooms[room] = struct{}{}
	s.hub.strangers.enter(room)
}

// Leave ends Join.
func (s *Socket) Leave(room string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, in := s.rooms[room]; in {
		delete(s.rooms, room)
		s.hub.strangers.exit(room)
	}
}

// Count counts a message's fate for the metrics: "relayed", or why it was
// dropped. kind must come from a small fixed set.
func (s *Socket) Count(kind string) { s.hub.stats.dialect(s.info.Dialect, kind) }

// Detach ends the connection's account. Calling it twice is harmless.
func (s *Socket) Detach() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return
	}
	s.gone = true
	for room := range s.rooms {
		s.hub.strangers.exit(room)
	}
	s.rooms = nil
	s.hub.strangers.remove(s)
	s.hub.node.Leave(s.info.Remote.Addr())
}

// end asks the dialect to end the connection.
func (s *Socket) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended && !s.gone {
		s.ended = true
		close(s.done)
		go s.sever()
	}
}

// strangers are the people without a hub session.
type strangers struct {
	mu      sync.RWMutex
	sockets map[*Socket]struct{}
	seen    map[netip.Addr]int
	rooms   map[string]int
	// parted are the addresses of those who were told to come back to another
	// process. Until this one ends, it carries their calls, to those addresses.
	parted map[netip.Addr]struct{}
}

func (p *strangers) add(s *Socket) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sockets[s] = struct{}{}
	if s.seen.IsValid() {
		p.seen[s.seen]++
	}
}

func (p *strangers) remove(s *Socket) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.sockets, s)
	if s.seen.IsValid() {
		if p.seen[s.seen]--; p.seen[s.seen] <= 0 {
			delete(p.seen, s.seen)
		}
	}
}

func (p *strangers) enter(room string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rooms[room]++
}

func (p *strangers) exit(room string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rooms[room]--; p.rooms[room] <= 0 {
		delete(p.rooms, room)
	}
}

func (p *strangers) at(addr netip.Addr) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	_, parted := p.parted[addr]
	return parted || p.seen[addr] > 0
}

// part remembers where everybody is, who is about to be sent away.
func (p *strangers) part() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.parted = make(map[netip.Addr]struct{}, len(p.seen))
	for addr := range p.seen {
		p.parted[addr] = struct{}{}
	}
}

// forget ends part.
func (p *strangers) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.parted = nil
}

// all returns the sockets of the moment.
func (p *strangers) all() []*Socket {
	p.mu.RLock()
	defer p.mu.RUnlock()
	list := make([]*Socket, 0, len(p.sockets))
	for s := range p.sockets {
		list = append(list, s)
	}
	return list
}
