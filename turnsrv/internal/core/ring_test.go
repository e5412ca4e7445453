package core

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"turnhub/turnsrv/internal/wire"
)

// TestRingAgainstReference puts datagrams of all sizes into a ring and takes them out
// with a driver that holds them for as long as it likes: all come out once, in order and
// whole, none is written over while it is held, a ring is full only when it has reason
// to be, and it is empty when all has been sent.
func TestRingAgainstReference(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 11))
		r := newRing(nil)
		target := new(Relay)
		var waiting, held [][]byte
		var segments []wire.Segment
		next := uint32(0)
		release := func(n int) {
			for ; n > 0 && len(held) > 0; n-- {
				i := rng.IntN(len(held))
				if !bytes.Equal(segments[i].Bytes(), held[i]) {
					t.Fatalf("seed %d: a datagram was written over while it was held", seed)
				}
				segments[i].Buf.Release()
				last := len(held) - 1
				held[i], segments[i] = held[last], segments[last]
				held, segments = held[:last], segments[:last]
			}
		}
		for range 6000 {
			switch rng.IntN(4) {
			case 0, 1:
				b := make([]byte, 4+rng.IntN([]int{60, 1200, 60000}[rng.IntN(3)]))
				binary.BigEndian.PutUint32(b, next)
				b[len(b)-1] = byte(next)
				inUse := 0
				for _, w := range waiting {
					inUse += wire.Headroom + len(w) + wire.Tailroom
				}
				ok := r.put(target, wire.Endpoint{Port: uint16(next)}, b)
				if !ok && r.open == 0 && len(waiting) < ringSlots && inUse+2*(len(b)+wire.Headroom+wire.Tailroom)+60100 < ringBytes {
					t.Fatalf("seed %d: full with %d bytes of %d datagrams", seed, inUse, len(waiting))
				}
				if ok {
					waiting = append(waiting, b)
					next++
				}
			case 2:
				limit := 1 + rng.IntN(40)
				n := r.drain(limit, func(to *Relay, peer wire.Endpoint, g wire.Segment) {
					want := waiting[0]
					waiting = waiting[1:]
					if to != target || peer.Port != uint16(binary.BigEndian.Uint32(want)) || !bytes.Equal(g.Bytes(), want) {
						t.Fatalf("seed %d: came %d bytes, want %d", seed, g.Len(), len(want))
					}
					if rng.IntN(2) == 0 {
						g.Buf.Hold()
						held, segments = append(held, want), append(segments, g)
					}
				})
				if n > limit {
					t.Fatalf("seed %d: %d of at most %d", seed, n, limit)
				}
				r.reclaim()
			case 3:
				release(rng.IntN(2))
				if rng.IntN(300) == 0 {
					release(len(held))
				}
			}
		}
		for len(waiting) > 0 {
			release(len(held))
			r.drain(ringSlots, func(_ *Relay, _ wire.Endpoint, g wire.Segment) { waiting = waiting[1:] })
		}
		release(len(held))
		r.reclaim()
		if !r.empty() || r.open != 0 || r.head.Load() != r.tail.Load() {
			t.Fatalf("seed %d: in use after all has been sent: %d batches", seed, r.open)
		}
	}
}
