package load

import (
	"encoding/binary"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	batchSize     = 64      // datagrams per recvmmsg or sendmmsg
	datagramSize  = 2048    // room for one datagram
	trainSize     = 1 << 16 // room for one train of datagrams joined by UDP_GRO
	trainBatch    = 16      // trains per recvmmsg
	receiveBuffer = 8 << 20 // bytes, as root; else what net.core.rmem_max allows
)

type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
	_   [4]byte
}

// A batch receives datagrams by recvmmsg into memory of its own.
type batch struct {
	msgs    []mmsghdr
	iovs    []unix.Iovec
	buffers []byte
	control []byte
	size    int
}

const controlSize = 32 // one cmsg with the segment size

// newBatch returns a batch for single datagrams or, with trains, for sockets
// that have UDP_GRO on.
func newBatch(trains bool) *batch {
	n, size := batchSize, datagramSize
	if trains {
		n, size = trainBatch, trainSize
	}
	b := &batch{
		msgs: make([]mmsghdr, n), iovs: make([]unix.Iovec, n),
		buffers: make([]byte, n*size), control: make([]byte, n*controlSize), size: size,
	}
	for i := range b.msgs {
		b.iovs[i].Base = &b.buffers[i*size]
		b.iovs[i].SetLen(size)
		b.msgs[i].hdr.Iov = &b.iovs[i]
		b.msgs[i].hdr.SetIovlen(1)
		if trains {
			b.msgs[i].hdr.Control = &b.control[i*controlSize]
		}
	}
	return b
}

// receive reads once without waiting and hands every datagram to deliver. It
// reports whether the batch was full, so that more may be there.
func (b *batch) receive(fd int, deliver func(packet []byte)) bool {
	if b.size == trainSize {
		for i := range b.msgs {
			b.msgs[i].hdr.SetControllen(controlSize)
		}
	}
	n, _, errno := syscall.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&b.msgs[0])),
		uintptr(len(b.msgs)), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return false // EAGAIN, or an ICMP error that a later count shows as loss
	}
	for i := range b.msgs[:n] {
		data := b.buffers[i*b.size:][:b.msgs[i].len]
		segment := len(data)
		if b.size == trainSize {
			if s := b.segmentSize(i); s > 0 {
				segment = s
			}
		}
		for len(data) > 0 {
			k := min(segment, len(data))
			deliver(data[:k])
			data = data[k:]
		}
	}
	return int(n) == len(b.msgs)
}

// segmentSize reads the UDP_GRO control message: the size of each datagram of
// the train, or 0 when it is a single one.
func (b *batch) segmentSize(i int) int {
	if b.msgs[i].hdr.Controllen < unix.SizeofCmsghdr+4 {
		return 0
	}
	c := b.control[i*controlSize:]
	h := (*unix.Cmsghdr)(unsafe.Pointer(&c[0]))
	if h.Level != unix.SOL_UDP || h.Type != unix.UDP_GRO {
		return 0
	}
	return int(binary.NativeEndian.Uint32(c[unix.SizeofCmsghdr:]))
}

// A gather sends several datagrams of one socket by sendmmsg.
type gather struct {
	msgs []mmsghdr
	iovs []unix.Iovec
}

// newGather cuts b into datagrams of size bytes.
func newGather(b []byte, size int) *gather {
	n := len(b) / size
	g := &gather{msgs: make([]mmsghdr, n), iovs: make([]unix.Iovec, n)}
	for i := range g.msgs {
		g.iovs[i].Base = &b[i*size]
		g.iovs[i].SetLen(size)
		g.msgs[i].hdr.Iov = &g.iovs[i]
		g.msgs[i].hdr.SetIovlen(1)
	}
	return g
}

// to addresses every datagram, for a socket that is not connected.
func (g *gather) to(name *byte, size uint32) {
	for i := range g.msgs {
		g.msgs[i].hdr.Name, g.msgs[i].hdr.Namelen = name, size
	}
}

func (g *gather) send(fd int) (sent int) {
	for sent < len(g.msgs) {
		n, _, errno := syscall.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&g.msgs[sent])),
			uintptr(len(g.msgs)-sent), unix.MSG_DONTWAIT, 0, 0)
		if errno != 0 {
			return sent
		}
		sent += int(n)
	}
	return sent
}

// sendTo sends one datagram, or a train where the socket has UDP_SEGMENT set.
func sendTo(fd int, b []byte, name *byte, size uint32) bool {
	_, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)),
		unix.MSG_DONTWAIT, uintptr(unsafe.Pointer(name)), uintptr(size))
	return errno == 0
}

func rawRead(fd int, b []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	return int(n), errno
}

func rawWrite(fd int, b []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	return int(n), errno
}

// wait blocks until fd is ready for events or the time is over.
func wait(fd int, events int16, d time.Duration) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: events}}
	deadline := time.Now().Add(d)
	for {
		left := time.Until(deadline)
		if left < 0 {
			return false
		}
		n, err := unix.Poll(fds, int(left/time.Millisecond)+1)
		if n > 0 {
			return true
		}
		if err != nil && err != unix.EINTR {
			return false
		}
	}
}
