package signaling

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"turnhub/signaling/internal/delivery"
	"turnhub/signaling/internal/timers"
)

// Each node of several has a second one, which keeps an image of all its sessions and their
// rooms (image.go), and goes on with them when the node dies (takeover.go). The others see
// the same people then, on another node (moved.go).
//
// What happens on a node happens in steps, one after the other (Enter, Leave). Each step is
// in the image as a whole or not at all, and nobody outside hears of it before the image has
// it: not the clients (delivery's gates), and not the other nodes, whose frames wait here.
// So whatever the second one goes on with is a state that this node was in, and everything
// that anybody has heard of this node has happened in it.
//
// Only one of the two may go on. Which one is said in a place that all nodes ask (Seconds): a
// node whose second is lost opens its gates only once another one, or none, is named there,
// and a second takes over only if it is the one that is named. Who has lost that race ends
// his sessions, or gives the image up. Neither judges the other by a clock.

// Seconds is where it is said which node is another one's second. Nothing in it blocks; done
// is called later, or never where that place cannot be asked.
type Seconds interface {
	// Name says that node is the second of that process of this node from now on, and has its
	// image of that number; empty: none is. done hears whether that is so: false, somebody has taken its sessions.
	Name(run, node string, image uint64, done func(ok bool))
	// Take says that this node has the sessions of that process of another node from now
	// on, by that image. done hears whether that is so: it had to be its second.
	Take(node, run string, image uint64, done func(ok bool))
}

// The states of a node towards its second.
const (
	alone   = iota // there is no image, nor does anybody wait for one
	naming         // a second is being named: all gates are as they were
	syncing        // it gets what there is; gates are open, as nobody can take over yet
	covered        // it has everything but what is on its way
)

const (
	// syncAtOnce is of how many sessions the image is sent in one step.
	syncAtOnce = 256
	syncEvery  = 20 * time.Millisecond
	// secondPatience is for how long everything waits for the second, or for who is to be it.
	// Then this node goes on alone: what it says from then on is not in the image, which
	// nobody may go on with any more as soon as the place can be asked.
	secondPatience = 1500 * time.Millisecond
	// waitingMost bounds what waits here for other nodes, in bytes, beyond which messages are
	// refused.
	waitingMost = 4 << 20
)

type second struct {
	h        *Hub
	out      Nodes
	ask      Seconds
	run      string // of this process
	patience time.Duration
	late     timers.Timer
	began    time.Time // since when it is
	step     sync.Mutex
	sync     timers.Timer

	mu     sync.Mutex // a leaf but for nothing: Send is called under locks
	state  int
	shut   bool // gates wait for the image
	node   string
	gen    uint64
	asked  uint64 // of the names that were given, the last one
	at     uint64 // the number of the last step
	inside bool
	over   bool // this node goes down, or has lost its sessions

	sessions map[delivery.Ref]struct{} // changed in this step
	order    []delivery.Ref
	whole    map[delivery.Ref]bool // those of whom the image must know more than their streams
	ended    []delivery.Ref
	rooms    map[string]struct{}
	calls    map[string]struct{}
	peers    map[*peer]struct{}
	fresh    map[delivery.Ref]struct{} // of these the image has nothing yet

	progress time.Time   // when the second had something new, or nothing was missing
	frames   []heldFrame // of this step, to others
	waiting  []waitingStep
	bytes    int
}

// heldFrame is one that waits for the image.
type heldFrame struct {
	node       string
	generation uint64
	frame      []byte
}

// waitingStep is what is to happen once the image has a step.
type waitingStep struct {
	at     uint64
	frames []heldFrame
	opens  []opening
}

type opening struct {
	ref        delivery.Ref
	last, done uint64
}

func newSecond(h *Hub, out Nodes, ask Seconds, run string) *second {
	x := &second{h: h, out: out, ask: ask, run: run, began: h.now(), fresh: make(map[delivery.Ref]struct{})}
	x.clear()
	x.sync.Fire = func(time.Time) {} // Leave, around it, does it
	x.late.Fire = x.looked
	x.patience = secondPatience
	return x
}

func (x *second) clear() {
	x.sessions, x.order = make(map[delivery.Ref]struct{}), nil
	x.whole, x.ended = make(map[delivery.Ref]bool), nil
	x.rooms, x.calls, x.peers = make(map[string]struct{}), make(map[string]struct{}), make(map[*peer]struct{})
}

// Void implements Nodes.
func (x *second) Void(node string) { x.out.Void(node) }

// Suspect implements Nodes.
func (x *second) Suspect(node string) NodeState { return x.out.Suspect(node) }

// choose finds a second where there is none. It is called in a step.
func (x *second) choose() {
	x.mu.Lock()
	if x.state != alone && x.state != naming || x.over || x.state == naming && x.h.directory.nodes.get(x.node) != nil {
		x.mu.Unlock()
		return
	}
	x.mu.Unlock()
	nodes := x.h.directory.nodes
	nodes.mu.Lock()
	var all []string
	for name := range nodes.by {
		all = append(all, name)
	}
	nodes.mu.Unlock()
	slices.Sort(all)
	to := ""
	for _, name := range all { // the next one by name
		if to == "" || strings.Compare(name, nodes.self) > 0 && to < nodes.self {
			to = name
		}
	}
	x.mu.Lock()
	if to == "" && x.state == alone {
		x.mu.Unlock()
		return
	}
	x.state, x.node = naming, to
	x.asked++
	asked := x.asked
	x.mu.Unlock()
	x.ask.Name(x.process(), to, asked, func(ok bool) { x.named(asked, ok) })
}

// named hears what came of naming a second.
func (x *second) named(asked uint64, ok bool) {
	x.Enter()
	defer x.Leave()
	x.mu.Lock()
	if asked != x.asked || x.state != naming || x.over {
		x.mu.Unlock()
		return
	}
	if !ok {
		x.mu.Unlock()
		x.h.superseded()
		return
	}
	p := x.h.directory.nodes.get(x.node)
	if p == nil {
		x.state = alone
		x.open()
		x.mu.Unlock()
		return
	}
	x.state, x.gen = syncing, p.generation
	x.open()
	x.clear()
	clear(x.fresh)
	for _, s := range x.h.directory.own() {
		x.fresh[s.ref] = struct{}{}
	}
	for _, r := range x.h.directory.rooms.All() {
		x.rooms[r.name] = struct{}{}
	}
	x.at++
	x.out.Send(x.node, x.gen, x.begin())
	x.mu.Unlock()
}

// open lets everything pass that waits, as nobody can take over now: it is told to others in
// the order in which it happened. mu is held.
func (x *second) open() {
	was := x.shut
	x.shut = false
	for _, w := range x.waiting {
		for _, f := range w.frames {
			x.out.Send(f.node, f.generation, f.frame)
		}
	}
	for _, f := range x.frames {
		x.out.Send(f.node, f.generation, f.frame)
	}
	x.waiting, x.frames, x.bytes = nil, nil, 0
	if was {
		x.mu.Unlock()
		x.h.node.Ungate()
		x.mu.Lock()
	}
}

// lost is told that the stream to a node is over. The gates stay as they are.
func (x *second) lost(p *peer) {
	x.mu.Lock()
	if x.node == p.name && (x.state == syncing || x.state == covered) && x.gen == p.generation || x.state == naming && x.node == p.name {
		x.state = naming
		x.asked++
		x.node, x.gen = "", 0
	}
	x.mu.Unlock()
}

// looked goes on alone where the second does not keep up.
func (x *second) looked(now time.Time) {
	x.mu.Lock()
	if !x.shut {
		x.mu.Unlock()
		return
	}
	if len(x.waiting) == 0 && x.state == covered {
		x.progress = now
	}
	if now.Sub(x.progress) < x.patience {
		x.h.timers.Set(&x.late, now.Add(x.patience/2))
		x.mu.Unlock()
		return
	}
	x.state, x.node, x.gen = naming, "", 0
	x.asked++
	x.open()
	x.mu.Unlock()
	x.h.log.Warn("the node that keeps what this one would need to be gone on with does not keep up, or cannot be named: this one goes on alone meanwhile")
	x.choose()
}

// stop is told that this node goes down in order: nobody is to go on with its sessions.
func (x *second) stop() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.over {
		return
	}
	x.over = true
	if x.state == syncing || x.state == covered {
		x.out.Send(x.node, x.gen, []byte{kindImage, imageOver})
	}
	x.state = alone
	x.open()
	x.clear()
}

// resume is told that this node goes on after all.
func (x *second) resume() {
	x.mu.Lock()
	x.over = false
	x.mu.Unlock()
	x.choose()
}

// begin says that an image begins.
func (x *second) begin() []byte {
	b := binary.AppendUvarint([]byte{kindImage, imageBegin}, x.asked)
	return append(b, x.run...)
}

// complete ends syncing once everything is on its way. mu is held.
func (x *second) complete() {
	if x.state != syncing {
		return
	}
	if len(x.fresh) > 0 {
		x.h.timers.Set(&x.sync, x.h.now().Add(syncEvery))
		return
	}
	x.at++
	x.out.Send(x.node, x.gen, binary.AppendUvarint([]byte{kindImage, imageWhole}, x.at))
	x.state, x.shut, x.progress = covered, true, x.h.now()
	x.h.timers.Set(&x.late, x.progress.Add(x.patience/2))
	x.h.log.Info("another node could go on with the sessions of this one", "node", x.node)
	x.mu.Unlock()
	x.h.node.Gate()
	x.mu.Lock()
}

// Covered reports whether another node could go on with this one's sessions.
func (h *Hub) Covered() bool { return h.second != nil && h.second.covers() }

// kept is told up to which step the second has everything. It is called in a step.
func (x *second) kept(p *peer, at uint64) {
	x.mu.Lock()
	if !x.is(p) || x.state != covered {
		x.mu.Unlock()
		return
	}
	n := 0
	for n < len(x.waiting) && x.waiting[n].at <= at {
		n++
	}
	if n > 0 {
		x.progress = x.h.now()
	}
	over := x.waiting[:n:n]
	if x.waiting = x.waiting[n:]; len(x.waiting) == 0 {
		x.waiting = nil
	}
	for _, w := range over {
		for _, f := range w.frames {
			x.bytes -= len(f.frame)
			x.out.Send(f.node, f.generation, f.frame)
		}
	}
	x.mu.Unlock()
	for _, w := range over {
		for _, o := range w.opens {
			x.h.node.Open(o.ref, o.last, o.done)
		}
	}
}

// process is what this one is known by.
func (x *second) process() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.run
}

// since returns when this process began, or lost all that it had.
func (x *second) since() time.Time {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.began
}

// secondFrom takes what has to do with images.
func (d *directory) secondFrom(p *peer, kind byte, f []byte) bool {
	if d.hub.second == nil {
		return true // this node has no place to ask who may go on
	}
	switch kind {
	case kindImage:
		return d.imageFrom(p, f)
	case kindKept:
		at, ok := uvarint(&f)
		if ok {
			d.hub.second.kept(p, at)
		}
		return ok
	}
	var m movedFrame
	if json.Unmarshal(f, &m) != nil {
		return false
	}
	if kind == kindHanded {
		p.handedFrom(&m)
	} else {
		d.movedFrom(p, &m)
	}
	return true
}

func newRun() string { return rand.Text()[:12] }
