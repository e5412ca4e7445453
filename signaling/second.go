package signaling

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"maps"
	"slices"
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
	// on, by that image. done hears whether that is so: it had to be its second. lives: that
	// process has been heard of, and nobody has been asked.
	Take(node, run string, image uint64, done func(ok, lives bool))
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
	// secondPatience is for how long everything waits for the second. Then another one is
	// named, and after as much again, where nobody can be named, this node goes on alone: what
	// it says from then on is not in the image, which nobody may go on with any more as soon
	// as the place can be asked, and which is given up by whoever is without the others for
	// less than that (CutOff).
	secondPatience = 1500 * time.Millisecond
	// renameAfter is after which time the place is told again who the second is, as what it
	// holds has an end.
	renameAfter = time.Hour
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
	step     sync.Mutex
	wake     chan struct{} // serve
	sync     timers.Timer
	renew    timers.Timer

	mu      sync.Mutex // a leaf but for nothing: Send is called under locks
	state   int
	shut    bool // gates wait for the image
	node    string
	gen     uint64
	asked   uint64 // of the names that were given, the last one
	at      uint64 // the number of the last step
	wholeAt uint64 // that with which the image is whole
	has     bool   // the second has said that it has that
	inside  bool
	gathers bool                 // serve ends steps
	over    bool                 // this node goes down, or has lost its sessions
	tried   bool                 // another one is being named for one that does not keep up
	thawed  bool                 // this node has stood still: nothing opens before the place has been asked
	slow    map[string]*slowNode // see secondchoice.go
	ticked  time.Time            // when looked was called last

	*changes                           // since the last step went on its way
	spare    *changes                  // of the step before, to be used again
	writer   imageWriter               // of steps, in them
	unsaid   []string                  // rooms of which a new image has nothing yet
	fresh    map[delivery.Ref]struct{} // of these the image has nothing yet

	progress time.Time   // when the second had something new, or nothing was missing
	frames   []heldFrame // of this step, to others
	keeps    []heldFrame // of other nodes' images, likewise
	waiting  []waitingStep
	bytes    int
	hostly   map[delivery.Ref]hostAnswer // hosts whose answers the second does not have, see hostanswers.go
	lonely   bool                        // nobody has kept what this node needs in time: hosts wait for nobody before another one is named
	sending  []heldFrame                 // under step: room for those that go at once
	together [][]byte                    // and for what goes to one node
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
	opens  []delivery.Openable
}

func newSecond(h *Hub, out Nodes, ask Seconds, run string) *second {
	x := &second{h: h, out: out, ask: ask, run: run, fresh: make(map[delivery.Ref]struct{}), slow: make(map[string]*slowNode), hostly: make(map[delivery.Ref]hostAnswer)}
	x.changes, x.wake = newChanges(), make(chan struct{}, 1)
	x.sync.Fire = func(time.Time) {} // Leave, around it, does it
	x.late.Fire = x.looked
	x.renew.Fire = x.renamed
	x.patience = secondPatience
	return x
}

// Void implements Nodes.
func (x *second) Void(node string) { x.out.Void(node) }

// Suspect implements Nodes.
func (x *second) Suspect(node string) NodeState { return x.out.Suspect(node) }

// Deaf implements Nodes.
func (x *second) Deaf() bool { return x.out.Deaf() }

// renamed tells the place again who the second is.
func (x *second) renamed(time.Time) {
	x.mu.Lock()
	node, asked := x.node, x.asked
	on := !x.over && (x.state == syncing || x.state == covered)
	if !on && x.state == alone && len(x.slow) > 0 && !x.over { // somebody may keep up by now
		x.mu.Unlock()
		x.choose()
		return
	}
	x.mu.Unlock()
	if on {
		x.h.timers.Set(&x.renew, x.h.now().Add(renameAfter))
		x.ask.Name(x.process(), node, asked, func(ok bool) { x.stays(asked, ok) })
	}
}

// stays hears what came of naming the second again.
func (x *second) stays(asked uint64, ok bool) {
	x.Enter()
	defer x.Leave()
	x.mu.Lock()
	lost := !ok && asked == x.asked && !x.over
	x.mu.Unlock()
	if lost {
		x.h.superseded()
	}
}

// named hears what came of naming a second.
func (x *second) named(asked uint64, ok bool) {
	x.Enter()
	defer x.Leave()
	d := x.h.directory
	d.mu.Lock()
	calls := slices.Collect(maps.Keys(d.byCall))
	d.mu.Unlock()
	hosts, lobbies := d.hostedRooms(), d.lobbyRooms()
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
	x.thawed, x.lonely = false, false
	p := x.h.directory.nodes.get(x.node)
	if p == nil || p.run == "" {
		x.state, x.node = alone, ""
		x.open(true)
		if len(x.slow) > 0 {
			x.h.timers.Set(&x.renew, x.h.now().Add(slowLeast))
			x.h.log.Warn("no other node keeps up: nobody could go on with the sessions of this one meanwhile")
		}
		x.mu.Unlock()
		if p == nil {
			x.choose()
		}
		return
	}
	x.state, x.gen = syncing, p.generation
	x.open(x.anew())
	x.changes = newChanges()
	clear(x.fresh)
	for _, s := range x.h.directory.own() {
		x.fresh[s.ref] = struct{}{}
	}
	x.unsaid = nil
	for _, r := range x.h.directory.rooms.All() {
		x.unsaid = append(x.unsaid, r.name)
	}
	for _, id := range calls {
		x.calls[id] = struct{}{}
	}
	for _, name := range hosts {
		x.hosts[name] = struct{}{}
	}
	for _, name := range lobbies {
		x.lobbies[name] = struct{}{}
	}
	x.at++
	x.out.Send(x.node, x.gen, x.begin())
	x.h.timers.Set(&x.renew, x.h.now().Add(renameAfter))
	x.mu.Unlock()
}

// open lets everything pass that waits, as nobody can take over now: it is told to others in
// the order in which it happened. hosts: they too are answered. mu is held.
func (x *second) open(hosts bool) {
	was := x.shut || hosts && len(x.hostly) > 0
	if x.shut = false; hosts {
		clear(x.hostly)
	}
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
		x.h.node.Ungate(x.waitsFor)
		x.mu.Lock()
	}
}

// lost is told that the stream to a node is over. The gates stay as they are.
func (x *second) lost(p *peer) {
	x.mu.Lock()
	if x.is(p) && (x.state == syncing || x.state == covered) || x.state == naming && x.node == p.name {
		x.unnamed()
	}
	x.mu.Unlock()
}

// unnamed begins to look for another second. mu is held; choose goes on.
func (x *second) unnamed() {
	x.state, x.node, x.gen = naming, "", 0
	x.asked++
}

// declined is told that the second has no image any more. It is called in a step.
func (x *second) declined(p *peer, number uint64) {
	x.mu.Lock()
	x.keepsUp(p, x.at)
	was := x.is(p) && number == x.asked && (x.state == syncing || x.state == covered)
	if was {
		x.unnamed()
	}
	x.mu.Unlock()
	if was {
		x.choose()
	}
}

// looked names another one where the second does not keep up, and goes on alone where nobody
// can be named.
func (x *second) looked(now time.Time) {
	x.mu.Lock()
	stood := now.Sub(x.ticked) > 2*x.patience
	x.ticked = now
	if !x.shut {
		if x.overdue(now) {
			x.lonely = true
			x.open(true)
		} else if len(x.hostly) > 0 {
			x.h.timers.Set(&x.late, now.Add(x.patience/2))
		}
		x.mu.Unlock()
		return
	}
	if len(x.waiting) == 0 && x.state == covered {
		x.progress, x.tried = now, false
	}
	if stood { // another one may have the sessions by now
		x.thawed, x.progress, x.tried = true, now, true
		for ref, a := range x.hostly { // nobody has waited
			a.since = now
			x.hostly[ref] = a
		}
		x.unnamed()
	}
	waited := now.Sub(x.progress)
	another := stood
	switch {
	case waited >= 2*x.patience && !x.thawed:
		x.lonely = true
		x.open(true)
		x.h.log.Warn("nobody can be named who would keep what this node needs to be gone on with: it goes on alone meanwhile")
	case waited >= x.patience && !x.tried:
		x.tried, another = true, true
		if x.node != "" {
			x.isSlow(now)
			x.h.log.Warn("the node that keeps what this one would need to be gone on with does not keep up: another one is named", "node", x.node)
		}
		x.unnamed()
	}
	x.h.timers.Set(&x.late, now.Add(x.patience/2))
	x.mu.Unlock()
	if another {
		x.choose()
	}
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
	x.open(true)
	x.changes = newChanges()
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
	if len(x.fresh)+len(x.unsaid) > 0 {
		x.h.timers.Set(&x.sync, x.h.now().Add(syncEvery))
		return
	}
	x.at++
	x.wholeAt, x.has = x.at, false
	x.out.Send(x.node, x.gen, binary.AppendUvarint([]byte{kindImage, imageWhole}, x.at))
	now := x.h.now()
	x.state, x.shut, x.progress, x.ticked, x.tried = covered, true, now, now, false
	if opens := x.unanswered(); len(opens) > 0 {
		x.waiting = append(x.waiting, waitingStep{at: x.at, opens: opens})
	}
	x.h.timers.Set(&x.late, x.progress.Add(x.patience/2))
	x.mu.Unlock()
	x.h.node.Gate()
	x.mu.Lock()
}

// kept is told up to which step the second has everything. It is called in a step.
func (x *second) kept(p *peer, at uint64) {
	x.mu.Lock()
	x.keepsUp(p, at)
	if !x.is(p) || x.state != covered {
		x.mu.Unlock()
		return
	}
	if !x.has && at >= x.wholeAt {
		x.has = true
		x.h.log.Info("another node could go on with the sessions of this one", "node", x.node)
	}
	n := 0
	for n < len(x.waiting) && x.waiting[n].at <= at {
		n++
	}
	if n > 0 {
		x.progress = x.h.now()
	}
	x.confirmed(at)
	over := x.waiting[:n:n]
	if x.waiting = x.waiting[n:]; len(x.waiting) == 0 {
		x.waiting = nil
	}
	for _, w := range over {
		for _, f := range w.frames {
			x.bytes -= len(f.frame)
		}
		x.sendAll(w.frames)
	}
	x.mu.Unlock()
	for _, w := range over {
		x.h.node.Open(w.opens...)
	}
}

// process is what this one is known by.
func (x *second) process() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.run
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
	case kindDecline:
		number, ok := uvarint(&f)
		if ok {
			d.hub.second.declined(p, number)
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
