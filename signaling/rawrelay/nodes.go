package rawrelay

import (
	"time"

	"turnhub/signaling/internal/wsock"
)

// A channel is the same on all nodes. What a socket says goes to those of its own node at
// once, and to the other nodes that have the channel, each of which sends it to its own. So
// what one socket says comes to all in its order; what two on two nodes say at a time may
// come in one order here and in another there.

// What nodes say to each other of a channel: a byte, and for the first two a message.
const (
	saidText   = 't'
	saidBinary = 'b'
	saidProbe  = 'p' // the channel is full: who does not answer is to be put out
	saidProbed = 'd' // they are
)

// seat is join, with the sockets on other nodes counted. Who finds the channel full by those
// has joined, but hears nothing.
func (s *Relay) seat(name string, who *member) (*channel, bool) {
	c, ok := s.join(name, who)
	if !ok || s.topics == nil {
		return c, ok
	}
	c.seats.Wait(who.seat)
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok = c.seats.Take(who.seat)
	return c, ok
}

// seatAgain is seat once more, after somebody was put out.
func (s *Relay) seatAgain(name string, c *channel, who *member) (*channel, bool) {
	c.mu.Lock()
	if _, joined := c.members[who]; joined {
		defer c.mu.Unlock()
		_, ok := c.seats.Take(who.seat)
		return c, ok
	}
	c.mu.Unlock()
	return s.seat(name, who)
}

// say sends a message to the other nodes. False: nobody is there. channel.mu is held.
func (c *channel) say(kind int, payload []byte) bool {
	if c.seats == nil {
		return false
	}
	said := byte(saidBinary)
	if kind == wsock.KindText {
		said = saidText
	}
	return c.seats.Say(append(append(make([]byte, 0, 1+len(payload)), said), payload...))
}

// heard takes in what another node has said.
func (c *channel) heard(node string, body []byte) {
	if len(body) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch body[0] {
	case saidText, saidBinary:
		frame := wsock.Binary(body[1:])
		if body[0] == saidText {
			frame = wsock.Text(body[1:])
		}
		for m := range c.members {
			m.send(frame)
		}
	case saidProbe:
		if c.probing {
			return // and they hear the end of that one
		}
		c.probing = true
		go func() {
			c.evictSilent()
			c.mu.Lock()
			defer c.mu.Unlock()
			c.probing = false
			c.seats.Say([]byte{saidProbed})
		}()
	case saidProbed:
		if c.probes != nil {
			c.probes.done(node)
		}
	}
}

// probes are questions to other nodes, which of their members are still there.
type probes struct {
	open map[string]bool // nodes
	over chan struct{}   // closed when all have answered
}

func (p *probes) done(node string) {
	if delete(p.open, node); len(p.open) == 0 {
		select {
		case <-p.over:
		default:
			close(p.over)
		}
	}
}

// evictAround is evictSilent on all nodes.
func (c *channel) evictAround() bool {
	c.mu.Lock()
	asked := c.probes
	if parts := c.seats.Parts(); asked == nil && len(parts) > 0 && c.seats.Say([]byte{saidProbe}) {
		asked = &probes{open: make(map[string]bool), over: make(chan struct{})}
		for node := range parts {
			asked.open[node] = true
		}
		c.probes = asked
	}
	c.mu.Unlock()
	evicted := c.evictSilent()
	if asked == nil {
		return evicted
	}
	timer := time.NewTimer(proof + time.Second)
	defer timer.Stop()
	select {
	case <-asked.over:
	case <-timer.C: // a node that dies meanwhile
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.probes == asked {
		c.probes = nil
	}
	return true
}
