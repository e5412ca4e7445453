package wire

// Room that a receive buffer keeps around a datagram, so that headers are put in
// front of it and padding behind it without moving it.
const (
	Headroom = 64 // the longest Data indication header is 20+24+4 bytes
	Tailroom = 4  // padding to a multiple of four
)

// Buffer is memory in which messages lie, and how many sends still read it. A
// driver whose sends complete later holds a buffer from then on until the kernel
// has done with it; whoever owns the memory writes there again only when nobody
// holds it. A buffer belongs to one shard's thread of control.
type Buffer struct {
	Mem  []byte
	held int
}

// Hold keeps the owner from using the memory again, until as many calls of Release.
func (b *Buffer) Hold() { b.held++ }

// Release takes back one Hold.
func (b *Buffer) Release() { b.held-- }

// Held reports whether a send still reads the memory.
func (b *Buffer) Held() bool { return b.held > 0 }

// Segment is one message or datagram inside a buffer: Mem[Lo:Hi]. It is valid until
// the round of the worker that received it ends, and longer while a driver holds
// its buffer.
type Segment struct {
	Buf    *Buffer
	Lo, Hi int
	Free   int // bytes before lo that may be overwritten
	Spare  int // bytes after hi that may be overwritten
}

// Bytes is the message.
func (g Segment) Bytes() []byte { return g.Buf.Mem[g.Lo:g.Hi] }
func (g Segment) Len() int      { return g.Hi - g.Lo }

// Strip removes n bytes in front (which become free) and keeps size bytes.
func (g Segment) Strip(n, size int) Segment {
	g.Lo += n
	g.Free += n
	end := g.Lo + size
	g.Spare += g.Hi - end
	g.Hi = end
	return g
}

// Copied returns a segment with a copy of payload and room on both sides. It
// allocates: for the control path and tests.
func Copied(payload []byte) Segment {
	b := &Buffer{Mem: make([]byte, Headroom+len(payload)+Tailroom)}
	copy(b.Mem[Headroom:], payload)
	return Segment{Buf: b, Lo: Headroom, Hi: Headroom + len(payload), Free: Headroom, Spare: Tailroom}
}
