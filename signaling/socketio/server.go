// Package socketio is a Socket.IO server for programs that use socket.io-client
// 1.x to 4.x to exchange their WebRTC signaling: what one emits as "message", the
// others of its room get, whatever client they have.
//
// It speaks Engine.IO protocol 4 (long-polling, WebSocket, the upgrade from the
// one to the other) and Socket.IO protocol 5 (default namespace, events with
// and without binary attachments, acknowledgements), both by their published
// descriptions: https://socket.io/docs/v4/engine-io-protocol/ and
// https://socket.io/docs/v4/socket-io-protocol/. The clients 1.x and 2.x speak
// Engine.IO 3 and Socket.IO 3 and 4, see era.go and jsonp.go.
//
// Rooms: a socket that never joins shares one room with the others of its query
// parameter channel. emit("join", room) makes a room for two, see room.go.
package socketio

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"turnhub/internal/access"
	"turnhub/internal/assets"
	"turnhub/internal/body"
	"turnhub/internal/handshake"
	"turnhub/signaling"
	"turnhub/signaling/internal/admission"
	"turnhub/signaling/internal/wsock"
)

// Timing holds the protocol's times; zero fields take those of the reference server,
// which its clients are used to.
type Timing struct {
	PingInterval time.Duration // between two pings
	PingTimeout  time.Duration // for the answer
	Upgrade      time.Duration // for the change to WebSocket
	Connect      time.Duration // until a client joins the namespace
	Body         time.Duration // for the body of a POST
}

func (t Timing) withDefaults() Timing {
	return Timing{
		PingInterval: cmp.Or(t.PingInterval, 25*time.Second),
		PingTimeout:  cmp.Or(t.PingTimeout, 20*time.Second),
		Upgrade:      cmp.Or(t.Upgrade, 10*time.Second),
		Connect:      cmp.Or(t.Connect, 45*time.Second),
		Body:         cmp.Or(t.Body, body.Timeout),
	}
}

// writeTimeout is how long the answer to a poll may take.
const writeTimeout = 10 * time.Second

// Config is what the server needs of the rest.
type Config struct {
	Hub    *signaling.Hub
	Topics signaling.Topics // of other nodes; nil: there are none
	Logger *slog.Logger     // nil: none
	Timing Timing           // for tests
}

// Server is the http.Handler of /socket.io/.
type Server struct {
	desk   *admission.Desk
	topics signaling.Topics
	log    *slog.Logger
	assets *assets.Set

	timing Timing

	mu       sync.Mutex
	sessions map[string]*session
	rooms    map[roomKey]*room
	closed   bool
	running  sync.WaitGroup // requests in ServeHTTP
}

// New makes a server. Close ends it.
func New(cfg Config) *Server {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Server{
		desk:   admission.New("socketio", cfg.Hub),
		topics: cfg.Topics,
		log:    cfg.Logger,
		assets: loadAssets(),

		timing:   cfg.Timing.withDefaults(),
		sessions: make(map[string]*session),
		rooms:    make(map[roomKey]*room),
	}
}

// Close ends every session, so that the clients come back when the server
// does, and waits until they have ended or the context has.
func (s *Server) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	var all []*session
	for _, c := range s.sessions {
		all = append(all, c)
	}
	s.mu.Unlock()
	for _, c := range all {
		c.close("the server is restarting")
	}
	return wsock.Wait(ctx, &s.running)
}

// limit is the largest message in bytes.
func (s *Server) limit() int { return s.desk.MessageSize() }

// maxPayload is the largest body of a long-polling POST: one message of the
// largest size with all of it in base64, and some room beside it.
func (s *Server) maxPayload() int { return s.limit()/3*4 + 8<<10 }

// maxPayload3 is the same for protocol 3, whose text may be encoded twice, and in a form.
func (s *Server) maxPayload3(form bool) int {
	if form {
		return 3 * s.maxPayload()
	}
	return 2*s.limit() + 8<<10
}

// queueBytes bounds what waits for a client.
func (s *Server) queueBytes() int { return s.desk.QueueBytes() }

// ServeHTTP answers everything under /socket.io/.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.begin() {
		admission.Refuse(w, http.StatusServiceUnavailable, "restart", signaling.ErrDrain.Error())
		return
	}
	defer s.running.Done()
	s.desk.CORS(w, r, true)
	if r.Method == http.MethodOptions {
		admission.Preflight(w, r, "GET,POST")
		return
	}
	if name := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]; name != "" && name != "socket.io" {
		serveAsset(s.assets, w, r, name)
		return
	}
	query := r.URL.Query()
	if _, ok := jsonp(query); ok {
		r = asPage(r)
	}
	claims, ok := s.desk.Admit(w, r)
	if !ok {
		return
	}
	transport, websocket := query.Get("transport"), handshake.IsWebSocket(r)
	switch {
	case transport != "polling" && transport != "websocket":
		fail(w, codeUnknownTransport, "")
		return
	case !slices.Contains([]string{"4", "3", "2"}, query.Get("EIO")):
		fail(w, codeProtocolVersion, "")
		return
	case (transport == "websocket") != websocket:
		fail(w, codeBadRequest, "transport and request do not fit together")
		return
	}
	if sid := query.Get("sid"); sid != "" {
		c := s.session(sid)
		switch {
		case c == nil || c.entrant.Claims.User != claims.User:
			fail(w, codeUnknownSID, "")
		case websocket:
			c.serveUpgrade(w, r)
		case r.Method == http.MethodGet:
			c.servePoll(w, r)
		case r.Method == http.MethodPost:
			c.serveData(w, r)
		default:
			fail(w, codeBadRequest, "only GET and POST")
		}
		return
	}
	if r.Method != http.MethodGet {
		fail(w, codeHandshakeMethod, "")
		return
	}
	channel := query.Get("channel")
	if len(channel) > access.MaxRoomName {
		fail(w, codeBadRequest, fmt.Sprintf("channel is longer than %d bytes", access.MaxRoomName))
		return
	}
	if channel != "" && !claims.AllowsRoom(channel) {
		fail(w, codeForbidden, "the access token does not allow this channel")
		return
	}
	s.handshake(w, r, claims, channel, websocket)
}

// begin counts a request, unless the server is closing.
func (s *Server) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.running.Add(1)
	return true
}

func (s *Server) session(id string) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions[id]
}

// add registers a session; false when the server is closing.
func (s *Server) add(c *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.sessions[c.id] = c
	return true
}

func (s *Server) remove(c *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, c.id)
}

// newID is an unguessable name of a session: it is all that a later request
// shows.
func newID() string {
	var random [15]byte
	_, _ = rand.Read(random[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(random[:])
}

// Codes of Engine.IO's error answers. Source: engine.io, BaseServer.errors.
const (
	codeUnknownTransport = 0
	codeUnknownSID       = 1
	codeHandshakeMethod  = 2
	codeBadRequest       = 3
	codeForbidden        = 4
	codeProtocolVersion  = 5
)

var codeTexts = [...]string{
	"Transport unknown", "Session ID unknown", "Bad handshake method",
	"Bad request", "Forbidden", "Unsupported protocol version",
}

// fail answers with Engine.IO's JSON error; detail, where given, says more.
func fail(w http.ResponseWriter, code int, detail string) {
	status := http.StatusBadRequest
	if code == codeForbidden {
		status = http.StatusForbidden
	}
	failWith(w, status, code, detail)
}

func failWith(w http.ResponseWriter, status, code int, detail string) {
	message := codeTexts[code]
	if detail != "" {
		message += ": " + detail
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(mustJSON(struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}{code, message}))
}
