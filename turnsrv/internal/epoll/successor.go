//go:build linux && (amd64 || arm64)

package epoll

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

// Inherited takes the sockets out of their files, by the addresses that they are
// bound to.
func Inherited(files []*os.File) (order []netip.AddrPort, byAddress map[netip.AddrPort][]int, err error) {
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

// Files returns duplicates of the listeners' sockets. The caller closes them.
func (w *Worker) Files() (files []*os.File, err error) {
	for _, l := range w.listeners {
		if l.kept {
			continue
		}
		fd, failed := stream.DuplicateFD(l.fd)
		if failed != nil {
			err = errors.Join(err, fmt.Errorf("duplicate a UDP listener: %w", failed))
			continue
		}
		files = append(files, os.NewFile(uintptr(fd), "udp:"+l.local.AddrPort().String()))
	}
	return files, err
}

// Resume serves a listener again, under the number that it had.
func (w *Worker) Resume(fd int, ap netip.AddrPort) error {
	if w.ended.Load() {
		unix.Close(fd)
		return nil
	}
	if err := w.Adopt(fd, ap); err != nil {
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

// Keep keeps the clients with an allocation, each on a socket connected to its
// five-tuple, and goes on reading the listeners. It returns how many could not be kept.
// Where descriptors are short, relay sockets that were never used give way.
func (w *Worker) Keep() (lost int) {
	w.turnOver()
	asked := false
	for c := range w.shard.Clients {
		l, ok := c.Handle.(*udpListener)
		if !ok || !c.Allocated() || l.kept {
			continue
		}
		keep, err := w.connect(l, c)
		if err != nil && !asked && errors.Is(noDescriptors(err), core.ErrNoDescriptors) {
			if asked = true; w.shard.GiveUpSockets() {
				keep, err = w.connect(l, c)
			}
		}
		if err != nil {
			lost++
			w.shard.ClientGone(c)
			continue
		}
		c.Handle = keep.udpListener
		w.listeners = append(w.listeners, keep.udpListener)
	}
	return lost
}

// Yield leaves the listeners to a successor, when all workers have kept their clients.
func (w *Worker) Yield() {
	w.turnOver()
	old := w.listeners
	w.listeners, w.left = nil, nil
	for _, l := range old {
		if l.kept {
			w.listeners = append(w.listeners, l)
		} else {
			w.left = append(w.left, l)
		}
	}
	if w.ring != nil {
		w.ring.stop(w, w.left)
	}
	for _, l := range w.left {
		w.readKnown(l)
		w.leave(&l.socket)
	}
	w.astray.handing = false
}

// keptClient is a listener for one client alone.
type keptClient struct{ *udpListener }

// connect makes the socket that takes over one client of a listener.
func (w *Worker) connect(l *udpListener, c *core.Client) (*keptClient, error) {
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
	own.dirty, own.kept, own.own = nil, true, c.Key
	keep := &keptClient{&own}
	if err == nil {
		own.socket, err = w.open(fd, keep)
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return keep, nil
}

// readable serves the client, and frees its five-tuple for the successor when it
// has ended its allocation.
func (k *keptClient) readable(w *Worker, events stream.Events) {
	k.udpListener.readable(w, events)
	k.ended(w)
}

func (k *keptClient) arrived(w *Worker, b *wire.Buffer, a *arrival) {
	k.udpListener.arrived(w, b, a)
	k.ended(w)
}

func (k *keptClient) ended(w *Worker) {
	if w.shard.Client(k.own) == nil {
		w.sweepKept()
	}
}

// sweepKept closes the sockets of kept clients whose allocation has ended: here, by a
// request that came to another socket, or by time. As long as such a socket is there, the
// successor hears nothing of its client.
func (w *Worker) sweepKept() {
	ended := func(l *udpListener) bool { return l.kept && w.shard.Client(l.own) == nil }
	if !slices.ContainsFunc(w.listeners, ended) {
		return
	}
	w.Flush() // the answer to a last Refresh
	w.listeners = slices.DeleteFunc(w.listeners, func(l *udpListener) bool {
		gone := ended(l)
		if gone {
			w.shut(&l.socket)
		}
		return gone
	})
}

// readKnown handles what is left in a listener that was yielded, of clients that
// stay here, or with another worker. The others send again, to the successor.
func (w *Worker) readKnown(l *udpListener) {
	for {
		from, to, _ := w.rx.receive(l.fd, rxBuffers)
		if from == to {
			return
		}
		for i := from; i < to; i++ {
			a := w.rx.arrival(i)
			key := wire.FiveTuple{Client: a.from, LocalHi: a.local.Hi, LocalLo: a.local.Lo, Listener: l.number}
			c := w.shard.Client(key)
			if c == nil {
				w.passOn(&w.rx.buffers[i], &a, key)
				continue
			}
			for g, ok := firstOf(&w.rx.buffers[i], &a), true; ok && c.Allocated(); g, ok = following(g, &a) {
				w.shard.FromClient(c, g)
			}
		}
		w.turnOver()
	}
}
