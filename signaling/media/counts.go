package media

import (
	"sync/atomic"

	"turnhub/signaling/internal/tally"
)

// Kind is what a frame carries: its first byte.
type Kind byte

// The kinds of protocol.md.
const (
	Sound   Kind = 1
	Picture Kind = 2
	Key     Kind = 3 // a picture that needs none before it
	Message Kind = 4
	Report  Kind = 5
	Piece   Kind = 6 // more of the picture before it
	kinds        = 7
)

var kindNames = [kinds]string{"unknown", "sound", "picture", "key", "message", "report", "piece"}

// Stats is a snapshot. What is signed is a level, what is unsigned counts since the start.
// The maps' keys come from small fixed sets and are fit to be labels.
type Stats struct {
	Sockets, Paths int                          // open now; Paths have both their sockets
	Frames, Bytes  map[string]uint64            // written to receivers, by kind
	Dropped        map[string]map[string]uint64 // frames by kind and reason
	Keys           uint64                       // key pictures asked for
	Closed         map[string]uint64            // sockets that the server ended, by the close code's name
}

// counts are the live counters. The tallies are touched for exceptions only.
type counts struct {
	frames, bytes [kinds]atomic.Uint64
	dropped       [kinds]tally.Tally
	keys          atomic.Uint64
	closed        tally.Tally
}

func (c *counts) pass(kind Kind, n int) {
	c.frames[kind].Add(1)
	c.bytes[kind].Add(uint64(n))
}

// drop counts a frame that does not arrive. why must come from a small fixed set.
func (c *counts) drop(kind Kind, why string) { c.dropped[kind].Add(why) }

// Stats returns a snapshot.
func (s *Server) Stats() Stats {
	c := &s.counts
	st := Stats{
		Frames: make(map[string]uint64), Bytes: make(map[string]uint64), Dropped: make(map[string]map[string]uint64),
		Keys: c.keys.Load(), Closed: c.closed.Copy(),
	}
	for kind, name := range kindNames {
		if kind > 0 {
			st.Frames[name], st.Bytes[name] = c.frames[kind].Load(), c.bytes[kind].Load()
		}
		st.Dropped[name] = c.dropped[kind].Copy()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st.Sockets = len(s.sockets)
	for _, p := range s.pairs {
		if p.ends[0].Load() != nil && p.ends[1].Load() != nil {
			st.Paths++
		}
	}
	return st
}
