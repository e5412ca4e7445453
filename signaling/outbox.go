package signaling

// outbox holds a session's numbered messages until they are acknowledged. The
// numbers begin at 1.
type outbox struct {
	bodies []body // bodies[head] has number base+1
	head   int
	base   uint64 // the highest number that is acknowledged
	bytes  int
}

// overhead is what a waiting message costs beside its text, in bytes.
const overhead = 48

// last returns the number of the newest message.
func (o *outbox) last() uint64 { return o.base + uint64(len(o.bodies)-o.head) }

// get returns the message with number n, which must be in the box.
func (o *outbox) get(n uint64) body { return o.bodies[o.head+int(n-o.base-1)] }

// add appends a message unless that exceeds the bounds.
func (o *outbox) add(b body) bool {
	if len(o.bodies)-o.head >= maxQueueMessages || o.bytes+len(b)+overhead > maxQueueBytes {
		return false
	}
	if o.head > 0 && len(o.bodies) == cap(o.bodies) {
		n := copy(o.bodies, o.bodies[o.head:])
		clear(o.bodies[n:])
		o.bodies, o.head = o.bodies[:n], 0
	}
	o.bodies = append(o.bodies, b)
	o.bytes += len(b) + overhead
	return true
}

// ack drops everything up to number n. It reports whether n makes sense.
func (o *outbox) ack(n uint64) bool {
	if n > o.last() {
		return false
	}
	for o.base < n {
		o.bytes -= len(o.bodies[o.head]) + overhead
		o.bodies[o.head] = nil
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
