package rawrelay

import (
	"sync"
	"time"

	"turnhub/signaling/internal/across"
	"turnhub/signaling/internal/admission"
	"turnhub/signaling/internal/wire"
	"turnhub/signaling/internal/wsock"
)

const (
	// proof is how long a member of a full channel has to show that it is there.
	proof = 3 * time.Second
	// maxProbed is how many are asked.
	maxProbed = 8
)

// channel is a set of sockets. Its lock makes what they say one sequence that
// all of them see alike.
type channel struct {
	mu      sync.Mutex
	members map[*member]struct{}
	seats   *across.Seats // here and on other nodes; nil: there are no others
	probing bool          // of the silent, for another node
	probes  *probes       // at other nodes, under way
}

// member is one socket of a channel.
type member struct {
	limit int          // the most sockets that it wants in its channel
	most  int          // how much may wait for it, in bytes
	seat  *across.Seat // among those of all nodes

	// Under channel.mu.
	socket  *wsock.Conn        // nil: about to open
	entrant *admission.Entrant // nil as long
	early   []wsock.Frame      // what was said meanwhile
	waits   int                // bytes of it, as many as may wait for an open socket
	missed  bool               // it was more
}

// join puts a socket into a channel unless that would be one more than it or
// anybody inside wants.
func (s *Relay) join(name string, who *member) (*channel, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.channels[name]
	if c == nil {
		c = &channel{members: make(map[*member]struct{})}
		c.seats = across.New(s.topics, "relay", name, &c.mu)
		s.channels[name] = c
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	limit := who.limit
	for m := range c.members {
		limit = min(limit, m.limit)
	}
	if len(c.members) >= limit {
		return c, false
	}
	c.members[who] = struct{}{}
	who.seat = c.seats.Add(who.limit, c.heard, func() {})
	return c, true
}

// open gives a member its socket, and the socket what was said before. One that was to have more
// than may wait for it is ended, as it would be if it were open and did not read.
func (c *channel) open(who *member, socket *wsock.Conn, entrant *admission.Entrant) {
	c.mu.Lock()
	defer c.mu.Unlock()
	who.socket, who.entrant = socket, entrant
	if who.missed {
		entrant.Count("dropped_slow")
		socket.Close(int(wire.CloseSlow), "too much was said before the socket was open")
	} else {
		for _, frame := range who.early {
			who.send(frame)
		}
	}
	who.early = nil
}

// send queues a message for a member. channel.mu is held.
func (m *member) send(frame wsock.Frame) {
	switch {
	case m.missed: // it is ended, or about to be
	case m.socket == nil && m.waits+frame.Size() > m.most:
		m.missed, m.early = true, nil
	case m.socket == nil:
		m.early = append(m.early, frame)
		m.waits += frame.Size()
	case m.socket.Send(frame):
		m.entrant.Count("relayed")
	default:
		m.entrant.Count("dropped_slow")
	}
}

// evictSilent puts out the members who do not answer, and says whether there
// were any: a lost network leaves its socket behind, and the person who comes
// back finds its own place taken.
func (c *channel) evictSilent() bool {
	c.mu.Lock()
	members := make(map[*member]*wsock.Conn)
	for m := range c.members {
		if m.socket != nil {
			members[m] = m.socket
		}
	}
	c.mu.Unlock()
	if len(members) > maxProbed {
		return false
	}
	answers := make(chan bool)
	for m, socket := range members {
		go func() {
			alive := socket.Alive(proof)
			if !alive {
				socket.Close(int(wire.CloseSilent), "the socket did not answer")
				c.mu.Lock()
				delete(c.members, m)
				c.seats.Remove(m.seat)
				c.mu.Unlock()
			}
			answers <- alive
		}()
	}
	evicted := false
	for range members {
		if !<-answers {
			evicted = true
		}
	}
	return evicted
}

func (s *Relay) part(name string, c *channel, who *member) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.members, who)
	c.seats.Remove(who.seat)
	if len(c.members) == 0 && s.channels[name] == c {
		delete(s.channels, name)
	}
}

// relay sends a message to everybody but its sender. It is encoded once and
// never waits: a socket that does not read is ended by its own queue.
func (c *channel) relay(from *member, kind int, payload []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.say(kind, payload) && len(c.members) < 2 {
		from.entrant.Count("dropped_alone")
		return
	}
	frame := wsock.Binary(payload)
	if kind == wsock.KindText {
		frame = wsock.Text(payload)
	}
	for m := range c.members {
		if m != from {
			m.send(frame)
		}
	}
}
