package core

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestWheelAgainstReference plays random schedules of timers that are added, put off,
// taken out and come due, and clocks that stand and jump, against a plain map.
func TestWheelAgainstReference(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 3))
		now := int64(86400)
		w := &wheel{next: now}
		due := make(map[*allocation]int64) // when each comes due
		var all []*allocation              // those in due
		gone := func(a *allocation) {
			delete(due, a)
			all = slices.DeleteFunc(all, func(o *allocation) bool { return o == a })
		}
		reach := func(second int64) int64 { return min(max(second, w.next), w.next+wheelSlots-2) }
		for range 400 {
			what := rng.IntN(5)
			if len(all) == 0 && (what == 2 || what == 3) {
				continue
			}
			switch what {
			case 0, 1:
				a := &allocation{slot: -1, expires: now + int64(rng.IntN(4000))}
				due[a] = reach(a.expires)
				all = append(all, a)
				w.add(a, a.expires)
			case 2:
				a := all[rng.IntN(len(all))]
				w.remove(a)
				gone(a)
				w.remove(a) // again does nothing
			case 3: // put off, by more than a turn too: found when its slot comes round
				all[rng.IntN(len(all))].expires += int64(rng.IntN(6000))
			default:
				now += int64([]int{0, 1, 1, 2, 60, 5000}[rng.IntN(6)])
				w.advance(now, func(a *allocation) {
					at, ok := due[a]
					if !ok || at > now {
						t.Fatalf("seed %d: came at %d, due at %d (%v)", seed, now, at, ok)
					}
					if a.expires <= now {
						gone(a)
						return
					}
					due[a] = reach(a.expires)
					w.add(a, a.expires)
				})
				for _, a := range all {
					if at := due[a]; at <= now {
						t.Fatalf("seed %d: due at %d, it is %d, and did not come: %+v", seed, at, now, a)
					}
				}
			}
			if w.count != len(due) {
				t.Fatalf("seed %d: %d timers, want %d", seed, w.count, len(due))
			}
		}
	}
}

// TestWheelAfterALongPause: a process has stood still, and an allocation is refreshed before the wheel
// has gone on. What it is put back for is more than a turn away from the slot in which it was.
func TestWheelAfterALongPause(t *testing.T) {
	const begun = int64(86400)
	w := &wheel{next: begun}
	a := &allocation{slot: -1, expires: begun + 300}
	w.add(a, a.expires)
	now := begun + 1000
	a.expires = now + 3600
	came := 0
	w.advance(now, func(a *allocation) {
		if came++; came > 1 {
			t.Fatal("it comes again in the slot in which it has come")
		}
		w.add(a, a.expires)
	})
	if came != 1 || w.count != 1 {
		t.Errorf("came %d times, %d wait", came, w.count)
	}
	for now < a.expires {
		now++
		w.advance(now, func(a *allocation) {
			if came++; a.expires > now {
				w.add(a, a.expires)
			}
		})
	}
	if w.count != 0 || came > 3 {
		t.Errorf("at its end %d wait; it came %d times", w.count, came)
	}
}
