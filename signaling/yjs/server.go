// Package yjs is the dialect of y-webrtc, the provider by which programs on Yjs find
// each other: WebSockets that subscribe to topics, and messages to all of a topic.
//
//	GET /yjs    {"type":"subscribe","topics":["a"]}, {"type":"unsubscribe","topics":["a"]},
//	            {"type":"publish","topic":"a", …}, {"type":"ping"}
//
// A publish goes to every socket of its topic, its sender's too, with the member "clients",
// how many that are; its other members pass as they came. A ping is answered by a pong.
// That is what the server in the npm package y-webrtc (bin/server.js) does; it has no
// message for errors, so what cannot be done ends the socket with a Close that says why.
// The close codes are those of the native protocol (signaling/protocol.md).
//
// Of several nodes a topic is one: "clients" counts those on all of them.
package yjs

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"turnhub/internal/handshake"
	"turnhub/signaling"
	"turnhub/signaling/internal/admission"
	"turnhub/signaling/internal/wire"
	"turnhub/signaling/internal/wsock"
)

// Path is where the sockets are.
const Path = "/yjs"

const (
	// maxTopicName is the longest name of a topic in bytes.
	maxTopicName = 256
	// maxTopics is how many topics one socket may be in.
	maxTopics = 64
	// maxSockets is how many sockets a topic holds.
	maxSockets = 256
)

// Config is what the dialect needs of the rest of the server.
type Config struct {
	Hub    *signaling.Hub
	Topics signaling.Topics // of other nodes; nil: there are none
	Logger *slog.Logger     // nil: none
}

// Server is the http.Handler of Path.
type Server struct {
	desk    *admission.Desk
	across  signaling.Topics
	log     *slog.Logger
	sockets wsock.Set

	mu     sync.Mutex
	topics map[string]*topic
}

// New makes a server. Close ends it.
func New(cfg Config) *Server {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Server{desk: admission.New("yjs", cfg.Hub), across: cfg.Topics, log: cfg.Logger, topics: make(map[string]*topic)}
}

// ServeHTTP opens one socket.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	claims, ok := s.desk.Admit(w, r)
	if !ok {
		return
	}
	if !handshake.IsWebSocket(r) {
		w.Header().Set("Upgrade", "websocket")
		admission.Refuse(w, http.StatusUpgradeRequired, "websocket", "this is a WebSocket: new WebrtcProvider(ROOM, doc, {signaling: [\"wss://…"+Path+"\"]})")
		return
	}
	c := &client{server: s, topics: make(map[string]*topic)}
	options := wsock.Options{
		MessageSize: s.desk.MessageSize(),
		TooBig:      int(wire.CloseTooBig),
		Flood:       int(wire.CloseFlood),
		Slow:        int(wire.CloseSlow),
		QueueBytes:  s.desk.QueueBytes(),
		Loops:       s.desk.Loops(),
		Meter:       func(bytes int) (time.Duration, error) { return c.entrant.Meter(bytes) },
	}
	if !s.sockets.Begin() {
		admission.Refuse(w, http.StatusServiceUnavailable, "restart", signaling.ErrDrain.Error())
		return
	}
	socket, err := wsock.Upgrade(w, r, options)
	if err != nil {
		s.sockets.Done()
		return // answered
	}
	c.socket = socket
	if !s.sockets.Add(socket) {
		socket.Close(int(wire.CloseRestart), signaling.ErrDrain.Error())
	}
	// After the upgrade: a page cannot see the status of a failed one.
	c.entrant, err = s.desk.Enter(r, claims, func(why *wsock.CloseError) { socket.Close(why.Code, why.Reason) })
	if err != nil {
		why := admission.CloseFor(err)
		socket.Close(why.Code, why.Reason)
		s.sockets.Start(socket, func(int, []byte) error { return nil }, nil)
		return
	}
	s.sockets.Start(socket, c.handle, func(cause error) {
		s.log.Debug("yjs socket ended", "cause", cause)
		for name := range c.topics {
			c.unsubscribe(name)
		}
		c.entrant.Leave()
	})
}

// Close ends every socket with the code for a restart, and waits until they
// have ended or the context has.
func (s *Server) Close(ctx context.Context) error {
	return s.sockets.Close(ctx, int(wire.CloseRestart), signaling.ErrDrain.Error())
}
