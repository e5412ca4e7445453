package signaling

import (
	"time"

	"turnhub/internal/ratelimit"
)

// maxHeld is for how long a sender is held to the rate, without ever having
// kept to it in between, before it counts as a flood.
const maxHeld = 10 * time.Second

// Pacer is the account of one sender for Pace. Its zero value is ready.
type Pacer struct {
	messages ratelimit.Meter
	bytes    ratelimit.Meter
	held     time.Duration
}

// QueueBytes is how much may wait for somebody in a dialect who does not read: room for
// a few messages of the largest size.
func (h *Hub) QueueBytes() int { return max(1<<20, 4*h.MessageSize()) }

// pacedBytes is how fast one sender may fill such a queue: half of it at once, and then
// the whole in a second, more where more messages are allowed. So somebody who fetches
// what there is once in a while is not ended for what one other says in between.
func (h *Hub) pacedBytes() ratelimit.Rate {
	queue := float64(h.QueueBytes())
	return ratelimit.Rate{PerSecond: queue * max(1, float64(h.node.Limits().MessagesPerSecond)/100), Burst: queue / 2}
}

// Pace is Allow for a dialect that cannot drop a message without breaking what
// it carries: it says for how long the dialect stops reading before it goes on.
// A burst is thus spread out and nothing of it is lost. On ErrTooBig and
// ErrFlood, which is when a sender keeps pressing, the connection ends.
func (c *DialectClient) Pace(p *Pacer, bytes int) (time.Duration, error) {
	limits := c.hub.node.Limits()
	if bytes > limits.MessageSize {
		c.hub.node.CountDropped("too-big")
		return 0, ErrTooBig
	}
	c.mu.Lock()
	now := c.hub.now()
	hold, err := p.take(now, limits.Messages())
	// Bytes that are held up are no flood: they are as many as somebody wants to say.
	hold = max(hold, time.Duration(-p.bytes.Charge(now.UnixNano(), c.hub.pacedBytes(), float64(bytes))))
	c.mu.Unlock()
	if err != nil {
		c.hub.node.CountDropped("rate")
		return 0, err
	}
	c.hub.node.CountTaken()
	return hold, nil
}

// take counts one message at now. A debt is not refused here but waited off.
func (p *Pacer) take(now time.Time, rate ratelimit.Rate) (time.Duration, error) {
	left := time.Duration(p.messages.Charge(now.UnixNano(), rate, 1))
	if left >= 0 {
		if left >= time.Second {
			p.held = 0
		}
		return 0, nil
	}
	if p.held -= left; p.held > maxHeld {
		return 0, ErrFlood
	}
	return -left, nil
}
