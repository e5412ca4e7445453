//go:build linux && (amd64 || arm64)

package epoll

import (
	"encoding/binary"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"turnhub/turnsrv/internal/wire"
)

// receiver holds a worker's receive buffers and the arrays that recvmmsg(2) needs,
// all made once. The memory is outside of the Go heap: it is never scanned, and
// only pages that packets have touched exist.
type receiver struct {
	memory  []byte
	buffers [rxBuffers]wire.Buffer // parts of memory
	msgs    [rxBuffers]mmsghdr
	iovs    [rxBuffers]unix.Iovec
	names   [rxBuffers]unix.RawSockaddrInet6
	control [rxBuffers][rxControl]byte
	used    int // buffers of this round
}

func newReceiver() (*receiver, error) {
	memory, err := unix.Mmap(-1, 0, rxBuffers*rxStride, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, fmt.Errorf("map receive buffers: %w", err)
	}
	unix.Madvise(memory, unix.MADV_NOHUGEPAGE)
	r := &receiver{memory: memory}
	for i := range r.msgs {
		r.buffers[i].Mem = memory[i*rxStride : (i+1)*rxStride]
		r.iovs[i].Base = &memory[i*rxStride+wire.Headroom]
		r.iovs[i].Len = rxDatagram
		h := &r.msgs[i].hdr
		h.Name = (*byte)(unsafe.Pointer(&r.names[i]))
		h.Iov = &r.iovs[i]
		h.Iovlen = 1
		h.Control = &r.control[i][0]
	}
	r.used = rxBuffers
	r.reset()
	return r, nil
}

func (r *receiver) close() { unix.Munmap(r.memory) }

// receive reads up to limit datagrams from a socket into the free buffers and
// returns which they are: those in [from, to). more is set unless the socket is known to
// be empty.
func (r *receiver) receive(fd, limit int) (from, to int, more bool) {
	from = r.used
	msgs := r.msgs[from:min(from+limit, rxBuffers)]
	n, errno := recvmmsg(fd, msgs)
	if errno != 0 { // one other than EAGAIN may be an ICMP error in front of datagrams
		return from, from, errno != unix.EAGAIN
	}
	r.used += n
	return from, r.used, n == len(msgs)
}

// reset frees the buffers of the round. Only here are the fields restored that the
// kernel changes, and only where it has.
func (r *receiver) reset() {
	for i := range r.used {
		h := &r.msgs[i].hdr
		h.Namelen = unix.SizeofSockaddrInet6
		h.Controllen = rxControl
		h.Flags = 0
	}
	r.used = 0
}

// arrival is what came with a buffer.
type arrival struct {
	from    wire.Endpoint
	size    int           // bytes
	at      int           // where in the buffer the first begins
	segment int           // bytes of each datagram that UDP_GRO joined, 0: one datagram
	local   wire.Endpoint // with IP_PKTINFO: the address it was sent to
}

func (r *receiver) arrival(i int) (a arrival) {
	a.from = endpointOf(&r.names[i])
	a.size, a.at = int(r.msgs[i].len), wire.Headroom
	a.read(r.control[i][:r.msgs[i].hdr.Controllen])
	return a
}

// read takes what the control messages say.
func (a *arrival) read(b []byte) {
	for len(b) >= cmsgHeader {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
		size := int(h.Len)
		if size < cmsgHeader || size > len(b) {
			break
		}
		data := b[cmsgHeader:size]
		switch {
		case h.Level == unix.SOL_UDP && h.Type == unix.UDP_GRO && len(data) >= 4:
			a.segment = int(binary.LittleEndian.Uint32(data))
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && len(data) >= 12:
			a.local = wire.EndpointIPv4(binary.BigEndian.Uint32(data[8:]), 0) // ipi_addr
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && len(data) >= 20:
			a.local.Hi = binary.BigEndian.Uint64(data)
			a.local.Lo = binary.BigEndian.Uint64(data[8:])
		}
		if next := cmsgAlign(size); next < len(b) {
			b = b[next:]
		} else {
			break
		}
	}
}

// firstOf returns the first datagram in a buffer, and following the next one after
// it; ok is false after the last.
func firstOf(b *wire.Buffer, a *arrival) wire.Segment {
	g := wire.Segment{Buf: b, Lo: a.at, Hi: a.at + a.size, Free: a.at, Spare: wire.Tailroom}
	if a.segment > 0 && a.segment < a.size {
		g.Hi, g.Spare = a.at+a.segment, 0
	}
	return g
}

func following(g wire.Segment, a *arrival) (wire.Segment, bool) {
	end := a.at + a.size
	if g.Hi >= end {
		return g, false
	}
	g.Lo, g.Free = g.Hi, 0
	if g.Hi += a.segment; g.Hi >= end {
		g.Hi, g.Spare = end, wire.Tailroom
	}
	return g, true
}

// recvmmsg, like what sends, is a raw system call: the sockets are non-blocking, so the
// scheduler need not know.
func recvmmsg(fd int, msgs []mmsghdr) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&msgs[0])), uintptr(len(msgs)), unix.MSG_DONTWAIT, 0, 0)
	return int(n), errno
}
