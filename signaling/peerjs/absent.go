package peerjs

import (
	"net/netip"
	"time"

	"turnhub/internal/netaddr"
	"turnhub/signaling/internal/admission"
	"turnhub/signaling/internal/wsock"
)

// expiry is how long a message waits for somebody who is not there. Source:
// peer, src/config, expire_timeout.
const expiry = 5 * time.Second

// Bounds of what waits. A call is one offer and some 20 candidates.
const (
	maxHeldOfPair  = 128     // messages of one sender for one absent peer
	maxHeldFor     = 2048    // messages and senders for one absent peer
	maxHeldBytes   = 2 << 20 // bytes for one absent peer
	maxHeldInTotal = 64 << 20
)

// The shares of the senders' households. What waits for one peer may come to a
// quarter from one household; of all that waits it may be so much that a whole
// network, with netaddr.NetworkShare, has half.
var (
	shareFor      = netaddr.Share{Household: maxHeldFor / 4, Total: maxHeldFor}
	shareBytes    = netaddr.Share{Household: maxHeldBytes / 4, Total: maxHeldBytes}
	shareOfServer = netaddr.Share{Household: maxHeldInTotal / 2 / netaddr.NetworkShare, Total: maxHeldInTotal}
)

// absence is what waits for one peer that is not there.
type absence struct {
	messages []held
	senders  map[string]*waiting
	count    netaddr.Counts // senders and messages, by the senders' addresses
	bytes    netaddr.Counts
}

// held is one message that waits.
type held struct {
	src   string
	from  netip.Addr
	offer bool
	frame wsock.Frame
	// number is that by which it was sent to the node that has the peer; 0: it was not.
	number uint64
}

// waiting is one sender's share, which expires as a whole.
type waiting struct {
	entrant  *admission.Entrant // as of the first message
	messages int
	timer    *time.Timer
}

// holdLocked keeps a message for an absent peer. A message for which there is
// no room is dropped; the sender's EXPIRE comes all the same.
func (r *realm) holdLocked(from *client, dst string, offer bool, frame wsock.Frame) (kept bool) {
	src, addr := from.id, from.entrant.Addr()
	a := r.absent[dst]
	if a == nil {
		a = &absence{senders: make(map[string]*waiting)}
		r.absent[dst] = a
	}
	sender := a.senders[src]
	if sender == nil {
		if a.count.Add(addr, 1, shareFor) != netaddr.Within {
			if len(a.senders) == 0 {
				delete(r.absent, dst)
			}
			return false
		}
		sender = &waiting{entrant: from.entrant}
		sender.timer = time.AfterFunc(r.server.expiry, func() { r.expire(src, dst, sender) })
		a.senders[src] = sender
	}
	size := frame.Size()
	if sender.messages >= maxHeldOfPair || a.count.Add(addr, 1, shareFor) != netaddr.Within {
		return false
	}
	if a.bytes.Add(addr, size, shareBytes) != netaddr.Within {
		a.count.Remove(addr, 1)
		return false
	}
	if r.server.held.Add(addr, size, shareOfServer) != netaddr.Within {
		a.count.Remove(addr, 1)
		a.bytes.Remove(addr, size)
		return false
	}
	sender.messages++
	a.messages = append(a.messages, held{src: src, from: addr, offer: offer, frame: frame})
	return true
}

// expire ends the wait of one sender: its messages are dropped, and it is told once for all
// of them, on another node if it has gone there meanwhile. They are counted here, whether or
// not there is anybody left to be told.
func (r *realm) expire(src, dst string, sender *waiting) {
	r.mu.Lock()
	a := r.absent[dst]
	if a == nil || a.senders[src] != sender {
		r.mu.Unlock()
		return // dst has come
	}
	delete(a.senders, src)
	a.count.Remove(sender.entrant.Addr(), 1)
	kept := a.messages[:0]
	for _, m := range a.messages {
		if m.src == src {
			a.count.Remove(m.from, 1)
			a.bytes.Remove(m.from, m.frame.Size())
			r.server.held.Remove(m.from, m.frame.Size())
			sender.entrant.Count("expired")
			continue
		}
		kept = append(kept, m)
	}
	clear(a.messages[len(kept):])
	a.messages = kept
	if len(a.senders) == 0 {
		delete(r.absent, dst)
		r.tellLocked(dst)
	}
	told := message{kind: typeExpire, dst: src}.forwarded(dst)
	if who := r.clients[src]; who != nil {
		who.socket.Send(told)
	} else if r.server.topics != nil {
		r.sayLocked(src, saidMessage, "", messageBody(0, flagOurs, dst, told))
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
		r.server.held.Remove(m.from, m.frame.Size())
		if !who.socket.Send(m.frame) {
			continue
		}
		who.entrant.Count("relayed")
		if m.offer {
			who.meet(m.src)
		}
	}
}
