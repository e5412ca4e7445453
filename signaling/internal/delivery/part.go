package delivery

import (
	"encoding/json"
	"time"

	"turnhub/signaling/internal/wire"
)

// Of several nodes one may be emptied while the others go on. Its sessions leave in
// groups: nobody is sent away before those who could still say something to them have
// been stopped, and everybody is sent all that was said before. So a message that was
// answered reaches whoever it was for, on one node or the other.

// Empty lets nobody new in from now on, but those who come back to a session that has
// not been sent away (Part).
func (n *Node) Empty() {
	n.letting.Lock()
	defer n.letting.Unlock()
	n.emptying.Store(true)
	n.draining.Store(true)
}

// Stop has no more messages of a session handled, nor lets it come back. It returns when
// the one that is being handled is over.
func (n *Node) Stop(ref Ref) {
	if s := n.session(ref); s != nil {
		s.in.Lock()
		s.parting.Store(true)
		s.in.Unlock()
	}
}

// Part sends a group of sessions away, all of which have been stopped. signalings are the
// URLs of the sockets of other nodes, the one to go to first; none: back to this one
// after that time.
func (n *Node) Part(group []Ref, after time.Duration, signalings []string) {
	b := wire.Begin("restart", 64).Number("after", uint64(after.Milliseconds()))
	if list, err := json.Marshal(signalings); err == nil && len(signalings) > 0 {
		b = b.Raw("signalings", list)
	}
	for _, ref := range group {
		if s := n.session(ref); s != nil {
			s.push(b)
			s.shut(wire.CloseRestart)
		}
	}
}

// Parting implements Post.
func (n *Node) Parting(ref Ref) bool {
	if !n.emptying.Load() {
		return false
	}
	s := n.session(ref)
	return s != nil && s.parting.Load()
}
