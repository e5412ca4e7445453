//go:build linux && (amd64 || arm64)

package turnsrv

import (
	"errors"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"turnhub/turnsrv/internal/core"
	"turnhub/turnsrv/internal/epoll"
	"turnhub/turnsrv/internal/wire"
)

// A successor takes over the UDP listeners of a running server without losing a
// packet of its calls. It inherits the very sockets (ListenerFiles, AdoptUDP).
// When it is ready, the old server yields: for each client with an allocation it
// connects a socket of its own to the client's five-tuple, to which the kernel
// then prefers to deliver, and leaves the listeners alone. What the kernel gives to the
// wrong worker meanwhile is passed on. So old calls go on in
// the old process, and everything else meets the new one. If that ends before its
// time, the old server resumes the listeners, of which its owner has kept a file.

// bequeather is a worker whose listeners a successor can take over. All but Adopt are
// called in its thread of control.
type bequeather interface {
	// Files returns duplicates of the listeners' sockets. The caller closes them.
	Files() ([]*os.File, error)
	// Adopt serves a socket that is bound to an address, and owns it.
	Adopt(fd int, ap netip.AddrPort) error
	// HandOver begins a handover: what comes for a client that the worker does not know
	// is given to pass.
	HandOver(pass func(key wire.FiveTuple, datagram []byte))
	// Astray takes such a datagram, if the worker knows the client.
	Astray(key wire.FiveTuple, datagram []byte)
	// Keep keeps the clients with an allocation. It returns how many could not be kept.
	Keep() (lost int)
	// Yield leaves the listeners to a successor.
	Yield()
	// Resume serves a listener again, under the number that it had.
	Resume(fd int, ap netip.AddrPort) error
}

var _ bequeather = (*epoll.Worker)(nil)

// ListenerFiles returns duplicates of the UDP listeners' sockets, to be inherited
// by a successor. The caller closes them.
func (s *Server) ListenerFiles() (files []*os.File, err error) {
	s.eachBequeather(func(w bequeather) {
		of, failed := w.Files()
		files, err = append(files, of...), errors.Join(err, failed)
	})
	return files, err
}

// AdoptUDP takes over UDP listeners that were inherited, from a predecessor or
// from systemd, and returns their addresses. They are closed on an error only.
// Workers that get none share the address by sockets of their own.
func (s *Server) AdoptUDP(files []*os.File) ([]netip.AddrPort, error) {
	order, byAddress, err := epoll.Inherited(files)
	if err != nil {
		return nil, err
	}
	workers := s.workers[:len(s.workers)-1]
	for _, ap := range order {
		fds := byAddress[ap]
		shared, _ := unix.GetsockoptInt(fds[0], unix.SOL_SOCKET, unix.SO_REUSEPORT)
		for i := range max(len(fds), len(workers)) {
			w, ok := workers[i%len(workers)].(bequeather)
			if !ok {
				return nil, errors.New("adopt UDP listeners: this driver cannot")
			}
			var err error
			switch {
			case i < len(fds):
				err = w.Adopt(fds[i], ap)
			case shared != 0:
				_, err = workers[i%len(workers)].Listen(ap)
			}
			if err != nil {
				return nil, fmt.Errorf("adopt UDP listener %s: %w", ap, err)
			}
		}
	}
	return order, nil
}

// Resume takes back the listeners that Yield left to a successor, which has ended:
// files are those of ListenerFiles. New allocations are made again.
func (s *Server) Resume(files []*os.File) error {
	order, byAddress, err := epoll.Inherited(files)
	if err != nil {
		return err
	}
	workers := s.workers[:len(s.workers)-1]
	var errs []error
	for _, ap := range order {
		for i, fd := range byAddress[ap] {
			done := make(chan error, 1) // a worker that has ended answers before Post returns
			w := workers[i%len(workers)]
			w.Post(func(*core.Shard) {
				if e, ok := w.(bequeather); ok {
					done <- e.Resume(fd, ap)
				} else {
					done <- errors.New("this driver cannot")
				}
			})
			if err := <-done; err != nil {
				errs = append(errs, fmt.Errorf("adopt UDP listener %s: %w", ap, err))
			}
		}
	}
	s.shared.SetDraining(false)
	return errors.Join(errs...)
}

// Yield leaves the UDP listeners to the successor. The clients that have
// allocations are served on, everybody else meets the successor. It returns how
// many clients could not be kept, for want of file descriptors.
func (s *Server) Yield() (lost int) {
	s.Drain()
	s.eachBequeather(func(w bequeather) { w.HandOver(s.passTo(w)) })
	s.eachBequeather(func(w bequeather) { lost += w.Keep() })
	s.eachBequeather(func(w bequeather) { w.Yield() })
	return lost
}

// passTo gives a datagram to all workers but one.
func (s *Server) passTo(but bequeather) func(key wire.FiveTuple, datagram []byte) {
	return func(key wire.FiveTuple, datagram []byte) {
		for _, each := range s.workers {
			if w, ok := each.(bequeather); ok && w != but {
				each.Post(func(*core.Shard) { w.Astray(key, datagram) })
			}
		}
	}
}

// eachBequeather runs f for each worker that can hand over, one after the other, in its
// thread of control.
func (s *Server) eachBequeather(f func(bequeather)) {
	for _, each := range s.workers {
		if w, ok := each.(bequeather); ok {
			done := make(chan struct{})
			each.Post(func(*core.Shard) {
				f(w)
				close(done)
			})
			<-done
		}
	}
}
