package tally

import (
	"sync"
	"testing"
)

// TestTally counts from several goroutines, and a copy stays as it was.
func TestTally(t *testing.T) {
	var x Tally
	if c := x.Copy(); c == nil || len(c) != 0 {
		t.Fatalf("an empty one is %v", c)
	}
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for range 1000 {
				x.Add("a")
			}
		})
	}
	workers.Wait()
	before := x.Copy()
	x.Add("a")
	if before["a"] != 4000 || x.Copy()["a"] != 4001 {
		t.Errorf("%v, then %v", before, x.Copy())
	}
}
