// Package peerjs is a PeerJS server: it carries the offers, answers and
// candidates of programs that use the npm package peerjs, from 0.3.16 to 1.5.
//
// The protocol is that of the reference server, npm package peer 1.0. Where
// that one leaves a client hanging, this one does better: a reconnect replaces
// the old socket and is told OPEN, an id whose holder has lost its network is
// free as soon as somebody asks for it, and everything is bounded.
//
// A client's option path may be "/" or anything else. Each path is a realm of
// its own: only peers of the same path can call each other. "/peerjs" is the
// same as "/".
package peerjs

import (
	"cmp"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"turnhub/internal/access"
	"turnhub/internal/body"
	"turnhub/internal/netaddr"
	"turnhub/signaling"
	"turnhub/signaling/internal/admission"
	"turnhub/signaling/internal/wire"
	"turnhub/signaling/internal/wsock"
)

const (
	// key is the only API key, the default of every client.
	key = "peerjs"
	// maxID, maxToken and maxMount bound the parts of a URL, in bytes.
	maxID    = 128
	maxToken = 8 << 10
	maxMount = 256
	// proof is how long the holder of an id has to show that it is there.
	proof = 5 * time.Second
)

// info is what GET of the mount path answers. Source: peer, app.json.
const info = `{"name":"PeerJS Server","description":"A server side element to broker connections between PeerJS clients.","website":"https://peerjs.com/"}`

// Config is what the server needs of the rest.
type Config struct {
	Hub *signaling.Hub
	// Discovery lets anybody list the ids of a realm.
	Discovery bool
	Topics    signaling.Topics // of other nodes; nil: there are none
	Logger    *slog.Logger     // nil: none
	// BodyTimeout is how long the body of a POST may take; 0: body.Timeout.
	BodyTimeout time.Duration
}

// Server is the http.Handler of a PeerJS server.
type Server struct {
	desk      *admission.Desk
	discovery bool
	topics    signaling.Topics
	log       *slog.Logger
	expiry    time.Duration
	proof     time.Duration
	held      netaddr.Counts // bytes that wait for absent peers or their senders' sockets

	bodyTimeout time.Duration

	sockets wsock.Set

	mu     sync.Mutex
	realms map[string]*realm
}

// New makes a server. Close ends it.
func New(cfg Config) *Server {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Server{
		desk:      admission.New("peerjs", cfg.Hub),
		discovery: cfg.Discovery,
		topics:    cfg.Topics,
		log:       cfg.Logger,
		expiry:    expiry,
		proof:     proof,

		bodyTimeout: cmp.Or(cfg.BodyTimeout, body.Timeout),
		realms:      make(map[string]*realm),
	}
}

// ServeHTTP answers every request that Route knows.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	route := parse(r)
	if route.kind == routeSocket {
		s.serveSocket(w, r, route)
		return
	}
	s.desk.CORS(w, r, false)
	if r.Method == http.MethodOptions {
		admission.Preflight(w, r, "GET,HEAD,PUT,PATCH,POST,DELETE")
		return
	}
	if route.kind == routeNone || route.kind == routeStream || len(route.mount) > maxMount {
		http.NotFound(w, r)
		return
	}
	token := access.FromRequest(r)
	if token == "" {
		token = route.token
	}
	claims, ok := s.desk.AdmitToken(w, r, token)
	if !ok {
		return
	}
	if !claims.AllowsRoom(route.mount) {
		admission.Refuse(w, http.StatusForbidden, "forbidden", "the access token does not allow this path")
		return
	}
	h := w.Header()
	switch route.kind {
	case routeInfo:
		h.Set("Content-Type", "application/json; charset=utf-8")
		_, _ = w.Write([]byte(info))
	case routeID:
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Cache-Control", "no-store")
		_, _ = w.Write([]byte(newUUID()))
	case routePeers:
		s.servePeers(w, route)
	case routePost:
		s.servePost(w, r, route, claims)
	}
}

// servePeers lists a realm, where the operator allows it.
func (s *Server) servePeers(w http.ResponseWriter, route route) {
	if !s.discovery {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write([]byte("Unauthorized"))
		return
	}
	ids := []string{}
	s.mu.Lock()
	r := s.realms[route.mount]
	s.mu.Unlock()
	switch {
	case s.topics != nil:
		r = s.enter(route.mount)
		ids = r.allIDs()
		s.leave(r)
	case r != nil:
		ids = r.ids()
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(ids)
}

// serveSocket opens one client's socket.
func (s *Server) serveSocket(w http.ResponseWriter, r *http.Request, route route) {
	claims, ok := s.desk.Admit(w, r)
	if !ok {
		return
	}
	if !s.sockets.Begin() {
		admission.Refuse(w, http.StatusServiceUnavailable, "restart", signaling.ErrDrain.Error())
		return
	}
	var entrant *admission.Entrant
	socket, err := wsock.Upgrade(w, r, wsock.Options{
		MessageSize: s.desk.MessageSize(),
		TooBig:      int(wire.CloseTooBig),
		Flood:       int(wire.CloseFlood),
		Slow:        int(wire.CloseSlow),
		QueueBytes:  s.desk.QueueBytes() + maxHeldBytes,
		Loops:       s.desk.Loops(),
		Meter: func(bytes int) (time.Duration, error) {
			if entrant == nil {
				return 0, nil
			}
			return entrant.Meter(bytes)
		},
	})
	if err != nil {
		s.sockets.Done()
		return // answered
	}
	if !s.sockets.Add(socket) {
		socket.Close(int(wire.CloseRestart), signaling.ErrDrain.Error())
	}
	query := r.URL.Query()
	id, token := query.Get("id"), query.Get("token")
	refusal := ""
	switch {
	case id == "" || token == "" && claims.User == "" || query.Get("key") == "":
		refusal = textInvalidParameters
	case query.Get("key") != key:
		refusal = textInvalidKey
	case len(id) > maxID || len(token) > maxToken || len(route.mount) > maxMount:
		refusal = "id, token or path is too long"
	case !claims.AllowsRoom(route.mount):
		refusal = "the access token does not allow this path"
	}
	if refusal != "" {
		s.refuse(socket, notice(typeError, refusal), refusal, nil)
		return
	}
	entrant, err = s.desk.Enter(r, claims, func(why *wsock.CloseError) { socket.Close(why.Code, why.Reason) })
	switch {
	case errors.Is(err, signaling.ErrDrain):
		why := admission.CloseFor(err) // and no ERROR: the client is to come back
		socket.Close(why.Code, why.Reason)
		s.sockets.Start(socket, ignore, nil)
		return
	case err != nil:
		s.refuse(socket, notice(typeError, textLimit), err.Error(), nil)
		return
	}
	realm := s.enter(route.mount)
	leave := func(error) {
		s.leave(realm)
		entrant.Leave()
	}
	who := realm.register(id, owner(claims, token), socket, entrant)
	if who == nil {
		s.refuse(socket, notice(typeIDTaken, textTaken), textTaken, leave)
		return
	}
	entrant.Join("peerjs/" + route.mount)
	realm.catchUp(who)
	s.sockets.Start(socket, func(kind int, payload []byte) error {
		if kind != wsock.KindText {
			return s.complain(who, "message is not text")
		}
		m, err := decode(payload)
		if err != nil {
			return s.complain(who, err.Error())
		}
		realm.handle(who, m)
		return nil
	}, func(cause error) {
		realm.remove(who)
		s.log.Debug("PeerJS socket ended", "realm", realm.name, "id", id, "cause", cause)
		leave(cause)
	})
}

func ignore(int, []byte) error { return nil }

// complain tells a client that one of its messages is wrong. The client goes on.
func (s *Server) complain(who *client, text string) error {
	who.entrant.Count("dropped_bad")
	who.socket.Send(notice(typeError, text))
	return nil
}

// refuse says why and closes. ended, which may be nil, is called at the end.
func (s *Server) refuse(socket *wsock.Conn, why wsock.Frame, reason string, ended func(error)) {
	socket.Send(why)
	socket.Close(wsock.CodeNormal, reason)
	s.sockets.Start(socket, ignore, ended)
}

// owner is what a later socket or POST of the same peer shows: the user of the
// access token where there are tokens, else the client's own random token.
func owner(claims access.Claims, token string) string {
	if claims.User != "" {
		return "user " + claims.User
	}
	return "token " + token
}
