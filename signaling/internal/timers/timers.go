// Package timers fires everything that the hub does at a time from one goroutine,
// by a clock that the caller brings. A timer is part of what it belongs to and is
// moved as often as needed: a session's is moved with nearly every message.
package timers

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// Timer is something that happens at a time. The zero value with Fire is ready.
type Timer struct {
	Fire  func(now time.Time) // called without any lock of this package
	at    int64               // Unix nanoseconds
	index int                 // in the heap, plus 1; 0: not set
}

// Timers fires timers. Its mutex is a leaf: nothing else is locked under it.
type Timers struct {
	mu    sync.Mutex
	heap  timerHeap
	wake  chan struct{}
	sleep int64 // until when the goroutine sleeps; 0: it is awake

	enter, leave func() // see Surround
}

// New returns timers that fire once Serve runs.
func New() *Timers { return &Timers{wake: make(chan struct{}, 1)} }

// Surround has two functions called before and after each timer fires. It must come before
// any does.
func (ts *Timers) Surround(enter, leave func()) { ts.enter, ts.leave = enter, leave }

func (ts *Timers) fire(t *Timer, now time.Time) {
	if ts.enter != nil {
		ts.enter()
		defer ts.leave()
	}
	t.Fire(now)
}

// Set moves t to at, however often it was set before.
func (ts *Timers) Set(t *Timer, at time.Time) {
	ts.mu.Lock()
	t.at = at.UnixNano()
	if t.index == 0 {
		heap.Push(&ts.heap, t)
	} else {
		heap.Fix(&ts.heap, t.index-1)
	}
	early := ts.sleep != 0 && t.at < ts.sleep
	if early {
		ts.sleep = 0
	}
	ts.mu.Unlock()
	if early {
		select {
		case ts.wake <- struct{}{}:
		default:
		}
	}
}

// Stop takes t out. It may be firing at the moment.
func (ts *Timers) Stop(t *Timer) {
	ts.mu.Lock()
	if t.index != 0 {
		heap.Remove(&ts.heap, t.index-1)
	}
	ts.mu.Unlock()
}

// Len is how many timers are set.
func (ts *Timers) Len() int {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return len(ts.heap)
}

// Run fires what is due at now and returns when the next one is; zero: none.
func (ts *Timers) Run(now time.Time) time.Time {
	for {
		ts.mu.Lock()
		if len(ts.heap) == 0 || ts.heap[0].at > now.UnixNano() {
			var next time.Time
			ts.sleep = 1<<63 - 1
			if len(ts.heap) > 0 {
				ts.sleep = ts.heap[0].at
				next = time.Unix(0, ts.sleep)
			}
			ts.mu.Unlock()
			return next
		}
		t := heap.Pop(&ts.heap).(*Timer)
		ts.mu.Unlock()
		ts.fire(t, now)
	}
}

// Serve runs the timers by the clock now until ctx ends.
func (ts *Timers) Serve(ctx context.Context, now func() time.Time) {
	alarm := time.NewTimer(0)
	defer alarm.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ts.wake:
		case <-alarm.C:
		}
		if next := ts.Run(now()); !next.IsZero() {
			// A pause of a millisecond joins what is due at about the same time.
			alarm.Reset(max(next.Sub(now()), time.Millisecond))
		}
	}
}

type timerHeap []*Timer

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].at < h[j].at }
func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i+1, j+1
}
func (h *timerHeap) Push(x any) {
	t := x.(*Timer)
	*h = append(*h, t)
	t.index = len(*h)
}
func (h *timerHeap) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	t.index = 0
	return t
}
