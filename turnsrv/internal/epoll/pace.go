//go:build linux && (amd64 || arm64)

package epoll

import "time"

// pace is how a worker waits for packets. What a packet costs at a moderate load
// is mostly the way to sleep and back, so there are three ways to wait:
//
//   - idle, with nothing relayed for idleAfter: a blocking system call that the
//     scheduler knows of. It costs nothing, but the way back takes futexes.
//   - busy: a raw system call, in which the worker keeps its P, see stream.Loop.Poll.
//     busyWait is the bound where the signals with which the runtime preempts are off
//     (GODEBUG=asyncpreemptoff=1).
//   - loaded, above restAbove packets a second: before it looks for packets the
//     worker rests, as a network card moderates its interrupts, so that they come in
//     batches and leave in trains. The way to sleep and back, looking at each socket and
//     the acknowledgements of TCP cost the same for one packet as for many. It rests for
//     a microsecond for each packet that comes in a millisecond, between restLeast and
//     restMost: the busier the processor, the more a packet's cost counts, and the less
//     of its time it waits for others. A round that left packets behind is not followed
//     by a rest.
type pace struct {
	last   int64 // when packets last came, nanoseconds of the server's clock
	loaded bool

	gauged  int64         // when the load was last looked at
	handled uint64        // packets until then
	rest    time.Duration // where it is loaded
}

// idleAfter is longer than the packets of a voice call are apart. One call of 50
// packets a second costs 1 % of a core so, and 9 % where a worker was idle after
// 6 ms, having waited 2 ms at a time.
const (
	idleWait  = 1000        // milliseconds: the timer wheel's step
	busyWait  = 20          // milliseconds
	idleAfter = 100_000_000 // nanoseconds
	gaugeFor  = 1_000_000   // nanoseconds
	restAbove = 15_000      // packets per second
	restLeast = 150 * time.Microsecond
	restMost  = 250 * time.Microsecond
)

// gauge looks at the load at the start of a round that n sockets woke.
func (p *pace) gauge(now int64, handled uint64, n int) {
	if n > 0 {
		p.last = now
	}
	if d := now - p.gauged; d >= gaugeFor {
		rate := int64(handled-p.handled) * 1e9 / d
		p.loaded = rate > restAbove
		p.rest = min(max(time.Duration(rate), restLeast), restMost)
		p.gauged, p.handled = now, handled
	}
}

// wait waits for events and starts a round.
func (w *Worker) wait() {
	p := &w.pace
	if len(w.unread) == 0 && p.loaded && !w.loop.Full() && !w.shard.Waiting() {
		w.pause.Rest(p.rest)
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
