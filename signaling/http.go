package signaling

import (
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"turnhub/internal/access"
	"turnhub/internal/netaddr"
	"turnhub/signaling/internal/wsock"
)

// Subprotocol is the WebSocket subprotocol of the native dialect.
const Subprotocol = "turnhub.v1"

var writeBuffers sync.Pool

var upgrader = websocket.Upgrader{
	HandshakeTimeout: 10 * time.Second,
	ReadBufferSize:   128, // of no use beyond the upgrade
	WriteBufferSize:  1024,
	WriteBufferPool:  &writeBuffers,
	Subprotocols:     []string{Subprotocol},
	CheckOrigin:      func(*http.Request) bool { return true }, // checked below
}

// ServeHTTP is GET /ws.
func (h *Hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h.draining.Load() {
		w.Header().Set("Retry-After", "2")
		http.Error(w, ErrDrain.Error(), http.StatusServiceUnavailable)
		return
	}
	if !access.AllowOrigin(r, *h.origins.Load()) {
		h.stats.refuse("origin")
		http.Error(w, "this page's origin is not in access.allowed_origins", http.StatusForbidden)
		return
	}
	claims, err := h.cfg.Access.Verify(r)
	if err != nil {
		h.stats.refuse("token")
		access.Deny(w, err)
		return
	}
	if offered := websocket.Subprotocols(r); len(offered) > 0 && !slices.Contains(offered, Subprotocol) {
		http.Error(w, "this WebSocket speaks "+Subprotocol+" only", http.StatusBadRequest)
		return
	}
	if !h.begin() {
		http.Error(w, ErrDrain.Error(), http.StatusServiceUnavailable)
		return
	}
	switch c := h.upgrade(w, r, claims); {
	case c == nil || !h.register(c):
		h.wait.Done()
	case c.link != nil:
		c.link.start()
	default:
		// Not in the caller's goroutine: net/http's is large and holds the
		// request.
		go c.serve()
	}
}

// begin counts a goroutine for Close to wait for. False: it waits already.
func (h *Hub) begin() bool {
	h.gate.Lock()
	defer h.gate.Unlock()
	if !h.closed {
		h.wait.Add(1)
	}
	return !h.closed
}

// upgrade makes a WebSocket of the request, or answers it and returns nil.
func (h *Hub) upgrade(w http.ResponseWriter, r *http.Request, claims access.Claims) *conn {
	remote, direct := h.cfg.ClientAddress(r)
	limits := h.limits()
	over := h.sockets.Add(remote.Addr(), 1, limits.sockets())
	ws, err := wsock.Handshake(&upgrader, w, r)
	if err != nil { // answered by Upgrade
		if over == netaddr.Within {
			h.sockets.Remove(remote.Addr(), 1)
		}
		return nil
	}
	c := &conn{
		hub: h, nc: ws.NetConn(), out: new(flusher), claims: claims, expires: h.until(claims.Expires),
		remote: remote.Addr(), seen: seenAddress(remote.Addr(), direct), request: w.Header().Get("X-Request-Id"),
	}
	if early, ok := c.nc.(*wsock.Early); ok {
		c.nc, c.first = early.NetConn(), early.Take()
	}
	if over != netaddr.Within {
		// Told by a close code: a browser shows nothing of a refused upgrade.
		h.stats.refuse(string(over))
		c.turnAway()
		return nil
	}
	if p := h.poller(); p != nil {
		p.newLink(c)
	}
	_ = c.nc.SetReadDeadline(within(h.timing.Hello))
	return c
}

// poller returns the next socket's poller; nil: there is none on this system, or
// the hub is closed.
func (h *Hub) poller() *poller {
	h.gate.Lock()
	defer h.gate.Unlock()
	if h.closed {
		return nil
	}
	for len(h.pollers) < pollerCount() {
		p, err := newPoller(h)
		if err != nil {
			h.log.Error("cannot poll sockets: each gets a goroutine", "error", err)
			return nil
		}
		h.pollers = append(h.pollers, p)
	}
	if len(h.pollers) == 0 {
		return nil
	}
	h.turn++
	return h.pollers[h.turn%len(h.pollers)]
}

// register puts a socket onto the hub's books, unless the hub is closed.
func (h *Hub) register(c *conn) bool {
	h.gate.Lock()
	defer h.gate.Unlock()
	if h.closed {
		h.sockets.Remove(c.remote, 1)
		if c.link != nil {
			c.link.release()
		}
		_ = c.nc.Close()
		return false
	}
	h.conns[c] = struct{}{}
	if h.draining.Load() || c.claims.Revoked() {
		c.turnBack()
	}
	return true
}

// turnAway refuses a socket over the limits without waiting for it.
func (c *conn) turnAway() {
	c.hub.stats.closed(CloseFull)
	c.direct(appendClose(nil, CloseFull))
	// Not at once: what the client has sent meanwhile would reset TCP before it
	// has read the code.
	time.AfterFunc(c.hub.timing.Close, func() { _ = c.nc.Close() })
}

// gone takes a socket off the hub's books.
func (h *Hub) gone(c *conn) {
	h.sockets.Remove(c.remote, 1)
	h.gate.Lock()
	delete(h.conns, c)
	h.gate.Unlock()
	h.wait.Done()
}
