package main

import (
	"fmt"
	"testing"

	"turnhub/cluster/placement"
)

func small() plan {
	return plan{
		nodes: 40, regions: 4, sessions: 40_000, calls: 12_000, weight: 10, processors: 4, capacity: 800,
		talk: 120, relayed: 0.2, deaths: 20, down: 120, lost: 1, lostFor: 600, seed: 3,
	}
}

// TestWorld: no call is lost or counted twice, whatever dies, and the same seed is the
// same day.
func TestWorld(t *testing.T) {
	var first string
	for range 2 {
		w := newWorld(small())
		crest := w.crest()
		from := w.peakOf(1) - 300
		for w.now = from; w.now < from+1200; w.now++ {
			w.second(crest)
			held := 0
			for _, n := range w.nodes {
				if n.calls != len(n.held) || n.calls < 0 || !n.up && n.calls > 0 {
					t.Fatalf("second %d: %s has %d calls and holds %d, up: %v", w.now, n.name, n.calls, len(n.held), n.up)
				}
				for c := range n.held {
					if c.at != n {
						t.Fatalf("%s holds %s, which is elsewhere", n.name, c.room)
					}
				}
				held += n.calls
			}
			running := 0
			for _, list := range w.ends {
				running += len(list)
			}
			if held != running {
				t.Fatalf("second %d: %d calls run, nodes hold %d", w.now, running, held)
			}
		}
		if w.sum.deaths == 0 || w.sum.moved == 0 || w.sum.abroad == 0 || w.sum.nowhere > 0 {
			t.Errorf("%+v", w.sum)
		}
		got := fmt.Sprintf("%+v", w.sum)
		if first != "" && got != first {
			t.Errorf("the same seed came to\n%s\nand\n%s", first, got)
		}
		first = got
	}
}

// TestShort: leaving out the nodes of other regions changes no choice.
func TestShort(t *testing.T) {
	w := newWorld(small())
	crest := w.crest()
	from := w.peakOf(1) - 200
	for w.now = from; w.now < from+400; w.now++ {
		w.second(crest)
		for i := range 5 {
			room, region := fmt.Sprintf("x%d-%d", w.now, i), i%w.regions
			var all []placement.Node
			for _, n := range w.nodes {
				if n.up {
					all = append(all, n.heard)
				}
			}
			short, _ := w.candidates(region)
			if got, want := placement.Order(short, room, fmt.Sprint(region))[0].Name, placement.Order(all, room, fmt.Sprint(region))[0].Name; got != want {
				t.Fatalf("second %d, region %d: %s, of all %s", w.now, region, got, want)
			}
		}
	}
}
