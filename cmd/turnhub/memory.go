package main

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	memoryLook = 2 * time.Second
	// memoryPause is at least between two returns: each is a whole collection.
	memoryPause = time.Minute
	// memorySpare is what is not worth a return, in bytes; nor is less than a quarter of
	// what lives.
	memorySpare = 8 << 20
	// A heap is calm that makes less than a sixteenth of what lives between two looks, or
	// less than calmBytes.
	calmShare = 16
	calmBytes = 1 << 20
)

// heapState is what a look has found, in bytes.
type heapState struct {
	made  uint64 // ever
	lives uint64 // found by the last collection
	spare uint64 // made since then, or free and not the system's
}

// memory returns to the system what a crowd has left behind. When thousands come back
// after a restart, the heap grows for their handshakes, and the collector keeps half as
// much again as lives (see serve) in order to have work seldom. Where next to nothing is
// made that is seldom indeed, and nobody has any use of the room: it is more than a
// quarter of what an idle connection costs.
type memory struct {
	last  heapState
	after time.Duration // no return before that, by the looks
	now   time.Duration
	free  func()
}

// serve looks until ctx ends.
func (m *memory) serve(ctx context.Context) {
	samples := heapSamples()
	m.free = debug.FreeOSMemory
	tick := time.NewTicker(memoryLook)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			m.look(readHeap(samples))
		}
	}
}

// heapSamples are what readHeap reads.
func heapSamples() []metrics.Sample {
	return []metrics.Sample{
		{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
	}
}

// readHeap reads the heapSamples.
func readHeap(s []metrics.Sample) heapState {
	metrics.Read(s)
	made, lives, objects, free := s[0].Value.Uint64(), s[1].Value.Uint64(), s[2].Value.Uint64(), s[3].Value.Uint64()
	return heapState{made, lives, free + objects - min(objects, lives)}
}

// look returns memory if it is worth it and the heap is calm.
func (m *memory) look(h heapState) {
	before := m.last
	m.last = h
	m.now += memoryLook
	calm := h.made-before.made < max(h.lives/calmShare, calmBytes)
	if calm && m.now >= m.after && h.spare > max(h.lives/4, memorySpare) {
		m.after = m.now + memoryPause
		m.free()
	}
}
