package peerjs

import (
	"crypto/subtle"
	"slices"
	"sync"
	"time"

	"turnhub/signaling/internal/admission"
	"turnhub/signaling/internal/wire"
	"turnhub/signaling/internal/wsock"
)

// maxKnown is how many other peers a client's acquaintance is kept with.
const maxKnown = 1024

// realm is the peers of one mount path, who can call each other.
type realm struct {
	server *Server
	name   string
	users  int // requests that work with it; the server's lock guards it

	mu      sync.Mutex
	clients map[string]*client
	absent  map[string]*absence
	early   map[earlyKey]*early
	places  map[string]*place // of several nodes: by id
	list    listing
}

// client is one peer. The realm's lock guards it.
type client struct {
	id      string
	owner   string // what proves that a later socket is the same peer's
	socket  *wsock.Conn
	entrant *admission.Entrant
	known   map[string]struct{}
	stamp   uint64            // when it came: of two nodes' sockets of one peer the later one is it
	asking  map[string]uint64 // other nodes that have asked whether it is there, each with its claim's stamp
}

// owns reports whether a newcomer with this proof is the same peer.
func (c *client) owns(owner string) bool {
	return subtle.ConstantTimeCompare([]byte(c.owner), []byte(owner)) == 1
}

// meet notes that the client has been told of another peer. Client 0.3.16
// throws on a LEAVE about anybody else.
func (c *client) meet(id string) {
	if len(c.known) < maxKnown {
		c.known[id] = struct{}{}
	}
}

func (c *client) knows(id string) bool {
	_, ok := c.known[id]
	return ok
}

// register makes the socket that of a peer, sends OPEN, then what waited for
// it. It returns nil when somebody else is that peer.
func (r *realm) register(id, owner string, socket *wsock.Conn, entrant *admission.Entrant) *client {
	for {
		r.mu.Lock()
		holder := r.clients[id]
		if holder == nil && r.server.topics != nil {
			r.mu.Unlock()
			if who, again := r.registerAcross(id, owner, socket, entrant); !again {
				return who
			}
			continue
		}
		if holder == nil || holder.owns(owner) {
			who := r.takeLocked(holder, id, owner, socket, entrant)
			r.tellLocked(id)
			r.mu.Unlock()
			return who
		}
		last := holder.socket
		r.mu.Unlock()
		// Before anybody is turned away the holder proves that it is there: a
		// lost network leaves its socket behind for as long as nobody asks.
		if last.Alive(r.server.proof) {
			return nil
		}
		r.mu.Lock()
		if r.clients[id] == holder && holder.socket == last {
			delete(r.clients, id)
			r.listedLocked(-1)
			r.tellLocked(id)
		}
		r.mu.Unlock()
		last.Close(int(wire.CloseSilent), "the peer did not answer")
	}
}

// takeLocked puts the socket in place of what was there.
func (r *realm) takeLocked(holder *client, id, owner string, socket *wsock.Conn, entrant *admission.Entrant) *client {
	who := &client{id: id, owner: owner, socket: socket, entrant: entrant, known: make(map[string]struct{}), stamp: uint64(time.Now().UnixMicro())}
	if holder == nil {
		r.listedLocked(1)
	} else {
		who.known, who.stamp = holder.known, max(who.stamp, holder.stamp+1)
		holder.socket.Close(int(wire.CloseReplaced), "this peer has a newer socket")
	}
	r.clients[id] = who
	socket.Send(notice(typeOpen, ""))
	r.deliverLocked(who)
	return who
}

// remove ends a client's place, unless a newer socket has it.
func (r *realm) remove(who *client) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.clients[who.id] == who {
		delete(r.clients, who.id)
		r.listedLocked(-1)
		r.tellLocked(who.id)
	}
}

// ids lists who is there.
func (r *realm) ids() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	ids := make([]string, 0, len(r.clients))
	for id := range r.clients {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// handle takes one message of a client.
func (r *realm) handle(who *client, m message) {
	switch m.kind {
	case typeHeartbeat:
		return // whatever arrives shows that the client is there
	case typeLeave:
		if m.dst == "" {
			r.remove(who)
			who.socket.Close(wsock.CodeNormal, "")
			return
		}
	}
	r.relay(who, m)
}

// relay passes a message on, or keeps it for a peer that may come.
func (r *realm) relay(from *client, m message) {
	frame := m.forwarded(from.id)
	r.mu.Lock()
	defer r.mu.Unlock()
	to := r.clients[m.dst]
	if to == nil && r.server.topics != nil {
		if m.kind == typeOffer {
			from.meet(m.dst)
		}
		r.relayAcross(from, m, frame)
		return
	}
	if m.kind == typeLeave && (to == nil || !to.knows(from.id)) {
		from.entrant.Count("dropped_stranger")
		return
	}
	if m.kind == typeOffer {
		from.meet(m.dst)
	}
	switch {
	case to != nil && to.socket.Send(frame):
		from.entrant.Count("relayed")
		if m.kind == typeOffer {
			to.meet(from.id)
		}
	case to != nil:
		// The peer's socket is ending: the caller hears it at once, where it
		// has a connection to close.
		from.entrant.Count("dropped_slow")
		if from.knows(m.dst) && m.kind != typeLeave && m.kind != typeExpire {
			from.socket.Send(message{kind: typeLeave, dst: from.id}.forwarded(m.dst))
		}
	case m.kind == typeExpire:
		from.entrant.Count("dropped_absent")
	case r.holdLocked(from, m.dst, m.kind == typeOffer, frame):
		from.entrant.Count("held")
	default:
		from.entrant.Count("dropped_full")
	}
}
