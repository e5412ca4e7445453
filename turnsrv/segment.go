package turnsrv

// Room that a receive buffer keeps around a datagram, so that headers are put in
// front of it and padding behind it without moving it.
const (
	headroom = 64 // the longest Data indication header is 20+24+4 bytes
	tailroom = 4  // padding to a multiple of four
)

// buffer is memory in which messages lie, and how many sends still read it. A
// driver whose sends complete later holds a buffer from then on until the kernel
// has done with it; whoever owns the memory writes there again only when nobody
// holds it. A buffer belongs to one shard's thread of control.
type buffer struct {
	Mem  []byte
	held int
}

// Hold keeps the owner from using the memory again, until as many calls of Release.
func (b *buffer) Hold() { b.held++ }

// Release takes back one Hold.
func (b *buffer) Release() { b.held-- }

// Held reports whether a send still reads the memory.
func (b *buffer) Held() bool { return b.held > 0 }

// segment is one message or datagram inside a buffer: Mem[lo:hi]. It is valid until
// the round of the worker that received it ends, and longer while a driver holds
// its buffer.
type segment struct {
	buf    *buffer
	lo, hi int
	free   int // bytes before lo that may be overwritten
	spare  int // bytes after hi that may be overwritten
}

func (g segment) bytes() []byte { return g.buf.Mem[g.lo:g.hi] }
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
	b := &buffer{Mem: make([]byte, headroom+len(payload)+tailroom)}
	copy(b.Mem[headroom:], payload)
	return segment{buf: b, lo: headroom, hi: headroom + len(payload), free: headroom, spare: tailroom}
}
