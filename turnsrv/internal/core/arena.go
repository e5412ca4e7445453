package core

import "turnhub/turnsrv/internal/wire"

// arena is the memory for messages that a shard makes itself, answers above all, and
// for datagrams around which there is no room for a header. It is used again from its
// beginning when all that was in it has been sent.
type arena struct {
	blocks []*wire.Buffer
	at     int // the block in use
	used   int // bytes of it
}

// place copies a message into memory that lasts until the round ends, and longer
// while a driver holds it. ok is false when the block in use is full.
func (a *arena) place(b []byte) (g wire.Segment, ok bool) {
	need := wire.Headroom + len(b) + wire.Tailroom
	if len(a.blocks) == 0 {
		a.blocks = append(a.blocks, &wire.Buffer{Mem: make([]byte, arenaSize)})
	}
	block := a.blocks[a.at]
	if a.used+need > len(block.Mem) {
		return g, false
	}
	lo := a.used + wire.Headroom
	copy(block.Mem[lo:], b)
	a.used += (need + 63) &^ 63
	return wire.Segment{Buf: block, Lo: lo, Hi: lo + len(b), Free: wire.Headroom, Spare: wire.Tailroom}, true
}

// reclaim takes back what has been sent.
func (a *arena) reclaim() {
	if len(a.blocks) > 0 && !a.blocks[a.at].Held() {
		a.used = 0
	}
}

// next goes on with a block that nobody reads any more, after a flush. Where all are
// held a new one is made, up to arenaBlocks; ok is false when there are as many.
func (a *arena) next() (ok bool) {
	for i, block := range a.blocks {
		if !block.Held() {
			a.at, a.used = i, 0
			return true
		}
	}
	if len(a.blocks) == arenaBlocks {
		return false
	}
	a.blocks = append(a.blocks, &wire.Buffer{Mem: make([]byte, arenaSize)})
	a.at, a.used = len(a.blocks)-1, 0
	return true
}

// placed copies a message into memory that lasts until the round ends. Where a driver
// still holds all of the arena, it is memory of its own, which the garbage collector
// takes back: how many such there are is bounded by how much a driver lets the kernel
// send at a time.
func (s *Shard) placed(b []byte) wire.Segment {
	if g, ok := s.arena.place(b); ok {
		return g
	}
	s.io.Flush()
	if g, ok := s.arena.place(b); ok {
		return g
	}
	if s.arena.next() {
		if g, ok := s.arena.place(b); ok {
			return g
		}
	}
	return wire.Copied(b)
}
