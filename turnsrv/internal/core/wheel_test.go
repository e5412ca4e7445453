package core

import (
	"math/rand/v2"
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
		for range 400 {
			switch rng.IntN(5) {
			case 0, 1:
				a := &allocation{slot: -1, expires: now + int64(rng.IntN(4000))}
				w.add(a, a.expires)
				due[a] = max(a.expires, w.next)
			case 2:
				for a := range due {
					w.remove(a)
					delete(due, a)
					w.remove(a) // again does nothing
					break
				}
			case 3:
				for a := range due { // put off: found when its slot comes round
					a.expires += int64(rng.IntN(600))
					break
				}
			default:
				now += int64([]int{0, 1, 1, 2, 60, 5000}[rng.IntN(6)])
				w.advance(now, func(a *allocation) {
					at, ok := due[a]
					if !ok || at > now {
						t.Fatalf("seed %d: came at %d, due at %d (%v)", seed, now, at, ok)
					}
					delete(due, a)
					if a.expires > now {
						w.add(a, a.expires)
						due[a] = a.expires
					}
				})
				for a, at := range due {
					if at <= now {
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
