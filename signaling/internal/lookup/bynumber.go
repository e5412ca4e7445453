package lookup

import (
	"sync"
	"sync/atomic"
)

// ByNumber finds values by numbers that it gives out or that another one has given
// out. A number is never used twice: its lower half is a place in an array, its
// upper half how often that place has been used. Finding takes no lock. The zero
// value is ready; safe for concurrent use.
type ByNumber[V any] struct {
	blocks atomic.Pointer[[]*block[V]] // grows, never shrinks

	mu   sync.Mutex
	free []uint32 // places
	used uint32   // places that have been used at all
}

// blockSize is how many places are made at once: 8 KB.
const blockSize = 512

type block[V any] [blockSize]struct {
	number atomic.Uint64 // of the value; 0: none
	value  atomic.Pointer[V]
	uses   uint32 // under ByNumber.mu: how often the place has been used
}

// Get returns the value of that number; nil: it has none, or none any more.
func (x *ByNumber[V]) Get(number uint64) *V {
	blocks := x.blocks.Load()
	place := uint32(number)
	if blocks == nil || int(place/blockSize) >= len(*blocks) {
		return nil
	}
	p := &(*blocks)[place/blockSize][place%blockSize]
	// The number is looked at on both sides: the place may get another value in
	// between.
	if number == 0 || p.number.Load() != number {
		return nil
	}
	v := p.value.Load()
	if p.number.Load() != number {
		return nil
	}
	return v
}

// Add gives a new number, and at that number what fresh makes for it.
func (x *ByNumber[V]) Add(fresh func(number uint64) *V) *V {
	x.mu.Lock()
	var place uint32
	if n := len(x.free); n > 0 {
		place = x.free[n-1]
		x.free = x.free[:n-1]
	} else {
		place = x.used
		x.used++
	}
	p := x.place(place)
	p.uses++
	uses := p.uses
	x.mu.Unlock()
	number := uint64(uses)<<32 | uint64(place)
	v := fresh(number)
	p.value.Store(v)
	p.number.Store(number)
	return v
}

// Set puts a value at a number that another ByNumber has given out.
func (x *ByNumber[V]) Set(number uint64, v *V) {
	x.mu.Lock()
	p := x.place(uint32(number))
	x.mu.Unlock()
	p.number.Store(0)
	p.value.Store(v)
	p.number.Store(number)
}

// Remove takes a number back, and the place for the next one where it was given
// out here. Removing it twice is harmless.
func (x *ByNumber[V]) Remove(number uint64) {
	if x.Get(number) == nil {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	p := x.place(uint32(number))
	if !p.number.CompareAndSwap(number, 0) {
		return
	}
	p.value.Store(nil)
	if uint32(number) < x.used {
		x.free = append(x.free, uint32(number))
	}
}

// place returns a place, which it makes if need be. mu is held.
func (x *ByNumber[V]) place(at uint32) *struct {
	number atomic.Uint64
	value  atomic.Pointer[V]
	uses   uint32
} {
	var blocks []*block[V]
	if p := x.blocks.Load(); p != nil {
		blocks = *p
	}
	if int(at/blockSize) >= len(blocks) {
		grown := append([]*block[V](nil), blocks...)
		for int(at/blockSize) >= len(grown) {
			grown = append(grown, new(block[V]))
		}
		x.blocks.Store(&grown)
		blocks = grown
	}
	return &blocks[at/blockSize][at%blockSize]
}
