package signaling

import "sync"

// outbox holds a session's numbered messages until they are acknowledged. The
// numbers begin at 1.
type outbox struct {
	bodies []item // bodies[head] has number base+1
	head   int
	base   uint64 // the highest number that is acknowledged
	bytes  int
}

// item is a message and, where nobody else has it, the buffer that it fills.
type item struct {
	body
	buffer *[]byte
}

// overhead is what a waiting message costs beside its text, in bytes.
const overhead = 48

// last returns the number of the newest message.
func (o *outbox) last() uint64 { return o.base + uint64(len(o.bodies)-o.head) }

// get returns the message with number n, which must be in the box.
func (o *outbox) get(n uint64) body { return o.bodies[o.head+int(n-o.base-1)].body }

// add appends a message unless that exceeds the bounds.
func (o *outbox) add(b item) bool {
	if len(o.bodies)-o.head >= maxQueueMessages || o.bytes+len(b.body)+overhead > maxQueueBytes {
		return false
	}
	if o.head > 0 && len(o.bodies) == cap(o.bodies) {
		n := copy(o.bodies, o.bodies[o.head:])
		clear(o.bodies[n:])
		o.bodies, o.head = o.bodies[:n], 0
	}
	o.bodies = append(o.bodies, b)
	o.bytes += len(b.body) + overhead
	return true
}

// ack drops everything up to number n. It reports whether n makes sense.
func (o *outbox) ack(n uint64) bool {
	if n > o.last() {
		return false
	}
	for o.base < n {
		it := &o.bodies[o.head]
		o.bytes -= len(it.body) + overhead
		if it.buffer != nil {
			freeBuffer(it.buffer)
		}
		*it = item{}
		o.head++
		o.base++
	}
	if o.head == len(o.bodies) {
		o.head = 0
		if o.bodies = o.bodies[:0]; cap(o.bodies) > 32 {
			o.bodies = nil
		}
	}
	return true
}

// drop empties the box; its numbers go on.
func (o *outbox) drop() {
	o.base = o.last()
	o.bodies, o.head, o.bytes = nil, 0, 0
}

// buffers holds buffers of messages to one session, by size: they make up nearly
// all of the garbage otherwise.
var buffers = [...]struct {
	size int
	pool sync.Pool
}{{size: 512}, {size: 2 << 10}, {size: 8 << 10}}

// newBuffer returns an empty buffer for n bytes, or nil where it is too large to
// be kept.
func newBuffer(n int) *[]byte {
	for i := range buffers {
		class := &buffers[i]
		if n <= class.size {
			if p, ok := class.pool.Get().(*[]byte); ok {
				return p
			}
			b := make([]byte, 0, class.size)
			return &b
		}
	}
	return nil
}

// freeBuffer gives a buffer back, which is the next one's from then on.
func freeBuffer(p *[]byte) {
	for i := range buffers {
		if class := &buffers[i]; cap(*p) == class.size {
			*p = (*p)[:0]
			class.pool.Put(p)
			return
		}
	}
}
