package signaling

import "time"

// The hub has one clock, Hub.now: it begins with the time of day of the start and
// then goes on evenly, whatever is done to the machine's clock. All of the hub's
// times are times of that clock, and only durations cross to the outside: to the
// network's deadlines, and from the expiry of tokens. Nothing else in this package
// may ask the machine for the time (TestClocks of cmd/turnhub holds that).

// steady returns the hub's clock. With the time of day a step forward would end every
// session at once, and one back would keep the hub from noticing anything for as long.
func steady() func() time.Time {
	start := time.Now()
	return func() time.Time { return start.Add(time.Since(start)) }
}

// within is the deadline for the network in so long. It is good for a net.Conn, whose
// runtime compares it evenly too, and is no time of the hub's clock.
func within(d time.Duration) time.Time { return time.Now().Add(d) }

// left is for how long a deadline of the network still is.
func left(deadline time.Time) time.Duration { return time.Until(deadline) }

// until takes a time of day in, such as a token's expiry, when it is told: as so long
// from now by the hub's clock. A time of day that is set afterwards does not move it.
// The zero time stays zero.
func (h *Hub) until(day time.Time) time.Time {
	if day.IsZero() {
		return time.Time{}
	}
	return h.now().Add(day.Sub(h.day()))
}
