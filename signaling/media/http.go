package media

import (
	"net/http"
	"slices"
	"time"

	"github.com/gorilla/websocket"

	"turnhub/internal/handshake"
	"turnhub/signaling"
	"turnhub/signaling/internal/admission"
	"turnhub/signaling/internal/wire"
	"turnhub/signaling/internal/wsock"
)

var upgrader = wsock.NewUpgrader(Subprotocol)

// ServeHTTP is GET /media, and GET /media/ with any one part after it. Whoever comes proves a session with the first frame, so that no
// access token is needed.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case !s.on.Load():
		admission.Refuse(w, http.StatusNotFound, "off", "this server passes no media through a WebSocket: relay.websocket_media is off")
	case s.hub.Draining():
		w.Header().Set("Retry-After", "2")
		admission.Refuse(w, http.StatusServiceUnavailable, "restart", signaling.ErrDrain.Error())
	case !s.hub.AllowsOrigin(r):
		s.hub.CountRefused("origin")
		admission.Refuse(w, http.StatusForbidden, "origin", "pages of this Origin may not connect here: add it to access.allowed_origins")
	case !handshake.IsWebSocket(r):
		w.Header().Set("Upgrade", "websocket")
		admission.Refuse(w, http.StatusUpgradeRequired, "websocket", "this is a WebSocket, of subprotocol "+Subprotocol)
	case !speaks(r):
		admission.Refuse(w, http.StatusBadRequest, "subprotocol", "this WebSocket speaks "+Subprotocol+" only")
	default:
		s.upgrade(w, r)
	}
}

// speaks reports whether a client wants our subprotocol, or says nothing of any.
func speaks(r *http.Request) bool {
	offered := websocket.Subprotocols(r)
	return len(offered) == 0 || slices.Contains(offered, Subprotocol)
}

func (s *Server) upgrade(w http.ResponseWriter, r *http.Request) {
	remote, _ := s.hub.AddressOf(r)
	refused := s.hub.AdmitSocket(remote.Addr())
	ws, err := wsock.Handshake(upgrader, w, r)
	if err != nil { // answered
		if refused == nil {
			s.hub.LeaveSocket(remote.Addr())
		}
		return
	}
	k := &socket{server: s, remote: remote.Addr(), request: w.Header().Get("X-Request-Id")}
	k.queue.counts = &s.counts
	if refused != nil {
		// Told by a close code: a browser shows nothing of a refused upgrade.
		why := admission.CloseFor(refused)
		s.counts.closed.Add(wire.CloseCode(why.Code).String())
		line := wsock.NewLine(ws.NetConn(), k, nil, s.timing.Write)
		line.Direct(appendClose(nil, wire.CloseCode(why.Code)), s.timing.Close)
		// Not at once: what the client has sent meanwhile would reset TCP before it has
		// read the code.
		time.AfterFunc(s.timing.Close, line.Discard)
		return
	}
	k.line = wsock.NewLine(ws.NetConn(), k, s.hub.Loops(), s.timing.Write)
	k.line.Shallow()
	k.line.SetReadDeadline(time.Now().Add(s.timing.Hello))
	if !s.register(k) {
		k.line.Discard()
		s.hub.LeaveSocket(remote.Addr())
		return
	}
	k.line.Start()
}

// register puts a socket onto the books, unless the server is closed.
func (s *Server) register(k *socket) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.wait.Add(1)
	s.sockets[k] = struct{}{}
	if s.draining {
		k.shut(wire.CloseRestart, nil)
	}
	return true
}

// gone takes one off.
func (s *Server) gone(k *socket) {
	s.part(k)
	s.mu.Lock()
	delete(s.sockets, k)
	s.mu.Unlock()
	s.hub.LeaveSocket(k.remote)
	s.wait.Done()
}
