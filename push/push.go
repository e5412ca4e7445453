// Package push rings people who have no page open, by Web Push: RFC 8030 carries a
// message to a browser's push service, RFC 8291 encrypts it for that browser alone over
// the coding of RFC 8188, and RFC 8292 (VAPID) says who sends it.
//
// A Store keeps who is rung where, and the calls that they have missed, in memory and on
// disk (records.go, disk.go), and where there are several nodes, on a shelf that they share
// (share.go, merge.go). Ring and Settle tell it of calls (ring.go); what is to be
// sent waits in a bounded queue (queue.go), is encrypted (encrypt.go) and posted (client.go).
// Nothing that the hub calls blocks: it does so under its locks.
package push

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"path/filepath"
	"sync"
	"time"

	"turnhub/internal/boltfile"
	"turnhub/internal/netaddr"
	"turnhub/internal/ratelimit"
)

// Config is what a Store is made of.
type Config struct {
	Dir      string         // of the file
	Key      *Key           // by which push services know this server
	Contact  func() string  // whom a push service writes to: a mailto: or https: URL (RFC 8292, 2.1)
	Services []string       // hosts of push services: host, *.host for all below it, with a port where it is not 443
	Allow    []netip.Prefix // inside addresses at which they may be
	Proof    string         // how people prove their names; what was kept under another way is dropped
	Logger   *slog.Logger

	// Taken is told that a push service has taken the first message of a call, Failed that
	// none takes any. Both are called in goroutines of the store, without its locks.
	Taken, Failed func(call string)

	Shared *Shared // what several nodes have together; nil: there is one node

	transport http.RoundTripper // for tests
	tune      tuning
}

// tuning are the times and bounds that tests change.
type tuning struct {
	kept    time.Duration   // a name, and what is under it, after its last use
	devices int             // of one user
	total   int             // of all
	missed  int             // calls of one user
	queue   int             // messages that wait or are on their way
	pauses  []time.Duration // between the attempts of one message
	timeout time.Duration   // of one request
	adopt   time.Duration   // after the death of a node its calls are somebody's who goes on with them, see Resume
}

var usualTuning = tuning{
	kept: 90 * 24 * time.Hour, devices: 10, total: 20_000, missed: 20, queue: 2048,
	pauses:  []time.Duration{time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 20 * time.Second, time.Minute, 5 * time.Minute, 20 * time.Minute},
	timeout: 10 * time.Second, adopt: 5 * time.Second,
}

// Store keeps subscriptions, and sends to them. One process at a time has it.
type Store struct {
	cfg    Config
	log    *slog.Logger
	client *http.Client
	stats  stats
	start  time.Time

	subscribing *ratelimit.Table[netip.Prefix] // by household
	ringing     *ratelimit.Table[netip.Prefix] // callers, by household
	rung        *ratelimit.Table[string]       // users

	mu    sync.Mutex
	users map[string]*record
	owner map[string]string // user by endpoint
	dirty map[string]bool   // users that the disk does not have yet
	wait  []func(error)     // who is to be told when it has
	rings map[string]*ring  // by call
	share share
	queue queue
	over  bool
	wake  chan struct{} // the disk has something to do
	due   chan struct{} // and the queue

	db   *boltfile.DB // nil: there is nothing to keep yet. Of the goroutine of the disk
	path string
	said time.Time // when the log was last told that the disk takes nothing
}

// What one household or user can cause. A push wakes a phone: nobody calls that often.
var (
	subscribeRate = ratelimit.Rate{PerSecond: 1. / 30, Burst: 20}
	callerRate    = ratelimit.Rate{PerSecond: 1. / 10, Burst: 10}
	rungRate      = ratelimit.Rate{PerSecond: 1. / 5, Burst: 20}
)

const storeFile = "push.db"

// Open reads what is kept, and waits for another process of this server to leave it until
// ctx ends. A file that is damaged is set aside, and begun anew; where there is none,
// there will be one with the first subscription.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.tune.kept == 0 {
		cfg.tune = usualTuning
	}
	if cfg.Contact == nil {
		cfg.Contact = func() string { return "" }
	}
	s := &Store{
		cfg: cfg, log: cfg.Logger, start: time.Now(), path: filepath.Join(cfg.Dir, storeFile),
		subscribing: ratelimit.NewTable[netip.Prefix](4096), ringing: ratelimit.NewTable[netip.Prefix](4096), rung: ratelimit.NewTable[string](4096),
		users: make(map[string]*record), owner: make(map[string]string), dirty: make(map[string]bool), rings: make(map[string]*ring),
		wake: make(chan struct{}, 1), due: make(chan struct{}, 1),
	}
	s.share = share{behind: make(map[string]bool), swept: make(map[string]bool), rings: make(map[string]*posted), synced: make(chan struct{}), wake: make(chan struct{}, 1)}
	s.queue.origins = make(map[string]*origin)
	s.client = newClient(cfg)
	if err := s.load(ctx); err != nil {
		return nil, fmt.Errorf("open %s: %w", s.path, err)
	}
	return s, nil
}

// Serve writes and sends until ctx ends, and closes the store.
func (s *Store) Serve(ctx context.Context) {
	var group sync.WaitGroup
	group.Go(func() { s.send(ctx) })
	group.Go(func() { s.exchange(ctx) })
	s.keep(ctx)
	group.Wait()
	s.client.CloseIdleConnections()
}

// ErrOver is the answer of a store that has been closed.
var ErrOver = errors.New("the server hands over")

// allow takes one unit of somebody's account.
func allow[K comparable](s *Store, table *ratelimit.Table[K], key K, rate ratelimit.Rate) bool {
	return table.Take(key, int64(time.Since(s.start)), rate)
}

func household(addr netip.Addr) netip.Prefix {
	if !addr.IsValid() {
		return netip.Prefix{}
	}
	return netaddr.Household(addr)
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
