//go:build linux && (amd64 || arm64)

package epoll

import (
	"errors"
	"fmt"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"

	"turnhub/internal/stream"
	"turnhub/turnsrv/internal/core"
	"turnhub/turnsrv/internal/wire"
)

// relaySock is a relay socket in a worker's epoll.
type relaySock struct {
	socket
	relay *core.Relay
	v6    bool
	pend  core.Queued
}

// BindRelay opens the socket of a relayed address.
func (w *Worker) BindRelay(r *core.Relay, port uint16) error {
	fd, err := openUDP(netip.AddrPortFrom(r.Bind(), port), false)
	if errors.Is(err, unix.EADDRINUSE) {
		return core.ErrPortInUse
	}
	if err != nil {
		return noDescriptors(err)
	}
	unix.SetsockoptInt(fd, unix.SOL_UDP, unix.UDP_GRO, 1)
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, relayBuffer) != nil {
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, relayBuffer)
	}
	sock := &relaySock{relay: r, v6: r.Bind().Is6()}
	if sock.socket, err = w.open(fd, sock); err != nil {
		unix.Close(fd)
		return noDescriptors(err)
	}
	r.Handle = sock
	return nil
}

// noDescriptors names the errors of a host that can open, or watch (ENOSPC), no more.
func noDescriptors(err error) error {
	if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) || errors.Is(err, unix.ENOSPC) {
		return fmt.Errorf("%w: %w", core.ErrNoDescriptors, err)
	}
	return err
}

// CloseRelay closes it, after what waits to be sent from it.
func (w *Worker) CloseRelay(r *core.Relay) {
	sock := r.Handle.(*relaySock)
	if sock.pend.Head != 0 {
		w.flushRelay(r) // sent before it ended
	}
	w.shut(&sock.socket)
}

// readable handles a batch from peers.
func (k *relaySock) readable(w *Worker, _ stream.Events) {
	from, to := w.receive(k.handle, relayBatch)
	for i := from; i < to; i++ {
		a := w.rx.arrival(i)
		k.arrived(w, &w.rx.buffers[i], &a)
	}
}

func (k *relaySock) arrived(w *Worker, b *wire.Buffer, a *arrival) {
	for g, ok := firstOf(b, a), true; ok; g, ok = following(g, a) {
		w.shard.FromPeer(k.relay, a.from, g)
	}
}

// ToPeer queues a datagram for a peer.
func (w *Worker) ToPeer(r *core.Relay, peer wire.Endpoint, g wire.Segment, dontFragment bool) {
	sock := r.Handle.(*relaySock)
	if dontFragment {
		w.sendUnfragmented(sock, peer, g)
		return
	}
	if w.tx.push(&sock.pend, item{buf: g.Bytes(), peer: peer}) {
		w.tx.relays = append(w.tx.relays, r)
	}
}

func (w *Worker) flushRelay(r *core.Relay) {
	sock := r.Handle.(*relaySock)
	t := &w.tx
	for at := sock.pend.Head; at != 0; {
		if t.full() {
			w.transfer(&sock.socket)
		}
		n := t.nmsgs
		var first *item
		at, first = t.add(at, w.gso)
		sa, h := &t.addrs[n], &t.msgs[n].hdr
		sa.set(first.peer, sock.v6)
		h.Name, h.Namelen = (*byte)(unsafe.Pointer(&sa.raw)), sa.len
	}
	w.transfer(&sock.socket)
	sock.pend = core.Queued{}
}

// sendUnfragmented sends one datagram with the DF bit set, or not at all (RFC 8656
// section 14.8). The system has no control message for it on IPv4, so the socket's
// option is set for as long as it takes.
func (w *Worker) sendUnfragmented(sock *relaySock, peer wire.Endpoint, g wire.Segment) {
	if sock.pend.Head != 0 {
		w.flushRelay(sock.relay) // in order
	}
	w.settle()
	level, option, normal := unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_WANT
	if sock.v6 {
		level, option = unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER
	}
	if unix.SetsockoptInt(sock.fd, level, option, unix.IP_PMTUDISC_DO) != nil {
		w.unsent(1)
		return
	}
	var sa sockaddr
	sa.set(peer, sock.v6)
	b := g.Bytes()
	if sendto(sock.fd, unsafe.SliceData(b), len(b), &sa) != 0 {
		w.unsent(1)
	}
	unix.SetsockoptInt(sock.fd, level, option, normal)
}
