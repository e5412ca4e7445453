//go:build linux && (amd64 || arm64)

package epoll

import (
	"golang.org/x/sys/unix"

	"turnhub/internal/stream"
	"turnhub/turnsrv/internal/wire"
)

// socket is a datagram socket of a worker's: in its loop, or in a slot of its ring.
type socket struct {
	fd     int
	handle *stream.Handle // nil: it is in a slot
	slot   int
}

// datagrams is who takes what arrives at a datagram socket: from a loop it is told to
// read, from a ring it gets what has been read.
type datagrams interface {
	source
	arrived(w *Worker, b *wire.Buffer, a *arrival)
}

// open serves a bound socket. On an error it stays the caller's to close.
func (w *Worker) open(fd int, d datagrams) (s socket, err error) {
	s.fd = fd
	if w.ring != nil {
		s.slot, err = w.ring.open(fd, d)
	} else {
		s.handle, err = w.watch(fd, d, edge)
	}
	return s, err
}

// shut closes a socket, after what is on its way to be sent from it.
func (w *Worker) shut(s *socket) {
	if s.fd < 0 {
		return
	}
	if s.handle != nil {
		w.closeFD(s.handle)
	} else {
		if w.ring.gathered > 0 {
			w.settle()
		}
		w.ring.shut(s.slot)
	}
	s.fd = -1
}

// leave closes a socket that another process has too.
func (w *Worker) leave(s *socket) {
	if s.handle != nil {
		s.handle.Remove() // closing does not
	}
	w.shut(s)
}

// transfer sends the messages that are gathered for a socket, or enters them into the
// ring, where they stay until settle.
func (w *Worker) transfer(s *socket) {
	t := &w.tx
	if w.ring == nil {
		w.unsent(t.send(s.fd, &w.gso))
		return
	}
	for ; w.ring.gathered < t.nmsgs; w.ring.gathered++ {
		n := w.ring.gathered
		t.runs[n].fd, t.runs[n].slot = s.fd, s.slot
		w.ring.send(n, t)
	}
	if t.full() {
		w.settle()
	}
}

// settle has everything in the ring sent.
func (w *Worker) settle() {
	r := w.ring
	if r == nil || r.gathered == 0 && r.uring.Queued() == 0 {
		return
	}
	r.submit()
	t := &w.tx
	for _, f := range r.refused {
		run := &t.runs[f.message]
		switch {
		case run.gso && (f.err == unix.EINVAL || f.err == unix.EIO || f.err == unix.EMSGSIZE):
			if f.err == unix.EIO {
				w.gso = false // the device cannot checksum what it would cut
			}
			w.unsent(t.sendSingly(run.fd, f.message))
		case pending(f.err):
			if _, errno := sendmmsg(run.fd, t.msgs[f.message:f.message+1]); errno != 0 {
				w.unsent(run.n)
			}
		default:
			w.unsent(run.n)
		}
	}
	r.refused = r.refused[:0]
	r.gathered, t.nmsgs, t.niovs = 0, 0, 0
}
