// Package across is what the rooms of the dialects have in common where they are on several
// nodes: how many there are in a room, and who of those that come at the same moment was first.
package across

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"turnhub/signaling"
)

// Seats are the places in one room, of this node and the others. A node says of a room how
// many it has there, who is about to enter, and the least that any of them wants as its
// limit. Whoever opens a room asks the other nodes, and those that are asked know of him from
// then on. Each who is about to enter has a stamp, higher than all that his node knows; who
// has a lower one decides first. So of two who enter a room that is new to their nodes both
// nodes say the same who was first.
//
// What its caller has given to New guards it. A nil Seats is that of a server without other
// nodes: its methods do nothing and let everybody in.
type Seats struct {
	topics signaling.Topics
	name   string
	lock   sync.Locker
	own    map[*Seat]struct{}
	left   int // how many have
}

// Seat is one place.
type Seat struct {
	limit int
	stamp uint64
	taken bool
	late  bool   // it has waited long enough
	asked bool   // it hears when the room is settled
	wake  func() // something may have changed
}

const (
	// maxStamps bounds how many who are about to enter are told of.
	maxStamps = 64
	// patience is how long somebody waits for the decision of those who were first.
	patience = time.Second
)

// New returns the seats of a room; nil where there are no other nodes.
func New(topics signaling.Topics, dialect, room string, lock sync.Locker) *Seats {
	if topics == nil {
		return nil
	}
	return &Seats{topics: topics, name: dialect + "\x00" + room, lock: lock, own: make(map[*Seat]struct{})}
}

// Add makes a seat for somebody who is about to enter and wants at most so many in the room.
// heard gets what is said on other nodes, and changed is told, without the lock, that there
// are more or fewer, from the first seat to the last.
func (s *Seats) Add(limit int, heard func(node string, body []byte), changed func()) *Seat {
	if s == nil {
		return nil
	}
	seat := &Seat{limit: limit, stamp: uint64(time.Now().UnixMicro())<<10 | rand.Uint64N(1<<10)}
	for o := range s.own {
		seat.stamp = max(seat.stamp, o.stamp+1)
	}
	for _, their := range s.Parts() {
		for _, stamp := range their.stamps {
			seat.stamp = max(seat.stamp, stamp+1)
		}
	}
	first := len(s.own) == 0
	s.own[seat] = struct{}{}
	if first {
		s.topics.Open(s.name, s.state(), heard, func() {
			s.lock.Lock()
			s.poke()
			s.lock.Unlock()
			changed()
		})
	} else {
		s.tell()
	}
	return seat
}

// Ready reports whether Take may be called; if not, wake is called when Ready is to be asked
// again, with the lock held.
func (s *Seats) Ready(seat *Seat, wake func()) bool {
	if s == nil || seat.late {
		return true
	}
	settled := true
	if !seat.asked {
		seat.asked = true
		settled = s.topics.Settled(s.name, s.again)
		time.AfterFunc(patience, func() {
			s.lock.Lock()
			defer s.lock.Unlock()
			seat.late = true
			s.poke()
		})
	} else {
		settled = s.topics.Settled(s.name, func() {})
	}
	if settled && s.lower(seat) == 0 {
		return true
	}
	seat.wake = wake
	return false
}

func (s *Seats) again() {
	s.lock.Lock()
	defer s.lock.Unlock()
	s.poke()
}

// poke has all who wait ask again.
func (s *Seats) poke() {
	for o := range s.own {
		if wake := o.wake; wake != nil {
			o.wake = nil
			wake()
		}
	}
}

// lower is how many who are about to enter were before this one.
func (s *Seats) lower(seat *Seat) (n int) {
	for o := range s.own {
		if !o.taken && o.stamp < seat.stamp {
			n++
		}
	}
	for _, their := range s.Parts() {
		for _, stamp := range their.stamps {
			if stamp < seat.stamp {
				n++
			}
		}
	}
	return n
}

// Wait waits until Ready, for somebody who can, and must not hold the lock.
func (s *Seats) Wait(seat *Seat) {
	if s == nil {
		return
	}
	awake := make(chan struct{}, 1)
	for {
		s.lock.Lock()
		ready := s.Ready(seat, func() { awake <- struct{}{} })
		s.lock.Unlock()
		if ready {
			return
		}
		<-awake
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
		if o != seat && o.taken {
			before++
		}
	}
	for _, their := range s.Parts() {
		before += their.Taken
		if their.limit > 0 {
			limit = min(limit, their.limit)
		}
	}
	if before += s.lower(seat); before >= limit {
		return before, false
	}
	seat.taken = true
	s.tell()
	s.poke()
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
	if seat.taken {
		s.left++
	}
	if delete(s.own, seat); len(s.own) > 0 {
		s.tell()
		s.poke()
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
		n += read(state).Taken
	}
	return n
}

// Part is the part of a room on another node.
type Part struct {
	Taken int // how many are there
	Left  int // how many have left, since the node has somebody

	limit  int
	stamps []uint64
}

// Parts are those of all other nodes that have the room, by node.
func (s *Seats) Parts() map[string]Part {
	if s == nil {
		return nil
	}
	parts := make(map[string]Part)
	for node, state := range s.topics.Others(s.name) {
		parts[node] = read(state)
	}
	return parts
}

func (s *Seats) tell() { s.topics.State(s.name, s.state()) }

// state is the least limit, how many are in, how many have left, and the stamps of those who are about to.
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
	b = binary.AppendUvarint(b, uint64(s.left))
	for _, stamp := range stamps[:min(len(stamps), maxStamps)] {
		b = binary.BigEndian.AppendUint64(b, stamp)
	}
	return b
}

// read reads a state; what cannot be read says nothing.
func read(b []byte) (p Part) {
	for _, into := range []*int{&p.limit, &p.Taken, &p.Left} {
		value, size := binary.Uvarint(b)
		if size <= 0 || value > 1<<32 {
			return Part{}
		}
		*into, b = int(value), b[size:]
	}
	for len(b) >= 8 && len(p.stamps) < maxStamps {
		p.stamps = append(p.stamps, binary.BigEndian.Uint64(b))
		b = b[8:]
	}
	return p
}
