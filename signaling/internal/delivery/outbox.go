package delivery

import (
	"sync"

	"turnhub/signaling/internal/wire"
)

// outbox holds a session's numbered messages until they are acknowledged. The
// numbers begin at 1.
type outbox struct {
	items []item // items[head] has number base+1
	head  int
	base  uint64 // the highest number that is acknowledged
	bytes int
}

// item is a message and, where nobody else has it, the buffer that it fills.
type item struct {
	text   wire.Object
	buffer *[]byte
}

// last returns the number of the newest message.
func (o *outbox) last() uint64 { return o.base + uint64(len(o.items)-o.head) }

// get returns the message with number n, which must be in the box.
func (o *outbox) get(n uint64) wire.Object { return o.items[o.head+int(n-o.base-1)].text }

// add appends a message unless that exceeds the bounds.
func (o *outbox) add(b item) bool {
	if len(o.items)-o.head >= maxQueueMessages || o.bytes+len(b.text)+overhead > maxQueueBytes {
		return false
	}
	if o.head > 0 && len(o.items) == cap(o.items) {
		n := copy(o.items, o.items[o.head:])
		clear(o.items[n:])
		o.items, o.head = o.items[:n], 0
	}
	o.items = append(o.items, b)
	o.bytes += len(b.text) + overhead
	return true
}

// ack drops everything up to number n. It reports whether n makes sense.
func (o *outbox) ack(n uint64) bool {
	if n > o.last() {
		return false
	}
	for o.base < n {
		it := &o.items[o.head]
		o.bytes -= len(it.text) + overhead
		if it.buffer != nil {
			freeBuffer(it.buffer)
		}
		*it = item{}
		o.head++
		o.base++
	}
	if o.head == len(o.items) {
		o.head = 0
		if o.items = o.items[:0]; cap(o.items) > 32 {
			o.items = nil
		}
	}
	return true
}

// drop empties the box; its numbers go on.
func (o *outbox) drop() {
	o.base = o.last()
	o.items, o.head, o.bytes = nil, 0, 0
}

// buffers holds buffers of messages to one session, by size: they make up nearly
// all of the garbage otherwise.
var buffers = [...]struct {
	size int
	pool sync.Pool
}{{size: 512}, {size: 2 << 10}, {size: 8 << 10}}

// NewBuffer returns an empty buffer for n bytes, for SendOnly, or nil where it is too
// large to be kept.
func NewBuffer(n int) *[]byte {
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
