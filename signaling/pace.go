package signaling

import "time"

// maxHeld is for how long a sender is held to the rate, without ever having
// kept to it in between, before it counts as a flood.
const maxHeld = 10 * time.Second

// Pacer is the account of one sender for Pace. Its zero value is ready.
type Pacer struct {
	bucket bucket
	held   time.Duration
}

// Pace is Allow for a dialect that cannot drop a message without breaking what
// it carries: it says for how long the dialect stops reading before it goes on.
// A burst is thus spread out and nothing of it is lost. On ErrTooBig and
// ErrFlood, which is when a sender keeps pressing, the connection ends.
func (s *Socket) Pace(p *Pacer, bytes int) (time.Duration, error) {
	limits := s.hub.limits()
	if bytes > limits.MessageSize {
		s.hub.stats.drop("too-big")
		return 0, ErrTooBig
	}
	s.mu.Lock()
	hold, err := p.take(s.hub.now(), float64(limits.MessagesPerSecond))
	s.mu.Unlock()
	if err != nil {
		s.hub.stats.drop("rate")
		return 0, err
	}
	s.hub.stats.in.Add(1)
	return hold, nil
}

// take counts one message at now.
func (p *Pacer) take(now time.Time, rate float64) (time.Duration, error) {
	_ = p.bucket.take(now, rate) // a debt is not refused here but waited off
	if p.bucket.tokens >= 0 {
		if p.bucket.tokens >= rate {
			p.held = 0
		}
		return 0, nil
	}
	hold := time.Duration(-p.bucket.tokens / rate * float64(time.Second))
	if p.held += hold; p.held > maxHeld {
		return 0, ErrFlood
	}
	return hold, nil
}
