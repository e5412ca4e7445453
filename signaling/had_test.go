package signaling

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestHad adds numbers that rise, with gaps, and says some again, beside a list of all.
func TestHad(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 7))
	var x had
	var all, refused []uint64
	next := uint64(0)
	for range 10_000 {
		if again, _ := x.add(0); again {
			t.Fatal("a message without a number has come before")
		}
		if len(all) > 0 && rng.IntN(3) == 0 {
			seq := all[rng.IntN(len(all))]
			again, bad := x.add(seq)
			recent := slices.Index(refused, seq) >= max(0, len(refused)-mostRefused)
			if !again || bad != recent {
				t.Fatalf("%d: again %v, refused %v, not %v", seq, again, bad, recent)
			}
			continue
		}
		next += 1 + uint64(rng.IntN(3))
		if again, _ := x.add(next); again {
			t.Fatalf("%d has come before", next)
		}
		all = append(all, next)
		if rng.IntN(4) == 0 {
			x.refuse(next)
			refused = append(refused, next)
		}
	}
	if len(x.Refused) > mostRefused {
		t.Errorf("%d refused ones are remembered", len(x.Refused))
	}
}
