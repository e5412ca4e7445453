package delivery

import (
	"sync"
	"time"

	"turnhub/signaling/internal/wire"
)

// outbox holds a session's numbered messages until they are acknowledged. The
// numbers begin at 1.
type outbox struct {
	items []item // items[head] has number base+1
	head  int
	base  uint64 // the highest number that is acknowledged
	bytes int
	// since is when more than a share had to wait, zero while less does.
	since time.Time
}

// item is a message and, where nobody else has it, the buffer that it fills.
type item struct {
	text   wire.Object
	buffer *[]byte
	cause  Ref    // whose message it is, 0: the server's own
	number uint64 // see Post.SendAs
}

// last returns the number of the newest message.
func (o *outbox) last() uint64 { return o.base + uint64(len(o.items)-o.head) }

// get returns the message with number n, which must be in the box.
func (o *outbox) get(n uint64) wire.Object { return o.at(n).text }

func (o *outbox) at(n uint64) *item { return &o.items[o.head+int(n-o.base-1)] }

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

// fits reports whether a message of n bytes of one sender may be added at the time
// now. What one sender has waiting here is bounded by a share, and what all have
// leaves a share for what the server itself has to say, so that a sender is refused and
// nobody is ended who reads as fast as it can. For somebody who has let more than a
// share wait for long no sender is held up: it is ended when the box is full.
func (o *outbox) fits(cause Ref, n int, clock func() time.Time) bool {
	if len(o.items)-o.head < shareMessages && o.bytes+n+overhead <= shareBytes {
		return true
	}
	return o.fitsAmongMany(cause, n, clock)
}

// fitsAmongMany is fits where more than a share would wait.
func (o *outbox) fitsAmongMany(cause Ref, n int, clock func() time.Time) bool {
	waiting := len(o.items) - o.head
	switch {
	case n+overhead > maxQueueBytes:
		return false // ever
	case waiting == 0:
		return true
	}
	now := clock()
	if o.since.IsZero() {
		o.since = now
	}
	if now.Sub(o.since) > slowAfter {
		return true
	}
	if waiting >= maxQueueMessages-shareMessages || o.bytes+n+overhead > maxQueueBytes-shareBytes {
		return false
	}
	messages, bytes := 0, 0
	for i := o.head; i < len(o.items); i++ {
		if o.items[i].cause == cause {
			messages++
			bytes += len(o.items[i].text) + overhead
		}
	}
	return messages == 0 || messages < shareMessages && bytes+n+overhead <= shareBytes
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
	if len(o.items)-o.head < shareMessages && o.bytes <= shareBytes {
		o.since = time.Time{}
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
	o.items, o.head, o.bytes, o.since = nil, 0, 0, time.Time{}
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
