//go:build linux && (amd64 || arm64)

package turnsrv

import (
	"context"
	"encoding/binary"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"turnhub/internal/stream"
	"turnhub/turnsrv/internal/core"
	"turnhub/turnsrv/internal/wire"
)

// epollWorker runs a shard on Linux: one thread of control with its own epoll over
// its SO_REUSEPORT listeners, relay sockets and streams. A round reads what is
// ready in batches, forwards it, and sends all of it, so that the buffers are free
// for the next.
type epollWorker struct {
	shard   *core.Shard
	workers int // of the server
	loop    *stream.Loop

	listeners []*udpListener
	left      []*udpListener // to a successor, see Yield
	rx        *receiver
	tx        sender
	stream    streamState
	gso       bool
	visitors  [rxBuffers]core.Client // without allocation, of this round
	visits    int

	unread  []*stream.Handle // sockets that had more for us, of the last round
	reading []*stream.Handle // the same, of this round
	pace    pace

	sleeping atomic.Bool // waits for events: others must wake it

	mu     sync.Mutex
	posted []func(*core.Shard)
	ended  atomic.Bool
	after  sync.Mutex // after the end: whose turn it is on the shard
}

// source is a socket in the worker's loop.
type source interface {
	// readable reads and handles what there is.
	readable(w *epollWorker, events stream.Events)
}

// watched is a source as the loop calls it.
type watched struct {
	worker *epollWorker
	source source
}

func (s *watched) Ready(events stream.Events) { s.source.readable(s.worker, events) }

// newEpoll returns the driver of a shard, of which there are so many.
func newEpoll(sh *core.Shard, workers int) (*epollWorker, error) {
	w := &epollWorker{shard: sh, workers: workers, gso: true}
	var err error
	if w.rx, err = newReceiver(); err != nil {
		return nil, err
	}
	if w.loop, err = stream.NewLoop(rxBuffers); err != nil {
		return nil, err
	}
	w.pace.rest = stream.NewPause(restFor)
	sh.Attach(w, true)
	return w, nil
}

// edge is how datagram sockets are watched: what is left in one is in unread, so
// that the kernel need not look again at each that was read.
const edge = stream.Readable | stream.Edge

// watch enters a file descriptor into the loop.
func (w *epollWorker) watch(fd int, s source, events stream.Events) (*stream.Handle, error) {
	return w.loop.Add(fd, &watched{w, s}, events)
}

// closeFD closes a file descriptor and with that takes it out of the loop, unless
// another process has it too.
func (w *epollWorker) closeFD(h *stream.Handle) {
	h.Forget()
	unix.RawSyscall(unix.SYS_CLOSE, uintptr(h.FD()), 0, 0)
}

func (w *epollWorker) Wake() {
	if w.sleeping.CompareAndSwap(true, false) {
		w.loop.Wake()
	}
}

func (w *epollWorker) Post(f func(*core.Shard)) {
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

func (w *epollWorker) runPosted() {
	w.mu.Lock()
	posted := w.posted
	w.posted = nil
	w.mu.Unlock()
	for _, f := range posted {
		f(w.shard)
	}
}

// Run serves until ctx ends.
func (w *epollWorker) Run(ctx context.Context) error {
	// A worker that waits in a raw system call keeps its P, so that it needs no
	// scheduler on the way back. The others need one P more than there are workers.
	if n := w.workers + 1; w.shard.ID() == 0 && runtime.GOMAXPROCS(0) < n {
		runtime.GOMAXPROCS(n)
	}
	stop := context.AfterFunc(ctx, func() { w.Post(func(*core.Shard) {}) })
	defer stop()
	for ctx.Err() == nil {
		w.wait()
		w.reading, w.unread = w.unread, w.reading[:0]
		w.loop.Dispatch()
		for _, h := range w.reading {
			h.Ready(stream.Readable)
		}
		w.stream.again(w)
		w.shard.Drain()
		if w.loop.Woken() {
			w.runPosted()
		}
		w.Flush()
		w.shard.WakeOthers()
	}
	w.close()
	return nil
}

// close ends everything that the worker holds.
func (w *epollWorker) close() {
	w.runPosted()
	w.shard.EndAll()
	w.Flush()
	w.stream.closeAll(w)
	for _, l := range w.listeners {
		w.closeFD(l.handle)
	}
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
	w.loop.Close()
	w.rx.close()
}

// udpListener is a worker's share of a UDP listener.
type udpListener struct {
	fd      int
	handle  *stream.Handle
	number  uint32 // in listeners
	v6      bool
	local   wire.Endpoint // the bound address
	pktinfo bool          // bound to all addresses: answers must leave from the right one
	dirty   []*core.Client
	kept    bool // a socket for one client alone, see Yield
}

func (l *udpListener) localIP(c *core.Client) wire.Endpoint {
	if l.pktinfo {
		return wire.Endpoint{Hi: c.Key.LocalHi, Lo: c.Key.LocalLo}
	}
	return l.local.IP()
}

// LocalIP is the address of this host to which a client came.
func (w *epollWorker) LocalIP(c *core.Client) wire.Endpoint {
	if l, ok := c.Handle.(*udpListener); ok {
		return l.localIP(c)
	}
	return localIP(c.Handle.(*streamClient).conn.LocalAddr())
}

const listenerBuffer = 4 << 20 // bytes: the system's default drops bursts

func (w *epollWorker) Listen(ap netip.AddrPort) (netip.AddrPort, error) {
	fd, err := openUDP(ap, true)
	if err != nil {
		return ap, err
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		unix.Close(fd)
		return ap, err
	}
	switch name := name.(type) {
	case *unix.SockaddrInet4:
		ap = netip.AddrPortFrom(ap.Addr(), uint16(name.Port))
	case *unix.SockaddrInet6:
		ap = netip.AddrPortFrom(ap.Addr(), uint16(name.Port))
	}
	return ap, w.addListener(fd, ap)
}

// addListener serves a socket that is bound to ap. It owns the socket.
func (w *epollWorker) addListener(fd int, ap netip.AddrPort) (err error) {
	bigBuffers(fd, listenerBuffer)
	unix.SetsockoptInt(fd, unix.SOL_UDP, unix.UDP_GRO, 1)
	l := &udpListener{
		fd: fd, number: uint32(len(w.listeners)), v6: ap.Addr().Is6(),
		local: wire.EndpointFrom(ap), pktinfo: ap.Addr().IsUnspecified(),
	}
	if l.pktinfo {
		if l.v6 {
			err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
		} else {
			err = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
		}
	}
	if err == nil {
		l.handle, err = w.watch(fd, l, edge)
	}
	if err != nil {
		unix.Close(fd)
		return err
	}
	w.listeners = append(w.listeners, l)
	return nil
}

// receive reads up to limit datagrams from a socket that is watched by its edges.
func (w *epollWorker) receive(h *stream.Handle, limit int) (from, to int) {
	if w.rx.used == rxBuffers {
		w.Flush()
	}
	from, to, more := w.rx.receive(h.FD(), limit)
	if more {
		w.unread = append(w.unread, h)
	}
	return from, to
}

// readable handles a batch from the listener.
func (l *udpListener) readable(w *epollWorker, _ stream.Events) {
	from, to := w.receive(l.handle, rxBuffers)
	s := w.shard
	var last *core.Client
	for i := from; i < to; i++ {
		a := w.rx.arrival(i)
		key := wire.FiveTuple{Client: a.from, LocalHi: a.local.Hi, LocalLo: a.local.Lo, Listener: l.number}
		if last == nil || last.Key != key {
			if last = s.Client(key); last == nil {
				last = w.visitor(l, key)
			}
		}
		for g, ok := w.rx.first(i, &a), true; ok; g, ok = following(g, &a) {
			s.FromClient(last, g)
			// It may have made its allocation just now. Without one, the next datagram is
			// another visitor's: this one's may have been handed over for sending.
			if last = last.Current(); last == nil {
				last = w.visitor(l, key)
			}
		}
		if !last.Allocated() {
			last = nil
		}
	}
}

// visitor returns a client without allocation, which lasts until the round ends.
func (w *epollWorker) visitor(l *udpListener, key wire.FiveTuple) *core.Client {
	if w.visits == len(w.visitors) {
		w.Flush()
	}
	c := &w.visitors[w.visits]
	w.visits++
	*c = core.Client{Transport: wire.UDP, Addr: key.Client, Key: key, Handle: l}
	return c
}

// ToClient queues a message for a client.
func (w *epollWorker) ToClient(c *core.Client, g wire.Segment, media bool) {
	if w.tx.push(&c.Queued, item{buf: g.Bytes(), drop: media}) {
		if l, ok := c.Handle.(*udpListener); ok {
			l.dirty = append(l.dirty, c)
		} else {
			w.tx.streams = append(w.tx.streams, c)
		}
	}
}

// Flush sends everything that is queued and frees the round's buffers.
func (w *epollWorker) Flush() {
	t := &w.tx
	if len(t.items) > 0 {
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
		t.reset()
	}
	w.rx.reset()
	w.visits = 0
	w.stream.used = 0
	w.shard.Reclaim()
}

func (w *epollWorker) flushListener(l *udpListener) {
	t := &w.tx
	for _, c := range l.dirty {
		for at := c.Queued.Head; at != 0; {
			if t.full() {
				w.unsent(t.send(l.fd, &w.gso))
			}
			n := t.nmsgs
			at, _ = t.add(at, w.gso)
			w.address(n, l, c)
		}
		c.Queued = core.Queued{}
	}
	w.unsent(t.send(l.fd, &w.gso))
	clear(l.dirty)
	l.dirty = l.dirty[:0]
}

// address sets a message's destination, and its source on a listener that is bound
// to all addresses.
func (w *epollWorker) address(n int, l *udpListener, c *core.Client) {
	t := &w.tx
	sa, h := &t.addrs[n], &t.msgs[n].hdr
	sa.set(c.Addr, l.v6)
	h.Name, h.Namelen = (*byte)(unsafe.Pointer(&sa.raw)), sa.len
	if !l.pktinfo {
		return
	}
	used := int(h.Controllen)
	if l.v6 {
		var info [20]byte
		binary.BigEndian.PutUint64(info[:], c.Key.LocalHi)
		binary.BigEndian.PutUint64(info[8:], c.Key.LocalLo)
		binary.LittleEndian.PutUint32(info[16:], c.Addr.Zone)
		used += putCmsg(t.control[n][used:], unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, info[:])
	} else {
		var info [12]byte
		binary.BigEndian.PutUint32(info[4:], uint32(c.Key.LocalLo)) // ipi_spec_dst
		used += putCmsg(t.control[n][used:], unix.IPPROTO_IP, unix.IP_PKTINFO, info[:])
	}
	h.Control, h.Controllen = &t.control[n][0], uint64(used)
}

// unsent counts datagrams that the kernel refused to send.
func (w *epollWorker) unsent(n int) { w.shard.Drop(core.DropSend, n) }
