package hub

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"turnhub/bench/load"
)

// stampedeLimit bounds how long a crowd may take to come back.
const stampedeLimit = 90 * time.Second

// retryAfter is how often those that were refused try again.
const retryAfter = 250 * time.Millisecond

var errDone = errors.New("done")

// Stampede opens the clients, tells cut how many are in and gets from it the
// process that serves after the cut. All come back at once, those that are refused
// again and again, and the result says how long it took until the last was in and what the new process paid for it.
func Stampede(ctx context.Context, o Options, cut func(opened int) (pid int, err error)) (r Result, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	w, err := o.crowd()
	if err != nil {
		return r, err
	}
	defer w.close()
	clients, err := r.open(&o, w, o.Clients, func(int) string { return "" })
	if err != nil {
		return r, err
	}
	// What comes after the handshake brings the session tickets.
	if err := w.during(ctx, time.Second, 10*time.Millisecond, nil); err != nil {
		return r, err
	}
	pid, err := cut(w.opened)
	if err != nil {
		return r, err
	}
	for _, c := range clients {
		w.lose(c, nil)
	}
	begin, err := load.CPUTime(pid)
	if err != nil {
		return r, err
	}
	start := w.now()
	w.failed = 0
	again := func(c *client) error {
		*c = client{id: c.id, server: c.server, began: w.now(), source: c.source}
		return w.dial(c)
	}
	for _, c := range clients {
		if err := again(c); err != nil {
			return r, fmt.Errorf("come back: %w", err)
		}
	}
	retry := start + retryAfter
	err = w.during(ctx, stampedeLimit, 10*time.Millisecond, func() error {
		if w.opened == len(clients) {
			return errDone
		}
		if w.now() < retry || w.failed == 0 {
			return nil
		}
		retry = w.now() + retryAfter
		r.Refused += w.failed
		w.failed = 0
		for _, c := range clients {
			if c.state == stateGone {
				if err := again(c); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != errDone {
		if err == nil {
			err = fmt.Errorf("%d of %d are back after %v, the last refused because: %w", w.opened, len(clients), stampedeLimit, w.reason)
		}
		return r, err
	}
	end, err := load.CPUTime(pid)
	r.BackSeconds, r.BackCPU = (w.now() - start).Seconds(), (end - begin).Seconds()
	return r, err
}
