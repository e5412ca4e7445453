//go:build linux && (amd64 || arm64)

package turnsrv

import (
	"crypto/tls"
	"errors"
	"net"
	"unsafe"

	"golang.org/x/sys/unix"
)

// stream is a TCP or TLS client whose socket a worker's epoll owns.
type stream struct {
	client client
	fd     int
	top    net.Conn  // to close in the end
	tls    *tls.Conn // nil for TCP
	raw    *rawConn

	partial []byte // the beginning of a message
	unsent  []byte // bytes on their way that the socket did not take, never dropped
	queue   backlog
	line    line

	whole    int64 // second of the last whole message
	progress int64 // second since which the client has read nothing, 0: it reads
	watching bool  // for room to write
	closing  bool  // when everything is written
	dead     bool
}

// streamState is what a worker needs for all its streams.
type streamState struct {
	all   map[*stream]struct{}
	arena []byte // plain text of this round
	shell buffer // over arena
	used  int
	coded []byte // TLS records as received
	plain []byte // messages joined for one write
	out   []byte // TLS records to send
	swept int64
}

const (
	streamRead  = 64 << 10 // bytes per read
	streamArena = 16*streamRead + 2*maxFrame
)

// layer is a connection that looked at the first bytes of the one below and can
// work over another.
type layer interface {
	net.Conn
	Buffered() []byte
	NetConn() net.Conn
}

type exchangeable interface {
	layer
	SetNetConn(net.Conn)
}

// Serve takes over the socket of a TCP or TLS connection.
func (w *epollWorker) Serve(conn net.Conn, transport Transport) bool {
	k := &stream{top: conn, raw: &rawConn{remote: conn.RemoteAddr(), local: conn.LocalAddr()}}
	under := conn
	if l, ok := under.(layer); ok {
		if _, isTLS := under.(*tls.Conn); !isTLS {
			k.partial = append([]byte(nil), l.Buffered()...)
			under = l.NetConn()
		}
	}
	var swap []exchangeable
	if secure, ok := under.(*tls.Conn); ok {
		k.tls = secure
		lower, ok := secure.NetConn().(exchangeable)
		if !ok {
			return false
		}
		k.raw.input = append([]byte(nil), lower.Buffered()...)
		swap = append(swap, lower)
		under = lower.NetConn()
	} else if l, ok := conn.(exchangeable); ok {
		swap = append(swap, l)
	}
	tcp, ok := under.(*net.TCPConn)
	if !ok {
		return false
	}
	remote, ok := tcp.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return false
	}
	fd, err := duplicate(tcp)
	if err != nil {
		return false
	}
	ap := remote.AddrPort()
	k.fd, k.raw.fd = fd, fd
	k.client = client{Transport: transport, Addr: endpointFrom(ap), Handle: k}
	for _, l := range swap {
		l.SetNetConn(k.raw)
	}
	if len(swap) == 0 {
		k.top = k.raw
	}
	tcp.Close() // ours is a duplicate, so the connection lives on
	w.Post(func(*shard) { w.adopt(k) })
	return true
}

// duplicate returns a descriptor of our own for a connection.
func duplicate(c *net.TCPConn) (fd int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, err
	}
	var dupErr error
	err = raw.Control(func(old uintptr) {
		fd, dupErr = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 3)
	})
	return fd, errors.Join(err, dupErr)
}

// adopt enters a stream into the epoll and handles what was read of it before.
func (w *epollWorker) adopt(k *stream) {
	st := &w.stream
	if w.ended.Load() || w.watch(k.fd, k, unix.EPOLLIN) != nil {
		k.raw.release()
		unix.Close(k.fd)
		k.top.Close()
		return
	}
	if st.all == nil {
		st.all = make(map[*stream]struct{})
		st.arena = make([]byte, streamArena)
		st.shell.Mem = st.arena
	}
	st.all[k] = struct{}{}
	k.line.open(k.fd)
	k.queue.age, k.queue.waited = k.line.age, w.shard.Waited(k.client.Transport)
	w.shard.Streams(1)
	k.whole = w.shard.Second()
	k.readable(w, unix.EPOLLIN)
}

// readable handles what a stream's client has sent.
func (k *stream) readable(w *epollWorker, events uint32) {
	if events&unix.EPOLLOUT != 0 {
		w.drain(k)
	}
	if k.dead || events&^uint32(unix.EPOLLOUT) == 0 {
		return
	}
	st := &w.stream
	if len(st.arena)-st.used < headroom+len(k.partial)+streamRead+tailroom {
		w.Flush()
	}
	start := st.used + headroom
	at := start + copy(st.arena[start:], k.partial)
	limit := min(at+streamRead, len(st.arena)-tailroom)
	var n int
	var err error
	if k.tls == nil {
		n, err = k.readTCP(st.arena[at:limit])
	} else {
		n, err = k.readTLS(w, st.arena[at:limit])
	}
	end := at + n
	rest := w.frames(k, start, end)
	if k.dead {
		return
	}
	if rest < end {
		k.partial = append(k.partial[:0], st.arena[rest:end]...)
	} else if cap(k.partial) > 2048 {
		k.partial = nil
	} else {
		k.partial = k.partial[:0]
	}
	st.used = (end + tailroom + 63) &^ 63
	if err != nil {
		w.closeStream(k)
	}
}

func (k *stream) readTCP(b []byte) (int, error) {
	n, errno := readFD(k.fd, b)
	switch {
	case errno == unix.EAGAIN || errno == unix.EINTR:
		return 0, nil
	case errno != 0:
		return 0, errno
	case n == 0:
		return 0, net.ErrClosed
	}
	return n, nil
}

// readTLS reads what the socket has and decrypts all of it that fits into b.
func (k *stream) readTLS(w *epollWorker, b []byte) (n int, err error) {
	st := &w.stream
	if k.raw.input == nil {
		if st.coded == nil {
			st.coded = make([]byte, streamRead/2)
		}
		got, errno := readFD(k.fd, st.coded)
		switch {
		case errno == unix.EAGAIN || errno == unix.EINTR:
		case errno != 0 || got == 0:
			k.raw.eof = true
		default:
			k.raw.input = st.coded[:got]
		}
	}
	st.out = st.out[:0]
	k.raw.out = &st.out
	for n < len(b) {
		var got int
		got, err = k.tls.Read(b[n:])
		n += got
		if err != nil {
			break
		}
	}
	k.raw.out = nil
	k.raw.input = nil
	if len(st.out) > 0 { // an alert or a key update
		w.write(k, st.out)
	}
	if _, temporary := err.(errNoInput); temporary {
		err = nil
	}
	return n, err
}

// frames handles the whole messages in the arena from start to end and returns
// where the first that is not whole begins.
func (w *epollWorker) frames(k *stream, start, end int) int {
	arena := w.stream.arena
	free := headroom
	for start < end {
		length, message, err := frame(arena[start:end])
		if err != nil {
			w.shard.Drop(DropMalformed, 1)
			w.closeStream(k)
			return end
		}
		if length == 0 || start+length > end {
			break
		}
		k.whole = w.shard.Second()
		w.shard.FromClient(&k.client, segment{
			buf: &w.stream.shell, lo: start, hi: start + message, free: free, spare: length - message,
		})
		if k.dead {
			return end
		}
		start += length
		free = 0
	}
	return start
}

// flush writes what a round has queued for a stream client, several messages with
// one write and in one TLS record.
func (st *streamState) flush(w *epollWorker, c *client) {
	k := c.Handle.(*stream)
	t := &w.tx
	head := c.Pend.Head
	c.Pend = pending{}
	if k.dead {
		return
	}
	if !k.queue.empty() || len(k.unsent) > 0 {
		for at := head; at != 0; at = t.items[at-1].next {
			w.enqueue(k, t.items[at-1].buf, t.items[at-1].drop)
		}
		return
	}
	st.plain = st.plain[:0]
	for at := head; at != 0; at = t.items[at-1].next {
		b := t.items[at-1].buf
		if len(st.plain) > 0 && len(st.plain)+len(b) > tlsRecordMax {
			w.transmit(k, st.plain)
			st.plain = st.plain[:0]
			if len(k.unsent) > 0 {
				for ; at != 0; at = t.items[at-1].next {
					w.enqueue(k, t.items[at-1].buf, t.items[at-1].drop)
				}
				return
			}
		}
		st.plain = append(st.plain, b...)
	}
	w.transmit(k, st.plain)
}

func (w *epollWorker) enqueue(k *stream, b []byte, media bool) {
	if k.dead {
		return
	}
	dropped, ok := k.queue.push(b, media, w.shard.Now())
	w.shard.Drop(DropQueueFull, dropped)
	if !ok {
		w.closeStream(k)
	}
}

// transmit encrypts, for TLS, and writes whole messages.
func (w *epollWorker) transmit(k *stream, plain []byte) {
	if len(plain) == 0 || k.dead {
		return
	}
	if k.tls == nil {
		w.write(k, plain)
		return
	}
	st := &w.stream
	st.out = st.out[:0]
	k.raw.out = &st.out
	_, err := k.tls.Write(plain)
	k.raw.out = nil
	if err != nil {
		w.closeStream(k)
		return
	}
	w.write(k, st.out)
}

// write sends bytes and keeps those that the socket does not take.
func (w *epollWorker) write(k *stream, b []byte) {
	if len(k.unsent) == 0 {
		n, errno := writeFD(k.fd, b)
		if errno != 0 && errno != unix.EAGAIN {
			w.closeStream(k)
			return
		}
		if errno == 0 {
			b = b[n:]
		}
	}
	if len(b) == 0 {
		return
	}
	if k.progress == 0 {
		k.progress = w.shard.Second()
		k.line.look(k.fd, w.shard.Now())
	}
	k.unsent = append(k.unsent, b...)
	w.watchWrite(k, true)
}

func (w *epollWorker) watchWrite(k *stream, on bool) {
	if k.watching == on {
		return
	}
	k.watching = on
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(k.fd)}
	if on {
		ev.Events |= unix.EPOLLOUT
	}
	unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(w.epoll), unix.EPOLL_CTL_MOD, uintptr(k.fd), uintptr(unsafe.Pointer(&ev)), 0, 0)
}

// drain goes on writing to a client that reads again.
func (w *epollWorker) drain(k *stream) {
	for {
		if len(k.unsent) > 0 {
			n, errno := writeFD(k.fd, k.unsent)
			if errno == unix.EAGAIN {
				return
			}
			if errno != 0 {
				w.closeStream(k)
				return
			}
			k.progress = w.shard.Second()
			if n < len(k.unsent) {
				k.unsent = append(k.unsent[:0], k.unsent[n:]...)
				return
			}
			k.unsent = nil
		}
		if k.queue.empty() {
			break
		}
		k.line.look(k.fd, w.shard.Now())
		k.queue.age = k.line.age
		w.stream.plain = k.queue.pop(w.stream.plain[:0], k.line.ahead, w.shard.Now())
		w.transmit(k, w.stream.plain)
		if k.dead || len(k.unsent) > 0 {
			return
		}
	}
	k.progress = 0
	w.watchWrite(k, false)
	if k.closing {
		w.closeStream(k)
	}
}

// CloseClient ends a stream when what is queued for it has been written.
func (w *epollWorker) CloseClient(c *client) {
	k := c.Handle.(*stream)
	if k.dead {
		return
	}
	if c.Pend.Head != 0 {
		w.Flush()
	}
	if len(k.unsent) > 0 || !k.queue.empty() {
		k.closing = true
		return
	}
	w.closeStream(k)
}

// closeStream ends a stream now.
func (w *epollWorker) closeStream(k *stream) {
	if k.dead {
		return
	}
	k.dead = true
	w.shard.ClientGone(&k.client)
	if k.tls != nil && len(k.unsent) == 0 {
		w.stream.out = w.stream.out[:0]
		k.raw.out = &w.stream.out
		k.tls.CloseWrite() // close_notify, RFC 8446 section 6.1
		k.raw.out = nil
		writeFD(k.fd, w.stream.out)
	}
	k.raw.release()
	w.closeFD(k.fd)
	k.top.Close()
	delete(w.stream.all, k)
	w.shard.Streams(-1)
}

// again cuts off, once a second, the clients that say or read nothing.
func (st *streamState) again(w *epollWorker) {
	now := w.shard.Second()
	if now == st.swept || len(st.all) == 0 {
		return
	}
	st.swept = now
	for k := range st.all {
		silent := now-k.whole > StreamPatience && (!k.client.Allocated() || len(k.partial) > 0)
		stalled := k.progress != 0 && now-k.progress > StreamStall
		if silent || stalled {
			w.closeStream(k)
		}
	}
}

func (st *streamState) closeAll(w *epollWorker) {
	for k := range st.all {
		w.closeStream(k)
	}
}
