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
	Dialect string         // peerjs, socketio, relay, yjs
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
	if err := h.node.Admit(addr, info.Claims, func() { h.dialectClients.add(c) }); err != nil {
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
	c.hub.dialectClients.enter(room)
}

// Leave ends Join.
func (c *DialectClient) Leave(room string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, in := c.rooms[room]; in {
		delete(c.rooms, room)
		c.hub.dialectClients.exit(room)
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
		c.hub.dialectClients.exit(room)
	}
	c.rooms = nil
	c.hub.dialectClients.remove(c)
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

// dialectClients are all of them that are let in, and where they are.
type dialectClients struct {
	mu      sync.RWMutex
	clients map[*DialectClient]struct{}
	seen    map[netip.Addr]int
	rooms   map[string]int
	// parted are the addresses of those who were told to come back to another
	// process. Until this one ends, it carries their calls, to those addresses.
	parted map[netip.Addr]struct{}
	// changed is told of addresses that come and go, where there are other nodes; else nil.
	changed func(addr netip.Addr, is bool)
}

func (d *dialectClients) add(c *DialectClient) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.clients[c] = struct{}{}
	if c.seen.IsValid() {
		if d.seen[c.seen]++; d.seen[c.seen] == 1 && d.changed != nil {
			d.changed(c.seen, true)
		}
	}
}

func (d *dialectClients) remove(c *DialectClient) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.clients, c)
	if c.seen.IsValid() {
		if d.seen[c.seen]--; d.seen[c.seen] <= 0 {
			delete(d.seen, c.seen)
			if d.changed != nil {
				d.changed(c.seen, false)
			}
		}
	}
}

func (d *dialectClients) enter(room string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rooms[room]++
}

func (d *dialectClients) exit(room string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.rooms[room]--; d.rooms[room] <= 0 {
		delete(d.rooms, room)
	}
}

func (d *dialectClients) at(addr netip.Addr) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	_, parted := d.parted[addr]
	return parted || d.seen[addr] > 0
}

// part remembers where everybody is, who is about to be sent away.
func (d *dialectClients) part() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.parted = make(map[netip.Addr]struct{}, len(d.seen))
	for addr := range d.seen {
		d.parted[addr] = struct{}{}
	}
}

// forget ends part.
func (d *dialectClients) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.parted = nil
}

// all returns the clients of the moment.
func (d *dialectClients) all() []*DialectClient {
	d.mu.RLock()
	defer d.mu.RUnlock()
	list := make([]*DialectClient, 0, len(d.clients))
	for c := range d.clients {
		list = append(list, c)
	}
	return list
}
