package turnsrv

import "sync/atomic"

// ring carries datagrams from one shard to another when both ends of a call are
// clients of this server but live on different cores. One producer, one consumer,
// no lock, bounded: when it is full the datagram is dropped, as a full socket
// buffer would.
type ring struct {
	to    *shard
	slots [ringSlots]ringSlot
	data  []byte // circular

	_    [64]byte
	head atomic.Uint32 // written by the producer: slots that are full
	_    [64]byte
	tail atomic.Uint32 // written by the consumer: slots that are free again
	_    [64]byte

	used  uint64 // producer: bytes ever handed out
	dirty bool   // producer: something was put since the last wake
}

type ringSlot struct {
	target *relay
	peer   endpoint
	at     int    // in data
	size   int    // payload bytes
	end    uint64 // bytes ever handed out with this slot
}

const (
	ringSlots = 2048
	ringBytes = 1 << 20
)

func newRing(to *shard) *ring { return &ring{to: to, data: make([]byte, ringBytes)} }

// put copies a payload into the ring.
func (r *ring) put(target *relay, peer endpoint, payload []byte) bool {
	head, tail := r.head.Load(), r.tail.Load()
	if head-tail == ringSlots {
		return false
	}
	need := uint64(headroom + len(payload) + tailroom)
	start := r.used
	if rest := ringBytes - start%ringBytes; rest < need {
		start += rest // the end of the circle is too short: begin anew
	}
	if head != tail {
		oldest := &r.slots[tail%ringSlots] // full, so the consumer only reads it
		first := oldest.end - uint64(headroom+oldest.size+tailroom)
		if start+need-first > ringBytes {
			return false
		}
	}
	at := int(start%ringBytes) + headroom
	copy(r.data[at:], payload)
	r.slots[head%ringSlots] = ringSlot{target, peer, at, len(payload), start + need}
	r.used = start + need
	r.head.Store(head + 1)
	r.dirty = true
	return true
}

// drain hands up to limit datagrams to f and returns how many there were. free
// must be called when they have been sent.
func (r *ring) drain(limit int, f func(target *relay, peer endpoint, g segment)) int {
	tail, head := r.tail.Load(), r.head.Load()
	n := min(int(head-tail), limit)
	for i := range n {
		slot := &r.slots[(tail+uint32(i))%ringSlots]
		f(slot.target, slot.peer, segment{
			buf: r.data, lo: slot.at, hi: slot.at + slot.size, free: headroom, spare: tailroom,
		})
		slot.target = nil
	}
	return n
}

func (r *ring) free(n int) { r.tail.Add(uint32(n)) }

func (r *ring) empty() bool { return r.head.Load() == r.tail.Load() }

// pass sends a datagram to a client on another shard.
func (s *shard) pass(target *relay, peer endpoint, g segment) {
	if target.shard.id >= len(s.rings) || s.rings[target.shard.id] == nil {
		s.connect(target.shard)
	}
	if !s.rings[target.shard.id].put(target, peer, g.bytes()) {
		s.drop(DropWorkerBusy)
	}
}

// connect makes the ring to another shard, once.
func (s *shard) connect(to *shard) {
	for len(s.rings) <= to.id {
		s.rings = append(s.rings, nil)
	}
	r := newRing(to)
	s.rings[to.id] = r
	to.addInbox(r)
}

// ringWakes wakes the shards that were given something in this round.
func (s *shard) ringWakes() {
	for _, r := range s.rings {
		if r != nil && r.dirty {
			r.dirty = false
			r.to.io.wake()
		}
	}
}
