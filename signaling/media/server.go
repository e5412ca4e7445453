// Package media is the last way for the media of two people: through a WebSocket, where a
// network lets nothing through but what its proxy can read. The frames are sealed between
// the two browsers (signaling/protocol.md, "Media through a WebSocket"); the server knows
// of each only its kind, and hands it to the one other end of its pair.
//
//	GET /media, GET /media/{any}   subprotocol turnhub.media.v1
//
// A socket is bound to two sessions of the hub, the one that it proves and one with which
// that shares a room or an accepted call, and ends when they no longer do. What waits for
// a receiver is bounded by age (queue.go): late is worse than lost.
//
// Where the two are on two nodes, the frames go from one to the other (across.go).
//
// Locks, from the outside in: the hub's, Server.mu, far.in, socket.mu, far.mu, span.mu, those of package wsock.
// Nothing blocks under any of them.
package media

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"turnhub/signaling"
	"turnhub/signaling/internal/wire"
	"turnhub/signaling/internal/wsock"
)

// Subprotocol is the WebSocket subprotocol of media sockets.
const Subprotocol = "turnhub.media.v1"

// FrameSize is the largest frame in bytes.
const FrameSize = signaling.MediaFrame

const (
	// maxSockets is how many media sockets a session may have: one for each of the few
	// people of a call who are reached in no other way.
	maxSockets = 6
	// maxBad is after how many frames that are none a socket ends.
	maxBad = 16
	// Grace is how long sockets stay open after Restart: what they carry goes on until
	// both ends have met in the new process.
	Grace = 10 * time.Second
)

// Account is what one end uses up, in each direction. The limit that refuses a frame comes
// from a small fixed set.
type Account interface {
	From(bytes int) (limit string, ok bool)
	To(bytes int) (limit string, ok bool)
	End()
}

// Config is what a Server needs of the rest of the program.
type Config struct {
	Hub *signaling.Hub
	// Account opens the account of a session's socket from that address; nil: nothing is
	// limited.
	Account func(session string, client netip.Addr) Account
	Logger  *slog.Logger // nil: none
	Timing  Timing
}

// Timing is for tests; zero fields take these values.
type Timing struct {
	Hello time.Duration // for the first frame: 10 s
	Ping  time.Duration // between two pings of the server: 15 s; silent for twice as long is gone
	Close time.Duration // for the answer to a Close: 2 s
	Write time.Duration // that a write may stand still: 10 s
	Hold  time.Duration // until a message over a limit is tried again: 50 ms
}

func (t Timing) withDefaults() Timing {
	set := func(d *time.Duration, def time.Duration) {
		if *d == 0 {
			*d = def
		}
	}
	set(&t.Hello, 10*time.Second)
	set(&t.Ping, wsock.DefaultPing)
	set(&t.Close, 2*time.Second)
	set(&t.Write, wsock.DefaultWriteTimeout)
	set(&t.Hold, 50*time.Millisecond)
	return t
}

// Server is the http.Handler of /media. Safe for concurrent use.
type Server struct {
	hub     *signaling.Hub
	account func(session string, client netip.Addr) Account
	log     *slog.Logger
	timing  Timing
	on      atomic.Bool
	counts  counts
	wait    sync.WaitGroup // sockets
	nodes   Nodes          // nil: this is the only one
	spoken  sync.WaitGroup // spans

	mu       sync.Mutex
	draining bool
	closed   bool // wait is waited for
	sockets  map[*socket]struct{}
	pairs    map[[2]string]*pair
	of       map[string]map[*pair]struct{} // by each of its sessions
	last     *time.Timer                   // of Restart
	ids      map[uint64]*socket
	apart    map[*pair]struct{} // those with one end here, where there are other nodes
	guests   map[*socket]struct{}
	seats    map[[2]string]seat // by session and peer
	tending  *time.Timer        // of those; nil: there are none
	spans    map[string]*span   // by node
	ended    bool               // there are none any more
}

// New makes a server, which is on. Close ends it.
func New(cfg Config) *Server {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Account == nil {
		cfg.Account = func(string, netip.Addr) Account { return unlimited{} }
	}
	s := &Server{
		hub: cfg.Hub, account: cfg.Account, log: cfg.Logger, timing: cfg.Timing.withDefaults(),
		sockets: make(map[*socket]struct{}), pairs: make(map[[2]string]*pair), of: make(map[string]map[*pair]struct{}),
		ids: make(map[uint64]*socket), apart: make(map[*pair]struct{}), guests: make(map[*socket]struct{}), seats: make(map[[2]string]seat), spans: make(map[string]*span),
	}
	s.SetOn(true)
	return s
}

type unlimited struct{}

func (unlimited) From(int) (string, bool) { return "", true }
func (unlimited) To(int) (string, bool)   { return "", true }
func (unlimited) End()                    {}

// SetOn lets sockets in, or none from now on; what is open goes on. The hub's clients are
// told when they say hello.
func (s *Server) SetOn(on bool) {
	s.on.Store(on)
	s.hub.SetMedia(on)
}

// Len is how many sockets there are.
func (s *Server) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sockets)
}

// Restart tells the clients that the server is going down and when to come back, spread
// evenly over smear, and lets nobody in. Sockets stay open for Grace, or until Close.
func (s *Server) Restart(smear time.Duration) {
	const soonest = 250 * time.Millisecond
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining = true
	for k := range s.sockets {
		if k.pair == nil {
			k.shut(wire.CloseRestart, nil)
			continue
		}
		after := soonest
		if smear > soonest {
			after += rand.N(smear - soonest)
		}
		k.restart(after)
	}
	if s.last != nil {
		s.last.Stop()
	}
	s.last = time.AfterFunc(Grace, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.draining {
			s.closeAll()
		}
	})
}

// Reopen lets sockets in again after Restart.
func (s *Server) Reopen() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining = false
	if s.last != nil {
		s.last.Stop()
	}
}

// Close ends every socket and waits until they have ended or the context has.
func (s *Server) Close(ctx context.Context) error {
	s.mu.Lock()
	s.draining, s.closed = true, true
	if s.last != nil {
		s.last.Stop()
	}
	if s.tending != nil {
		s.tending.Stop()
	}
	s.closeAll()
	s.mu.Unlock()
	err := wsock.Wait(ctx, &s.wait)
	s.endSpans()
	return errors.Join(err, wsock.Wait(ctx, &s.spoken))
}

// closeAll closes every socket with wire.CloseRestart. s.mu is held.
func (s *Server) closeAll() {
	for k := range s.sockets {
		k.shut(wire.CloseRestart, nil)
	}
}
