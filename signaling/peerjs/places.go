package peerjs

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"time"

	"turnhub/signaling/internal/admission"
	"turnhub/signaling/internal/wire"
	"turnhub/signaling/internal/wsock"
)

// Of several nodes an id is one person's over all of them. Each node that has to do with an
// id, since its peer is there, is about to be, or is written to from there, says so to the
// others that have: has it, claims it, or waits for it. Whoever claims an id hears of all that
// have to do with it and they of him, so that two who claim it at the same moment say the
// same who was first.
//
// While NATS is away each node knows of the others what it knew. Two who take one id then both
// keep it; who writes to them from a third node reaches the one who was first.

// place is what this node has to do with an id. The realm's lock guards it.
type place struct {
	id    string
	claim *claim // somebody is about to have it here
	used  bool   // since the timer last went
	timer *time.Timer

	// What is written to it from here, see across.go.
	at    string // the node that has it, to which what waits is sent; empty: none
	last  uint64 // numbers what is sent
	later bool   // what could not be sent will be
	said  string // the state that the others know
}

// claim is a socket that is about to be a peer's.
type claim struct {
	stamp   uint64
	owner   [sha256.Size]byte
	refused bool          // another node's peer has the id, and is there
	changed chan struct{} // something about the id has changed
	over    chan struct{} // closed at the end
}

const (
	// idleTime is for how long at least a node listens where it has written to.
	idleTime = 30 * time.Second
	// claimTime is how long an id's claims of other nodes are waited for.
	claimTime = proof + 2*time.Second
)

// What a node says of an id: a byte, a stamp of 8 bytes and the hash of what proves that a
// later socket is the same peer's.
const (
	stateHas    = 'H'
	stateClaims = 'C'
	stateWaits  = 'W' // and nothing behind it
)

type state struct {
	kind  byte
	stamp uint64
	owner [sha256.Size]byte
}

func (s state) encode() []byte {
	if s.kind == stateWaits {
		return []byte{s.kind}
	}
	return append(binary.BigEndian.AppendUint64([]byte{s.kind}, s.stamp), s.owner[:]...)
}

func decodeState(b []byte) (s state) {
	if len(b) != 9+sha256.Size || b[0] != stateHas && b[0] != stateClaims {
		return state{kind: stateWaits}
	}
	s = state{kind: b[0], stamp: binary.BigEndian.Uint64(b[1:])}
	copy(s.owner[:], b[9:])
	return s
}

// topic is the name under which nodes meet for an id.
func (r *realm) topic(id string) string {
	return fmt.Sprintf("peerjs\x00%d:%s\x00%s", len(r.name), r.name, id)
}

// stateLocked is what this node says of an id.
func (r *realm) stateLocked(id string) state {
	if c := r.clients[id]; c != nil {
		return state{stateHas, c.stamp, sha256.Sum256([]byte(c.owner))}
	}
	if p := r.places[id]; p != nil && p.claim != nil {
		return state{stateClaims, p.claim.stamp, p.claim.owner}
	}
	return state{kind: stateWaits}
}

// others are the states of the other nodes that have to do with an id, by node.
func (r *realm) others(id string) map[string]state {
	all := make(map[string]state)
	for node, s := range r.server.topics.Others(r.topic(id)) {
		all[node] = decodeState(s)
	}
	return all
}

// placeLocked returns the place of an id, a new one where there is none, with a claim or
// none.
func (r *realm) placeLocked(id string, c *claim) *place {
	p := r.places[id]
	if p != nil {
		if c != nil {
			p.claim = c
			r.tellLocked(id)
		}
		return p
	}
	p = &place{id: id, claim: c}
	r.places[id] = p
	p.timer = time.AfterFunc(idleTime, func() { r.idle(p) })
	now := r.stateLocked(id).encode() // the others hear of it with the question
	p.said = string(now)
	r.server.topics.Open(r.topic(id), now, func(node string, body []byte) { r.heard(p, node, body) }, func() { r.changed(p) })
	return p
}

// tellLocked says what has become of an id here, and leaves it alone where nothing is left to
// do with it.
func (r *realm) tellLocked(id string) {
	p := r.places[id]
	if p == nil {
		return
	}
	if r.clients[id] == nil && p.claim == nil && r.absent[id] == nil && (p.at == "" || !p.used) {
		p.timer.Stop()
		delete(r.places, id)
		r.server.topics.Close(r.topic(id))
		return
	}
	if now := r.stateLocked(id).encode(); string(now) != p.said {
		p.said = string(now)
		r.server.topics.State(r.topic(id), now)
	}
}

// idle is the place's timer: nobody has written to its id from here for some time.
func (r *realm) idle(p *place) {
	r.mu.Lock()
	if r.places[p.id] == p {
		p.timer.Reset(idleTime)
		if !p.used {
			r.tellLocked(p.id)
		}
		p.used = false
	}
	r.mu.Unlock()
	r.server.sweep(r)
}

// changed hears that other nodes have something else to do with an id.
func (r *realm) changed(p *place) {
	r.mu.Lock()
	if r.places[p.id] == p {
		if c := r.clients[p.id]; c != nil {
			r.yieldLocked(c)
		}
		if p.claim != nil {
			p.claim.wake()
		}
		r.flushLocked(p)
		r.tellLocked(p.id)
	}
	r.mu.Unlock()
	r.server.sweep(r)
}

// yieldLocked ends a peer's place here when it has a newer socket on another node, and tells
// that one whom the peer knows.
func (r *realm) yieldLocked(c *client) {
	own := sha256.Sum256([]byte(c.owner))
	for node, s := range r.others(c.id) {
		if s.kind == stateHas && s.owner == own && s.stamp > c.stamp {
			known := []byte(nil)
			for id := range c.known {
				known = appendText(known, id)
			}
			r.sayLocked(c.id, saidKnown, node, known)
			delete(r.clients, c.id)
			r.listedLocked(-1)
			c.socket.Close(int(wire.CloseReplaced), "this peer has a newer socket")
			return
		}
	}
}

func (c *claim) wake() {
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// wait waits until something about the id has changed, or time is over.
func (c *claim) wait(until *time.Timer) bool {
	select {
	case <-c.changed:
		return true
	case <-until.C:
		return false
	}
}

// registerAcross is register where no peer on this node has the id and there are other nodes.
// It returns nil, true when something has changed on this node and register begins again, and
// nil, false when somebody else has the id.
func (r *realm) registerAcross(id, owner string, socket *wsock.Conn, entrant *admission.Entrant) (who *client, again bool) {
	r.mu.Lock()
	if p := r.places[id]; p != nil && p.claim != nil {
		over := p.claim.over
		r.mu.Unlock()
		<-over
		return nil, true
	}
	if r.clients[id] != nil {
		r.mu.Unlock()
		return nil, true
	}
	c := &claim{stamp: uint64(time.Now().UnixMicro()), owner: sha256.Sum256([]byte(owner)), changed: make(chan struct{}, 1), over: make(chan struct{})}
	p := r.placeLocked(id, c)
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		if p.claim == c {
			p.claim = nil
		}
		close(c.over)
		r.tellLocked(id)
		r.mu.Unlock()
	}()
	patience := time.NewTimer(time.Second)
	defer patience.Stop()
	for !r.server.topics.Settled(r.topic(id), c.wake) && c.wait(patience) {
	} // without an answer in that time this node ends
	patience.Reset(claimTime)
	asked := make(map[string]bool)
	for {
		r.mu.Lock()
		stamp, blocked := c.stamp, false
		for node, s := range r.others(id) {
			switch {
			case s.kind == stateHas && s.owner == c.owner:
				stamp = max(stamp, s.stamp+1) // it has a newer socket, and yields
			case s.kind == stateHas:
				// Before anybody is turned away the holder proves that it is there.
				blocked = true
				if !asked[node] {
					asked[node] = true
					r.sayLocked(id, saidProve, node, binary.BigEndian.AppendUint64(nil, c.stamp))
				}
			case s.kind == stateClaims && (s.stamp < c.stamp || s.stamp == c.stamp && node < r.server.topics.Node()):
				blocked = true // its outcome is awaited
			}
		}
		if taken := c.refused; taken || !blocked {
			if !taken {
				who = r.takeLocked(r.clients[id], id, owner, socket, entrant)
				who.stamp, p.claim = max(who.stamp, stamp), nil
				r.tellLocked(id)
			}
			r.mu.Unlock()
			return who, false
		}
		r.mu.Unlock()
		if !c.wait(patience) {
			return nil, false
		}
	}
}

// provenLocked hears that the holder of an id is there, which the claim with this stamp asked.
func (p *place) provenLocked(stamp uint64) {
	if p.claim != nil && p.claim.stamp == stamp {
		p.claim.refused = true
		p.claim.wake()
	}
}

// holderLocked is the node that has an id: the one that had it until now, or else the one
// whose peer was first.
func (r *realm) holderLocked(p *place) (node string) {
	all := r.others(p.id)
	if all[p.at].kind == stateHas {
		return p.at
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if s := all[name]; s.kind == stateHas && (node == "" || s.stamp < all[node].stamp) {
			node = name
		}
	}
	return node
}

func appendText(b []byte, text string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

func cutText(b *[]byte) (text string, ok bool) {
	n, size := binary.Uvarint(*b)
	if size <= 0 || n > uint64(len(*b)-size) {
		return "", false
	}
	text, *b = string((*b)[size:size+int(n)]), (*b)[size+int(n):]
	return text, true
}
