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
	held     time.Duration
}

// Pace is Allow for a dialect that cannot drop a message without breaking what
// it carries: it says for how long the dialect stops reading before it goes on.
// A burst is thus spread out and nothing of it is lost. On ErrTooBig and
// ErrFlood, which is when a sender keeps pressing, the connection ends.
func (s *Socket) Pace(p *Pacer, bytes int) (time.Duration, error) {
	limits := s.hub.node.Limits()
	if bytes > limits.MessageSize {
		s.hub.node.CountDropped("too-big")
		return 0, ErrTooBig
	}
	s.mu.Lock()
	hold, err := p.take(s.hub.now(), limits.Messages())
	s.mu.Unlock()
	if err != nil {
		s.hub.node.CountDropped("rate")
		return 0, err
	}
	s.hub.node.CountTaken()
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
