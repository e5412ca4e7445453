// Package rawrelay is the dialect without words: every message of a WebSocket
// goes, byte for byte and in order, to every other socket of its channel.
//
//	GET /relay/{channel}        anybody who names the channel is in it
//	GET /relay/{channel}?max=2  …until it has two
//
// Nothing comes back to its sender, nothing is kept for latecomers, and the
// server says nothing of its own but pings and the Close. The close codes are
// those of the native protocol (signaling/protocol.md).
package rawrelay

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"turnhub/internal/handshake"
	"turnhub/signaling"
	"turnhub/signaling/internal/admission"
	"turnhub/signaling/internal/wire"
	"turnhub/signaling/internal/wsock"
)

// Prefix is the path under which the channels are.
const Prefix = "/relay/"

const (
	// maxChannelName is the longest name of a channel in bytes.
	maxChannelName = 256
	// maxSockets is how many sockets a channel holds where no ?max= says less.
	maxSockets = 256
)

// Config is what the relay needs of the rest of the server.
type Config struct {
	Hub    *signaling.Hub
	Topics signaling.Topics // of other nodes; nil: there are none
	Logger *slog.Logger     // nil: none
}

// Relay is the http.Handler of /relay/{channel}, and with relay_at_root of /.
type Relay struct {
	desk    *admission.Desk
	topics  signaling.Topics
	log     *slog.Logger
	sockets wsock.Set

	mu       sync.Mutex
	channels map[string]*channel
}

// New makes a relay. Close ends it.
func New(cfg Config) *Relay {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Relay{
		desk:     admission.New("relay", cfg.Hub),
		topics:   cfg.Topics,
		log:      cfg.Logger,
		channels: make(map[string]*channel),
	}
}

// ServeHTTP opens one socket.
func (s *Relay) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	claims, ok := s.desk.Admit(w, r)
	if !ok {
		return
	}
	name := strings.TrimPrefix(r.URL.Path, Prefix) // "/" is the channel at the root
	limit, err := parseMax(r.URL.Query().Get("max"))
	switch {
	case !handshake.IsWebSocket(r):
		w.Header().Set("Upgrade", "websocket")
		admission.Refuse(w, http.StatusUpgradeRequired, "websocket", "this is a WebSocket: new WebSocket(\"wss://…"+Prefix+"CHANNEL\")")
		return
	case name == "" || len(name) > maxChannelName || !printable(name):
		admission.Refuse(w, http.StatusBadRequest, "bad-name", fmt.Sprintf("a channel's name has 1 to %d bytes, none of them control characters", maxChannelName))
		return
	case err != nil:
		admission.Refuse(w, http.StatusBadRequest, "bad-max", err.Error())
		return
	case !claims.AllowsRoom(name):
		admission.Refuse(w, http.StatusForbidden, "forbidden", "the access token does not allow this channel")
		return
	}
	s.serve(w, r, &member{limit: limit, most: s.desk.QueueBytes()}, name, func(end func(*wsock.CloseError)) (*admission.Entrant, error) {
		return s.desk.Enter(r, claims, end)
	})
}

// parseMax reads ?max=.
func parseMax(text string) (int, error) {
	if text == "" {
		return maxSockets, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("max=%s: write a number of sockets, for example max=2", strconv.QuoteToASCII(text))
	}
	return min(n, maxSockets), nil
}

func printable(name string) bool {
	if !utf8.ValidString(name) {
		return false
	}
	for _, r := range name {
		if r < ' ' || r == 0x7f {
			return false
		}
	}
	return true
}

// serve upgrades, enters and relays. Refusals come after the upgrade, as a
// Close with a reason: a page cannot see the status of a failed upgrade.
func (s *Relay) serve(w http.ResponseWriter, r *http.Request, who *member, name string, enter func(func(*wsock.CloseError)) (*admission.Entrant, error)) {
	options := wsock.Options{
		MessageSize: s.desk.MessageSize(),
		TooBig:      int(wire.CloseTooBig),
		Flood:       int(wire.CloseFlood),
		Slow:        int(wire.CloseSlow),
		QueueBytes:  s.desk.QueueBytes(),
		Loops:       s.desk.Loops(),
		Meter: func(bytes int) (time.Duration, error) {
			if who.entrant == nil {
				return 0, nil
			}
			return who.entrant.Meter(bytes)
		},
	}
	if !s.sockets.Begin() {
		admission.Refuse(w, http.StatusServiceUnavailable, "restart", signaling.ErrDrain.Error())
		return
	}
	// In before the client can know that its socket is open: whoever sees that
	// speaks to it at once.
	c, ok := s.seat(name, who)
	part := sync.OnceFunc(func() { s.part(name, c, who) })
	socket, err := wsock.Upgrade(w, r, options)
	if err != nil {
		part()
		s.sockets.Done()
		return // answered
	}
	if !s.sockets.Add(socket) {
		socket.Close(int(wire.CloseRestart), signaling.ErrDrain.Error())
	}
	entrant, err := enter(func(why *wsock.CloseError) { socket.Close(why.Code, why.Reason) })
	if err != nil {
		part()
		why := admission.CloseFor(err)
		socket.Close(why.Code, why.Reason)
		s.sockets.Start(socket, ignore, nil)
		return
	}
	if !ok && c.evictAround() {
		c, ok = s.seatAgain(name, c, who)
	}
	leave := func(cause error) {
		s.log.Debug("raw relay socket ended", "channel", name, "cause", cause)
		part()
		entrant.Leave()
	}
	if !ok {
		part()
		entrant.Count("refused_full")
		socket.Close(int(wire.CloseFull), "the channel is full")
		s.sockets.Start(socket, ignore, leave)
		return
	}
	c.open(who, socket, entrant)
	entrant.Join("relay/" + name)
	s.sockets.Start(socket, func(kind int, payload []byte) error {
		c.relay(who, kind, payload)
		return nil
	}, leave)
}

func ignore(int, []byte) error { return nil }

// Close ends every socket with the code for a restart, and waits until they
// have ended or the context has.
func (s *Relay) Close(ctx context.Context) error {
	return s.sockets.Close(ctx, int(wire.CloseRestart), signaling.ErrDrain.Error())
}
