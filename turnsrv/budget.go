package turnsrv

import (
	"encoding/binary"

	"turnhub/internal/ratelimit"
)

// What control requests may cost. A unit is about a nanosecond of a worker, which
// is what HMAC-SHA1 takes for a byte; small requests cost what a packet does.
const (
	controlRate  = 256 << 10 // units per second that a client gets
	controlBurst = 1 << 20   // units that a client can save
	controlFlat  = 256       // units of any request but Binding: integrity, twice
	addressCost  = 4         // units per byte of a request that names peers, each of which is judged

	// visitorMax is the longest request of a client without an allocation, in
	// bytes. Its attributes have at most 2,000 together (RFC 8489 section 14).
	visitorMax = 4096
)

var (
	controlUnits = ratelimit.Rate{PerSecond: controlRate, Burst: controlBurst}
	noUnits      ratelimit.Account
)

// charge takes the cost of a control request from a client's account. A new account
// holds a second's worth and not all that it can hold, so that it does not pay to open
// another connection.
func (c *client) charge(now int64, cost int) bool {
	if c.control == noUnits {
		c.control = ratelimit.Open(now, controlUnits, controlRate)
	}
	return c.control.Take(now, controlUnits, float64(cost))
}

// affords charges a client for a message before anything is done with it: a copy,
// an HMAC over 64 KiB of padding, a look at thousands of attributes or peers. So
// nobody can make a worker, which carries other people's media too, do more for a
// byte of control than for a byte of data.
func (s *shard) affords(c *client, b []byte) bool {
	if c.alloc == nil && len(b) > visitorMax {
		return false
	}
	if c.alloc == nil && c.transport == TransportUDP {
		return true // there is no account to charge, and little that can be done
	}
	cost := len(b)
	switch binary.BigEndian.Uint16(b) {
	case typeBindingRequest, typeBindingIndication:
	case typeCreatePermission:
		cost = controlFlat + addressCost*len(b)
	default:
		cost += controlFlat
	}
	return c.charge(s.now, cost)
}

// affordsBytes charges one direction of an allocation for relayed bytes. One that was
// quiet may send a second's worth at once, as a key frame needs it.
func (s *shard) affordsBytes(direction *ratelimit.Account, n int) bool {
	rate := float64(s.srv.bandwidth.Load())
	return direction.Take(s.now, ratelimit.Rate{PerSecond: rate, Burst: rate}, float64(n))
}
