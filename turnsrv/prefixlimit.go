package turnsrv

import (
	"hash/maphash"
	"sync/atomic"
)

// prefixLimit bounds the answers per second to requests without valid
// credentials, per IPv4 /24 and IPv6 /48, so that the server is no reflector. It
// is a fixed table that all workers share without a lock: spoofed sources can
// push out each other's entries, but cannot make it grow.
//
// Each entry is one word: a tag of the prefix above the time at which its bucket
// will be empty again (the generic cell rate algorithm), in microseconds.
type prefixLimit struct {
	seed    maphash.Seed
	entries []atomic.Uint64
}

const (
	prefixSets   = 1 << 12
	prefixWays   = 4
	prefixTimeLg = 44 // bits of time: half a year of microseconds
	prefixTime   = 1<<prefixTimeLg - 1
)

func newPrefixLimit() *prefixLimit {
	return &prefixLimit{seed: maphash.MakeSeed(), entries: make([]atomic.Uint64, prefixSets*prefixWays)}
}

// allow reports whether one more answer to client may be sent. rate is in answers
// per second, 0 means no limit; now is in nanoseconds.
func (l *prefixLimit) allow(client endpoint, rate float64, now int64) bool {
	prefix := client.ip()
	if client.is4() {
		prefix.lo &^= 0xff
	} else {
		prefix.hi &^= 0xffff
		prefix.lo = 0
	}
	return l.take(prefix, rate, now)
}

// allowHousehold is the same for one IPv4 address or IPv6 /64.
func (l *prefixLimit) allowHousehold(client endpoint, rate float64, now int64) bool {
	household := client.ip()
	if !client.is4() {
		household.lo = 0
	}
	return l.take(household, rate, now)
}

func (l *prefixLimit) take(prefix endpoint, rate float64, now int64) bool {
	if rate <= 0 {
		return true
	}
	hash := maphash.Comparable(l.seed, prefix)
	set := l.entries[hash%prefixSets*prefixWays:][:prefixWays]
	tag := hash >> prefixTimeLg << prefixTimeLg
	micros := uint64(now/1000) & prefixTime
	cost := uint64(max(1e6/rate, 1))
	burst := uint64(max(1e6, cost)) // a second's worth, at least one

	// Two tries: when another worker takes the entry in between, look again.
	for range 2 {
		best := 0
		var old uint64
		found := false
		for i := range set {
			v := set[i].Load()
			if v&^prefixTime == tag {
				best, old, found = i, v, true
				break
			}
			if i == 0 || v&prefixTime < old&prefixTime {
				best, old = i, v
			}
		}
		empty := micros
		if found {
			empty = max(empty, old&prefixTime)
		}
		if empty+cost > micros+burst {
			return false
		}
		if set[best].CompareAndSwap(old, tag|(empty+cost)&prefixTime) {
			return true
		}
	}
	return false
}
