package signaling

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
)

// wire is a WebSocket's connection below gorilla. It does three things for the
// sake of many connections on few cores:
//
//   - An idle connection holds no buffer: input is read into a shared one when
//     there is some, and a burst of small messages in one system call.
//   - Before it waits for input it calls before, so that what a burst has caused
//     leaves together.
//   - What is to be written can be tried from any goroutine without blocking it.
//
// The latter needs the socket itself; over TLS the connection reads and writes
// as ever.
type wire struct {
	net.Conn
	raw    syscall.RawConn // nil over TLS
	before func()

	buf  *[]byte // holds buf[r:w], or is nil
	r, w int
	n    int // what readable got
	err  error

	out  []byte // what writable is to write, and what came of it
	sent int
	fail error

	onReadable, onWritable func(fd uintptr) bool
}

var inputs = sync.Pool{New: func() any { b := make([]byte, 16<<10); return &b }}

func newWire(nc net.Conn) *wire {
	w := &wire{Conn: nc}
	w.onReadable, w.onWritable = w.readable, w.writable
	for {
		switch c := nc.(type) {
		case *net.TCPConn:
			if raw, err := c.SyscallConn(); err == nil {
				w.raw = raw
			}
			return w
		case *tls.Conn:
			return w
		case interface{ NetConn() net.Conn }:
			nc = c.NetConn()
		default:
			return w
		}
	}
}

// Read implements net.Conn for the one goroutine that reads.
func (w *wire) Read(p []byte) (int, error) {
	if w.buf != nil {
		n := copy(p, (*w.buf)[w.r:w.w])
		if w.r += n; w.r == w.w {
			inputs.Put(w.buf)
			w.buf = nil
		}
		return n, nil
	}
	if w.before != nil {
		w.before()
	}
	if w.raw == nil || len(p) == 0 {
		return w.Conn.Read(p)
	}
	if err := w.raw.Read(w.onReadable); err != nil {
		return 0, err
	}
	if w.err != nil || w.n <= 0 {
		err := w.err
		if err == nil {
			err = io.EOF
		}
		return 0, err
	}
	w.r, w.w = 0, w.n
	return w.Read(p)
}

// readable reads what there is; false waits for more.
func (w *wire) readable(fd uintptr) bool {
	buf := inputs.Get().(*[]byte)
	for {
		w.n, w.err = syscall.Read(int(fd), *buf)
		if w.err != syscall.EINTR {
			break
		}
	}
	if w.n > 0 {
		w.buf = buf
		return true
	}
	inputs.Put(buf)
	return w.err != syscall.EAGAIN
}

// try writes as much of p as the socket takes at once. Only one goroutine may
// write at a time.
func (w *wire) try(p []byte) (int, error) {
	w.out = p
	err := w.raw.Write(w.onWritable)
	w.out = nil
	if err == nil && w.fail != nil && w.fail != syscall.EAGAIN {
		err = w.fail
	}
	return max(w.sent, 0), err
}

func (w *wire) writable(fd uintptr) bool {
	for {
		w.sent, w.fail = syscall.Write(int(fd), w.out)
		if w.fail != syscall.EINTR {
			return true
		}
	}
}

// release gives the buffer back.
func (w *wire) release() {
	if w.buf != nil {
		inputs.Put(w.buf)
		w.buf = nil
	}
}

// hijacker makes the upgrade take a wire.
type hijacker struct {
	http.ResponseWriter
	wire *wire
}

// Hijack implements http.Hijacker.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	nc, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	h.wire = newWire(nc)
	return h.wire, rw, nil
}
