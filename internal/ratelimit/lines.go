package ratelimit

import (
	"net/netip"
	"sync"
	"time"
)

// Lines decides which of the events that one client can repeat become a line in the
// log, so that guessing neither goes unseen nor fills a disk: one in a second for each
// address, and ten in all. The zero value is ready. It is safe for concurrent use.
type Lines struct {
	once      sync.Once
	start     time.Time
	addresses *Table[netip.Addr]
	mu        sync.Mutex
	all       Account
}

var (
	linesOfOne = Rate{PerSecond: 1, Burst: 1}
	linesOfAll = Rate{PerSecond: 10, Burst: 10}
)

// linesKept is of how many addresses is known that they had a line just now.
const linesKept = 1024

// Due reports whether an event of the address becomes a line.
func (l *Lines) Due(addr netip.Addr) bool {
	l.once.Do(l.open)
	return l.due(addr, int64(time.Since(l.start)))
}

func (l *Lines) open() { l.start, l.addresses = time.Now(), NewTable[netip.Addr](linesKept) }

func (l *Lines) due(addr netip.Addr, now int64) bool {
	if !l.addresses.Take(addr, now, linesOfOne) {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Take(now, linesOfAll, 1)
}
