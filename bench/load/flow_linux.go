package load

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxPending bounds what an open loop may pile up before a stream that the
// server does not read.
const maxPending = 1 << 20

// A flow is one direction of one client's media.
type flow struct {
	fd       int
	conn     *conn // nil: a peer's socket
	burst    int
	frames   []byte // burst frames, one behind the other
	size     int    // bytes of a frame
	offset   int    // where the payload begins in a frame
	gather   *gather
	name     [unix.SizeofSockaddrInet6]byte
	nameSize uint32

	sent, received, reordered uint64
	next                      uint64
	inFlight                  int
	progress                  time.Duration // when something last arrived
}

// newFlow prepares the frames of one flow. to is the destination of a peer's
// socket; a client's socket is connected.
func newFlow(id int, c *conn, fd int, to netip.AddrPort, f frame, o *Options) (*flow, error) {
	fl := &flow{fd: fd, conn: c, burst: o.Burst, size: len(f.bytes), offset: f.offset}
	for range o.Burst {
		fl.frames = append(fl.frames, f.bytes...)
	}
	for i := range o.Burst {
		p := fl.frames[i*fl.size+fl.offset:][:o.Size]
		for j := range p {
			p[j] = byte(j)
		}
		binary.BigEndian.PutUint32(p, uint32(id))
	}
	if c == nil {
		fl.nameSize = rawSockaddr(&fl.name, to)
	}
	if o.Burst > 1 && (c == nil || !c.stream) {
		if o.BurstBy == "mmsg" {
			fl.gather = newGather(fl.frames, fl.size)
			if c == nil {
				fl.gather.to(&fl.name[0], fl.nameSize)
			}
		} else if err := unix.SetsockoptInt(fd, unix.SOL_UDP, unix.UDP_SEGMENT, fl.size); err != nil {
			return nil, errors.New("this kernel has no UDP_SEGMENT; take bursts by mmsg")
		}
	}
	return fl, nil
}

// send sends one burst and tells how many packets have left.
func (f *flow) send(now time.Duration) int {
	for i := range f.burst {
		p := f.frames[i*f.size+f.offset:]
		binary.BigEndian.PutUint64(p[4:], f.sent+uint64(i))
		binary.BigEndian.PutUint64(p[12:], uint64(now))
	}
	n := 0
	switch {
	case f.conn != nil && f.conn.stream:
		if len(f.conn.raw.pending) > maxPending {
			return 0
		}
		if _, err := f.conn.rw.Write(f.frames); err == nil {
			n = f.burst
		}
	case f.gather != nil:
		n = f.gather.send(f.fd)
	default:
		var name *byte
		if f.nameSize > 0 {
			name = &f.name[0]
		}
		if sendTo(f.fd, f.frames, name, f.nameSize) {
			n = f.burst
		}
	}
	f.sent += uint64(n)
	f.inFlight += n
	return n
}

// blocked tells whether a stream still holds what it could not write.
func (f *flow) blocked() bool {
	if f.conn == nil || !f.conn.stream || len(f.conn.raw.pending) == 0 {
		return false
	}
	gone, _ := f.conn.raw.flush()
	return !gone
}

// rawSockaddr writes a as the kernel wants it and returns the size.
func rawSockaddr(to *[unix.SizeofSockaddrInet6]byte, a netip.AddrPort) uint32 {
	if a.Addr().Is4() {
		s := (*unix.RawSockaddrInet4)(unsafe.Pointer(to))
		s.Family, s.Addr = unix.AF_INET, a.Addr().As4()
		binary.BigEndian.PutUint16(to[2:], a.Port())
		return unix.SizeofSockaddrInet4
	}
	s := (*unix.RawSockaddrInet6)(unsafe.Pointer(to))
	s.Family, s.Addr = unix.AF_INET6, a.Addr().As16()
	binary.BigEndian.PutUint16(to[2:], a.Port())
	return unix.SizeofSockaddrInet6
}
