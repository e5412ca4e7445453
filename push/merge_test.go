package push

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// TestMerge: nodes that change their records of a user by themselves, and hear of each
// other's now and then, in any order and more than once, have the same in the end; what was
// removed does not come back, and nothing of it grows without a bound.
func TestMerge(t *testing.T) {
	tune := usualTuning
	for seed := range uint64(3000) {
		rng := rand.New(rand.NewPCG(seed, 1))
		nodes := make([]*record, 3)
		sent := []*record{}
		now := time.Unix(1e9, 0)
		removed := make(map[string]bool) // and never made again
		voided := int64(0)
		people := 1 + int(seed%2) // of two with one name one loses his, and what he has removed
		for range 60 {
			now = now.Add(time.Duration(2+rng.IntN(3)) * time.Millisecond)
			i := rng.IntN(len(nodes))
			r := merge(nodes[i], nil, tune)
			if r == nil {
				r = new(record)
			}
			switch rng.IntN(7) {
			case 0, 1:
				if !r.kept() {
					r.claim(fmt.Appendf(nil, "%032d", rng.IntN(people)), now)
				}
				end := fmt.Sprint("https://e/", seed, rng.IntN(14))
				if !removed[end] && len(r.Subs) < tune.devices {
					r.Subs = append(r.Subs, subscription{Endpoint: end, Version: max(now.UnixMilli(), r.Void+1)})
				}
			case 2:
				if len(r.Subs) > 0 {
					end := r.Subs[rng.IntN(len(r.Subs))].Endpoint
					r.remove(end, now)
					removed[end] = true
				}
			case 3:
				if r.kept() {
					r.Missed = append(r.Missed, Missed{Call: fmt.Sprint(rng.Uint64()), At: now.UnixMilli()})
				}
			case 4:
				if len(r.Missed) > 0 {
					call := r.Missed[rng.IntN(len(r.Missed))].Call
					r.see([]string{call}, now)
					removed[call] = true
				}
			case 5:
				if rng.IntN(10) == 0 {
					r.void(now)
					voided = max(voided, r.Void)
				}
			case 6:
				if len(sent) > 0 {
					r = merge(r, sent[rng.IntN(len(sent))], tune)
				}
			}
			nodes[i] = merge(r, nil, tune)
			sent = append(sent, nodes[i])
		}
		end := make([]*record, len(nodes))
		for i := range nodes {
			for _, at := range rng.Perm(len(nodes)) {
				end[i] = merge(end[i], nodes[at], tune)
			}
			end[i] = merge(nodes[rng.IntN(len(nodes))], end[i], tune)
		}
		for range 2 {
			for _, i := range rng.Perm(len(nodes)) {
				for j := range end {
					end[j] = merge(end[j], end[i], tune)
				}
			}
		}
		for i := range end {
			if !same(end[0], end[i], tune) {
				t.Fatalf("seed %d: %+v\n%+v", seed, end[0], end[i])
			}
		}
		for _, sub := range end[0].Subs {
			if people == 1 && removed[sub.Endpoint] {
				t.Fatalf("seed %d: %s is back", seed, sub.Endpoint)
			}
		}
		for _, call := range end[0].Missed {
			if people == 1 && removed[call.Call] {
				t.Fatalf("seed %d: %s is back", seed, call.Call)
			}
		}
		if end[0].Born <= voided && end[0].kept() {
			t.Fatalf("seed %d: the user is back: %+v", seed, end[0])
		}
	}
}
