//go:build linux && (amd64 || arm64)

package epoll

import (
	"encoding/binary"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"

	"turnhub/internal/stream"
	"turnhub/turnsrv/internal/core"
	"turnhub/turnsrv/internal/wire"
)

// udpListener is a worker's share of a UDP listener.
type udpListener struct {
	socket
	number  uint32 // in listeners
	v6      bool
	local   wire.Endpoint // the bound address
	pktinfo bool          // bound to all addresses: answers must leave from the right one
	dirty   []*core.Client
	kept    bool           // a socket for one client alone, see Keep:
	own     wire.FiveTuple // its key
}

func (l *udpListener) localIP(c *core.Client) wire.Endpoint {
	if l.pktinfo {
		return wire.Endpoint{Hi: c.Key.LocalHi, Lo: c.Key.LocalLo}
	}
	return l.local.IP()
}

// Listen binds a UDP socket that shares its port with the other workers'.
func (w *Worker) Listen(ap netip.AddrPort) (netip.AddrPort, error) {
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
	return ap, w.Adopt(fd, ap)
}

// Adopt serves a socket that is bound to ap. It owns the socket.
func (w *Worker) Adopt(fd int, ap netip.AddrPort) (err error) {
	bigBuffers(fd, listenerBuffer)
	unix.SetsockoptInt(fd, unix.SOL_UDP, unix.UDP_GRO, 1)
	l := &udpListener{
		number: uint32(len(w.listeners)), v6: ap.Addr().Is6(),
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
		l.socket, err = w.open(fd, l)
	}
	if err != nil {
		unix.Close(fd)
		return err
	}
	w.listeners = append(w.listeners, l)
	return nil
}

// readable handles a batch from the listener.
func (l *udpListener) readable(w *Worker, _ stream.Events) {
	from, to := w.receive(l.handle, rxBuffers)
	var last *core.Client
	for i := from; i < to; i++ {
		a := w.rx.arrival(i)
		last = l.take(w, last, &w.rx.buffers[i], &a)
	}
}

// arrived handles what a ring has received.
func (l *udpListener) arrived(w *Worker, b *wire.Buffer, a *arrival) { l.take(w, nil, b, a) }

// take handles what came together from one client, and returns that if it has an
// allocation: last is the client before it.
func (l *udpListener) take(w *Worker, last *core.Client, b *wire.Buffer, a *arrival) *core.Client {
	key := wire.FiveTuple{Client: a.from, LocalHi: a.local.Hi, LocalLo: a.local.Lo, Listener: l.number}
	if last == nil || last.Key != key {
		last = w.shard.Client(key)
	}
	if last == nil && w.passes(l, key) {
		w.passOn(b, a, key)
		return nil
	}
	for g, ok := firstOf(b, a), true; ok; g, ok = following(g, a) {
		if last == nil {
			last = w.visitor(l, key)
		}
		w.shard.FromClient(last, g)
		// It may have made its allocation just now. Without one, the next datagram is
		// another visitor's: this one's may have been handed over for sending.
		last = last.Current()
	}
	return last
}

// visitor returns a client without allocation, which lasts until the round ends or as
// many others have come.
func (w *Worker) visitor(l *udpListener, key wire.FiveTuple) *core.Client {
	if w.visits == len(w.visitors) {
		w.Flush()
		w.visits = 0
	}
	c := &w.visitors[w.visits]
	w.visits++
	*c = core.Client{Transport: wire.UDP, Addr: key.Client, Key: key, Handle: l}
	return c
}

// flushListener sends what is queued for the clients of a listener.
func (w *Worker) flushListener(l *udpListener) {
	t := &w.tx
	for _, c := range l.dirty {
		for at := c.Queued.Head; at != 0; {
			if t.full() {
				w.transfer(&l.socket)
			}
			n := t.nmsgs
			at, _ = t.add(at, w.gso)
			w.address(n, l, c)
		}
		c.Queued = core.Queued{}
	}
	w.transfer(&l.socket)
	clear(l.dirty)
	l.dirty = l.dirty[:0]
}

// address sets a message's destination, and its source on a listener that is bound
// to all addresses.
func (w *Worker) address(n int, l *udpListener, c *core.Client) {
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
