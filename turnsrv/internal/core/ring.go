package core

import (
	"sync/atomic"

	"turnhub/turnsrv/internal/wire"
)

// ring carries datagrams from one shard to another when both ends of a call are
// clients of this server but live on different cores. One producer, one consumer,
// no lock, bounded: when it is full the datagram is dropped, as a full socket
// buffer would.
type ring struct {
	to    *Shard
	slots [ringSlots]ringSlot
	data  []byte // circular

	_    [64]byte
	head atomic.Uint32 // written by the producer: slots that are full
	_    [64]byte
	tail atomic.Uint32 // written by the consumer: slots that are free again
	_    [64]byte

	used  uint64 // producer: bytes ever handed out
	dirty bool   // producer: something was put since the last wake

	taken   uint32                 // consumer: slots that were handed on
	batches [ringBatches]ringBatch // consumer: those of them that are not free yet, circular
	oldest  int                    // of batches
	open    int                    // how many
}

type ringSlot struct {
	target *Relay
	peer   wire.Endpoint
	at     int    // in data
	size   int    // payload bytes
	end    uint64 // bytes ever handed out with this slot
}

// ringBatch is what was taken out of a ring at once. It is free again as a whole, when
// it has been sent and no driver holds its buffer.
type ringBatch struct {
	buf   wire.Buffer // over all of data
	slots int
}

func newRing(to *Shard) *ring {
	r := &ring{to: to, data: make([]byte, ringBytes)}
	for i := range r.batches {
		r.batches[i].buf.Mem = r.data
	}
	return r
}

// put copies a payload into the ring.
func (r *ring) put(target *Relay, peer wire.Endpoint, payload []byte) bool {
	head, tail := r.head.Load(), r.tail.Load()
	if head-tail == ringSlots {
		return false
	}
	need := uint64(wire.Headroom + len(payload) + wire.Tailroom)
	start := r.used
	if rest := ringBytes - start%ringBytes; rest < need {
		start += rest // the end of the circle is too short: begin anew
	}
	if head != tail {
		oldest := &r.slots[tail%ringSlots] // full, so the consumer only reads it
		first := oldest.end - uint64(wire.Headroom+oldest.size+wire.Tailroom)
		if start+need-first > ringBytes {
			return false
		}
	}
	at := int(start%ringBytes) + wire.Headroom
	copy(r.data[at:], payload)
	r.slots[head%ringSlots] = ringSlot{target, peer, at, len(payload), start + need}
	r.used = start + need
	r.head.Store(head + 1)
	r.dirty = true
	return true
}

// drain hands up to limit datagrams to f and returns how many there were. reclaim
// must be called when they have been sent.
func (r *ring) drain(limit int, f func(target *Relay, peer wire.Endpoint, g wire.Segment)) int {
	r.reclaim()
	n := min(int(r.head.Load()-r.taken), limit)
	if n <= 0 || r.open == len(r.batches) {
		return 0
	}
	batch := &r.batches[(r.oldest+r.open)%len(r.batches)]
	batch.slots = n
	for i := range n {
		slot := &r.slots[(r.taken+uint32(i))%ringSlots]
		f(slot.target, slot.peer, wire.Segment{
			Buf: &batch.buf, Lo: slot.at, Hi: slot.at + slot.size, Free: wire.Headroom, Spare: wire.Tailroom,
		})
		slot.target = nil
	}
	r.taken += uint32(n)
	r.open++
	return n
}

// reclaim gives the producer back what has been sent, in the order in which it came.
func (r *ring) reclaim() {
	for r.open > 0 && !r.batches[r.oldest].buf.Held() {
		r.tail.Add(uint32(r.batches[r.oldest].slots))
		r.oldest = (r.oldest + 1) % len(r.batches)
		r.open--
	}
}

// empty reports whether nothing waits to be taken. It is for the consumer.
func (r *ring) empty() bool { return r.head.Load() == r.taken }

// pass sends a datagram to a client on another shard.
func (s *Shard) pass(target *Relay, peer wire.Endpoint, g wire.Segment) {
	if target.shard.id >= len(s.rings) || s.rings[target.shard.id] == nil {
		s.connect(target.shard)
	}
	if !s.rings[target.shard.id].put(target, peer, g.Bytes()) {
		s.drop(DropWorkerBusy)
	}
}

// connect makes the ring to another shard, once.
func (s *Shard) connect(to *Shard) {
	for len(s.rings) <= to.id {
		s.rings = append(s.rings, nil)
	}
	r := newRing(to)
	s.rings[to.id] = r
	to.addInbox(r)
}

// addInbox gives the shard one more ring to drain. Safe for concurrent use.
func (s *Shard) addInbox(r *ring) {
	for {
		old := s.inbox.Load()
		var next []*ring
		if old != nil {
			next = append(next, *old...)
		}
		next = append(next, r)
		if s.inbox.CompareAndSwap(old, &next) {
			return
		}
	}
}

// WakeOthers wakes the shards that were given something in this round.
func (s *Shard) WakeOthers() {
	for _, r := range s.rings {
		if r != nil && r.dirty {
			r.dirty = false
			r.to.io.Wake()
		}
	}
}

// Waiting reports whether another shard has put something into a ring.
func (s *Shard) Waiting() bool {
	if rings := s.inbox.Load(); rings != nil {
		for _, r := range *rings {
			if !r.empty() {
				return true
			}
		}
	}
	return false
}

// Drain delivers what other shards have passed, a ringful from each at most, and
// sends it.
func (s *Shard) Drain() {
	rings := s.inbox.Load()
	if rings == nil {
		return
	}
	for _, r := range *rings {
		if r.drain(ringSlots, s.deliver) > 0 {
			s.io.Flush()
			r.reclaim()
		}
	}
}
