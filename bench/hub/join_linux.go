package hub

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"
)

// Join lets newcomers come to rooms that are full of connected clients, and
// measures how long it takes until the first signal of each has arrived at
// somebody who is there: from its join on (PeerJS has none: from the OPEN on), and from
// its connect on. Each leaves when it has been heard.
func Join(ctx context.Context, o Options) (r Result, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	w, err := o.crowd()
	if err != nil {
		return r, err
	}
	defer w.close()
	room := func(i int) string { return fmt.Sprintf("room%d", i%o.Rooms) }
	clients, err := r.open(&o, w, o.Clients, room)
	if err != nil {
		return r, err
	}
	body := newLetter(o.Size)
	var joined, opened histogram
	heard := 0
	newcomers := make(map[time.Duration]*client) // by when their signal left, which is unique
	rng := rand.New(rand.NewPCG(1, 1))
	w.entered = func(c *client) {
		host := clients[rng.IntN(len(clients)/o.Rooms)*o.Rooms+c.inFlight] // a member of its room
		left := w.now()
		newcomers[left] = c
		w.say(c, w.dialect.signal(c, host, body.stamped(left)))
	}
	w.delivered = func(_ *client, _ []byte, sent time.Duration) {
		c := newcomers[sent]
		if c == nil {
			return
		}
		delete(newcomers, sent)
		heard++
		joined.Add(w.now() - c.asked)
		opened.Add(w.now() - c.began)
		w.leave(c)
	}
	err = w.paced(ctx, o, func() error {
		n := rng.IntN(o.Rooms)
		c, err := w.connect(room(n))
		if err != nil {
			return err
		}
		c.inFlight = n // its room's number
		r.Messages++
		return nil
	})
	if err != nil {
		return r, err
	}
	err = w.during(ctx, 10*time.Second, time.Millisecond, func() error {
		if heard+w.failed >= int(r.Messages) {
			return errDone
		}
		return nil
	})
	if err != nil && err != errDone {
		return r, err
	}
	r.Failed = int(r.Messages) - heard
	r.latency(&joined)
	r.OpenP50, r.OpenP99 = micro(opened.Quantile(0.5)), micro(opened.Quantile(0.99))
	if r.Failed > 0 {
		return r, fmt.Errorf("%d newcomers were not heard; sockets were lost because: %w", r.Failed, w.reason)
	}
	return r, nil
}

// A StallResult compares a room without and with a member that does not read.
type StallResult struct {
	Without Result `json:"without"`
	With    Result `json:"with"`
}

// Stall fills a room with 100 clients, of whom one says something to all at a
// fixed rate, and measures when the others get it; then again while one of them has
// stopped to read.
func Stall(ctx context.Context, o Options) (s StallResult, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	w, err := o.crowd()
	if err != nil {
		return s, err
	}
	defer w.close()
	clients, err := w.gather(100, 32, func(int) string { return "stall" }, 20*time.Second)
	if err != nil {
		return s, err
	}
	if s.Without, err = w.broadcast(ctx, o, clients); err != nil {
		return s, err
	}
	clients[50].stalled = true
	s.With, err = w.broadcast(ctx, o, clients)
	return s, err
}

func (w *crowd) broadcast(ctx context.Context, o Options, clients []*client) (r Result, err error) {
	body := newLetter(o.Size)
	var latency histogram
	got := uint64(0)
	w.delivered = func(_ *client, _ []byte, sent time.Duration) {
		got++
		latency.Add(w.now() - sent)
	}
	speaker := clients[0]
	err = w.paced(ctx, o, func() error {
		w.say(speaker, fmt.Appendf(nil, `{"type":"message","room":"%s","seq":%d,"ack":%d,"data":%s}`,
			speaker.room, speaker.next(), speaker.seen, body.stamped(w.now())))
		r.Messages++
		return nil
	})
	if err != nil {
		return r, err
	}
	if err := w.during(ctx, 500*time.Millisecond, time.Millisecond, nil); err != nil {
		return r, err
	}
	r.Clients, r.Failed = w.opened, w.failed
	r.PerSecond = float64(got) / o.Duration.Seconds()
	r.latency(&latency)
	return r, nil
}
