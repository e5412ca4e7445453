//go:build linux && (amd64 || arm64)

package turnsrv

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// pace is how a worker waits for packets. What a packet costs at a moderate load
// is mostly the way to sleep and back, so there are three ways to wait:
//
//   - idle, with nothing relayed for idleAfter: a blocking system call that the
//     scheduler knows of. It costs nothing, but the way back takes futexes.
//   - busy: a raw system call, in which the worker keeps its P. The runtime gets
//     it back, as for a garbage collection, by the signal with which it preempts
//     (and repeats it until it has): epoll_wait(2) ends with EINTR. busyWait is
//     the bound where signals are off (GODEBUG=asyncpreemptoff=1).
//   - loaded, above restAbove packets a second: before it looks for packets the
//     worker rests for about restFor, as a network card moderates its interrupts,
//     so that they come in batches and leave in trains. A round that left packets
//     behind is not followed by a rest.
type pace struct {
	last   int64 // when packets last came, nanoseconds of the server's clock
	loaded bool

	gauged  int64  // when the load was last looked at
	handled uint64 // packets until then
	rest    unix.Timespec
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

// restTime returns what to ask nanosleep(2) for so that it takes restFor: it takes
// longer by the thread's timer slack (prctl(2), PR_SET_TIMERSLACK), which by
// default is just that.
func restTime() (t unix.Timespec) {
	slack, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err == nil && slack <= 2*restFor {
		t.Nsec = int64(max(restFor-slack, 1))
	}
	return t
}

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
func (w *epollWorker) wait() (n int) {
	p := &w.pace
	if len(w.unread) == 0 && p.loaded && p.rest.Nsec > 0 && !w.shard.Waiting() {
		unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&p.rest)), 0, 0)
	}
	w.sleeping.Store(true)
	switch {
	case len(w.unread) > 0 || w.shard.Waiting():
		n = w.poll(0)
	case w.shard.Now()-p.last < idleAfter:
		n = w.poll(busyWait)
	default:
		n, _ = unix.EpollWait(w.epoll, w.ready[:], idleWait)
	}
	w.sleeping.Store(false)
	n = max(n, 0)
	w.shard.Tick()
	p.gauge(w.shard.Now(), w.shard.Handled(), n)
	return n
}

// poll is epoll_wait(2) without the scheduler's knowledge; timeout is in
// milliseconds.
func (w *epollWorker) poll(timeout int) int {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(w.epoll), uintptr(unsafe.Pointer(&w.ready[0])), uintptr(len(w.ready)), uintptr(timeout), 0, 0)
	if errno != 0 {
		return 0
	}
	return int(n)
}
