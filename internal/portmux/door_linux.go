package portmux

import (
	"errors"
	"net"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"turnhub/internal/stream"
)

// acceptsInARow is how many connections a loop accepts before it goes on with the others.
const acceptsInARow = 16

// A door accepts the connections of one listener in a loop, while there are names whose
// connections are passed on: such a one needs no goroutine, and no place in Go's poller.
// It ends when the listener is closed, when there is no room, when nothing is passed on any
// more, and on an error; whoever has opened it opens another.
type door struct {
	mux     *Mux
	loop    *passLoop
	fd      int
	handle  *stream.Handle
	closing atomic.Bool
	why     chan error // has room for one: why it has ended, nil: go on
}

// open has a loop accept from a listener. nil: it is no work for one.
func (m *Mux) open(ln net.Listener) *door {
	tcp, ok := ln.(*net.TCPListener)
	if !ok || len(m.forwards.Load().list) == 0 {
		return nil
	}
	loop := m.loops.next()
	if loop == nil {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	d := &door{mux: m, loop: loop, why: make(chan error, 1)}
	m.mu.Lock() // whoever closes the listener finds the door, or has closed it already
	defer m.mu.Unlock()
	closed := raw.Control(func(fd uintptr) { d.fd, err = stream.DuplicateFD(int(fd)) })
	if closed != nil || err != nil {
		return nil
	}
	if d.handle, err = loop.events.Add(d.fd, d, stream.Readable); err != nil {
		unix.Close(d.fd)
		return nil
	}
	m.doors[d] = struct{}{}
	return d
}

// wait returns why a door has ended, once it has.
func (d *door) wait() error {
	err := <-d.why
	d.mux.mu.Lock()
	delete(d.mux.doors, d)
	d.mux.mu.Unlock()
	return err
}

// close ends a door soon.
func (d *door) close() {
	d.closing.Store(true)
	d.handle.Rouse()
}

// look has a door see soon whether anything is passed on.
func (d *door) look() { d.handle.Rouse() }

// Ready accepts who has come.
func (d *door) Ready(stream.Events) {
	switch {
	case d.closing.Load():
		d.end(net.ErrClosed)
		return
	case len(d.mux.forwards.Load().list) == 0:
		d.end(nil)
		return
	}
	for range acceptsInARow {
		if !d.mux.hasRoom() {
			d.end(nil)
			return
		}
		fd, from, err := accept(d.fd)
		switch err {
		case nil:
			d.mux.welcome(d.loop.now, fd, from)
		case unix.EAGAIN:
			return
		case unix.EINTR, unix.ECONNABORTED:
		default:
			d.end(os.NewSyscallError("accept4", err))
			return
		}
	}
}

func (d *door) end(why error) {
	d.handle.Remove()
	unix.Close(d.fd)
	d.why <- why
}

// netConn makes a descriptor a connection of net's own; it is its own or closed then.
func netConn(fd int) (net.Conn, error) {
	f := os.NewFile(uintptr(fd), "")
	conn, err := net.FileConn(f)
	return conn, errors.Join(err, f.Close())
}
