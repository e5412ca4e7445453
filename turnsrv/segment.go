package turnsrv

// Room that a receive buffer keeps around a datagram, so that headers are put in
// front of it and padding behind it without moving it.
const (
	headroom = 64 // the longest Data indication header is 20+24+4 bytes
	tailroom = 4  // padding to a multiple of four
)

// segment is one message or datagram inside a receive buffer: buf[lo:hi]. It is
// valid until the round of the worker that received it ends.
type segment struct {
	buf    []byte
	lo, hi int
	free   int // bytes before lo that may be overwritten
	spare  int // bytes after hi that may be overwritten
}

func (g segment) bytes() []byte { return g.buf[g.lo:g.hi] }
func (g segment) len() int      { return g.hi - g.lo }

// strip removes n bytes in front (which become free) and keeps size bytes.
func (g segment) strip(n, size int) segment {
	g.lo += n
	g.free += n
	end := g.lo + size
	g.spare += g.hi - end
	g.hi = end
	return g
}

// copied returns a segment with a copy of payload and room on both sides. It
// allocates: for the control path and tests.
func copied(payload []byte) segment {
	buf := make([]byte, headroom+len(payload)+tailroom)
	copy(buf[headroom:], payload)
	return segment{buf: buf, lo: headroom, hi: headroom + len(payload), free: headroom, spare: tailroom}
}
