package media

import (
	"sync"
	"testing"

	"turnhub/signaling"
	"turnhub/signaling/internal/wstest"
)

// between is what two nodes of a test have between them.
type between struct {
	t     testing.TB
	nodes map[string]*node

	mu   sync.Mutex
	cut  bool                                  // no datagram goes
	most int                                   // the longest
	lose func(from string, packet []byte) bool // some are lost
}

// node is a hub and a media server that know of others.
type node struct {
	*world
	b      *between
	name   string
	frames chan func() // of the stream to the hub, in order
	loose  chan func() // datagrams
}

func (n *node) other(name string) *node { return n.b.nodes[name] }

// Send implements signaling.Nodes.
func (n *node) Send(to string, _ uint64, frames ...[]byte) bool {
	n.other(to).frames <- func() { n.other(to).hub.FromNode(n.name, frames) }
	return true
}

func (n *node) Roomy(string) bool                  { return true }
func (n *node) Void(string)                        {}
func (n *node) Suspect(string) signaling.NodeState { return signaling.NodeLives }
func (n *node) Deaf() bool                         { return false }

// datagrams are what the media servers of a test say to each other.
type datagrams struct{ n *node }

func (d datagrams) Process(node string) string {
	d.n.b.mu.Lock()
	defer d.n.b.mu.Unlock()
	if d.n.b.cut || node == d.n.name {
		return ""
	}
	return "run of " + node
}

func (d datagrams) Node() string { return d.n.name }

func (d datagrams) Others() (names []string) {
	for name := range d.n.b.nodes {
		if name != d.n.name {
			names = append(names, name)
		}
	}
	return names
}

func (d datagrams) Most() int {
	d.n.b.mu.Lock()
	defer d.n.b.mu.Unlock()
	return d.n.b.most
}

func (d datagrams) Send(node, run string, packet []byte) bool {
	b, n := d.n.b, d.n
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(packet) > b.most {
		b.t.Errorf("a packet of %d bytes", len(packet))
	}
	if b.cut || run != "run of "+node || b.lose != nil && b.lose(n.name, packet) {
		return false
	}
	packet = append([]byte(nil), packet...)
	select {
	case n.other(node).loose <- func() { n.other(node).media.Heard(n.name, "run of "+n.name, packet) }:
		return true
	default:
		return false
	}
}

// startNodes starts nodes that know each other.
func startNodes(t testing.TB, cfg Config, names ...string) *between {
	t.Helper()
	b := &between{t: t, nodes: make(map[string]*node), most: 48 << 10}
	over := make(chan struct{})
	var working sync.WaitGroup
	for _, name := range names {
		b.nodes[name] = &node{b: b, name: name, frames: make(chan func(), 1<<16), loose: make(chan func(), 4096)}
	}
	for _, n := range b.nodes {
		n.world = start(t, signaling.Config{Nodes: n, Node: n.name}, cfg)
		n.media.Across(datagrams{n})
	}
	for _, n := range b.nodes {
		for _, queue := range []chan func(){n.frames, n.loose} {
			working.Go(func() {
				for {
					select {
					case <-over:
						return
					case f := <-queue:
						f()
					}
				}
			})
		}
	}
	for _, n := range b.nodes {
		for _, o := range b.nodes {
			if o != n {
				n.hub.NodeUp(o.name, 1)
			}
		}
	}
	t.Cleanup(func() { // before the worlds end
		close(over)
		working.Wait()
	})
	return b
}

// still stops the clocks of all nodes, so that nothing is late; going has them go on.
func (b *between) still() (going func()) {
	for _, n := range b.nodes {
		n.clock.Stop()
	}
	return func() {
		for _, n := range b.nodes {
			n.clock.Go()
		}
	}
}

// together are two on two nodes who are in one room, and know it.
func (b *between) together() (p, q *person) {
	b.t.Helper()
	p, q = b.nodes["a"].person("room"), b.nodes["b"].person("room")
	b.nodes["b"].hub.Elsewhere("room", "a", []string{"wss://a.example.org/ws"})
	p.hear("peer-joined")
	wstest.Until(b.t, "they share it on both", func() bool {
		return b.nodes["a"].hub.Share(p.id, q.id) && b.nodes["b"].hub.Share(p.id, q.id)
	})
	return p, q
}

// pair are two on two nodes with their sockets, who both know of each other.
func (b *between) pair() (p, q *person, x, y *end) {
	b.t.Helper()
	p, q = b.together()
	x = p.open(q)
	x.want(`{"type":"ready","here":false}`)
	y = q.open(p)
	y.want(`{"type":"ready","here":false}`)
	x.want(`{"type":"peer","here":true}`)
	y.want(`{"type":"peer","here":true}`)
	return p, q, x, y
}
