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
		real := time.Unix(1e9, 0)
		removed := make(map[string]bool) // and never made again
		made := make(map[string]int64)   // the newest word about each subscription
		voided := int64(0)
		// What somebody has removed whose node knew the newest word stays away.
		gone := func(sub subscription) {
			if sub.Version >= made[sub.Endpoint] {
				removed[sub.Endpoint] = true
			}
		}
		people := 1 + int(seed%2) // of two with one name one loses his, and what he has removed
		var fast [3]time.Duration // by so much each node's clock is ahead, or behind
		if seed%4 >= 2 {
			for i := range fast {
				fast[i] = time.Duration(rng.IntN(2000)-1000) * time.Millisecond
			}
		}
		for range 60 {
			real = real.Add(time.Duration(2+rng.IntN(3)) * time.Millisecond)
			i := rng.IntN(len(nodes))
			now := real.Add(fast[i])
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
					sub := subscription{Endpoint: end, Version: max(now.UnixMilli(), r.Void+1)}
					r.Subs, made[end] = append(r.Subs, sub), max(made[end], sub.Version)
				}
			case 2:
				if len(r.Subs) > 0 {
					sub := r.Subs[rng.IntN(len(r.Subs))]
					r.remove(sub.Endpoint, now)
					gone(sub)
				}
			case 3:
				if r.kept() {
					r.Missed = append(r.Missed, Missed{Call: fmt.Sprint(rng.Uint64()), At: max(now.UnixMilli(), r.Void+1)})
				}
			case 4:
				if len(r.Missed) > 0 {
					call := r.Missed[rng.IntN(len(r.Missed))].Call
					r.see([]string{call}, now)
					removed[call] = true
				}
			case 5:
				if rng.IntN(10) == 0 {
					for _, sub := range r.Subs {
						gone(sub)
					}
					for _, call := range r.Missed {
						removed[call.Call] = true
					}
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

// TestDated: what was written down before there were several nodes has no times, and is kept
// by a merge all the same, with what others have heard since and without what they removed.
func TestDated(t *testing.T) {
	proof := []byte("00000000000000000000000000000001")
	old := &record{Proof: proof, Used: 1e9, Subs: []subscription{{Endpoint: "https://e/1", Since: 1e9}, {Endpoint: "https://e/2", Since: 1e9}}}
	old.dated()
	other := new(record)
	other.claim(proof, time.Unix(1e9+60, 0))
	other.Subs = []subscription{{Endpoint: "https://e/3", Version: 1e12 + 60_000}}
	both := merge(old, other, usualTuning)
	if len(both.Subs) != 3 || !both.kept() {
		t.Fatalf("%+v", both)
	}
	both.remove("https://e/1", time.Unix(1e9-60, 0)) // the clock was set back
	if again := merge(both, old, usualTuning); len(again.Subs) != 2 {
		t.Fatalf("what was removed is back: %+v", again)
	}
	both.void(time.Unix(1e9-60, 0))
	if again := merge(both, merge(old, other, usualTuning), usualTuning); again.kept() {
		t.Fatalf("the user is back: %+v", again)
	}
}
