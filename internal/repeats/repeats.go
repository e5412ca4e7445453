// Package repeats decides which of the events that one client can repeat become
// a line in the log, so that guessing neither goes unseen nor fills a disk.
package repeats

import (
	"net/netip"
	"sync"
)

const (
	perSecond = 10   // lines
	kept      = 1024 // addresses
)

// A Filter passes one event per address and second, and a few in all. The zero
// value is ready. It is safe for concurrent use.
type Filter struct {
	mu     sync.Mutex
	second int64
	lines  int
	last   map[netip.Addr]int64
}

// Due reports whether an event of the address becomes a line. second is a clock
// in seconds.
func (f *Filter) Due(addr netip.Addr, second int64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.second != second {
		f.second, f.lines = second, 0
	}
	if f.lines == perSecond || f.last[addr] == second {
		return false
	}
	if f.last == nil || len(f.last) == kept {
		f.last = make(map[netip.Addr]int64)
	}
	f.lines++
	f.last[addr] = second
	return true
}
