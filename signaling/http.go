package signaling

import (
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"turnhub/internal/access"
)

// Subprotocol is the WebSocket subprotocol of the native dialect.
const Subprotocol = "turnhub.v1"

// readBuffer is gorilla's, which needs it for the frames' headers only: below it
// is a wire, which has its own.
const readBuffer = 128

var writeBuffers sync.Pool

var upgrader = websocket.Upgrader{
	HandshakeTimeout: 10 * time.Second,
	ReadBufferSize:   readBuffer,
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
		h.stats.refused.Add(1)
		http.Error(w, "this page's origin is not in access.allowed_origins", http.StatusForbidden)
		return
	}
	claims, err := h.cfg.Access.Verify(r)
	if err != nil {
		h.stats.refused.Add(1)
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
	if c := h.upgrade(w, r, claims); c == nil || !h.register(c) {
		h.wait.Done()
	} else {
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
	full := !h.sockets.add(remote.Addr(), limits.ConnectionsPerIP, limits.ConnectionsTotal)
	hijacker := &hijacker{ResponseWriter: w}
	ws, err := upgrader.Upgrade(hijacker, r, nil)
	if err != nil { // answered by Upgrade
		if !full {
			h.sockets.remove(remote.Addr())
		}
		return nil
	}
	c := &conn{
		hub: h, ws: ws, nc: hijacker.wire, wire: hijacker.wire, claims: claims,
		remote: remote.Addr(), seen: seenAddress(remote.Addr(), direct),
	}
	if full {
		// Told by a close code: a browser shows nothing of a refused upgrade.
		h.stats.refused.Add(1)
		c.turnAway()
		return nil
	}
	c.wire.before = c.flush
	return c
}

// register puts a socket onto the hub's books, unless the hub is closed.
func (h *Hub) register(c *conn) bool {
	h.gate.Lock()
	defer h.gate.Unlock()
	if h.closed {
		h.sockets.remove(c.remote)
		_ = c.nc.Close()
		return false
	}
	h.conns[c] = struct{}{}
	return true
}

// turnAway refuses a socket over the limits without waiting for it.
func (c *conn) turnAway() {
	c.hub.stats.closed(CloseFull)
	deadline := time.Now().Add(closeWait)
	_ = c.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(int(CloseFull), CloseFull.String()), deadline)
	// Not at once: what the client has sent meanwhile would reset TCP before it
	// has read the code.
	time.AfterFunc(closeWait, func() { _ = c.nc.Close() })
}

// gone takes a socket off the hub's books.
func (h *Hub) gone(c *conn) {
	c.wire.release()
	h.sockets.remove(c.remote)
	h.gate.Lock()
	delete(h.conns, c)
	h.gate.Unlock()
	h.wait.Done()
}
