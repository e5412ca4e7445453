//go:build linux && (amd64 || arm64)

package turnsrv

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"turnhub/internal/stream"
	"turnhub/turnsrv/internal/core"
	"turnhub/turnsrv/internal/wire"
)

// A successor takes over the UDP listeners of a running server without losing a
// packet of its calls. It inherits the very sockets (ListenerFiles, AdoptUDP).
// When it is ready, the old server yields: for each client with an allocation it
// connects a socket of its own to the client's five-tuple, to which the kernel
// then prefers to deliver, and leaves the listeners alone. So old calls go on in
// the old process, and everything else meets the new one. If that ends before its
// time, the old server resumes the listeners, of which its owner has kept a file.

// ListenerFiles returns duplicates of the UDP listeners' sockets, to be inherited
// by a successor. The caller closes them.
func (s *Server) ListenerFiles() (files []*os.File, err error) {
	s.eachEpoll(func(w *epollWorker) {
		for _, l := range w.listeners {
			if l.kept {
				continue
			}
			fd, dupErr := stream.DuplicateFD(l.fd)
			if dupErr != nil {
				err = errors.Join(err, fmt.Errorf("duplicate a UDP listener: %w", dupErr))
				continue
			}
			files = append(files, os.NewFile(uintptr(fd), "udp:"+l.local.AddrPort().String()))
		}
	})
	return files, err
}

// AdoptUDP takes over UDP listeners that were inherited, from a predecessor or
// from systemd, and returns their addresses. They are closed on an error only.
// Workers that get none share the address by sockets of their own.
func (s *Server) AdoptUDP(files []*os.File) ([]netip.AddrPort, error) {
	order, byAddress, err := openInherited(files)
	if err != nil {
		return nil, err
	}
	workers := s.workers[:len(s.workers)-1]
	for _, ap := range order {
		fds := byAddress[ap]
		shared, _ := unix.GetsockoptInt(fds[0], unix.SOL_SOCKET, unix.SO_REUSEPORT)
		for i := range max(len(fds), len(workers)) {
			w, ok := workers[i%len(workers)].(*epollWorker)
			if !ok {
				return nil, errors.New("adopt UDP listeners: this driver cannot")
			}
			var err error
			switch {
			case i < len(fds):
				err = w.addListener(fds[i], ap)
			case shared != 0:
				_, err = w.Listen(ap)
			}
			if err != nil {
				return nil, fmt.Errorf("adopt UDP listener %s: %w", ap, err)
			}
		}
	}
	return order, nil
}

// openInherited takes the sockets out of their files, by the addresses that they are
// bound to.
func openInherited(files []*os.File) (order []netip.AddrPort, byAddress map[netip.AddrPort][]int, err error) {
	byAddress = make(map[netip.AddrPort][]int)
	for _, f := range files {
		fd, err := stream.DuplicateFD(int(f.Fd()))
		if err != nil {
			return nil, nil, fmt.Errorf("adopt UDP listener %s: %w", f.Name(), err)
		}
		f.Close()
		if err := unix.SetNonblock(fd, true); err != nil {
			return nil, nil, fmt.Errorf("adopt UDP listener %s: %w", f.Name(), err)
		}
		ap, err := boundUDP(fd)
		if err != nil {
			return nil, nil, fmt.Errorf("adopt UDP listener %s: %w", f.Name(), err)
		}
		if byAddress[ap] == nil {
			order = append(order, ap)
		}
		byAddress[ap] = append(byAddress[ap], fd)
	}
	return order, byAddress, nil
}

// Resume takes back the listeners that Yield left to a successor, which has ended:
// files are those of ListenerFiles. New allocations are made again.
func (s *Server) Resume(files []*os.File) error {
	order, byAddress, err := openInherited(files)
	if err != nil {
		return err
	}
	workers := s.workers[:len(s.workers)-1]
	var errs []error
	for _, ap := range order {
		for i, fd := range byAddress[ap] {
			done := make(chan error)
			w := workers[i%len(workers)]
			w.Post(func(*core.Shard) {
				if e, ok := w.(*epollWorker); ok {
					done <- e.resume(fd, ap)
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

// resume serves a listener again, under the number that it had.
func (w *epollWorker) resume(fd int, ap netip.AddrPort) error {
	if w.ended.Load() {
		unix.Close(fd)
		return nil
	}
	if err := w.addListener(fd, ap); err != nil {
		return err
	}
	again := w.listeners[len(w.listeners)-1]
	for _, l := range w.left {
		if l.local == again.local {
			again.number = l.number
		}
	}
	return nil
}

// boundUDP returns the address that a UDP socket is bound to.
func boundUDP(fd int) (netip.AddrPort, error) {
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil || kind != unix.SOCK_DGRAM {
		return netip.AddrPort{}, errors.Join(errors.New("not a UDP socket"), err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return netip.AddrPort{}, err
	}
	switch name := name.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(name.Addr), uint16(name.Port)), nil
	case *unix.SockaddrInet6:
		only, err := unix.GetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY)
		if err == nil && only == 0 {
			err = errors.New("the socket takes IPv4 as well; give it BindIPv6Only=ipv6-only")
		}
		return netip.AddrPortFrom(netip.AddrFrom16(name.Addr), uint16(name.Port)), err
	}
	return netip.AddrPort{}, errors.New("not an internet socket")
}

// Yield leaves the UDP listeners to the successor. The clients that have
// allocations are served on, everybody else meets the successor. It returns how
// many clients could not be kept, for want of file descriptors.
func (s *Server) Yield() (lost int) {
	s.Drain()
	s.eachEpoll(func(w *epollWorker) { lost += w.yield() })
	return lost
}

// eachEpoll runs f for each worker with a driver of this kind, one after the other,
// in its thread of control.
func (s *Server) eachEpoll(f func(*epollWorker)) {
	for _, each := range s.workers {
		if w, ok := each.(*epollWorker); ok {
			done := make(chan struct{})
			w.Post(func(*core.Shard) {
				f(w)
				close(done)
			})
			<-done
		}
	}
}

func (w *epollWorker) yield() (lost int) {
	w.Flush()
	old := w.listeners
	w.listeners, w.left = nil, nil
	for _, l := range old {
		if l.kept {
			w.listeners = append(w.listeners, l)
		} else {
			w.left = append(w.left, l)
		}
	}
	for c := range w.shard.Clients {
		l, ok := c.Handle.(*udpListener)
		if !ok || !c.Allocated() || l.kept {
			continue
		}
		keep, err := w.connect(l, c)
		if err != nil {
			lost++
			w.shard.ClientGone(c)
			continue
		}
		c.Handle = keep.udpListener
		w.listeners = append(w.listeners, keep.udpListener)
	}
	for _, l := range w.left {
		w.readKnown(l)
		l.handle.Remove() // closing does not: the successor has the socket too
		w.closeFD(l.handle)
	}
	return lost
}

// keptClient is a listener for one client alone.
type keptClient struct {
	*udpListener
	client *core.Client
}

// connect makes the socket that takes over one client of a listener.
func (w *epollWorker) connect(l *udpListener, c *core.Client) (*keptClient, error) {
	local := l.local
	if l.pktinfo {
		local = wire.Endpoint{Hi: c.Key.LocalHi, Lo: c.Key.LocalLo, Port: l.local.Port, Zone: c.Addr.Zone}
	}
	fd, err := openUDP(local.AddrPort(), true)
	if err != nil {
		return nil, err
	}
	to := unix.Sockaddr(&unix.SockaddrInet6{Port: int(c.Addr.Port), ZoneId: c.Addr.Zone, Addr: c.Addr.AddrPort().Addr().As16()})
	if !l.v6 {
		to = &unix.SockaddrInet4{Port: int(c.Addr.Port), Addr: c.Addr.AddrPort().Addr().As4()}
	}
	unix.SetsockoptInt(fd, unix.SOL_UDP, unix.UDP_GRO, 1)
	if l.pktinfo { // so that the five-tuple stays what it was
		if l.v6 {
			err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
		} else {
			err = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
		}
	}
	if err == nil {
		err = unix.Connect(fd, to)
	}
	own := *l
	own.fd, own.dirty, own.kept = fd, nil, true
	keep := &keptClient{&own, c}
	if err == nil {
		own.handle, err = w.watch(fd, keep, edge)
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return keep, nil
}

// readable serves the client, and frees its five-tuple for the successor when it
// has ended its allocation.
func (k *keptClient) readable(w *epollWorker, events stream.Events) {
	k.udpListener.readable(w, events)
	if !k.client.Allocated() {
		w.Flush() // the answer to its last Refresh
		w.closeFD(k.handle)
		w.listeners = slices.DeleteFunc(w.listeners, func(l *udpListener) bool { return l == k.udpListener })
	}
}

// readKnown handles what is left in a listener that was yielded, of clients that
// stay here. The others send again, to the successor.
func (w *epollWorker) readKnown(l *udpListener) {
	for {
		from, to, _ := w.rx.receive(l.fd, rxBuffers)
		if from == to {
			return
		}
		for i := from; i < to; i++ {
			a := w.rx.arrival(i)
			c := w.shard.Client(wire.FiveTuple{Client: a.from, LocalHi: a.local.Hi, LocalLo: a.local.Lo, Listener: l.number})
			if c == nil {
				continue
			}
			for g, ok := w.rx.first(i, &a), true; ok && c.Allocated(); g, ok = following(g, &a) {
				w.shard.FromClient(c, g)
			}
		}
		w.Flush()
	}
}
