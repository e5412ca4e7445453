// Package cluster makes several nodes one server, by way of NATS: who they are and how
// they do, which of them has which room, and what the operator does everywhere.
//
// Each node says once a second what there is to know of it, on turnhub.beat.<node>, and
// answers questions on turnhub.ask.<node>. Which node has a room, and who is revoked, is
// in buckets of JetStream's key-value store, turnhub-rooms, turnhub-revoked and
// turnhub-seconds; what other rooms of the house keep for all nodes is on shelves (shelf.go).
// No node is more than another.
//
// What comes from NATS is untrusted: it is bounded, sealed by the secrets that the nodes
// share (seal.go), of this version, from now, and heard once. What is not is counted by
// reason, and said once in the log.
//
// Without NATS a node goes on alone, by what it has heard last.
package cluster

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"turnhub/internal/stream"
)

// Config is what New needs. Functions are called from goroutines of the cluster's own.
type Config struct {
	NATS                      []string // URLs
	CredsFile                 string
	CAFile, CertFile, KeyFile string
	Node, URL, Region         string
	Software                  string // the version of the program

	// State is how this node does: its URLs, range, load and digests. It is asked before
	// each beat; what is told in between is what it said last, so that Place may be called
	// under whatever locks it takes.
	State func() State
	// Uncovered says why no other node could go on with the sessions of this one, as far as those
	// who have them know; empty: one could. nil: nobody is asked.
	Uncovered func() string
	// Rooms are those that have people on this node.
	Rooms func() []string
	// Elsewhere is told of a room of Rooms that another node has: the people are to go
	// there, and those who do not are to hear of each other. signalings are the URLs, the
	// best first.
	Elsewhere func(room, node string, signalings []string)
	// Retold is called when somebody who has asked Place for no room was not told of all nodes, or
	// of another one to come to when this one is gone.
	Retold func()
	// Other is told of the streams to other nodes; nil: there are none.
	Other Other
	// Revoked is told of users and sessions that were revoked, on whatever node, once or
	// more often, and when.
	Revoked func(revoked map[string]time.Time)
	// Revocations are those that this node knows of: what the store lacks is put there.
	Revocations func() map[string]time.Time
	// Do does an action of the operator for another node.
	Do func(action, argument string) (json.RawMessage, error)
	// Answer answers what another node has asked by Ask.
	Answer func(what string, body []byte) ([]byte, error)
	Logger *slog.Logger

	// Tests set these; 0: beatTime, reconnectTime, refusedFor, and the machine's clock.
	beat, reconnect, refused, ahead time.Duration
}

// State is what changes of a node's record.
type State struct {
	URLs    []string
	Range   map[string]string
	Load    Load
	Digests map[string]string
}

const (
	beatTime = time.Second

	connectTime   = 2 * time.Second
	reconnectTime = 250 * time.Millisecond
	claimsWaiting = 4096
	handledAtOnce = 8
)

// Cluster is this node among the others. Safe for concurrent use.
type Cluster struct {
	cfg      Config
	log      *slog.Logger
	opts     []nats.Option // of the connection, base with what it tells
	base     []nats.Option
	began    time.Time
	run      string
	since    int64
	keys     atomic.Pointer[keyring]
	book     *book
	counts   counts
	claims   chan string
	relook   chan struct{} // rooms are compared with the store
	reopen   chan struct{} // the store is opened anew
	greet    chan struct{} // a beat ahead of its time: somebody is new
	handled  chan struct{} // a place for each question that is being answered
	working  sync.WaitGroup
	store    atomic.Pointer[store]
	state    atomic.Pointer[State]
	heard    *recent  // ids of questions
	lines    lineBook // to other nodes
	numbers  numbers  // of what is said to them
	shelves  []*Shelf
	topics   *Topics                // nil: none
	loose    *Datagrams             // nil: none
	held     *heldBook              // nil: limits count on each node for itself
	streams  atomic.Int32           // whether there is JetStream, see shelf.go
	naming   atomic.Uint64          // of the names of seconds, the last one
	sessions atomic.Pointer[string] // what this process's sessions are known by, see seconds.go
	second   atomic.Pointer[string] // the node that is to go on with them; nil, empty: none
	echo     atomic.Int64           // when a beat of this node's came back last
	lost     atomic.Int64           // when NATS was lost last
	cut      bool                   // none has for long; Serve's

	mu         sync.Mutex
	serving    context.Context // Serve's
	suspects   suspects
	conn       *nats.Conn
	seq        uint64
	draining   bool
	told       toldOf
	bare       string        // why nobody could go on with its sessions when that was looked at last
	bareSince  time.Duration // and since when
	superseded time.Duration // until when a younger process of this name speaks; 0: none does
	said       map[string]bool
	names      refusedNames
	placedAt   *memory // which node had a room when the store could be asked
}

// New makes the cluster's end on this node, which does nothing until Serve runs. The
// error is a file that cannot be used.
func New(cfg Config, secrets []string) (*Cluster, error) {
	c := &Cluster{
		cfg: cfg, log: cfg.Logger, began: time.Now(), run: rand.Text()[:12], since: wall() + cfg.ahead.Milliseconds(),
		claims: make(chan string, claimsWaiting), relook: make(chan struct{}, 1), reopen: make(chan struct{}, 1), greet: make(chan struct{}, 1),
		handled: make(chan struct{}, handledAtOnce), heard: newRecent(), said: make(map[string]bool), placedAt: newMemory(),
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if c.cfg.beat == 0 {
		c.cfg.beat = beatTime
	}
	c.book = newBook(c.cfg.beat*7/2 + 50*time.Millisecond)
	c.SetSecrets(secrets)
	c.state.Store(&State{})
	c.lines.by, c.lines.came = make(map[string]*line), make(map[string]*replays)
	var err error
	c.base, err = options(cfg)
	if err != nil {
		return nil, err
	}
	c.opts = append(slices.Clone(c.base),
		nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1),
		nats.ConnectHandler(func(*nats.Conn) { c.connected() }),
		nats.ReconnectHandler(func(*nats.Conn) { c.connected() }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { c.disconnected(err) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { c.failed(err) }),
	)
	return c, nil
}

// options are those of a connection to NATS.
func options(cfg Config) ([]nats.Option, error) {
	again := cmp.Or(cfg.reconnect, reconnectTime)
	opts := []nats.Option{
		nats.Name("turnhub " + cfg.Node), nats.Timeout(connectTime),
		nats.ReconnectWait(again), nats.ReconnectJitter(again, again),
		// What could not be sent is not sent later: it would be about another moment.
		nats.ReconnectBufSize(-1),
		nats.PingInterval(2 * time.Second), nats.MaxPingsOutstanding(2),
		// Who writes to a server that stands still waits no longer than a ping does.
		nats.FlusherTimeout(6 * time.Second),
		nats.IgnoreAuthErrorAbort(),
		nats.SetCustomDialer(dialer{net.Dialer{Timeout: connectTime}}),
	}
	if cfg.CredsFile != "" {
		opts = append(opts, nats.UserCredentials(cfg.CredsFile))
	}
	if cfg.CAFile != "" {
		opts = append(opts, nats.RootCAs(cfg.CAFile))
	}
	if cfg.CertFile != "" {
		opts = append(opts, nats.ClientCert(cfg.CertFile, cfg.KeyFile))
	}
	probe := nats.GetDefaultOptions()
	for _, o := range opts {
		if err := o(&probe); err != nil {
			return nil, fmt.Errorf("the files of section cluster: %w; name files in PEM that this user may read", err)
		}
	}
	return opts, nil
}

// dialer opens connections to NATS.
type dialer struct{ net.Dialer }

// Dial implements nats.CustomDialer.
func (d dialer) Dial(network, address string) (net.Conn, error) {
	conn, err := d.Dialer.Dial(network, address)
	if tcp, ok := conn.(*net.TCPConn); ok && err == nil {
		return stream.Swift(tcp), nil
	}
	return conn, err
}

// SetSecrets takes other credentials.secrets, as on a reload. What was sealed by one of
// the old that is not among them is heard no more.
func (c *Cluster) SetSecrets(secrets []string) {
	c.keys.Store(newKeyring(secrets))
	for _, s := range c.shelves { // what could not be opened may be opened now
		s.Again()
	}
	c.topics.rename()
}

// wall is the time of day, in milliseconds since 1970.
func (c *Cluster) wall() int64 { return wall() + c.cfg.ahead.Milliseconds() }

// now is a clock that setting the machine's does not move.
func (c *Cluster) now() time.Duration { return time.Since(c.began) }

// Serve is this node's part in the cluster until ctx ends.
func (c *Cluster) Serve(ctx context.Context) error {
	conn, err := nats.Connect(strings.Join(c.cfg.NATS, ","), c.opts...)
	if err != nil {
		return fmt.Errorf("connect to NATS: %w; see section cluster of the configuration", err)
	}
	defer conn.Close()
	if !conn.IsConnected() {
		c.log.Warn("no NATS server answers: this node goes on alone, by the revocations on its own disk, until one does", "servers", redacted(c.cfg.NATS), "error", conn.LastError())
	}
	beats, err := conn.Subscribe(beatSubject("*"), c.hear)
	if err == nil {
		err = beats.SetPendingLimits(4*maxNodes, 16<<20)
	}
	var asks *nats.Subscription
	if err == nil {
		asks, err = conn.Subscribe(askSubject(c.cfg.Node), func(m *nats.Msg) { c.answer(ctx, m) })
	}
	if err == nil {
		err = asks.SetPendingLimits(1024, 16<<20)
	}
	var packets *nats.Subscription
	if err == nil && c.cfg.Other != nil {
		if packets, err = conn.Subscribe(linkSubject(c.cfg.Node, "*"), c.packet); err == nil {
			err = packets.SetPendingLimits(1<<16, 64<<20)
		}
	}
	if err != nil {
		return fmt.Errorf("listen on NATS: %w", err)
	}
	c.mu.Lock()
	c.conn, c.serving = conn, ctx
	c.mu.Unlock()
	endTopics, err := c.topics.serve(c.base, ctx.Done())
	if err != nil {
		return fmt.Errorf("listen on NATS: %w", err)
	}
	defer endTopics()
	endLoose, err := c.loose.serve(c.base)
	if err != nil {
		return fmt.Errorf("listen on NATS: %w", err)
	}
	defer endLoose()
	c.working.Go(func() { c.keepStore(ctx, conn) })
	c.working.Go(func() { c.settle(ctx) })
	for _, s := range c.shelves {
		c.working.Go(func() { s.serve(ctx) })
	}
	tick := time.NewTimer(0)
	defer tick.Stop()
	watch := time.NewTicker(cutOffAfter / 8)
	defer watch.Stop()
	c.echo.Store(int64(c.now()))
	for {
		select {
		case <-ctx.Done():
			c.sendBeat(true)
			_ = conn.FlushTimeout(connectTime)
			c.endLines()
			c.working.Wait()
			return nil
		case <-c.greet:
			c.turn()
		case <-tick.C:
			c.turn()
			// Not all at once, whenever they were started.
			tick.Reset(c.cfg.beat*9/10 + mathrand.N(c.cfg.beat/5+1))
		case <-watch.C:
			c.watch()
		}
	}
}

// turn is what is done once a second.
func (c *Cluster) turn() {
	c.sendBeat(false)
	c.tend()
	c.topics.tend()
	c.held.tend()
	c.retell()
}

func askSubject(node string) string { return "turnhub.ask." + node }

// redacted takes the passwords out of URLs.
func redacted(urls []string) (list []string) {
	for _, u := range urls {
		scheme, rest, _ := strings.Cut(u, "://")
		if at := strings.LastIndexByte(rest, '@'); at >= 0 {
			rest = rest[at+1:]
		}
		list = append(list, scheme+"://"+rest)
	}
	return list
}

// connection returns that to NATS, nil where there is none now.
func (c *Cluster) connection() *nats.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == nil || !c.conn.IsConnected() {
		return nil
	}
	return c.conn
}

func (c *Cluster) connected() {
	c.log.Info("connected to NATS", "node", c.cfg.Node)
	wake(c.reopen)
	for _, s := range c.shelves {
		s.Again()
	}
}

func (c *Cluster) disconnected(err error) {
	c.lost.Store(int64(c.now()))
	c.counts.one(func(s *Stats) *uint64 { return &s.Disconnect })
	if err == nil { // at the end
		return
	}
	c.log.Warn("NATS is lost: this node goes on alone until it is back", "error", err)
}

// failed hears of what NATS refuses, what could not be kept up with, and what else befalls the connection.
func (c *Cluster) failed(err error) {
	if errors.Is(err, nats.ErrSlowConsumer) {
		c.refuse(badQueue, "", "messages came faster than this node can handle them")
		return
	}
	refused := slices.ContainsFunc([]error{nats.ErrPermissionViolation, nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked},
		func(kind error) bool { return errors.Is(err, kind) })
	c.once("nats "+err.Error(), func() {
		if !refused { // such as a write to a server that is killed
			c.log.Warn("the connection to NATS is in trouble", "error", err)
			return
		}
		c.log.Error("NATS refuses something; see docs/cluster.md for the subjects and rights that a node needs", "error", err)
	})
}

// maxSaid bounds what is remembered to have been said.
const maxSaid = 256

// once does something that is said once.
func (c *Cluster) once(what string, say func()) {
	c.mu.Lock()
	again := c.said[what] || len(c.said) >= maxSaid
	if !again {
		c.said[what] = true
	}
	c.mu.Unlock()
	if !again {
		say()
	}
}

// refuse counts what is not heard. who is a node's name as its subject says it, which
// anybody may write.
func (c *Cluster) refuse(why, who, explained string) {
	c.counts.add(refused, why)
	if !c.names.take(why, who) {
		return
	}
	c.once("refused "+why+" "+who, func() {
		c.log.Warn("a message of the NATS side is not heard; the next ones like it are only counted", "reason", why, "node", who, "explained", explained)
	})
}

var explanations = map[string]string{
	badSize:    "it is longer than any that a node sends",
	badForm:    "it is not one of ours: somebody else writes to our subjects, or a version does that this one cannot read",
	badVersion: "it is of another version of turnhub: let all nodes run the same one",
	badSecret:  "it is sealed by a secret that this node does not have: give all nodes the same credentials.secrets",
	badSeal:    "it was changed, or made by somebody without the secret: look who has access to NATS",
	badClock:   "it is from another time: set the nodes' clocks, or look who has access to NATS",
	badReplay:  "it was heard before: look who has access to NATS",
	badOld:     "a younger process has the same cluster.node: give every node a name of its own. After a restart or an upgrade this is said once and means nothing",
	badName:    "it is about another node than its subject says",
	badTooMany: "there are more nodes than can be",
}

// Drain says that this node takes no more rooms, or that it does again.
func (c *Cluster) Drain(draining bool) {
	c.mu.Lock()
	c.draining = draining
	c.mu.Unlock()
	c.sendBeat(false)
}

// Members are all nodes that are known, this one with them, by name.
func (c *Cluster) Members() []Member {
	own := Member{Record: c.record(), Self: true}
	all := c.book.list(c.now())
	for i := range all {
		all[i].Differs = differs(own.Digests, all[i].Digests)
	}
	at := 0
	for at < len(all) && cmp.Less(all[at].Node, own.Node) {
		at++
	}
	return append(all[:at], append([]Member{own}, all[at:]...)...)
}

// Stats returns a snapshot.
func (c *Cluster) Stats() Stats {
	s := c.counts.snapshot()
	s.Connected, s.Store, s.Second = c.connection() != nil, c.store.Load() != nil, c.Bare() == ""
	s.Topics = c.topics.open()
	return s
}
