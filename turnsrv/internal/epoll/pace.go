//go:build linux && (amd64 || arm64)

package epoll

import (
	"time"

	"golang.org/x/sys/unix"
)

// pace is how a worker waits for packets. What a packet costs at a moderate load
// is mostly the way to sleep and back, so there are three ways to wait:
//
//   - idle, with nothing relayed for idleAfter: a blocking system call that the
//     scheduler knows of. It costs nothing, but the way back takes futexes.
//   - busy: a raw system call, in which the worker keeps its P, see stream.Loop.Poll.
//     busyWait is the bound where the signals with which the runtime preempts are off
//     (GODEBUG=asyncpreemptoff=1).
//   - loaded, where the worker is at work for more than busyShare of its time, and has been
//     for a while, as what has been held up for a moment is no load: before it looks for packets it rests, as a network card moderates its interrupts, so that they
//     come in batches and leave in trains. The way to sleep and back, looking at each
//     socket and the acknowledgements of TCP cost the same for one packet as for many. It
//     rests for a microsecond for each packet that comes in a millisecond, between
//     restLeast and restMost: the busier the processor, the more a packet's cost counts,
//     and the less of its time it waits for others. A round that left packets behind is
//     not followed by a rest. Resting makes time, so twice a second it does without for
//     gaugeFor to learn whether it is still loaded.
//
// Below that there is time to spare, and no packet waits for another.
type pace struct {
	last   int64 // when packets last came, nanoseconds of the server's clock
	loaded bool
	until  int64         // when it learns anew whether it is
	busy   int           // how often in a row it was at work for more than busyShare
	rest   time.Duration // where it is loaded

	gauged  int64  // when the load was last looked at
	handled uint64 // packets until then
	used    spent  // until then
}

// idleAfter is longer than the packets of a voice call are apart. One call of 50
// packets a second costs 1 % of a core so, and 9 % where a worker was idle after
// 6 ms, having waited 2 ms at a time.
const (
	idleWait  = 1000        // milliseconds: the timer wheel's step
	busyWait  = 20          // milliseconds
	idleAfter = 100_000_000 // nanoseconds
	gaugeFor  = 10_000_000  // nanoseconds
	loadedFor = 500_000_000 // nanoseconds
	busyShare = 50          // of a hundred
	busyTimes = 5           // times gaugeFor
	restAbove = 30_000      // packets per second: the setting up of many calls is not a load
	restLeast = 150 * time.Microsecond
	restMost  = 250 * time.Microsecond
)

// spent is the processor time of a thread: that a ring sends in the call in which it
// waits is work as well. A worker in epoll may be moved to another thread, of which
// nothing is known then.
type spent struct {
	thread int
	time   int64 // nanoseconds
}

func spentHere() spent {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t) != nil {
		return spent{}
	}
	return spent{unix.Gettid(), t.Nano()}
}

// gauge looks at the load at the start of a round that n sockets woke.
func (p *pace) gauge(now int64, handled uint64, n int, here func() spent) {
	if n > 0 {
		p.last = now
	}
	d := now - p.gauged
	if d < gaugeFor {
		return
	}
	rate, used := int64(handled-p.handled)*1e9/d, here()
	switch {
	case p.loaded:
		p.loaded = rate > restAbove && now < p.until // p.busy stays: once more is enough
	case rate > restAbove && used.thread == p.used.thread && (used.time-p.used.time)*100 > d*busyShare:
		if p.busy++; p.busy >= busyTimes {
			p.loaded, p.until = true, now+loadedFor
		}
	default:
		p.busy = 0
	}
	p.rest = min(max(time.Duration(rate), restLeast), restMost)
	p.gauged, p.handled, p.used = now, handled, used
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
	p.gauge(w.shard.Now(), w.shard.Handled(), n, spentHere)
}
