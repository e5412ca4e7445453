package delivery

import (
	"net/http"
	"slices"
	"time"

	"github.com/gorilla/websocket"

	"turnhub/internal/access"
	"turnhub/internal/netaddr"
	"turnhub/signaling/internal/wire"
	"turnhub/signaling/internal/wsock"
)

// Subprotocol is the WebSocket subprotocol of the native dialect.
const Subprotocol = "turnhub.v1"

var upgrader = wsock.NewUpgrader(Subprotocol)

// triesPath is where each try to come back may have a path of its own, as seen from the
// hub's: some browsers hold back tries at a path that has refused some.
const triesPath = "ws/"

// ServeHTTP is GET /ws, and GET /ws/ with any one part after it.
func (n *Node) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if n.draining.Load() && !n.emptying.Load() {
		w.Header().Set("Retry-After", "2")
		http.Error(w, ErrDrain.Error(), http.StatusServiceUnavailable)
		return
	}
	if !access.AllowOrigin(r, *n.origins.Load()) {
		n.stats.refused.Add("origin")
		http.Error(w, "this page's origin is not in access.allowed_origins", http.StatusForbidden)
		return
	}
	claims, err := n.cfg.Access.Verify(r)
	if err != nil {
		n.stats.refused.Add("token")
		access.Deny(w, err)
		return
	}
	if !websocket.IsWebSocketUpgrade(r) {
		// A page whose sockets do not open asks whether it is a proxy that lets none through.
		if origin := r.Header.Get("Origin"); origin != "" {
			w.Header().Set("Access-Control-Allow-Origin", origin)
		}
		w.Header().Set("Upgrade", "websocket")
		http.Error(w, "this is a WebSocket, of subprotocol "+Subprotocol, http.StatusUpgradeRequired)
		return
	}
	if offered := websocket.Subprotocols(r); len(offered) > 0 && !slices.Contains(offered, Subprotocol) {
		http.Error(w, "this WebSocket speaks "+Subprotocol+" only", http.StatusBadRequest)
		return
	}
	if !n.begin() {
		http.Error(w, ErrDrain.Error(), http.StatusServiceUnavailable)
		return
	}
	if c := n.upgrade(w, r, claims); c == nil || !n.register(c) {
		n.wait.Done()
	} else {
		c.line.Start()
	}
}

// begin counts a socket for Close to wait for. False: it waits already.
func (n *Node) begin() bool {
	n.gate.Lock()
	defer n.gate.Unlock()
	if !n.closed {
		n.wait.Add(1)
	}
	return !n.closed
}

// upgrade makes a WebSocket of the request, or answers it and returns nil.
func (n *Node) upgrade(w http.ResponseWriter, r *http.Request, claims access.Claims) *conn {
	remote, direct := n.cfg.ClientAddress(r)
	limits := n.limits()
	over := n.sockets.Add(remote.Addr(), 1, limits.sockets(n.cfg.Gateway.Times(remote.Addr())))
	ws, err := wsock.Handshake(upgrader, w, r)
	if err != nil { // answered by Upgrade
		if over == netaddr.Within {
			n.sockets.Remove(remote.Addr(), 1)
		}
		return nil
	}
	c := &conn{
		node: n, claims: claims, expires: n.until(claims.Expires),
		remote: remote.Addr(), seen: netaddr.SeenAddress(remote.Addr(), direct), port: n.cfg.Port(r), request: w.Header().Get("X-Request-Id"),
	}
	if over != netaddr.Within {
		// Told by a close code: a browser shows nothing of a refused upgrade.
		n.stats.refused.Add(string(over))
		c.line = wsock.NewLine(ws.NetConn(), c, nil, n.timing.Write)
		c.turnAway()
		return nil
	}
	c.line = wsock.NewLine(ws.NetConn(), c, n.loops, n.timing.Write)
	c.line.SetReadDeadline(within(n.timing.Hello))
	return c
}

// register puts a socket onto the hub's books, unless the hub is closed.
func (n *Node) register(c *conn) bool {
	n.gate.Lock()
	defer n.gate.Unlock()
	if n.closed {
		n.sockets.Remove(c.remote, 1)
		c.line.Discard()
		return false
	}
	n.conns[c] = struct{}{}
	if n.draining.Load() && !n.emptying.Load() || c.claims.Revoked() {
		c.turnBack()
	}
	return true
}

// turnAway refuses a socket over the limits without waiting for it.
func (c *conn) turnAway() {
	c.node.stats.closed.Add(wire.CloseFull.String())
	c.line.Direct(appendClose(nil, wire.CloseFull), c.node.timing.Close)
	// Not at once: what the client has sent meanwhile would reset TCP before it
	// has read the code.
	time.AfterFunc(c.node.timing.Close, c.line.Discard)
}

// gone takes a socket off the hub's books.
func (n *Node) gone(c *conn) {
	n.sockets.Remove(c.remote, 1)
	n.gate.Lock()
	delete(n.conns, c)
	n.gate.Unlock()
	n.wait.Done()
}
