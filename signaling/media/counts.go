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
	Across         int                          // pairs that have one socket here and one on another node, now
	Crossed        map[string]uint64            // frames by whether they were said to another node, or heard of one
	CrossedBytes   map[string]uint64            // of these
}

// crossings are the keys of Stats.Crossed.
var crossings = [2]string{"said", "heard"}

// passed counts frames.
type passed struct{ frames, bytes atomic.Uint64 }

func (p *passed) pass(n int) {
	p.frames.Add(1)
	p.bytes.Add(uint64(n))
}

// counts are the live counters. The tallies are touched for exceptions only.
type counts struct {
	passed  [kinds]passed
	crossed [len(crossings)]passed
	dropped [kinds]tally.Tally
	keys    atomic.Uint64
	closed  tally.Tally
}

func (c *counts) pass(kind Kind, n int) { c.passed[kind].pass(n) }

// drop counts a frame that does not arrive. why must come from a small fixed set.
func (c *counts) drop(kind Kind, why string) { c.dropped[kind].Add(why) }

// Stats returns a snapshot.
func (s *Server) Stats() Stats {
	c := &s.counts
	st := Stats{
		Frames: make(map[string]uint64), Bytes: make(map[string]uint64), Dropped: make(map[string]map[string]uint64),
		Keys: c.keys.Load(), Closed: c.closed.Copy(), Crossed: make(map[string]uint64), CrossedBytes: make(map[string]uint64),
	}
	for i, name := range crossings {
		st.Crossed[name], st.CrossedBytes[name] = c.crossed[i].frames.Load(), c.crossed[i].bytes.Load()
	}
	for kind, name := range kindNames {
		if kind > 0 {
			st.Frames[name], st.Bytes[name] = c.passed[kind].frames.Load(), c.passed[kind].bytes.Load()
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
		if p.far.Load() != nil {
			st.Across++
		}
	}
	return st
}
