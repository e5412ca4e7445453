//go:build linux && (amd64 || arm64)

// Package epoll is the relay's driver on Linux: one worker for each shard, with an
// epoll of its own and no other thread, which reads what is ready in batches, has the
// core forward it, and sends all of it with as few system calls as it takes. A UDP
// packet's way is worker.go (a round), listener.go or relay.go (a socket), rx.go and
// tx.go (system calls for many); stream.go has the clients over TCP and TLS, and
// successor.go hands the listeners over to another process.
package epoll

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"turnhub/internal/stream"
	"turnhub/turnsrv/internal/core"
	"turnhub/turnsrv/internal/wire"
)

// Worker runs a shard on Linux: one thread of control with its own epoll over
// its SO_REUSEPORT listeners, relay sockets and streams. A round reads what is
// ready in batches, forwards it, and sends all of it, so that the buffers are free
// for the next.
type Worker struct {
	shard   *core.Shard
	workers int // of the server
	loop    *stream.Loop

	listeners []*udpListener
	left      []*udpListener // to a successor, see Yield
	astray    astray
	rx        *receiver
	tx        sender
	stream    streamState
	gso       bool
	ring      *ring                  // nil: datagram sockets are in the loop
	visitors  [rxBuffers]core.Client // without allocation, of this round
	visits    int

	unread  []*stream.Handle // sockets that had more for us, of the last round
	reading []*stream.Handle // the same, of this round
	pace    pace
	pause   stream.Pause
	swept   int64 // second of the last eachSecond

	sleeping atomic.Bool // waits for events: others must wake it

	mu     sync.Mutex
	posted []func(*core.Shard)
	ended  atomic.Bool
	after  sync.Mutex // after the end: whose turn it is on the shard
}

// source is a socket in the worker's loop.
type source interface {
	// readable reads and handles what there is.
	readable(w *Worker, events stream.Events)
}

// watched is a source as the loop calls it.
type watched struct {
	worker *Worker
	source source
}

func (s *watched) Ready(events stream.Events) { s.source.readable(s.worker, events) }

// New returns the driver of a shard, of which there are so many.
// With ring its datagram sockets are served by an io_uring.
func New(sh *core.Shard, workers int, ring bool) (*Worker, error) {
	w := &Worker{shard: sh, workers: workers, gso: true}
	var err error
	if w.rx, err = newReceiver(); err != nil {
		return nil, err
	}
	if w.loop, err = stream.NewLoop(rxBuffers); err != nil {
		return nil, err
	}
	if ring {
		if w.ring, err = newRing(w.loop); err != nil {
			return nil, err
		}
	}
	w.pause = stream.NewPause()
	sh.Attach(w, true)
	return w, nil
}

// edge is how datagram sockets are watched: what is left in one is in unread, so
// that the kernel need not look again at each that was read.
const edge = stream.Readable | stream.Edge

// watch enters a file descriptor into the loop.
func (w *Worker) watch(fd int, s source, events stream.Events) (*stream.Handle, error) {
	return w.loop.Add(fd, &watched{w, s}, events)
}

// closeFD closes a file descriptor and with that takes it out of the loop, unless
// another process has it too.
func (w *Worker) closeFD(h *stream.Handle) {
	h.Forget()
	unix.RawSyscall(unix.SYS_CLOSE, uintptr(h.FD()), 0, 0)
}

// Wake makes the worker look at its shard's rings.
func (w *Worker) Wake() {
	if w.sleeping.CompareAndSwap(true, false) {
		w.loop.Wake()
	}
}

// Post runs f in the worker's thread of control, soon and in order; after the worker
// has ended, at once.
func (w *Worker) Post(f func(*core.Shard)) {
	w.mu.Lock()
	ended := w.ended.Load()
	if !ended {
		w.posted = append(w.posted, f)
		w.loop.Wake()
	}
	w.mu.Unlock()
	if ended {
		w.after.Lock()
		defer w.after.Unlock()
		f(w.shard)
	}
}

func (w *Worker) runPosted() {
	w.mu.Lock()
	posted := w.posted
	w.posted = nil
	w.mu.Unlock()
	for _, f := range posted {
		f(w.shard)
	}
}

// Run serves until ctx ends.
func (w *Worker) Run(ctx context.Context) error {
	// A worker that waits in a raw system call keeps its P, so that it needs no
	// scheduler on the way back. The others need one P more than there are workers.
	if n := w.workers + 1; w.shard.ID() == 0 && runtime.GOMAXPROCS(0) < n {
		runtime.GOMAXPROCS(n)
	}
	stop := context.AfterFunc(ctx, func() { w.Post(func(*core.Shard) {}) })
	defer stop()
	if w.ring != nil {
		return w.runRing(ctx)
	}
	for ctx.Err() == nil {
		w.wait()
		w.reading, w.unread = w.unread, w.reading[:0]
		w.loop.Dispatch()
		for _, h := range w.reading {
			h.Ready(stream.Readable)
		}
		w.eachSecond()
		w.shard.Drain()
		if w.loop.Woken() {
			w.runPosted()
		}
		w.turnOver()
		w.shard.WakeOthers()
	}
	w.close()
	return nil
}

// eachSecond looks, once a second, at who has gone without a word.
func (w *Worker) eachSecond() {
	if now := w.shard.Second(); now != w.swept {
		w.swept = now
		w.stream.sweep(w)
		w.sweepKept()
	}
}

// close ends everything that the worker holds.
func (w *Worker) close() {
	w.runPosted()
	w.shard.EndAll()
	w.Flush()
	w.stream.closeAll(w)
	for _, l := range w.listeners {
		w.shut(&l.socket)
	}
	w.listeners, w.left = nil, nil // what is still posted must not close them again
	w.after.Lock()
	defer w.after.Unlock()
	w.mu.Lock()
	posted := w.posted
	w.posted = nil
	w.ended.Store(true)
	w.mu.Unlock()
	for _, f := range posted {
		f(w.shard)
	}
	if w.ring != nil {
		w.ring.close()
	}
	w.loop.Close()
	w.rx.close()
}

// receive reads up to limit datagrams from a socket that is watched by its edges.
func (w *Worker) receive(h *stream.Handle, limit int) (from, to int) {
	if w.rx.used == rxBuffers {
		w.turnOver()
	}
	from, to, more := w.rx.receive(h.FD(), limit)
	if more {
		w.unread = append(w.unread, h)
	}
	return from, to
}

// LocalIP is the address of this host to which a client came.
func (w *Worker) LocalIP(c *core.Client) wire.Endpoint {
	if l, ok := c.Handle.(*udpListener); ok {
		return l.localIP(c)
	}
	return wire.ParseIP(c.Handle.(*streamClient).conn.LocalAddr().String())
}

// LocalPort is the port of this host to which a UDP client sends.
func (w *Worker) LocalPort(c *core.Client) uint16 { return c.Handle.(*udpListener).local.Port }

// ToClient queues a message for a client.
func (w *Worker) ToClient(c *core.Client, g wire.Segment, media bool) {
	if w.tx.push(&c.Queued, item{buf: g.Bytes(), drop: media}) {
		if l, ok := c.Handle.(*udpListener); ok {
			l.dirty = append(l.dirty, c)
		} else {
			w.tx.streams = append(w.tx.streams, c)
		}
	}
}

// Flush sends everything that is queued. It may come in the middle of what was received
// together, whose buffers stay.
func (w *Worker) Flush() {
	w.enter()
	w.flushed()
}

// enter sends what is queued, or enters it into the ring, where it is sent at the latest
// with the next wait: what it is made of stays until flushed.
func (w *Worker) enter() {
	t := &w.tx
	if len(t.items) == 0 {
		return
	}
	for _, l := range w.listeners {
		if len(l.dirty) > 0 {
			w.flushListener(l)
		}
	}
	for _, r := range t.relays {
		w.flushRelay(r)
	}
	for i := 0; i < len(t.streams); i++ {
		w.stream.flush(w, t.streams[i])
	}
}

// flushed ends what enter has begun.
func (w *Worker) flushed() {
	if len(w.tx.items) > 0 {
		w.settle()
		w.tx.reset()
	}
	w.shard.Reclaim()
}

// turnOver is Flush where all that was received has been handled: its buffers are free
// again.
func (w *Worker) turnOver() {
	w.enter()
	w.turnedOver()
}

// turnedOver ends a round whose sends are on their way.
func (w *Worker) turnedOver() {
	w.flushed()
	w.rx.reset()
	if w.ring != nil {
		w.ring.recycle()
	}
	w.visits = 0
	w.stream.used = 0
}

// unsent counts datagrams that the kernel refused to send.
func (w *Worker) unsent(n int) { w.shard.Drop(core.DropSend, n) }
