package delivery

import (
	"math"
	"net/netip"
	"slices"

	"turnhub/internal/access"
	"turnhub/internal/netaddr"
	"turnhub/signaling/internal/wire"
	"turnhub/signaling/internal/wsock"
)

// Of several nodes one may keep an image of another's sessions, so that they outlive it.
// That image must never be behind what a client has seen: a message is acknowledged, and a
// numbered one is written, only once the image has it (Gate, Open). So there are two gates,
// and whatever lies behind them has happened for nobody yet. A session whose gates are not
// in use has the highest numbers there are as theirs, and costs a comparison.

// Mirror is who keeps the images. nil: nobody does.
type Mirror interface {
	// Enter and Leave are around everything that happens to sessions, before all locks:
	// what lies between them is in the image as a whole, or not at all.
	Enter()
	Leave()
	// Changed says that there is something to Take of a session. It is called under locks.
	Changed(Ref)
}

// ungated is what a gate says that is not in use.
const ungated = math.MaxUint64

// Kept is what an image has of a session's stream.
type Kept struct {
	Base    uint64 // the highest number that its client has acknowledged
	Last    uint64 // the number of the newest of Items; Items are those before it
	Items   []wire.Object
	Numbers []uint64 // of Items, by which the image's node knows them; 0: it does not. Of an image: none
	Handled uint64   // the highest number of its client's that is handled
	Held    []uint64 // of these, those that may not be acknowledged: they are done again
}

// Stay is what stays of a session, and of which its image has to know.
type Stay struct {
	ID     string     `json:"id"`
	User   string     `json:"user,omitempty"`
	Token  string     `json:"token"`
	Old    []string   `json:"old,omitempty"`    // earlier ones, until its client has that
	Proved string     `json:"proved,omitempty"` // the user of its access token
	Rooms  []string   `json:"rooms"`            // see Standing
	Host   bool       `json:"host,omitempty"`
	Opener netip.Addr `json:"opener"`
	Seen   netip.Addr `json:"seen,omitzero"`
	Port   uint16     `json:"port,omitempty"`
}

// enter and leave are Mirror's, where there is one.
func (n *Node) enter() {
	if n.cfg.Mirror != nil {
		n.cfg.Mirror.Enter()
	}
}

func (n *Node) leave() {
	if n.cfg.Mirror != nil {
		n.cfg.Mirror.Leave()
	}
}

// changed tells the mirror. session.mu is held.
func (s *session) changed() {
	if s.mirrored && !s.ended {
		s.node.cfg.Mirror.Changed(s.ref)
	}
}

// Gate closes the gates of all sessions behind what has passed them, and of those that open
// from now on.
func (n *Node) Gate() {
	n.gated.Store(true)
	for _, s := range n.byID.All() {
		s.mu.Lock()
		s.mayWrite, s.mayAck = min(s.mayWrite, s.out.last()), min(s.mayAck, s.done())
		s.mu.Unlock()
	}
}

// Shut closes those of one session whose message is being handled, before it is answered.
func (n *Node) Shut(ref Ref) {
	s := n.session(ref)
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	done := s.done()
	if s.number != 0 {
		done = min(done, s.number-1)
	}
	s.mayWrite, s.mayAck = min(s.mayWrite, s.out.last()), min(s.mayAck, max(s.told, done))
}

// Ungate opens them for good, but those of sessions that wait.
func (n *Node) Ungate(waits func(Ref) bool) {
	n.gated.Store(false)
	for _, s := range n.byID.All() {
		if waits(s.ref) {
			continue
		}
		s.open(ungated, ungated, nil)
	}
}

// Openable is up to where the gates of a session are opened, as its image has that: the newest
// message, and how many of the client's are done with.
type Openable struct {
	Ref        Ref
	Last, Done uint64
}

// Open opens the gates of sessions.
func (n *Node) Open(list ...Openable) {
	by := &conn{line: wsock.Together()}
	for _, o := range list {
		if s := n.session(o.Ref); s != nil {
			s.open(o.Last, o.Done, by)
		}
	}
	by.line.Spread()
}

func (s *session) open(last, done uint64, by *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if last > s.mayWrite {
		s.mayWrite = last
		s.kick(by)
		if s.leaving != 0 && last >= s.leaving && !s.ended {
			s.schedule() // not here: whoever is has locks
		}
	}
	if done > s.mayAck {
		s.mayAck = done
		if s.conn != nil && s.conn.code == 0 && !s.ended && s.doom == "" && s.settled() != s.told {
			s.acknowledge(s.conn, by)
		}
	}
}

// leaves reports whether a session that has said bye waits for the image to have that: what
// was answered before is told to its client no earlier. session.in is held.
func (s *session) leaves() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mayWrite >= s.out.last() || s.conn == nil || s.doom != "" {
		return false
	}
	s.leaving = s.out.last()
	return true
}

// Take puts what has come to a session's stream since the last Take into k, or with all
// everything that there is of it, and returns what the gates may be opened to once the image
// has that. False: the session is no more.
func (n *Node) Take(ref Ref, all bool, k *Kept) (done uint64, is bool) {
	s := n.session(ref)
	if s == nil {
		return 0, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || s.doom != "" {
		return 0, false
	}
	if all {
		s.imaged = s.out.base
	}
	k.Base, k.Last, k.Handled = s.out.base, s.out.last(), s.handled
	k.Held, k.Items, k.Numbers = append(k.Held[:0], s.held...), k.Items[:0], k.Numbers[:0]
	for i := max(s.imaged, s.out.base) + 1; i <= k.Last; i++ {
		it := s.out.at(i)
		k.Items = append(k.Items, it.text)
		if all { // of another image's node
			it.number = 0
		}
		k.Numbers = append(k.Numbers, it.number)
	}
	s.imaged = k.Last
	return s.done(), true
}

// Stay returns what stays of a session that Take has found.
func (n *Node) Stay(ref Ref) (stay Stay) {
	s := n.session(ref)
	if s == nil {
		return stay
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stay{
		ID: s.id, User: s.user, Token: s.token, Old: slices.Clone(s.olds), Proved: s.claims.User, Rooms: s.claims.Rooms, Host: s.claims.Host,
		Opener: s.opener, Seen: s.seen, Port: s.port,
	}
}

// Adopt opens a session that was that other node's, as it was there when its socket was lost,
// and waits for it as long as for any other. Meaning is not told: who adopts is above. It
// has no socket, and away says that others have been told so. ok is false where this node has as many as it may have.
func (n *Node) Adopt(from string, stay Stay, k Kept, away bool) (ref Ref, ok bool) {
	n.letting.RLock()
	defer n.letting.RUnlock()
	if n.draining.Load() || n.byID.Get(stay.ID) != nil {
		return 0, false
	}
	limits := n.limits()
	if over := n.people.Add(stay.Opener, 1, limits.sessions(n.cfg.Gateway.Times(stay.Opener))); over != netaddr.Within {
		n.stats.refused.Add(string(over))
		return 0, false
	}
	s := n.sessions.Add(func(ref uint64) *session {
		return &session{
			// Where it was, it may be still for somebody who does not know better: with another
			// token its client does not come back there.
			node: n, ref: Ref(ref), id: stay.ID, token: secretText(24), olds: earlier(stay), user: stay.User,
			claims: access.Claims{User: stay.Proved, Rooms: stay.Rooms, Host: stay.Host},
			opener: stay.Opener, seen: stay.Seen, port: stay.Port,
			handled: k.Handled, again: slices.Clone(k.Held), held: slices.Clone(k.Held),
			mayWrite: ungated, mayAck: ungated, mirrored: n.cfg.Mirror != nil, gone: away, adopted: true,
		}
	})
	s.timer.Fire = s.tick
	s.in.Lock()
	defer s.in.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out.base = k.Last - uint64(len(k.Items))
	for _, text := range k.Items {
		s.out.add(item{text: text})
	}
	if k.Base > s.out.base {
		s.out.ack(min(k.Base, s.out.last()))
	}
	if n.gated.Load() {
		s.mayWrite, s.mayAck = s.out.base, s.done()
	}
	s.lostAt, s.window = n.now(), n.timing.Window
	n.byID.Put(s.id, s)
	n.stats.opened.Add(1)
	n.logSession("session taken over", s, "from", from)
	s.schedule()
	s.changed()
	return s.ref, true
}

// mostEarlier is how many tokens a session has that its client may know.
const mostEarlier = 16

func earlier(stay Stay) []string {
	all := append([]string{stay.Token}, stay.Old...)
	return all[:min(len(all), mostEarlier)]
}

// OwnedBy reports whether a token is one of the session's: which node it names, where it
// names one, does not matter.
func (s Stay) OwnedBy(token string) bool {
	return sameToken(token, s.Token) || slices.ContainsFunc(s.Old, func(of string) bool { return sameToken(token, of) })
}

// Numbered implements Post.
func (n *Node) Numbered(ref Ref) (number uint64, again bool) {
	s := n.session(ref)
	if s == nil {
		return 0, false
	}
	return s.number, s.anew
}

// Holds implements Post.
func (n *Node) Holds(ref Ref) bool {
	s := n.session(ref)
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.held) > 0
}

// redo reports whether a number of the client's is of a message that was handled on another
// node, and not done with when that was lost: it is handled once more. session.mu is held.
func (s *session) redo(n uint64) bool {
	i := slices.Index(s.again, n)
	if i < 0 {
		return false
	}
	s.again = slices.Delete(s.again, i, i+1)
	s.held = slices.DeleteFunc(s.held, func(h uint64) bool { return h == n })
	return true
}
