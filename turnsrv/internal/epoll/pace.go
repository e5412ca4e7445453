//go:build linux && (amd64 || arm64)

package epoll

import "turnhub/internal/stream"

// pace is how a worker waits for packets. What a packet costs at a moderate load
// is mostly the way to sleep and back, so there are three ways to wait:
//
//   - idle, with nothing relayed for idleAfter: a blocking system call that the
//     scheduler knows of. It costs nothing, but the way back takes futexes.
//   - busy: a raw system call, in which the worker keeps its P, see stream.Loop.Poll.
//     busyWait is the bound where the signals with which the runtime preempts are off
//     (GODEBUG=asyncpreemptoff=1).
//   - loaded, above restAbove packets a second: before it looks for packets the
//     worker rests for about restFor, as a network card moderates its interrupts,
//     so that they come in batches and leave in trains. A round that left packets
//     behind is not followed by a rest.
type pace struct {
	last   int64 // when packets last came, nanoseconds of the server's clock
	loaded bool

	gauged  int64  // when the load was last looked at
	handled uint64 // packets until then
	rest    stream.Pause
}

// idleAfter is longer than the packets of a voice call are apart. One call of 50
// packets a second costs 1 % of a core so, and 9 % where a worker was idle after
// 6 ms, having waited 2 ms at a time.
const (
	idleWait  = 1000        // milliseconds: the timer wheel's step
	busyWait  = 20          // milliseconds
	idleAfter = 100_000_000 // nanoseconds
	gaugeFor  = 1_000_000   // nanoseconds
	restAbove = 50_000      // packets per second
	restFor   = 50_000      // nanoseconds
)

// gauge looks at the load at the start of a round that n sockets woke.
func (p *pace) gauge(now int64, handled uint64, n int) {
	if n > 0 {
		p.last = now
	}
	if d := now - p.gauged; d >= gaugeFor {
		p.loaded = int64(handled-p.handled)*1e9 > d*restAbove
		p.gauged, p.handled = now, handled
	}
}

// wait waits for events and starts a round.
func (w *Worker) wait() {
	p := &w.pace
	if len(w.unread) == 0 && p.loaded && !w.shard.Waiting() {
		p.rest.Rest()
	}
	n := 0
	w.sleeping.Store(true)
	switch {
	case len(w.unread) > 0 || w.shard.Waiting():
		n = w.loop.Poll(0)
	case w.shard.Now()-p.last < idleAfter:
		n = w.loop.Poll(busyWait)
	default:
		n = w.loop.Sleep(idleWait)
	}
	w.sleeping.Store(false)
	w.shard.Tick()
	p.gauge(w.shard.Now(), w.shard.Handled(), n)
}
