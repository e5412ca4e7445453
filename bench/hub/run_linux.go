package hub

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"time"

	"turnhub/bench/load"
)

// Options say what a run does.
type Options struct {
	Server  netip.AddrPort
	Others  []netip.AddrPort // nodes of the same cluster: each client comes to the next
	Dialect string           // turnhub, peerjs or centrifugo
	TLS     bool             // TLS 1.3 under the WebSocket
	PID     int
	PIDs    []int  // processes that are counted with it
	NATS    string // where several nodes meet
	Sources []netip.Addr

	Clients  int
	Rooms    int
	Size     int // bytes of a signal's body
	Window   int // signals in flight
	Rate     float64
	Duration time.Duration
	Settle   func() error // collects the server's garbage before memory is read
}

// A Result is what a run has measured; only what the run is about is set.
type Result struct {
	Clients     int     `json:"clients"`
	Failed      int     `json:"failed"`
	OpenSeconds float64 `json:"open_seconds,omitempty"`
	OpenCPU     float64 `json:"open_cpu,omitempty"` // server's seconds to open all

	BackSeconds float64 `json:"back_seconds,omitempty"` // Stampede: from the new process on until the last is in
	Refused     int     `json:"refused,omitempty"`      // connections that did not get in at the first try
	BackCPU     float64 `json:"back_cpu,omitempty"`     // the new process's seconds for all of them

	RSSBefore     int64   `json:"rss_before,omitempty"`
	RSS           int64   `json:"rss,omitempty"`
	PerConnection float64 `json:"per_connection,omitempty"` // bytes
	IdleBusy      float64 `json:"idle_busy,omitempty"`      // server's share of a processor while all are idle

	Messages  uint64  `json:"messages,omitempty"`
	PerSecond float64 `json:"per_second,omitempty"`
	PerCPU    float64 `json:"per_cpu,omitempty"` // messages relayed per second of the server's processor time

	P50 float64 `json:"p50,omitempty"` // microseconds
	P99 float64 `json:"p99,omitempty"`
	Max float64 `json:"max,omitempty"`

	OpenP50 float64 `json:"open_p50,omitempty"` // from the connect on
	OpenP99 float64 `json:"open_p99,omitempty"`
}

func (o *Options) crowd() (*crowd, error) {
	dialects := map[string]dialect{"turnhub": native{}, "peerjs": peerjs{}, "centrifugo": centrifugo{}}
	d, ok := dialects[o.Dialect]
	if !ok {
		return nil, fmt.Errorf("dialect %q is not turnhub, peerjs or centrifugo", o.Dialect)
	}
	return newCrowd(o, d)
}

// cpu is the processor time of all servers.
func (o *Options) cpu() (sum time.Duration, err error) {
	for _, pid := range append([]int{o.PID}, o.PIDs...) {
		t, err := load.CPUTime(pid)
		if err != nil {
			return 0, err
		}
		sum += t
	}
	return sum, nil
}

func micro(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

func (r *Result) latency(h *histogram) {
	r.P50, r.P99, r.Max = micro(h.Quantile(0.5)), micro(h.Quantile(0.99)), micro(h.Quantile(1))
}

// open gathers the clients and notes what that cost.
func (r *Result) open(o *Options, w *crowd, n int, room func(int) string) ([]*client, error) {
	begin, err := o.cpu()
	if err != nil {
		return nil, err
	}
	start := time.Now()
	clients, err := w.gather(n, 64, room, 90*time.Second)
	if err != nil {
		return nil, err
	}
	end, err := o.cpu()
	r.Clients, r.OpenSeconds, r.OpenCPU = len(clients), time.Since(start).Seconds(), (end - begin).Seconds()
	return clients, err
}

// for steps until d is over, doing what is due in between.
func (w *crowd) during(ctx context.Context, d, pace time.Duration, due func() error) error {
	for end := w.now() + d; w.now() < end; {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := w.step(pace); err != nil {
			return err
		}
		if due != nil {
			if err := due(); err != nil {
				return err
			}
		}
	}
	return nil
}

// paced does something o.Rate times a second for o.Duration. What is late is done at once, and as
// often in all, however long it takes.
func (w *crowd) paced(ctx context.Context, o Options, do func() error) error {
	interval, due := time.Duration(float64(time.Second)/o.Rate), w.now()
	end := due + o.Duration
	return w.during(ctx, o.Duration, time.Millisecond, func() error {
		for ; due < end && w.now() >= due; due += interval {
			if err := do(); err != nil {
				return err
			}
		}
		return nil
	})
}

// Idle opens connections that do nothing but beat, and weighs them.
func Idle(ctx context.Context, o Options) (r Result, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	w, err := o.crowd()
	if err != nil {
		return r, err
	}
	defer w.close()
	if _, err := w.gather(1, 1, func(int) string { return "" }, 10*time.Second); err != nil {
		return r, err
	}
	if r.RSSBefore, err = o.rss(); err != nil {
		return r, err
	}
	if _, err := r.open(&o, w, o.Clients, func(int) string { return "" }); err != nil {
		return r, err
	}
	if err := w.during(ctx, o.Duration/2, 10*time.Millisecond, nil); err != nil {
		return r, err
	}
	begin, err := o.cpu()
	if err != nil {
		return r, err
	}
	start := time.Now()
	if err := w.during(ctx, o.Duration/2, 10*time.Millisecond, nil); err != nil {
		return r, err
	}
	end, err := o.cpu()
	if err != nil {
		return r, err
	}
	r.IdleBusy = (end - begin).Seconds() / time.Since(start).Seconds()
	if r.RSS, err = o.rss(); err != nil {
		return r, err
	}
	r.Failed = w.failed
	r.PerConnection = float64(r.RSS-r.RSSBefore) / float64(max(r.Clients, 1))
	return r, nil
}

// rss reads the memory after a collection.
func (o *Options) rss() (int64, error) {
	if o.Settle != nil {
		if err := o.Settle(); err != nil {
			return 0, err
		}
	}
	return load.RSS(o.PID)
}

// Relay lets pairs send each other signals, so many in flight over all.
func Relay(ctx context.Context, o Options) (r Result, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	w, err := o.crowd()
	if err != nil {
		return r, err
	}
	defer w.close()
	clients, err := r.open(&o, w, o.Clients&^1, func(i int) string { return fmt.Sprintf("pair%d", i/2) })
	if err != nil {
		return r, err
	}
	pair(clients)
	if len(o.Others) > 0 {
		w.heard = func(c *client, m []byte) {
			if bytes.Contains(m, []byte(`"code":`)) { // nothing of it is in what clients say
				w.lose(c, fmt.Errorf("the server says %.200s", m))
			}
		}
		if err := w.during(ctx, meetTime, 10*time.Millisecond, nil); err != nil {
			return r, err
		}
	}
	return r, r.exchange(ctx, &o, w, clients, func(c *client, body []byte) { w.say(c, w.dialect.signal(c, c.partner, body)) }, nil)
}

// exchange lets pairs send each other letters, so many in flight over all; due is done in between.
func (r *Result) exchange(ctx context.Context, o *Options, w *crowd, clients []*client, send func(c *client, body []byte), due func() error) error {
	body := newLetter(o.Size)
	var latency histogram
	measuring, count := false, uint64(0)
	w.delivered = func(c *client, _ []byte, sent time.Duration) {
		count++
		if measuring {
			latency.Add(w.now() - sent)
		}
		// The receiver writes back, so as many stay in flight.
		send(c, body.stamped(w.now()))
	}
	for i := range o.Window {
		send(clients[i%len(clients)], body.stamped(w.now()))
	}
	if err := w.during(ctx, o.Duration/4, 10*time.Millisecond, due); err != nil {
		return err
	}
	measuring = true
	begin, err := o.cpu()
	if err != nil {
		return err
	}
	before, start := count, time.Now()
	if err := w.during(ctx, o.Duration, 10*time.Millisecond, due); err != nil {
		return err
	}
	end, err := o.cpu()
	if err != nil {
		return err
	}
	r.Messages, r.Failed = count-before, w.failed
	r.PerSecond = float64(r.Messages) / time.Since(start).Seconds()
	r.PerCPU = float64(r.Messages) / (end - begin).Seconds()
	r.latency(&latency)
	if w.failed > 0 {
		return fmt.Errorf("%d sockets were lost, the last because: %w", w.failed, w.reason)
	}
	return nil
}

func pair(clients []*client) {
	for two := range slices.Chunk(clients, 2) {
		two[0].partner, two[1].partner = two[1], two[0]
	}
}
