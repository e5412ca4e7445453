package signaling

import (
	"slices"

	"turnhub/signaling/internal/delivery"
)

// A message between nodes may be said more than once: by its sender, who has lost his node
// before it was acknowledged, and by a node that does not know what another one had of it
// when that died. So each session has with it, wherever it goes on, what it has had of every
// other one: the numbers of the other one's client say exactly which message has come before.

// had is what a session has had of another one, whose client numbers what it says: they come
// in that order. The zero value is ready.
type had struct {
	Highest uint64
	Refused []uint64 // the last of those that were not taken all the same, the newest last
}

const (
	// mostRefused is how many refused messages are remembered: a client has no more on their
	// way that are not answered, or few more.
	mostRefused = 16
	// mostHad is of how many others a session remembers what it has had, before those are
	// forgotten whom nobody here knows.
	mostHad = 512
)

// add takes a message; 0: its client gave it no number. again says that it has come before,
// and bad that it was refused then.
func (t *had) add(seq uint64) (again, bad bool) {
	if seq == 0 {
		return false, false
	}
	if seq <= t.Highest {
		return true, slices.Contains(t.Refused, seq)
	}
	t.Highest = seq
	return false, false
}

// refuse says that a message which was added is not taken.
func (t *had) refuse(seq uint64) {
	if seq == 0 {
		return
	}
	if len(t.Refused) == mostRefused {
		t.Refused = slices.Delete(t.Refused, 0, 1)
	}
	t.Refused = append(t.Refused, seq)
}

// has takes a message of another session to one of this node, where there may be a second
// time. It is called in a step.
func (s *member) has(from *member, seq uint64) (again, bad bool) {
	x := s.d.hub.second
	if x == nil || s.node != nil || seq == 0 {
		return false, false
	}
	t := s.hadOf[from.id]
	if t == nil {
		if s.hadOf == nil {
			s.hadOf = make(map[string]*had)
		}
		if len(s.hadOf) >= mostHad {
			for id := range s.hadOf {
				if s.d.members.Get(id) == nil {
					delete(s.hadOf, id)
				}
			}
			x.hears(s.ref, "")
		}
		t = &had{}
		s.hadOf[from.id] = t
	}
	if again, bad = t.add(seq); !again {
		x.hears(s.ref, from.id)
	}
	return again, bad
}

// refuses says that a message which has taken is not taken after all.
func (s *member) refuses(from *member, seq uint64) {
	if x := s.d.hub.second; x != nil && s.node == nil && s.hadOf[from.id] != nil {
		s.hadOf[from.id].refuse(seq)
		x.hears(s.ref, from.id)
	}
}

// hears remembers for the end of the step that a session has had something of another one.
// Of nobody: what it has had of all is told anew.
func (x *second) hears(ref delivery.Ref, id string) {
	x.note(func() {
		x.add(ref)
		x.had[heard{ref, id}] = struct{}{}
	})
}

// numbers reports whether those to whom a session says something now must know it by its
// number: it may have been said before, on a node that was lost since, or what was said before
// it may be said again.
func (d *directory) numbers(s *member) (is bool, seq uint64) {
	if d.hub.second == nil {
		return false, 0
	}
	seq, again := d.post.Numbered(s.ref)
	return again || d.post.Holds(s.ref), seq
}
