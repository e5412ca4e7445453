package main

import (
	"runtime"
	"testing"
)

// TestMemoryIsGivenBackWhenItIsCalm has a crowd come: nothing is returned while it does,
// all of it when it is in, and not again soon.
func TestMemoryIsGivenBackWhenItIsCalm(t *testing.T) {
	const mb = 1 << 20
	returned := 0
	m := &memory{free: func() { returned++ }}
	made := uint64(0)
	looks := func(n int, makes, lives, spare uint64) (times int) {
		was := returned
		for range n {
			made += makes
			m.look(heapState{made, lives, spare})
		}
		return returned - was
	}
	if n := looks(40, 10_000, 7*mb, 3*mb); n != 0 {
		t.Errorf("%d times on a server that has just started", n)
	}
	if n := looks(10, 60*mb, 60*mb, 40*mb); n != 0 {
		t.Errorf("%d times while the crowd comes", n)
	}
	if n := looks(20, mb, 60*mb, 40*mb); n != 1 {
		t.Errorf("%d times when it is in", n)
	}
	if n := looks(int(memoryPause/memoryLook), mb, 60*mb, 10*mb); n != 0 {
		t.Errorf("%d times for a sixth of what lives", n)
	}
	if n := looks(int(2*memoryPause/memoryLook), mb, 60*mb, 40*mb); n != 2 {
		t.Errorf("%d times in %v", n, 2*memoryPause)
	}
}

// TestHeapIsRead: the runtime knows what it is asked for.
func TestHeapIsRead(t *testing.T) {
	runtime.GC()
	s := heapSamples()
	before := readHeap(s)
	kept := make([]byte, 4<<20)
	after := readHeap(s)
	if before.lives == 0 || after.made-before.made < uint64(len(kept)) || after.spare == 0 {
		t.Errorf("%+v, then %+v", before, after)
	}
	runtime.KeepAlive(kept)
}
