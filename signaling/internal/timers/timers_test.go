package timers

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"turnhub/signaling/internal/wstest"
)

// TestTimers moves and stops timers at random beside a list: each fires once, in the
// order of their times, and not before.
func TestTimers(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 4))
	start := time.Unix(1e9, 0)
	now := start
	ts := New()
	due := make(map[int]time.Time)
	var last time.Time
	all := make([]Timer, 200)
	for i := range all {
		all[i].Fire = func(at time.Time) {
			want, set := due[i]
			if !set || want.After(at) || want.Before(last) {
				t.Fatalf("timer %d fires at %v, due %v (set: %v), after one of %v", i, at.Sub(start), want.Sub(start), set, last.Sub(start))
			}
			last = want
			delete(due, i)
		}
	}
	for range 50_000 {
		i := rng.IntN(len(all))
		switch rng.IntN(4) {
		case 0, 1:
			at := now.Add(time.Duration(rng.IntN(1000)))
			ts.Set(&all[i], at)
			due[i] = at
		case 2:
			ts.Stop(&all[i])
			delete(due, i)
		default:
			now = now.Add(time.Duration(rng.IntN(100)))
			last = time.Time{}
			next := ts.Run(now)
			var first time.Time
			for _, at := range due {
				if first.IsZero() || at.Before(first) {
					first = at
				}
			}
			if !next.Equal(first) && !(next.IsZero() && first.IsZero()) || !first.IsZero() && !first.After(now) {
				t.Fatalf("the next is said to be due at %v, %v is, at %v", next, first, now)
			}
		}
		if ts.Len() != len(due) {
			t.Fatalf("%d timers are set, want %d", ts.Len(), len(due))
		}
	}
}

// TestServe: a timer that is set before the one for which the goroutine sleeps wakes
// it, and Serve ends with its context.
func TestServe(t *testing.T) {
	ts := New()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		ts.Serve(ctx, time.Now)
	}()
	fired := make(chan int, 2)
	late, early := Timer{Fire: func(time.Time) { fired <- 2 }}, Timer{Fire: func(time.Time) { fired <- 1 }}
	ts.Set(&late, time.Now().Add(time.Hour))
	ts.Set(&early, time.Now().Add(time.Millisecond))
	if got := wstest.Wait(t, fired, "one fires"); got != 1 {
		t.Errorf("%d fired first", got)
	}
	ts.Set(&late, time.Now()) // it sleeps for the hour by now
	if got := wstest.Wait(t, fired, "both fire"); got != 2 {
		t.Errorf("%d fired then", got)
	}
	cancel()
	wstest.Wait(t, done, "Serve returns")
}
