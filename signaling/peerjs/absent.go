package peerjs

import (
	"time"

	"turnhub/signaling/internal/wsock"
)

// expiry is how long a message waits for somebody who is not there. Source:
// peer, src/config, expire_timeout.
const expiry = 5 * time.Second

// Bounds of what waits. A call is one offer and some 20 candidates.
const (
	maxHeldOfPair  = 128     // messages of one sender for one absent peer
	maxHeldFor     = 2048    // messages for one absent peer
	maxHeldBytes   = 2 << 20 // bytes for one absent peer
	maxHeldInTotal = 64 << 20
)

// absence is what waits for one peer that is not there.
type absence struct {
	messages []held
	bytes    int
	senders  map[string]*waiting
}

// held is one message that waits.
type held struct {
	src   string
	offer bool
	frame wsock.Frame
}

// waiting is one sender's share, which expires as a whole.
type waiting struct {
	messages int
	timer    *time.Timer
}

// holdLocked keeps a message for an absent peer. A message for which there is
// no room is dropped; the sender's EXPIRE comes all the same.
func (r *realm) holdLocked(src, dst string, offer bool, frame wsock.Frame) (kept bool) {
	a := r.absent[dst]
	if a == nil {
		a = &absence{senders: make(map[string]*waiting)}
		r.absent[dst] = a
	}
	sender := a.senders[src]
	if sender == nil {
		if len(a.senders) >= maxHeldFor {
			return false
		}
		sender = &waiting{}
		sender.timer = time.AfterFunc(r.server.expiry, func() { r.expire(src, dst, sender) })
		a.senders[src] = sender
	}
	size := int64(frame.Size())
	if sender.messages >= maxHeldOfPair || len(a.messages) >= maxHeldFor ||
		a.bytes+frame.Size() > maxHeldBytes || r.server.held.Load()+size > maxHeldInTotal {
		return false
	}
	r.server.held.Add(size)
	sender.messages++
	a.messages = append(a.messages, held{src: src, offer: offer, frame: frame})
	a.bytes += frame.Size()
	return true
}

// expire ends the wait of one sender: his messages are dropped, and he is told.
func (r *realm) expire(src, dst string, sender *waiting) {
	r.mu.Lock()
	a := r.absent[dst]
	if a == nil || a.senders[src] != sender {
		r.mu.Unlock()
		return // dst has come
	}
	delete(a.senders, src)
	kept := a.messages[:0]
	for _, m := range a.messages {
		if m.src == src {
			a.bytes -= m.frame.Size()
			r.server.held.Add(-int64(m.frame.Size()))
			continue
		}
		kept = append(kept, m)
	}
	clear(a.messages[len(kept):])
	a.messages = kept
	if len(a.senders) == 0 {
		delete(r.absent, dst)
	}
	who := r.clients[src]
	if who != nil {
		who.socket.Send(message{kind: typeExpire, dst: src}.forwarded(dst))
		who.guest.Count("expired")
	}
	r.mu.Unlock()
	r.server.sweep(r)
}

// deliverLocked hands over what waited for a peer that has come.
func (r *realm) deliverLocked(who *client) {
	a := r.absent[who.id]
	if a == nil {
		return
	}
	delete(r.absent, who.id)
	for _, sender := range a.senders {
		sender.timer.Stop()
	}
	for _, m := range a.messages {
		r.server.held.Add(-int64(m.frame.Size()))
		if !who.socket.Send(m.frame) {
			continue
		}
		who.guest.Count("relayed")
		if m.offer {
			who.meet(m.src)
		}
	}
}
