package cluster

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// Topics are what nodes publish to each other and subscribe to by a name that whoever uses
// them chooses: a channel, a room, an id. NATS brings what is said on a topic to the nodes
// that have opened it and to no other, on turnhub.topic.<token>; the token follows from the
// name and the secret that the nodes share. What is said is encrypted (topicseal.go), heard
// once, in the order of its sender, and neither stored nor said again: while NATS is away it
// reaches nobody on other nodes.
//
// Each node also has a state on each topic that it has open: a few bytes that it may change,
// such as how many people it has there. Whoever opens a topic asks for those of the others;
// when that is answered, the topic is settled. A node that dies, or closes the topic, has none.
//
// Topics have a connection of their own to NATS, so that what they have to carry holds up
// nothing else; what one process says there does not come back to it. One goroutine speaks
// (topicsay.go), one hears (topichear.go), and nobody else ever waits for NATS.
//
// Safe for concurrent use. Callers may hold whatever locks they like; functions that are
// called back are called one after the other, with no lock of this package.
type Topics struct {
	c    *Cluster
	in   chan *nats.Msg
	wake chan struct{} // for the goroutine that speaks
	news chan struct{} // for the one that hears
	up   atomic.Bool   // there is NATS
	deaf atomic.Bool   // something was lost on the way to this node
	said atomic.Uint64 // packets
	was  atomic.Uint64 // said, at the beat before

	blind time.Duration // of the goroutine that tends: when NATS was last away
	inbox string        // what answers to this process come to begins with this

	mu      sync.Mutex
	by      map[string]*topic
	byToken map[string]*topic
	byID    map[uint64]*topic
	lastID  uint64
	out     []utterance
	queued  int                 // bytes in out
	told    []func()            // what is to be called back
	speaker map[string]*speaker // by node
	alive   map[string]string   // processes by node, see tend
	ask     map[string]*topic   // of which the states of the others are to be asked for again
	missed  map[string]bool     // nodes that have said something before they were known
}

const (
	// maxTopicsQueued is how much waits for NATS to take it, in bytes; more is dropped.
	maxTopicsQueued = 16 << 20
	// topicsIn is how many packets wait to be heard; more are dropped, and what they may
	// have said of states is asked for again.
	topicsIn = 4096
	// asksAtOnce is about how many topics it is asked in a beat: each of them is answered by
	// all nodes that have it.
	asksAtOnce = 512
	// settleTime is how long a topic waits for the answers of the other nodes.
	settleTime = 250 * time.Millisecond
)

// topic is one that this node has open.
type topic struct {
	id      uint64
	name    string
	tokens  []string // the first by the secret that signs
	state   []byte
	heard   func(node string, body []byte)
	changed func()

	peers map[string]*topicPeer // by node
	// floor is what other processes had said before the topic was opened: it cannot have
	// been for this node, unless somebody sends it again.
	floor map[string]numbered

	settled  bool
	waiting  []func()
	expected map[string]bool // nodes that others have named, and whose answers are awaited
	asked    uint64          // counts the questions, for their timers
	stateDue bool            // in out
	subs     map[string]*nats.Subscription
}

// topicPeer is another node on a topic.
type topicPeer struct {
	numbered
	here   bool
	state  []byte
	asked  uint64        // topic.asked when it was last heard
	silent time.Duration // since when it has not answered; 0: it has
}

// numbered is the last number that was heard of a process.
type numbered struct {
	run  string
	last uint64
}

// Topics returns those of this node. It is called before Serve; else there are none.
func (c *Cluster) Topics() *Topics {
	if c.topics == nil {
		c.topics = &Topics{
			c: c, in: make(chan *nats.Msg, topicsIn), wake: make(chan struct{}, 1), news: make(chan struct{}, 1), inbox: nats.NewInbox() + ".",
			by: make(map[string]*topic), byToken: make(map[string]*topic), byID: make(map[uint64]*topic),
			ask: make(map[string]*topic), speaker: make(map[string]*speaker), alive: make(map[string]string), missed: make(map[string]bool),
		}
	}
	return c.topics
}

// Node is this node's name.
func (x *Topics) Node() string { return x.c.cfg.Node }

// Open has this node hear what others say on a topic, which it must not have open, and say
// its state there. heard gets what another node has said, which is its to keep; changed is
// called when Others has changed.
func (x *Topics) Open(name string, state []byte, heard func(node string, body []byte), changed func()) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.lastID++
	t := &topic{
		id: x.lastID, name: name, state: state, heard: heard, changed: changed,
		peers: make(map[string]*topicPeer), floor: make(map[string]numbered, len(x.alive)), subs: make(map[string]*nats.Subscription),
	}
	for node, run := range x.alive {
		if now, _, said := x.c.book.process(node); now == run {
			if s := x.speaker[node]; s != nil && s.run == run {
				said = max(said, s.last)
			}
			t.floor[node] = numbered{run, said}
		}
	}
	x.by[name], x.byID[t.id] = t, t
	x.nameLocked(t)
	x.askLocked(t)
	x.queueLocked(utterance{what: utterOpen, topic: t})
}

// nameLocked gives a topic its tokens.
func (x *Topics) nameLocked(t *topic) {
	for _, token := range t.tokens {
		if x.byToken[token] == t {
			delete(x.byToken, token)
		}
	}
	keys := x.c.keys.Load()
	t.tokens = nil
	for _, id := range keys.ids {
		token := keys.topicToken(id, t.name)
		t.tokens = append(t.tokens, token)
		x.byToken[token] = t
	}
}

// Close ends Open.
func (x *Topics) Close(name string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	t := x.by[name]
	if t == nil {
		return
	}
	delete(x.by, name)
	delete(x.byID, t.id)
	for _, token := range t.tokens {
		if x.byToken[token] == t {
			delete(x.byToken, token)
		}
	}
	x.settleLocked(t)
	x.queueLocked(utterance{what: utterClose, topic: t})
}

// State changes this node's state on a topic.
func (x *Topics) State(name string, state []byte) {
	x.mu.Lock()
	defer x.mu.Unlock()
	t := x.by[name]
	if t == nil {
		return
	}
	t.state = state
	if !t.stateDue && (!t.settled || t.anybody()) {
		t.stateDue = true
		x.queueLocked(utterance{what: utterState, topic: t})
	}
}

// Others are the states of the other nodes that have a topic open, as far as this one knows.
func (x *Topics) Others(name string) (states map[string][]byte) {
	x.mu.Lock()
	defer x.mu.Unlock()
	t := x.by[name]
	if t == nil {
		return nil
	}
	for node, p := range t.peers {
		if p.here {
			if states == nil {
				states = make(map[string][]byte)
			}
			states[node] = p.state
		}
	}
	return states
}

// Say says something to all other nodes that have a topic open, which it keeps; this node
// need not. False: it is known to reach nobody, or too much waits.
func (x *Topics) Say(name string, body []byte) bool {
	if !x.up.Load() || !x.c.speaks() {
		return false
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	t := x.by[name]
	if t != nil && t.settled && !t.anybody() {
		return false
	}
	if x.fullLocked(len(body)) {
		return false
	}
	x.queueLocked(utterance{what: utterSay, topic: t, name: name, body: body})
	return true
}

// Settled reports whether the other nodes have answered what their states on a topic are, or
// cannot be asked. If not, done is called as soon as they have, or had time to.
func (x *Topics) Settled(name string, done func()) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	t := x.by[name]
	if t == nil || t.settled {
		return true
	}
	t.waiting = append(t.waiting, done)
	return false
}

// saidBefore is how many packets had been sent a beat ago.
func (x *Topics) saidBefore() uint64 {
	if x == nil {
		return 0
	}
	return x.was.Load()
}

// open is how many topics this node has open.
func (x *Topics) open() int {
	if x == nil {
		return 0
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.by)
}

// anybody reports whether another node is known to have the topic open.
func (t *topic) anybody() bool {
	for _, p := range t.peers {
		if p.here {
			return true
		}
	}
	return false
}

// askLocked begins to wait for the answers of the other nodes.
func (x *Topics) askLocked(t *topic) {
	t.expected = nil
	t.asked++
	if !x.up.Load() {
		x.settleLocked(t)
		return
	}
	t.settled = false
	asked := t.asked
	time.AfterFunc(settleTime, func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		if x.byID[t.id] == t && t.asked == asked {
			x.ghostsLocked(t)
			x.settleLocked(t)
			wake(x.news)
		}
	})
}

// ghostsLocked looks after nodes that have not answered: one that has closed the topic while
// NATS was away could not say so. It has as long as a node has to be heard at all.
func (x *Topics) ghostsLocked(t *topic) {
	now := x.c.now()
	for _, p := range t.peers {
		switch {
		case !p.here || p.asked == t.asked || !x.up.Load():
			p.silent = 0
			continue
		case p.silent == 0:
			p.silent = now
		case now-p.silent > x.c.book.gone+x.c.cfg.beat:
			x.awayLocked(t, p)
			continue
		}
		x.ask[t.name] = t // once more
	}
}

func (x *Topics) settleLocked(t *topic) {
	t.settled = true
	x.told = append(x.told, t.waiting...)
	t.waiting = nil
	wake(x.news)
}

// settleIfLocked settles a topic when all who were named have answered.
func (x *Topics) settleIfLocked(t *topic) {
	for node := range t.expected {
		if p := t.peers[node]; (p == nil || !p.here) && x.alive[node] != "" {
			return
		}
	}
	x.settleLocked(t)
}

// again asks for the states of the others on all topics, and says those of this node.
func (x *Topics) again() {
	x.mu.Lock()
	x.ask = maps.Clone(x.by)
	x.mu.Unlock()
	x.askSome()
}

// askSome asks for some of what is to be asked again.
func (x *Topics) askSome() {
	x.mu.Lock()
	defer x.mu.Unlock()
	n := 0
	for name, t := range x.ask {
		if n++; n > asksAtOnce {
			break
		}
		delete(x.ask, name)
		if x.by[name] == t {
			x.askLocked(t)
			x.queueLocked(utterance{what: utterOpen, topic: t})
		}
	}
}

// rename takes other secrets.
func (x *Topics) rename() {
	if x == nil {
		return
	}
	x.mu.Lock()
	for _, t := range x.by {
		x.nameLocked(t)
	}
	x.mu.Unlock()
	x.again()
}

// tend forgets the states of nodes that have died, and asks for those of nodes that were
// taken for dead, or were not known yet when they said something.
func (x *Topics) tend() {
	if x == nil {
		return
	}
	// Of nodes that cannot be heard nothing is known: what people have begun with each other
	// goes on.
	now := x.c.now()
	if x.c.connection() == nil || !x.up.Load() {
		x.blind = now
	}
	blind := x.blind != 0 && now-x.blind < x.c.book.gone+x.c.cfg.beat
	x.was.Store(x.said.Load())
	again := x.deaf.Swap(false)
	x.mu.Lock()
	alive := make(map[string]string)
	for _, m := range x.c.book.list(now) {
		if !m.Gone || blind && !m.Leaving && x.alive[m.Node] == m.Run {
			alive[m.Node] = m.Run
		}
	}
	for node, run := range alive {
		if s := x.speaker[node]; x.missed[node] || x.alive[node] == "" && s != nil && s.run == run {
			again = true
		}
	}
	clear(x.missed)
	for _, t := range x.by {
		for node, p := range t.peers {
			if p.here && alive[node] != p.run {
				x.awayLocked(t, p)
			}
		}
	}
	x.alive = alive
	maps.DeleteFunc(x.speaker, func(node string, s *speaker) bool { return alive[node] != s.run && len(x.speaker) > maxNodes })
	x.mu.Unlock()
	if again {
		x.again()
	} else {
		x.askSome()
	}
}

// awayLocked notes that another node does not have the topic open any more.
func (x *Topics) awayLocked(t *topic, p *topicPeer) {
	p.here, p.state = false, nil
	x.toldLocked(t)
}

// toldLocked has the user of a topic hear that Others has changed.
func (x *Topics) toldLocked(t *topic) {
	x.told = append(x.told, func() {
		x.mu.Lock()
		open := x.byID[t.id] == t
		x.mu.Unlock()
		if open {
			t.changed()
		}
	})
	wake(x.news)
}

// serve connects, speaks and hears until over is closed.
func (x *Topics) serve(opts []nats.Option, over <-chan struct{}) (end func(), err error) {
	if x == nil {
		return func() {}, nil
	}
	conn, err := nats.Connect(strings.Join(x.c.cfg.NATS, ","), append(slices.Clone(opts),
		nats.Name("turnhub "+x.c.cfg.Node+" topics"), nats.NoEcho(), nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1),
		nats.ConnectHandler(func(*nats.Conn) { x.connected() }),
		nats.ReconnectHandler(func(*nats.Conn) { x.connected() }),
		nats.DisconnectErrHandler(func(*nats.Conn, error) { x.up.Store(false) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			x.c.failed(err)
			if errors.Is(err, nats.ErrSlowConsumer) {
				x.deaf.Store(true)
			}
		}),
	)...)
	if err != nil {
		return nil, err
	}
	if _, err = conn.ChanSubscribe(x.inbox+"*", x.in); err != nil {
		conn.Close()
		return nil, err
	}
	x.c.working.Go(func() { x.speak(conn, over) })
	x.c.working.Go(func() { x.hear(over) })
	return conn.Close, nil
}

func (x *Topics) connected() {
	x.up.Store(true)
	x.mu.Lock()
	for _, t := range x.by {
		if t.anybody() {
			x.toldLocked(t) // what could not be said may be said now
		}
	}
	x.mu.Unlock()
	x.again()
}
