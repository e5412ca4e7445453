//go:build linux && (amd64 || arm64)

package epoll

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"turnhub/internal/stream"
	"turnhub/turnsrv/internal/uring"
	"turnhub/turnsrv/internal/wire"
)

// ring serves a worker's datagram sockets by an io_uring. Each has a slot with a
// multishot receive; the loop, with the streams and whoever wakes the worker, is waited
// for in slot 0. A slot is given to another socket only after the last completion of its
// receive, and its generation, which is part of every key, has changed by then: nothing
// that came for an old allocation reaches a new one.
type ring struct {
	uring   *uring.Ring
	form    *unix.Msghdr
	slots   []slot
	free    []int
	files   int // slots that there can be
	buffers []wire.Buffer

	came     []came // in the order in which it was received
	taken    []int  // buffers of this round
	idle     []int  // slots whose receive must begin
	gathered int    // messages of the sender's that are in the ring
	refused  []refusal
	ready    bool // the loop has events
	err      error
}

type slot struct {
	fd         int
	generation uint32
	to         datagrams
	receiving  bool
}

// came is a buffer with what has arrived at a slot.
type came struct {
	slot       int
	generation uint32
	buffer, n  int
}

// refusal is a message of the sender's that the kernel has not sent.
type refusal struct {
	message int
	err     unix.Errno
}

// Kinds of requests: the lowest byte of a key. A slot follows in three, its generation
// in four.
const (
	keyReceive = iota + 1
	keySend
	keyLoop
	keyCancel
)

func receiveKey(slot int, generation uint32) uint64 {
	return uint64(generation)<<32 | uint64(slot)<<8 | keyReceive
}

// RingConfig is how large the rings are. Tests make them smaller.
var RingConfig = uring.Config{
	Entries: ringEntries, Completions: ringCompletions, Buffers: ringBuffers, BufferBytes: ringStride,
}

func newRing(l *stream.Loop) (*ring, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return nil, fmt.Errorf("read the limit of open files: %w", err)
	}
	cfg := RingConfig
	cfg.Files = int(min(limit.Cur, ringSlots))
	u, err := uring.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("make an io_uring: %w", err)
	}
	r := &ring{
		uring: u, files: cfg.Files, form: &unix.Msghdr{Namelen: unix.SizeofSockaddrInet6, Controllen: rxControl},
		slots: make([]slot, 1, 64), buffers: make([]wire.Buffer, cfg.Buffers),
	}
	for i := range r.buffers {
		r.buffers[i].Mem = u.Buffer(i)
	}
	if err := u.SetFile(0, l.FD()); err != nil {
		u.Close()
		return nil, err
	}
	r.ready = true // what has happened before the first wait
	return r, nil
}

// open gives a socket a slot; it is received from beginning with the next wait.
func (r *ring) open(fd int, to datagrams) (int, error) {
	at := len(r.slots)
	if n := len(r.free); n > 0 {
		at = r.free[n-1]
	} else if at == r.files {
		return 0, unix.EMFILE
	}
	if err := r.uring.SetFile(at, fd); err != nil {
		return 0, err
	}
	if at == len(r.slots) {
		r.slots = append(r.slots, slot{})
	} else {
		r.free = r.free[:len(r.free)-1]
	}
	s := &r.slots[at]
	s.fd, s.to = fd, to
	r.idle = append(r.idle, at)
	return at, nil
}

// shut closes the socket in a slot, from which nothing waits to be sent. While its
// receive goes on the kernel keeps the port, and so long the slot is nobody else's.
func (r *ring) shut(at int) {
	s := &r.slots[at]
	if err := r.uring.SetFile(at, -1); err != nil {
		r.broken(err)
	}
	unix.Close(s.fd)
	s.fd, s.to = -1, nil
	if !s.receiving {
		r.release(at)
	} else if err := r.uring.Cancel(receiveKey(at, s.generation), keyCancel); err != nil {
		r.broken(err)
	}
}

// release frees a slot.
func (r *ring) release(at int) {
	r.slots[at].generation++
	r.free = append(r.free, at)
}

// broken keeps the first error of the ring itself, with which the worker ends: its
// server ends too, and is started again.
func (r *ring) broken(err error) {
	if r.err == nil && err != nil {
		r.err = fmt.Errorf("the relay's io_uring: %w", err)
	}
}

// send enters a message of the sender's.
func (r *ring) send(n int, t *sender) {
	if err := r.uring.Send(t.runs[n].slot, &t.msgs[n].hdr, uint64(n)<<8|keySend); err != nil {
		r.broken(err)
		r.refused = append(r.refused, refusal{n, unix.EBUSY})
	}
}

// submit starts all that is queued. Where completions overflow they are taken first, and
// all of them afterwards: a refusal that came later would be taken for another message's.
func (r *ring) submit() {
	for range ringPatience {
		if err := r.uring.Submit(); err != nil {
			r.broken(err)
			return
		}
		r.reap()
		if r.uring.Queued() == 0 && !r.uring.Overflown() {
			return
		}
	}
	r.broken(errors.New("it takes no requests any more"))
}

// reap takes all completions.
func (r *ring) reap() (n int) {
	for {
		c, ok := r.uring.Next()
		if !ok {
			return n
		}
		n++
		switch at := int(c.Key >> 8 & (1<<24 - 1)); c.Key & 0xff {
		case keyReceive:
			r.received(at, uint32(c.Key>>32), &c)
		case keySend:
			r.refused = append(r.refused, refusal{at, c.Err})
		case keyLoop:
			r.ready = true
		}
	}
}

func (r *ring) received(at int, generation uint32, c *uring.Completion) {
	s := &r.slots[at]
	current := s.generation == generation
	if c.Buffer >= 0 {
		if current && s.fd >= 0 && c.Err == 0 {
			r.came = append(r.came, came{at, generation, c.Buffer, c.N})
		} else {
			r.uring.Recycle(c.Buffer)
		}
	}
	if !current || c.More {
		return
	}
	s.receiving = false
	if s.fd < 0 {
		r.release(at)
	} else {
		r.idle = append(r.idle, at)
	}
}

// begin begins the receives that have ended or not begun.
func (r *ring) begin() {
	for _, at := range r.idle {
		s := &r.slots[at]
		if s.receiving || s.fd < 0 {
			continue
		}
		if err := r.uring.Receive(at, r.form, receiveKey(at, s.generation)); err != nil {
			r.broken(err)
		}
		s.receiving = true
	}
	r.idle = r.idle[:0]
}

// recycle gives back the buffers of what has been handled.
func (r *ring) recycle() {
	for _, id := range r.taken {
		r.uring.Recycle(id)
	}
	r.taken = r.taken[:0]
}

// handle has the worker handle what came.
func (r *ring) handle(w *Worker) {
	for i := 0; i < len(r.came); i++ { // a flush may append
		c := r.came[i]
		r.taken = append(r.taken, c.buffer)
		s := &r.slots[c.slot]
		if s.generation != c.generation || s.fd < 0 {
			continue
		}
		m, err := r.uring.Message(c.buffer, c.n, r.form)
		if err != nil || len(m.Name) < unix.SizeofSockaddrInet4 {
			continue
		}
		a := arrival{from: endpointOf((*unix.RawSockaddrInet6)(unsafe.Pointer(&m.Name[0]))), at: m.Lo, size: m.Hi - m.Lo}
		a.read(m.Control)
		s.to.arrived(w, &r.buffers[c.buffer], &a)
		if len(r.taken) >= ringRound {
			w.turnOver()
		}
	}
	r.came = r.came[:0]
}

// stop ends the receives of listeners that are left to another process, and has handled
// what they have received: what comes now is that process's.
func (r *ring) stop(w *Worker, left []*udpListener) {
	waiting := func() bool {
		for _, l := range left {
			if r.slots[l.slot].receiving {
				return true
			}
		}
		return false
	}
	for _, l := range left {
		if s := &r.slots[l.slot]; s.receiving {
			r.broken(r.uring.Cancel(receiveKey(l.slot, s.generation), keyCancel))
		}
	}
	for tries := 0; waiting() && tries < ringPatience && r.err == nil; tries++ {
		r.broken(r.uring.Wait(time.Millisecond, 0, false))
		r.reap()
	}
	r.handle(w)
	w.turnOver()
}

// runRing is Run on a ring.
func (w *Worker) runRing(ctx context.Context) error {
	r := w.ring
	runtime.LockOSThread() // the ring is this thread's
	defer runtime.UnlockOSThread()
	err := r.uring.Enable()
	for err == nil && ctx.Err() == nil {
		w.waitRing()
		polled := r.ready
		if polled {
			w.loop.Poll(0)
			w.loop.Dispatch()
			// One that is full has more, for which nothing needs to be waited.
			if r.ready = w.loop.Full(); !r.ready {
				r.broken(r.uring.Poll(0, keyLoop))
			}
		}
		r.handle(w)
		w.eachSecond()
		w.shard.Drain()
		if polled && w.loop.Woken() {
			w.runPosted()
		}
		w.enter()
		w.shard.WakeOthers()
		err = r.err
	}
	w.close()
	return err
}

// waitRing is wait on a ring, which can gather packets by itself on newer kernels. It
// sends what the round before has entered, in the same system call.
func (w *Worker) waitRing() {
	r, p := w.ring, &w.pace
	r.begin()
	timeout, gather, raw := time.Duration(0), time.Duration(0), true
	w.sleeping.Store(true)
	switch {
	case r.ready || len(r.came) > 0 || w.shard.Waiting():
	case w.shard.Now()-p.last < idleAfter:
		timeout = busyWait * time.Millisecond
	default:
		timeout, raw = idleWait*time.Millisecond, false
	}
	if timeout > 0 && p.loaded {
		if r.uring.Gathers() {
			gather = p.rest
		} else {
			w.settle()
			w.pause.Rest(p.rest)
		}
	}
	r.broken(r.uring.Wait(timeout, gather, raw))
	w.sleeping.Store(false)
	n := r.reap()
	w.turnedOver()
	w.shard.Tick()
	p.gauge(w.shard.Now(), w.shard.Handled(), n, spentHere)
}

// close ends the ring. It waits, but not for long, until the kernel has let go of the
// sockets, so that their ports are free.
func (r *ring) close() {
	for at := range r.slots[1:] {
		if r.slots[at+1].fd >= 0 {
			r.shut(at + 1)
		}
	}
	for range ringPatience {
		if len(r.free) == len(r.slots)-1 || r.uring.Wait(time.Millisecond, 0, false) != nil {
			break
		}
		r.reap()
	}
	r.uring.Close()
}
