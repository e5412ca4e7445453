package peerjs

import (
	"encoding/binary"
	"time"

	"turnhub/signaling/internal/wire"
	"turnhub/signaling/internal/wsock"
)

// What is written to a peer that is not on this node waits here as for one that is absent,
// and is sent to the node that has the peer, as soon as there is one. It is kept until that
// node says what has become of it: when the node dies before, or the peer goes to another
// one, it is sent there, within the time for which messages are held.

// What nodes say to each other of an id: a byte, the node that it is for, and the rest.
const (
	saidMessage = 'M' // a number, flags, who wrote it, and the message as the peer gets it
	saidDone    = 'D' // a number: the message was taken
	saidEnding  = 'E' // a number: the peer's socket is ending
	saidProve   = 'P' // a stamp: somebody else claims the id, is its peer there?
	saidProven  = 'Y' // the stamp of that claim: it is
	saidKnown   = 'K' // the ids that the peer knows, which has come from one node to the other
)

// laterTime is how soon something is tried again that could not be sent.
const laterTime = 200 * time.Millisecond

const (
	flagOffer = 1
	flagLeave = 2 // only for a peer that knows who wrote it
	flagOurs  = 4 // a node's own words, nobody's message: its fate is not counted
)

// sayLocked says something about an id to another node.
func (r *realm) sayLocked(id string, kind byte, node string, rest []byte) bool {
	return r.server.topics.Say(r.topic(id), append(appendText([]byte{kind}, node), rest...))
}

// relayAcross passes a message on to a peer on another node, or keeps it for one that may
// come to whichever node.
func (r *realm) relayAcross(from *client, m message, frame wsock.Frame) {
	if m.kind == typeExpire || m.kind == typeLeave {
		// Never kept, and for whichever node has the peer. Whether that knows who wrote it is
		// for its own node to say.
		flags := byte(0)
		if m.kind == typeLeave {
			flags = flagLeave
		}
		switch {
		case r.sayLocked(m.dst, saidMessage, "", messageBody(0, flags, from.id, frame)):
			from.entrant.Count("sent_across")
		case m.kind == typeLeave:
			from.entrant.Count("dropped_stranger")
		default:
			from.entrant.Count("dropped_absent")
		}
		return
	}
	if !r.holdLocked(from, m.dst, m.kind == typeOffer, frame) {
		from.entrant.Count("dropped_full")
		return
	}
	p := r.placeLocked(m.dst, nil)
	p.used = true
	if r.flushLocked(p); p.at != "" {
		from.entrant.Count("sent_across")
	} else {
		from.entrant.Count("held")
	}
}

func messageBody(number uint64, flags byte, src string, frame wsock.Frame) []byte {
	b := append(binary.AppendUvarint(nil, number), flags)
	return append(appendText(b, src), frame.Payload()...)
}

// flushLocked sends what waits for an id to the node that has it, if there is one.
func (r *realm) flushLocked(p *place) {
	a := r.absent[p.id]
	node := r.holderLocked(p)
	if node != p.at {
		p.at = node
		if a != nil {
			for i := range a.messages {
				a.messages[i].number = 0
			}
		}
	}
	if node == "" || a == nil {
		return
	}
	for i := range a.messages {
		m := &a.messages[i]
		if m.number != 0 {
			continue
		}
		flags := byte(0)
		if m.offer {
			flags = flagOffer
		}
		p.last++
		if !r.sayLocked(p.id, saidMessage, node, messageBody(p.last, flags, m.src, m.frame)) {
			// NATS is away for a moment, or cannot keep up.
			if !p.later {
				p.later = true
				time.AfterFunc(laterTime, func() { r.again(p) })
			}
			return
		}
		m.number = p.last
	}
}

// again sends what could not be sent.
func (r *realm) again(p *place) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.later = false; r.places[p.id] == p {
		r.flushLocked(p)
	}
}

// heard takes in what another node says about an id.
func (r *realm) heard(p *place, node string, body []byte) {
	if len(body) == 0 {
		return
	}
	kind, rest := body[0], body[1:]
	if to, ok := cutText(&rest); !ok || to != r.server.topics.Node() && (to != "" || kind != saidMessage) {
		return
	}
	r.mu.Lock()
	defer r.server.sweep(r)
	defer r.mu.Unlock()
	if r.places[p.id] != p {
		return
	}
	switch kind {
	case saidMessage:
		r.receiveLocked(p, node, rest)
	case saidDone, saidEnding:
		if number, size := binary.Uvarint(rest); size > 0 && node == p.at {
			r.doneLocked(p, number, kind == saidEnding)
		}
	case saidProve:
		if c := r.clients[p.id]; c != nil && len(rest) == 8 {
			if c.asking == nil { // else it is being asked
				c.asking = make(map[string]uint64)
				go r.prove(c)
			}
			c.asking[node] = binary.BigEndian.Uint64(rest)
		}
	case saidProven:
		if len(rest) == 8 {
			p.provenLocked(binary.BigEndian.Uint64(rest))
		}
	case saidKnown:
		for c := r.clients[p.id]; c != nil && len(rest) > 0; {
			id, ok := cutText(&rest)
			if !ok {
				break
			}
			c.meet(id)
		}
	}
}

// receiveLocked gives a peer what somebody on another node has written.
func (r *realm) receiveLocked(p *place, node string, rest []byte) {
	number, size := binary.Uvarint(rest)
	if size <= 0 || len(rest) <= size {
		return
	}
	flags, rest := rest[size], rest[size+1:]
	src, ok := cutText(&rest)
	to := r.clients[p.id]
	if !ok || to == nil {
		return // the other node hears that it is not here
	}
	if flags&flagOurs != 0 {
		to.socket.Send(wsock.Text(rest))
		return
	}
	done := byte(saidDone)
	switch {
	case flags&flagLeave != 0 && !to.knows(src):
		to.entrant.Count("dropped_stranger")
	case to.socket.Send(wsock.Text(rest)):
		to.entrant.Count("relayed")
		if flags&flagOffer != 0 {
			to.meet(src)
		}
	default:
		to.entrant.Count("dropped_slow")
		done = saidEnding
	}
	if number != 0 {
		r.sayLocked(p.id, done, node, binary.AppendUvarint(nil, number))
	}
}

// doneLocked forgets what has come to the peer's node.
func (r *realm) doneLocked(p *place, number uint64, ending bool) {
	a := r.absent[p.id]
	if a == nil {
		return
	}
	for i, m := range a.messages {
		if m.number != number {
			continue
		}
		copy(a.messages[i:], a.messages[i+1:])
		a.messages[len(a.messages)-1] = held{}
		a.messages = a.messages[:len(a.messages)-1]
		a.count.Remove(m.from, 1)
		a.bytes.Remove(m.from, m.frame.Size())
		r.server.held.Remove(m.from, m.frame.Size())
		if sender := a.senders[m.src]; sender != nil {
			if sender.messages--; sender.messages == 0 {
				sender.timer.Stop()
				delete(a.senders, m.src)
				a.count.Remove(sender.entrant.Addr(), 1)
			}
		}
		if from := r.clients[m.src]; ending && from != nil && from.knows(p.id) {
			// The caller hears it at once, where it has a connection to close.
			from.socket.Send(message{kind: typeLeave, dst: m.src}.forwarded(p.id))
		}
		break
	}
	if len(a.senders) == 0 {
		delete(r.absent, p.id)
		r.tellLocked(p.id)
	}
}

// prove answers other nodes that a peer is there, or frees its id where it is not.
func (r *realm) prove(c *client) {
	socket := c.socket
	alive := socket.Alive(r.server.proof)
	r.mu.Lock()
	asking := c.asking
	c.asking = nil
	if alive {
		for node, stamp := range asking {
			r.sayLocked(c.id, saidProven, node, binary.BigEndian.AppendUint64(nil, stamp))
		}
		r.mu.Unlock()
		return
	}
	if r.clients[c.id] == c {
		delete(r.clients, c.id)
		r.listedLocked(-1)
		r.tellLocked(c.id)
	}
	r.mu.Unlock()
	socket.Close(int(wire.CloseSilent), "the peer did not answer")
	r.server.sweep(r)
}
