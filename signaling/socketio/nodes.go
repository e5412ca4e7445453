package socketio

import (
	"encoding/binary"
	"maps"
)

// A room is one over all nodes. Who enters one of which his node has nobody yet waits, for as
// long as a question to the others takes, and what he says meanwhile waits behind that: so he
// is told what is true of all nodes, and of two who come to a room at the same moment both
// nodes say the same who was first.

// maxDeferred is how many packets of a client wait while it enters a room.
const maxDeferred = 1024

// enterAcross is enter where there are other nodes. then is called with what came of it, at
// once or later, with session.in held. first is sent in any case.
func (s *Server) enterAcross(key roomKey, who *member, then func(before int, ok bool), first ...packet) {
	limit := maxLobby
	if key.joined {
		limit = pair
	}
	c := who.session
	s.mu.Lock()
	r := s.roomLocked(key)
	r.mu.Lock()
	r.pending++
	seat := r.seats.Add(limit, r.heard, r.changed)
	r.mu.Unlock()
	s.mu.Unlock()
	take := func() {
		s.mu.Lock()
		r.mu.Lock()
		r.pending--
		before, ok := 0, false
		closed := c.isClosed()
		if !closed {
			if before, ok = r.seats.Take(seat); len(first) > 0 {
				c.send(first...)
			}
		}
		if ok {
			r.members[who] = seat
		} else {
			r.seats.Remove(seat)
			if len(r.members) == 0 && r.pending == 0 {
				delete(s.rooms, key)
			}
		}
		r.mu.Unlock()
		s.mu.Unlock()
		if !closed {
			then(before, ok)
		}
	}
	var try func()
	try = func() {
		r.mu.Lock()
		ready := r.seats.Ready(seat, func() { go c.resume(try) })
		r.mu.Unlock()
		if ready {
			take()
		} else {
			c.waiting = true
		}
	}
	try()
}

// resume goes on with a client that has waited for other nodes.
func (c *session) resume(do func()) {
	c.in.Lock()
	c.waiting = false
	do()
	var err error
	for err == nil && len(c.deferred) > 0 && !c.waiting && !c.isClosed() {
		p := c.deferred[0]
		c.deferred[0] = packet{}
		c.deferred = c.deferred[1:]
		c.deferredBytes -= len(p.data)
		err = c.receiveNow(p)
	}
	c.in.Unlock()
	if err != nil {
		c.fail(err)
	}
}

// deferPacket keeps a packet of a client that waits for other nodes.
func (c *session) deferPacket(p packet) error {
	if c.deferredBytes += len(p.data); len(c.deferred) >= maxDeferred || c.deferredBytes > c.server.queueBytes() {
		return parseError("too much before a room was entered")
	}
	c.deferred = append(c.deferred, p)
	return nil
}

// heard takes in what is said on another node.
func (r *room) heard(_ string, body []byte) {
	packets, ok := decodePackets(body)
	if !ok {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sayLocked(nil, packets...)
}

// changed tells of those who have left a room on other nodes, or with them.
func (r *room) changed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.seats.Parts()
	gone := 0
	for node, was := range r.there {
		if is, there := now[node]; !there || is.Left < was.Left {
			gone += was.Taken
		} else {
			gone += is.Left - was.Left
		}
	}
	r.there = maps.Clone(now)
	if r.joined {
		for range min(gone, pair) {
			r.sayLocked(nil, event("bye"))
		}
	}
}

// encodePackets are packets as nodes say them to each other: for each a byte, a byte that is 1
// for a binary one, its length and its data.
func encodePackets(packets []packet) (b []byte) {
	for _, p := range packets {
		binaryToo := byte(0)
		if p.binary {
			binaryToo = 1
		}
		b = binary.AppendUvarint(append(b, p.kind, binaryToo), uint64(len(p.data)))
		b = append(b, p.data...)
	}
	return b
}

func decodePackets(b []byte) (packets []packet, ok bool) {
	for len(b) > 2 && len(packets) <= maxAttachments {
		p := packet{kind: b[0], binary: b[1] == 1}
		n, size := binary.Uvarint(b[2:])
		if size <= 0 || n > uint64(len(b)-2-size) {
			return nil, false
		}
		b = b[2+size:]
		p.data, b = b[:n:n], b[n:]
		packets = append(packets, p)
	}
	return packets, len(b) == 0 && len(packets) > 0
}
