// Package tally counts exceptions by name: refusals, faults, close codes. What
// happens with every message is counted by atomic numbers instead.
package tally

import (
	"maps"
	"sync"
)

// Tally counts by key. Keys must come from a small fixed set: they become labels
// of metrics. The zero value is ready; safe for concurrent use.
type Tally struct {
	mu sync.Mutex
	m  map[string]uint64
}

// Add counts one more.
func (t *Tally) Add(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.m == nil {
		t.m = make(map[string]uint64)
	}
	t.m[key]++
}

// Copy returns the counts of the moment. It is never nil.
func (t *Tally) Copy() map[string]uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.m == nil {
		return map[string]uint64{}
	}
	return maps.Clone(t.m)
}
