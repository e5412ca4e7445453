package ratelimit

import (
	"hash/maphash"
	"sync/atomic"
)

// Table holds an account for each key in a memory that does not grow, and is used by
// any number of goroutines without a lock. When there are more keys than entries the
// accounts that are nearest to full make room, so a flood of keys can at worst refill
// somebody's account early.
//
// Each entry is one word: a tag of the key above the time at which its account will be
// full again, in microseconds.
type Table[K comparable] struct {
	seed    maphash.Seed
	entries []atomic.Uint64
}

const (
	ways   = 4 // entries in which a key may lie
	timeLg = 44
	time44 = 1<<timeLg - 1 // half a year of microseconds
)

// NewTable returns a table for so many accounts, a power of two and at least 4.
func NewTable[K comparable](entries int) *Table[K] {
	if entries < ways || entries&(entries-1) != 0 {
		panic("ratelimit: the size of a table is a power of two, 4 at least")
	}
	return &Table[K]{seed: maphash.MakeSeed(), entries: make([]atomic.Uint64, entries)}
}

// Take removes one unit of the key's account at the time now, in nanoseconds, or
// nothing when there is none. A key that is not known has the whole burst, which is
// one unit at least.
func (t *Table[K]) Take(key K, now int64, rate Rate) bool {
	if rate.PerSecond <= 0 {
		return true
	}
	hash := maphash.Comparable(t.seed, key)
	sets := uint64(len(t.entries) / ways)
	set := t.entries[hash%sets*ways:][:ways]
	tag := hash >> timeLg << timeLg
	micros := uint64(now/1000) & time44
	cost := uint64(max(1e6/rate.PerSecond, 1))
	burst := max(uint64(rate.Burst*1e6/rate.PerSecond), cost)

	// Two tries: when somebody else takes the entry in between, look again.
	for range 2 {
		best := 0
		var old uint64
		found := false
		for i := range set {
			v := set[i].Load()
			if v&^time44 == tag {
				best, old, found = i, v, true
				break
			}
			if i == 0 || v&time44 < old&time44 {
				best, old = i, v
			}
		}
		full := micros
		if found {
			full = min(max(full, old&time44), micros+burst) // no more than the burst can be missing
		}
		taken := full+cost <= micros+burst
		if taken {
			full += cost
		}
		if now := tag | full&time44; now == old || set[best].CompareAndSwap(old, now) {
			return taken
		}
	}
	return false
}
