// Package topicstest has signaling.Topics of several nodes in one process, for tests of what
// the dialects make of them: what comes from one node to another comes in order, and else in
// any order that the test likes. cluster's own are tested there, on a real NATS server.
package topicstest

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"turnhub/signaling"
)

// Nodes are all of them.
type Nodes struct {
	// Pick chooses which of so many pairs of nodes something happens between next; nil: the
	// first.
	Pick func(pairs int) int

	mu     sync.Mutex
	all    map[string]*Node
	queues map[pair][]func() (after func())
	awake  chan struct{}
	busy   sync.WaitGroup
	cut    bool
}

// pair is who says something to whom; "" is nobody but the node itself.
type pair struct{ from, to string }

// Node is one of them.
type Node struct {
	net  *Nodes
	name string
	dead bool
	open map[string]*opened
}

var _ signaling.Topics = (*Node)(nil)

type opened struct {
	state   []byte
	heard   func(node string, body []byte)
	changed func()
	others  map[string][]byte
	awaited map[string]bool // nodes that have not answered
	waiting []func()
}

// New returns nodes. Nothing happens between them before Step or Run.
func New(names ...string) *Nodes {
	n := &Nodes{all: make(map[string]*Node), queues: make(map[pair][]func() func()), awake: make(chan struct{}, 1)}
	for _, name := range names {
		n.all[name] = &Node{net: n, name: name, open: make(map[string]*opened)}
	}
	return n
}

// Node returns one.
func (n *Nodes) Node(name string) *Node { return n.all[name] }

// Run lets things happen as they come until end is called.
func (n *Nodes) Run() (end func()) {
	over := make(chan struct{})
	n.busy.Go(func() {
		for {
			for n.Step() {
			}
			select {
			case <-over:
				return
			case <-n.awake:
			case <-time.After(time.Millisecond):
			}
		}
	})
	return func() { close(over); n.busy.Wait() }
}

// Step lets the next thing happen, and reports whether there was one.
func (n *Nodes) Step() bool {
	n.mu.Lock()
	if len(n.queues) == 0 {
		n.mu.Unlock()
		return false
	}
	pairs := slices.SortedFunc(maps.Keys(n.queues), func(a, b pair) int { return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to)) })
	at := 0
	if n.Pick != nil {
		at = n.Pick(len(pairs))
	}
	p := pairs[at]
	do := n.queues[p][0]
	if n.queues[p] = n.queues[p][1:]; len(n.queues[p]) == 0 {
		delete(n.queues, p)
	}
	after := do()
	n.mu.Unlock()
	if after != nil {
		after()
	}
	return true
}

// later has something happen at a node that has the topic open then, unless the two are cut.
func (n *Nodes) later(from, to, topic string, do func(o *opened) (after func())) {
	p := pair{from, to}
	n.queues[p] = append(n.queues[p], func() func() {
		b := n.all[to]
		o := b.open[topic]
		if o == nil || from != "" && (n.cut || n.all[from].dead) {
			return nil
		}
		return do(o)
	})
	select {
	case n.awake <- struct{}{}:
	default:
	}
}

// knows has a node know another one's state; nil: it has none.
func (n *Nodes) knows(by, from, to, topic string, state []byte) {
	n.later(by, to, topic, func(o *opened) func() {
		had, is := o.others[from]
		if is == (state != nil) && bytes.Equal(had, state) {
			return nil
		}
		if state == nil {
			delete(o.others, from)
		} else {
			o.others[from] = state
		}
		return o.changed
	})
}

// settle ends the wait for some nodes' answers.
func (n *Nodes) settle(a *Node, topic string, o *opened, nodes ...string) {
	for _, name := range nodes {
		delete(o.awaited, name)
	}
	if len(o.awaited) > 0 {
		return
	}
	for _, w := range o.waiting {
		n.later("", a.name, topic, func(*opened) func() { return w })
	}
	o.waiting = nil
}

// Cut takes NATS away, or brings it back.
func (n *Nodes) Cut(cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut = cut
	for _, a := range n.all {
		for topic, o := range a.open {
			for _, b := range n.all {
				switch {
				case b == a || b.dead:
				case cut:
					n.settle(a, topic, o, b.name)
					n.knows("", b.name, a.name, topic, nil)
				default:
					n.knows(a.name, a.name, b.name, topic, bytes.Clone(o.state))
				}
			}
		}
	}
}

// Kill ends a node.
func (n *Nodes) Kill(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all[name].dead = true
	n.all[name].open = make(map[string]*opened)
	for _, b := range n.all {
		for topic, o := range b.open {
			n.settle(b, topic, o, name)
			n.knows("", name, b.name, topic, nil)
		}
	}
}

// Node implements signaling.Topics.
func (a *Node) Node() string { return a.name }

// Open implements signaling.Topics.
func (a *Node) Open(topic string, state []byte, heard func(node string, body []byte), changed func()) {
	n := a.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if a.open[topic] != nil {
		panic(topic + " is open")
	}
	if a.dead {
		return
	}
	if state == nil {
		state = []byte{} // that is a state too
	}
	o := &opened{state: state, heard: heard, changed: changed, others: make(map[string][]byte), awaited: make(map[string]bool)}
	a.open[topic] = o
	for name, b := range n.all {
		if b == a || b.dead || n.cut {
			continue
		}
		o.awaited[name] = true
		n.knows(a.name, a.name, name, topic, state)
		p := pair{a.name, name}
		n.queues[p] = append(n.queues[p], func() func() {
			if their := b.open[topic]; their != nil {
				n.knows(name, name, a.name, topic, bytes.Clone(their.state))
			}
			n.later(name, a.name, topic, func(now *opened) func() {
				if now == o {
					n.settle(a, topic, o, name)
				}
				return nil
			})
			return nil
		})
	}
}

// Close implements signaling.Topics.
func (a *Node) Close(topic string) {
	n := a.net
	n.mu.Lock()
	defer n.mu.Unlock()
	o := a.open[topic]
	if o == nil {
		return
	}
	clear(o.awaited)
	p := pair{"", a.name}
	for _, w := range o.waiting {
		n.queues[p] = append(n.queues[p], func() func() { return w })
	}
	delete(a.open, topic)
	for name := range n.all {
		if name != a.name {
			n.knows(a.name, a.name, name, topic, nil)
		}
	}
}

// State implements signaling.Topics.
func (a *Node) State(topic string, state []byte) {
	n := a.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if o := a.open[topic]; o != nil {
		o.state = state
		for name := range n.all {
			if name != a.name {
				n.knows(a.name, a.name, name, topic, state)
			}
		}
	}
}

// Others implements signaling.Topics.
func (a *Node) Others(topic string) map[string][]byte {
	a.net.mu.Lock()
	defer a.net.mu.Unlock()
	if o := a.open[topic]; o != nil {
		return maps.Clone(o.others)
	}
	return nil
}

// Say implements signaling.Topics.
func (a *Node) Say(topic string, body []byte) bool {
	n := a.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if o := a.open[topic]; a.dead || n.cut || o != nil && len(o.awaited) == 0 && len(o.others) == 0 {
		return false
	}
	for name := range n.all {
		if name != a.name {
			n.later(a.name, name, topic, func(o *opened) func() { return func() { o.heard(a.name, bytes.Clone(body)) } })
		}
	}
	return true
}

// Settled implements signaling.Topics.
func (a *Node) Settled(topic string, done func()) bool {
	a.net.mu.Lock()
	defer a.net.mu.Unlock()
	o := a.open[topic]
	if o == nil || len(o.awaited) == 0 {
		return true
	}
	o.waiting = append(o.waiting, done)
	return false
}

// Idle reports whether nothing is on its way.
func (n *Nodes) Idle() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.queues) == 0
}
