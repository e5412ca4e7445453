package signaling

import (
	"encoding/binary"
	"encoding/json"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"turnhub/signaling/internal/delivery"
	"turnhub/signaling/internal/timers"
)

// Sessions that belong together may be on several nodes. Each node speaks for its own
// sessions alone; of those on others it has remote members (member.node), which it is told
// of, and everything that one node says to another goes over one ordered stream (Nodes). So
// whoever hears a message has heard before that its sender has come, and no node has to be
// asked before anything happens: a room is begun on each node by itself, and they become one
// as soon as they hear of each other (part.go). What people say goes from the sender's node
// straight to each node with receivers (across.go).
//
// Locks: peer.in comes where a session's own lock does, before all of this package; peer.mu
// and nodes.mu are leaves.

// Nodes are the streams to other nodes, as the hub needs them. Nothing in it blocks: it is
// called under locks.
type Nodes interface {
	// Send appends frames, each of which it keeps, to the stream of that generation to a node.
	// False: that stream is over, and NodeLost is called or has been.
	Send(node string, generation uint64, frames ...[]byte) bool
	// Roomy reports whether so little waits for a node that a message may be added.
	Roomy(node string) bool
	// Void gives the stream to a node up: NodeLost and NodeUp are called, later.
	Void(node string)
	// Suspect says how a node does, and has it asked where that is not known.
	Suspect(node string) NodeState
	// Deaf reports whether this node may not have heard what others have done lately.
	Deaf() bool
}

// Loss is why the stream to a node is over.
type Loss int

// The reasons.
const (
	Void   Loss = iota // it may have missed something, and begins anew
	Silent             // the node is dead, or frozen, or cut off
	Ended              // its process has ended for certain
)

// NodeState is how a node does.
type NodeState int

// The states of a node.
const (
	NodeUnsure NodeState = iota // it is being asked
	NodeLives
	NodeLeaves // it sends its people away, or has done so and ended
	NodeGone
)

// The kinds of frames, the first byte of each. What is not said otherwise is JSON.
const (
	kindHello      = 'h' // what a node says of itself first
	kindMeet       = 'M' // I have a part of a room, and take you for its node
	kindUnmeet     = 'N' // I have no more
	kindAlso       = 'A' // that node has a part of it as well
	kindPart       = 'P' // all whom I have in a room
	kindUnpart     = 'U' // I have nobody there any more
	kindJoin       = 'J' // one more
	kindLeave      = 'L'
	kindAway       = 'W' // its socket is lost, or back
	kindSeen       = 'S' // it is at another address
	kindSlow       = 'Z' // it does not read: hold its senders up for a while
	kindOne        = 'o' // binary: number, cause, to, the message
	kindOneCounted = 'O' // likewise, with its client's number before to
	kindAll        = 'a' // binary: number, cause, length and name of the room, the message
	kindAllCounted = 'B' // likewise, with its client's number before the length
	kindOrder      = 'x' // a host wants that of somebody there, see hostacross.go
	kindMet        = 'K' // to kindMeet about a name: who else has a part of it
	kindCall       = 'C' // of calls by name, see callacross.go
	kindRest       = 'R' // binary: a message in a room once more, to those who have moved, see moved.go
	kindImage      = 'i' // binary: see image.go
	kindKept       = 'k' // binary: up to which step of an image all is here
	kindDecline    = 'q' // binary: the number of an image that this node has no more
	kindMoved      = 'V' // this node has the sessions of a dead one, movedFrame
	kindHanded     = 'Y' // what waited for those is said again, movedFrame
	kindDone       = 'd' // binary: the highest number handled, then those that were refused
)

// nodes is what the directory knows of other nodes. nil: there are none.
type nodes struct {
	d      *directory
	self   string // the name of this node
	out    Nodes
	relays func() []netip.Addr
	next   atomic.Uint64 // numbers of remote members

	mu      sync.Mutex
	by      map[string]*peer
	images  map[string]*image             // of other nodes' sessions, whole ones
	before  []*image                      // those of processes that were started again, the last ones
	orphans []*peer                       // dead nodes whose people are waited for, see moved.go
	moves   []move                        // in steps: the last that were told, see moved.go
	taken   []string                      // in steps: the last processes whose sessions somebody has taken over
	sure    time.Time                     // under directory.mu: until then, see unsure
	surely  timers.Timer                  // which fires then
	met     map[string]map[*peer]struct{} // who takes this node for that of a room, and has a part of it
}

// peer is one process of another node, for as long as nothing that it says is missed.
type peer struct {
	x          *nodes
	name       string
	generation uint64
	in         sync.Mutex // held while what it says is handled
	lost       atomic.Bool
	relays     atomic.Pointer[[]netip.Addr] // at which it relays
	meets      map[string]struct{}          // under nodes.mu: where it is in met
	refused    []uint64                     // under in: see done
	heard      uint64                       // under in: the highest number of its messages
	told       uint64                       // under in: of these, what it has been told of
	handled    []pending                    // under in: room for what it has handled
	run        string                       // under in: its process
	greeted    bool                         // under in: it has said that
	building   *image                       // under in: of its sessions
	kept       uint64                       // under in: the last step of that
	keptTold   uint64                       // under in: of which it has been told
	late       *timers.Timer                // of an orphan
	since      time.Time                    // likewise
	awaits     map[string]move              // in steps: whose messages it has still to say again, see handedFrom
	mute       bool                         // under in: its sessions are another node's, and it does not know yet

	mu      sync.Mutex
	members map[delivery.Ref]*member // by its own numbers; also who is in a room only
	number  uint64                   // of the last message to it
	sent    uint64                   // of an orphan: of the last that was sent
	orphan  bool                     // it is dead, and its people are waited for
	pending []pending                // messages that it has not handled yet
	over    bool                     // and nothing is pending any more
	how     Loss                     // if it is over
	asking  uint64
	asks    map[uint64]*asked // what devices here have asked of it
}

// Config of nodes: see Config.Nodes.
func newNodes(d *directory, self string, out Nodes, relays func() []netip.Addr) *nodes {
	return &nodes{d: d, self: self, out: out, relays: relays, by: make(map[string]*peer), images: make(map[string]*image), met: make(map[string]map[*peer]struct{})}
}

// get returns a node to which there is a stream; nil: there is none now.
func (x *nodes) get(name string) *peer {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.by[name]
}

// say says something of the kinds that are JSON.
func (p *peer) say(kind byte, what any) {
	b, err := json.Marshal(what)
	if err != nil {
		p.x.d.hub.log.Error("a frame for another node cannot be written", "error", err)
		return
	}
	p.x.out.Send(p.name, p.generation, append([]byte{kind}, b...))
}

// greeting is of kindHello.
type greeting struct {
	Relays []netip.Addr `json:"relays,omitempty"`
	// Run is the process. The 3 is the version of what goes on between a node and its second:
	// nodes of another one know nothing of each other's processes, and are no seconds.
	Run string `json:"run3,omitempty"`
}

// NodeUp says that there is a stream to another node, of that generation, on which nothing
// has been said yet. Calls about one node must not overlap.
func (h *Hub) NodeUp(node string, generation uint64) {
	x := h.directory.nodes
	if x == nil {
		return
	}
	h.enter()
	defer h.leave()
	p := &peer{x: x, name: node, generation: generation, meets: make(map[string]struct{}), members: make(map[delivery.Ref]*member), asks: make(map[uint64]*asked)}
	x.mu.Lock()
	x.by[node] = p
	x.mu.Unlock()
	var g greeting
	if x.relays != nil {
		g.Relays = x.relays()
	}
	if h.second != nil {
		g.Run = h.second.process()
	}
	p.say(kindHello, g)
	h.directory.tellMoves(p)
	for _, r := range h.directory.rooms.All() {
		r.meet()
	}
	h.directory.namesUp()
	h.directory.hostingsUp()
}

// FromNode takes in what another node says, in order. The frames are the hub's: what it keeps
// of one of them it copies, as others come with it.
func (h *Hub) FromNode(node string, frames [][]byte) {
	x := h.directory.nodes
	if x == nil {
		return
	}
	h.enter()
	defer h.leave()
	p := x.get(node)
	if p == nil {
		return
	}
	p.in.Lock()
	defer p.in.Unlock()
	for _, f := range frames {
		if p.lost.Load() || p.mute {
			return
		}
		if !p.take(f) {
			h.log.Warn("another node says something that this one cannot read", "node", node, "bytes", len(f))
		}
	}
	p.done()
	if p.kept != p.keptTold {
		p.keptTold = p.kept
		h.second.tellsKept(p)
	}
}

// take handles one frame. It reports whether it could be read.
func (p *peer) take(f []byte) bool {
	if len(f) == 0 {
		return false
	}
	d := p.x.d
	kind, f := f[0], f[1:]
	switch kind {
	case kindOne, kindOneCounted:
		return d.oneFrom(p, f, kind == kindOneCounted)
	case kindAll, kindAllCounted:
		return d.allFrom(p, f, kind == kindAllCounted)
	case kindDone:
		return d.doneBy(p, f)
	case kindCall:
		return d.callFrom(p, f)
	case kindRest:
		return d.restFrom(p, f)
	case kindImage, kindKept, kindDecline, kindMoved, kindHanded:
		return d.secondFrom(p, kind, f)
	case kindHello:
		var g greeting
		ok := json.Unmarshal(f, &g) == nil
		p.relays.Store(&g.Relays)
		if d.hub.second == nil {
			return ok
		}
		p.greeted = true
		if p.mute = slices.Contains(p.x.taken, originOf(p.name, g.Run)); p.mute {
			return ok
		}
		if p.run = g.Run; p.run == "" {
			p.awaits = nil // it knows nothing of people who move
		} else {
			p.hasHanded()
			d.back(p)
			d.hub.second.begins(p)
			d.hub.second.choose()
		}
		return ok
	}
	var m partFrame
	if json.Unmarshal(f, &m) != nil {
		return false
	}
	if user, is := isName(m.Room); is && p.takeName(kind, user, &m) {
		return true
	}
	if room, is := isHosting(m.Room); is && p.takeHosting(kind, room, &m) {
		return true
	}
	switch kind {
	case kindMeet:
		p.x.meet(p, m.Room)
	case kindUnmeet:
		p.x.mu.Lock()
		p.x.unmeet(p, m.Room)
		p.x.mu.Unlock()
	case kindAlso:
		if o, r := p.x.get(m.Node), d.rooms.Get(m.Room); o != nil && r != nil {
			r.share(o)
		}
	case kindPart:
		d.partFrom(p, &m)
	case kindUnpart:
		if r := d.rooms.Get(m.Room); r != nil {
			d.dropPart(r, p)
		}
	case kindJoin:
		if r := d.rooms.Get(m.Room); r != nil && m.Person != nil {
			d.joinedThere(p, r, m.Person, &m)
		}
	case kindLeave:
		if s := p.member(m.Ref); s != nil {
			if r := s.inRoom(m.Room); r != nil && (m.Stamp == 0 || m.Stamp == r.placeOf(s)) { // else it has come again since
				if m.Goes {
					r.partsFrom(s)
				}
				d.leftThere(s, r, m.Reason)
			}
		}
	case kindAway:
		if s := p.member(m.Ref); s != nil && s.away.Swap(m.Away) != m.Away {
			d.tellAway(s, m.Away)
		}
	case kindSeen:
		if s := p.member(m.Ref); s != nil {
			s.addr.Store(&m.Seen)
			d.hub.changed(s.partners()...)
		}
	case kindSlow:
		if s := p.member(m.Ref); s != nil {
			s.slow.Store(d.hub.now().Add(slowTime).UnixNano())
		}
	default:
		return false
	}
	switch kind {
	case kindPart, kindUnpart, kindJoin, kindLeave:
		if isHosted(m.Room) {
			d.partChanged(m.Room)
		}
	}
	return true
}

// takeName handles what is said of a name. It reports whether that is all.
func (p *peer) takeName(kind byte, user string, m *partFrame) bool {
	d := p.x.d
	switch kind {
	case kindMet:
		d.nameListed(p, user, m.Nodes)
	case kindAlso:
		if o := p.x.get(m.Node); o != nil {
			d.nameAlso(o, user)
		}
	case kindPart:
		d.nameFrom(p, user, m)
	case kindUnpart:
		d.mu.Lock()
		defer d.unlock()
		if u := d.users[user]; u != nil {
			d.stillThere(u, p, &namePart{})
			d.dropName(u, p)
			d.weigh(u)
		}
	default:
		return false
	}
	return true
}

// slowTime is for how long senders are held up for a remote member that does not read.
const slowTime = time.Second

// uvarint takes a number off a frame.
func uvarint(f *[]byte) (n uint64, ok bool) {
	n, size := binary.Uvarint(*f)
	if size <= 0 {
		return 0, false
	}
	*f = (*f)[size:]
	return n, true
}
