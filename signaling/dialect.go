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

// ClientInfo is what a dialect knows about a client that asks to be let in.
type ClientInfo struct {
	Dialect string         // peerjs, socketio, relay
	Remote  netip.AddrPort // where the client is, see ClientAddress
	Direct  bool           // the connection came from Remote itself, not through a reverse proxy
	Claims  access.Claims  // of the access token; zero in mode open
}

// DialectClient is a client that speaks a dialect: one without a hub session. The hub
// counts it against the limits, shows it in the console, and lets others without a
// session reach its address through the relay.
type DialectClient struct {
	hub   *Hub
	info  ClientInfo
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
func (h *Hub) Attach(info ClientInfo, sever func()) (*DialectClient, error) {
	addr := info.Remote.Addr()
	c := &DialectClient{hub: h, info: info, seen: netaddr.SeenAddress(addr, info.Direct), since: h.now(), sever: sever, done: make(chan struct{})}
	if err := h.node.Admit(addr, info.Claims, func() { h.strangers.add(c) }); err != nil {
		return nil, err
	}
	return c, nil
}

// Addr is where the client is.
func (c *DialectClient) Addr() netip.Addr { return c.info.Remote.Addr() }

// Done is closed when the hub wants the connection to end, see Attach.
func (c *DialectClient) Done() <-chan struct{} { return c.done }

// Allow counts one message of so many bytes that came in. On ErrRate the
// dialect drops the message; on ErrTooBig and ErrFlood it ends the connection.
func (c *DialectClient) Allow(bytes int) error {
	limits := c.hub.node.Limits()
	if bytes > limits.MessageSize {
		c.hub.node.CountDropped("too-big")
		return ErrTooBig
	}
	c.mu.Lock()
	err := delivery.Count(&c.messages, c.hub.now(), limits.Messages())
	c.mu.Unlock()
	if err != nil {
		c.hub.node.CountDropped("rate")
		return err
	}
	c.hub.node.CountTaken()
	return nil
}

// Join says that the client is in a room of the dialect, named with the
// dialect in front: relay/chan. Rooms beyond 64 of one client are not shown.
func (c *DialectClient) Join(room string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, in := c.rooms[room]; in || c.gone || len(c.rooms) >= maxDialectRooms {
		return
	}
	if c.rooms == nil {
		c.rooms = make(map[string]struct{})
	}
	c.rooms[room] = struct{}{}
	c.hub.strangers.enter(room)
}

// Leave ends Join.
func (c *DialectClient) Leave(room string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, in := c.rooms[room]; in {
		delete(c.rooms, room)
		c.hub.strangers.exit(room)
	}
}

// Count counts a message's fate for the metrics: "relayed", or why it was
// dropped. kind must come from a small fixed set.
func (c *DialectClient) Count(kind string) { c.hub.stats.dialect(c.info.Dialect, kind) }

// Detach ends the connection's account. Calling it twice is harmless.
func (c *DialectClient) Detach() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		return
	}
	c.gone = true
	for room := range c.rooms {
		c.hub.strangers.exit(room)
	}
	c.rooms = nil
	c.hub.strangers.remove(c)
	c.hub.node.Leave(c.info.Remote.Addr())
}

// end asks the dialect to end the connection.
func (c *DialectClient) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ended && !c.gone {
		c.ended = true
		close(c.done)
		go c.sever()
	}
}

// strangers are the people without a hub session.
type strangers struct {
	mu      sync.RWMutex
	clients map[*DialectClient]struct{}
	seen    map[netip.Addr]int
	rooms   map[string]int
	// parted are the addresses of those who were told to come back to another
	// process. Until this one ends, it carries their calls, to those addresses.
	parted map[netip.Addr]struct{}
}

func (p *strangers) add(c *DialectClient) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clients[c] = struct{}{}
	if c.seen.IsValid() {
		p.seen[c.seen]++
	}
}

func (p *strangers) remove(c *DialectClient) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.clients, c)
	if c.seen.IsValid() {
		if p.seen[c.seen]--; p.seen[c.seen] <= 0 {
			delete(p.seen, c.seen)
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

// all returns the clients of the moment.
func (p *strangers) all() []*DialectClient {
	p.mu.RLock()
	defer p.mu.RUnlock()
	list := make([]*DialectClient, 0, len(p.clients))
	for c := range p.clients {
		list = append(list, c)
	}
	return list
}
