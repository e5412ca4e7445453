package stream

import (
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Events are what a Source waits for, or is told of.
type Events uint32

// Hangup is told without being asked for. Edge has a Source told of what has come
// since, not of what is there.
const (
	Readable Events = unix.EPOLLIN
	Writable Events = unix.EPOLLOUT
	Hangup   Events = unix.EPOLLHUP | unix.EPOLLERR
	Edge     Events = unix.EPOLLET
)

// Source is told when its socket can go on; no events at all: it was roused. Only the
// loop's goroutine calls it.
type Source interface{ Ready(Events) }

// Loop waits for many sockets at once. One goroutine, its owner, waits and dispatches;
// everything else may be called by anyone.
type Loop struct {
	epoll, event int
	events       []unix.EpollEvent
	ready        []ready // what Dispatch hands out
	woken        bool
	full         bool
	shares       bool // see Share

	records []byte // as received, of all connections in turn

	mu      sync.Mutex
	handles []*Handle // by descriptor
	number  uint32    // of the next handle
	roused  []*Handle
	closed  bool
}

type ready struct {
	handle *Handle
	events Events
}

// Handle is a descriptor's place in a loop. The number tells it from others that have
// had the same descriptor: an event that the kernel has already told of one of those is
// not another's.
type Handle struct {
	loop   *Loop
	source Source
	fd     int
	number uint32
	gone   atomic.Bool
}

// NewLoop returns a loop that takes up to size events in a round.
func NewLoop(size int) (*Loop, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create", err)
	}
	event, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		unix.Close(epoll)
		return nil, os.NewSyscallError("eventfd", err)
	}
	l := &Loop{epoll: epoll, event: event, events: make([]unix.EpollEvent, size)}
	if _, err := l.Add(event, nil, Readable); err != nil {
		unix.Close(event)
		unix.Close(epoll)
		return nil, err
	}
	return l, nil
}

// Add watches a descriptor, which is non-blocking and stays the caller's to close,
// after Forget or Remove.
func (l *Loop) Add(fd int, s Source, events Events) (*Handle, error) {
	h := &Handle{loop: l, source: s, fd: fd}
	l.mu.Lock()
	l.number++
	h.number = l.number
	if need := fd + 1 - len(l.handles); need > 0 {
		l.handles = append(l.handles, make([]*Handle, max(need, 64))...)
	}
	l.handles[fd] = h
	l.mu.Unlock()
	if errno := h.control(unix.EPOLL_CTL_ADD, events); errno != 0 {
		h.Forget()
		return nil, os.NewSyscallError("epoll_ctl", errno)
	}
	return h, nil
}

func (h *Handle) control(op int, events Events) unix.Errno {
	ev := event(events, int32(h.fd), h.number)
	_, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(h.loop.epoll), uintptr(op), uintptr(h.fd), uintptr(unsafe.Pointer(&ev)), 0, 0)
	return errno
}

// event has the handle's number where the kernel keeps 64 bits for the caller.
func event(events Events, fd int32, number uint32) (ev unix.EpollEvent) {
	ev.Events = uint32(events)
	data := (*[2]uint32)(unsafe.Pointer(&ev.Fd))
	data[0], data[1] = uint32(fd), number
	return ev
}

func numberOf(ev *unix.EpollEvent) uint32 { return (*[2]uint32)(unsafe.Pointer(&ev.Fd))[1] }

// FD is the descriptor.
func (h *Handle) FD() int { return h.fd }

// Watch changes what is waited for. An error can only mean that the kernel is out of
// memory, or that the descriptor is gone.
func (h *Handle) Watch(events Events) error {
	if errno := h.control(unix.EPOLL_CTL_MOD, events); errno != 0 {
		return os.NewSyscallError("epoll_ctl", errno)
	}
	return nil
}

// Forget ends the handle: its source is not called any more. The descriptor is about to
// be closed, which takes it out of the epoll.
func (h *Handle) Forget() {
	if h.gone.Swap(true) {
		return
	}
	l := h.loop
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.handles[h.fd] == h {
		l.handles[h.fd] = nil
	}
}

// Remove is Forget for a descriptor that another process has too, so that closing does
// not take it out of the epoll.
func (h *Handle) Remove() {
	h.control(unix.EPOLL_CTL_DEL, 0)
	h.Forget()
}

// Ready calls the source, unless the handle has ended.
func (h *Handle) Ready(events Events) {
	if !h.gone.Load() {
		h.source.Ready(events)
	}
}

// Rouse has the source called soon, whether its socket is ready or not.
func (h *Handle) Rouse() {
	l := h.loop
	l.mu.Lock()
	l.roused = append(l.roused, h)
	l.mu.Unlock()
	l.Wake()
}

// Wake has the owner's wait end soon.
func (l *Loop) Wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed { // the descriptor may be somebody else's by now
		return
	}
	b := [8]byte{1}
	unix.RawSyscall(unix.SYS_WRITE, uintptr(l.event), uintptr(unsafe.Pointer(&b)), 8)
}

// Poll waits without the scheduler's knowledge, for timeout milliseconds at most, and
// returns how many events there are, a Wake among them. The runtime gets its processor back, as for a
// garbage collection, by the signal with which it preempts: epoll_pwait(2) ends with
// EINTR.
func (l *Loop) Poll(timeout int) int {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(l.epoll), uintptr(unsafe.Pointer(&l.events[0])), uintptr(len(l.events)), uintptr(timeout), 0, 0)
	if errno != 0 {
		n = 0
	}
	return l.collect(int(n))
}

// Sleep waits in a system call that the scheduler knows of, which costs more on the way
// back; -1: for ever. 0 may be a signal's doing.
func (l *Loop) Sleep(timeout int) int {
	n, _ := unix.EpollWait(l.epoll, l.events, timeout)
	return l.collect(max(n, 0))
}

// collect finds the handles of n events.
func (l *Loop) collect(n int) int {
	l.ready = l.ready[:0]
	l.woken = false
	l.full = n == len(l.events)
	if n == 0 {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.events[:n] {
		ev := &l.events[i]
		if int(ev.Fd) == l.event {
			l.woken = true
			continue
		}
		if h := l.handles[ev.Fd]; h != nil && h.number == numberOf(ev) {
			l.ready = append(l.ready, ready{h, Events(ev.Events)})
		}
	}
	if l.woken {
		var b [8]byte
		unix.RawSyscall(unix.SYS_READ, uintptr(l.event), uintptr(unsafe.Pointer(&b)), 8)
		for _, h := range l.roused {
			l.ready = append(l.ready, ready{h, 0})
		}
		clear(l.roused)
		if l.roused = l.roused[:0]; cap(l.roused) > 1024 {
			l.roused = nil
		}
	}
	return n
}

// FD is a descriptor that is readable while there are events: for who waits elsewhere,
// and then calls Poll.
func (l *Loop) FD() int { return l.epoll }

// Full reports whether the last wait found as many events as a round takes: there may be
// more.
func (l *Loop) Full() bool { return l.full }

// Woken reports whether Wake ended the last wait.
func (l *Loop) Woken() bool { return l.woken }

// Dispatch calls the sources that the last wait found ready.
func (l *Loop) Dispatch() {
	for _, r := range l.ready {
		r.handle.Ready(r.events)
	}
	clear(l.ready) // or the last round's would be kept alive
}

// Close frees the loop. Its owner does not wait any more, and the sources' descriptors
// are theirs.
func (l *Loop) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	l.closed = true
	unix.Close(l.event)
	unix.Close(l.epoll)
}

// A loop that has dispatched busy sources in a row without a pause gathers for so long
// what comes next, instead of waking up for each: at such rates a message costs a third
// less, and nobody notices the time.
const (
	busy   = 8
	gather = 500 * time.Microsecond
)

// Share is called before Run where other goroutines have as much to do as the loop's, and one
// processor.
func (l *Loop) Share() { l.shares = true }

// Run waits and dispatches until stop, called at the start of each round, returns true.
// After every round it calls after: to write, for instance, what the round has caused.
func (l *Loop) Run(stop func() bool, after func()) {
	pause := NewPause()
	handled := 0 // sources since the last pause
	sleep, rest := func() int { return l.Sleep(-1) }, pause.Rest
	if l.shares {
		rest = time.Sleep // others go on meanwhile
		if g, err := l.gate(); err == nil {
			defer g.Close()
			sleep = g.sleep
		}
	}
	for {
		n := l.Poll(0)
		if n == 0 && handled >= busy {
			rest(gather)
			n, handled = l.Poll(0), 0
		}
		if n == 0 {
			n, handled = sleep(), 0
		}
		if stop() {
			return
		}
		handled += n
		l.Dispatch()
		after()
	}
}

// gate is where a Loop that shares its processor waits, as the runtime does for all that it
// waits for. A system call that waits holds the only processor until the runtime looks who
// does, and it looks all the time then: that was a tenth of all time. It is an epoll of its own that watches the loop's while its goroutine
// waits and no longer: the runtime would be woken by whatever comes while that is at work.
type gate struct {
	*os.File
	raw  syscall.RawConn
	loop *Loop
}

func (l *Loop) gate() (*gate, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err == nil {
		err = unix.SetNonblock(fd, true) // or the runtime would not watch it
	}
	if err == nil {
		err = unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, l.epoll, new(unix.EpollEvent))
	}
	if err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("epoll", err)
	}
	f := os.NewFile(uintptr(fd), "epoll")
	raw, err := f.SyscallConn()
	if err != nil {
		f.Close()
		return nil, err
	}
	return &gate{f, raw, l}, nil
}

// sleep waits for events.
func (g *gate) sleep() (n int) {
	_ = g.raw.Read(func(fd uintptr) bool { // it ends: there is no deadline, and who waits closes it
		g.watch(fd, Readable)
		if n = g.loop.Poll(0); n == 0 {
			return false
		}
		g.watch(fd, 0)
		return true
	})
	return n
}

func (g *gate) watch(fd uintptr, events Events) {
	ev := unix.EpollEvent{Events: uint32(events)}
	unix.RawSyscall6(unix.SYS_EPOLL_CTL, fd, unix.EPOLL_CTL_MOD, uintptr(g.loop.epoll), uintptr(unsafe.Pointer(&ev)), 0, 0)
}

// Pause rests without the scheduler's knowledge. nanosleep(2) takes longer by the thread's
// timer slack (prctl(2), PR_SET_TIMERSLACK), which is taken off.
type Pause struct {
	slack time.Duration // below 0: not known
}

// NewPause looks at the slack of the calling thread, which threads inherit.
func NewPause() Pause {
	slack, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil {
		return Pause{-1}
	}
	return Pause{time.Duration(slack)}
}

// Rest lasts for d, or not at all where the slack is not known or more than two d.
func (p Pause) Rest(d time.Duration) {
	if p.slack < 0 || p.slack > 2*d {
		return
	}
	t := unix.NsecToTimespec(max(int64(d-p.slack), 1))
	unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&t)), 0, 0)
}
