// Package across is what the rooms of the dialects have in common where they are on several
// nodes: how many there are in a room, and who of those that come at the same moment was first.
package across

import (
	"encoding/binary"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"turnhub/signaling"
)

// Seats are the places in one room, of this node and the others. A node says of a room how
// many it has there, who is about to enter, and the least that any of them wants as its
// limit. Whoever opens a room asks the other nodes; those that are asked know of him from
// then on, so of two who enter at the same moment both nodes say the same who was first.
//
// Its caller guards it. A nil Seats is that of a server without other nodes: its methods do
// nothing and let everybody in.
type Seats struct {
	topics signaling.Topics
	name   string
	own    map[*Seat]struct{}
}

// Seat is one place.
type Seat struct {
	limit int
	stamp uint64 // of two who ask, who was first
	asked bool   // the others are asked about it
	taken bool
}

// maxStamps bounds how many who are about to enter are told of.
const maxStamps = 64

// New returns the seats of a room; nil where there are no other nodes.
func New(topics signaling.Topics, dialect, room string) *Seats {
	if topics == nil {
		return nil
	}
	return &Seats{topics, dialect + "\x00" + room, make(map[*Seat]struct{})}
}

// Add makes a seat for somebody who is about to enter and wants at most so many in the room.
// heard gets what is said on other nodes, from the first seat to the last.
func (s *Seats) Add(limit int, heard func(node string, body []byte), changed func()) *Seat {
	if s == nil {
		return nil
	}
	seat := &Seat{limit: limit, stamp: uint64(time.Now().UnixMicro())<<10 | rand.Uint64N(1<<10)}
	first := len(s.own) == 0
	s.own[seat] = struct{}{}
	if first {
		s.topics.Open(s.name, s.state(), heard, changed)
	} else {
		s.tell()
	}
	return seat
}

// Settled reports whether Take may be called; if not, done is called when it may.
func (s *Seats) Settled(seat *Seat, done func()) bool {
	if s == nil || s.topics.Settled(s.name, done) {
		return true
	}
	seat.asked = true
	return false
}

// Wait is Settled for somebody who can wait, and must not hold what guards s.
func (s *Seats) Wait(seat *Seat) {
	if s == nil {
		return
	}
	settled := make(chan struct{})
	if s.Settled(seat, func() { close(settled) }) {
		return
	}
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	select {
	case <-settled:
	case <-timer.C: // this node ends
	}
}

// Take takes a seat, unless there are as many as anybody wants. before is how many were there.
func (s *Seats) Take(seat *Seat) (before int, ok bool) {
	if s == nil {
		return 0, true
	}
	limit := seat.limit
	for o := range s.own {
		limit = min(limit, o.limit)
		if o != seat && (o.taken || o.stamp < seat.stamp) {
			before++
		}
	}
	for _, state := range s.topics.Others(s.name) {
		their, taken, stamps := read(state)
		before += taken
		for _, stamp := range stamps {
			// Who asked nobody knows only what has come, and is behind all of that.
			if !seat.asked || stamp < seat.stamp {
				before++
			}
		}
		if their > 0 {
			limit = min(limit, their)
		}
	}
	if before >= limit {
		return before, false
	}
	seat.taken = true
	s.tell()
	return before, true
}

// Remove gives a seat up. Doing it twice is harmless.
func (s *Seats) Remove(seat *Seat) {
	if s == nil {
		return
	}
	if _, is := s.own[seat]; !is {
		return
	}
	if delete(s.own, seat); len(s.own) > 0 {
		s.tell()
	} else {
		s.topics.Close(s.name)
	}
}

// Say says something to the other nodes that have the room. False: there are none.
func (s *Seats) Say(body []byte) bool { return s != nil && s.topics.Say(s.name, body) }

// Others is how many there are on other nodes.
func (s *Seats) Others() (n int) {
	if s == nil {
		return 0
	}
	for _, state := range s.topics.Others(s.name) {
		_, taken, _ := read(state)
		n += taken
	}
	return n
}

// Nodes are the other nodes that have the room.
func (s *Seats) Nodes() []string {
	if s == nil {
		return nil
	}
	return slices.Collect(maps.Keys(s.topics.Others(s.name)))
}

func (s *Seats) tell() { s.topics.State(s.name, s.state()) }

// state is the least limit, how many have entered, and the stamps of those who are about to.
func (s *Seats) state() []byte {
	limit, taken := 0, 0
	var stamps []uint64
	for o := range s.own {
		if limit == 0 || o.limit < limit {
			limit = o.limit
		}
		if o.taken {
			taken++
		} else {
			stamps = append(stamps, o.stamp)
		}
	}
	slices.Sort(stamps)
	b := binary.AppendUvarint(nil, uint64(limit))
	b = binary.AppendUvarint(b, uint64(taken))
	for _, stamp := range stamps[:min(len(stamps), maxStamps)] {
		b = binary.BigEndian.AppendUint64(b, stamp)
	}
	return b
}

// read reads a state; what cannot be read says nothing.
func read(b []byte) (limit, taken int, stamps []uint64) {
	var n [2]uint64
	for i := range n {
		value, size := binary.Uvarint(b)
		if size <= 0 || value > 1<<20 {
			return 0, 0, nil
		}
		n[i], b = value, b[size:]
	}
	for len(b) >= 8 && len(stamps) < maxStamps {
		stamps = append(stamps, binary.BigEndian.Uint64(b))
		b = b[8:]
	}
	return int(n[0]), int(n[1]), stamps
}
