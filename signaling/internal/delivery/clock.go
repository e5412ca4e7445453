package delivery

import "time"

// The hub has one clock, Config.Now, which goes on evenly whatever is done to the
// machine's. All times here are times of that clock, and only durations cross to the
// outside: to the network's deadlines, and from the expiry of tokens. Nothing else in
// this package may ask the machine for the time (TestClocks of cmd/turnhub holds that).

// within is the deadline for the network in so long. It is good for a net.Conn, whose
// runtime compares it evenly too, and is no time of the hub's clock.
func within(d time.Duration) time.Time { return time.Now().Add(d) }

// until takes a time of day in, such as a token's expiry, when it is told: as so long
// from now by the hub's clock. A time of day that is set afterwards does not move it.
// The zero time stays zero.
func (n *Node) until(day time.Time) time.Time {
	if day.IsZero() {
		return time.Time{}
	}
	return n.now().Add(day.Sub(n.day()))
}
