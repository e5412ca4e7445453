package core

import (
	"encoding/binary"

	"turnhub/internal/ratelimit"
	"turnhub/turnsrv/internal/wire"
)

var (
	controlUnits = ratelimit.Rate{PerSecond: controlRate, Burst: controlBurst}
	noUnits      ratelimit.Account
)

// charge takes the cost of a control request from a client's account. A new account
// holds a second's worth and not all that it can hold, so that it does not pay to open
// another connection.
func (c *Client) charge(now int64, cost int) bool {
	if c.control == noUnits {
		c.control = ratelimit.Open(now, controlUnits, controlRate)
	}
	return c.control.Take(now, controlUnits, float64(cost))
}

// affords charges a client for a message before anything is done with it: a copy,
// an HMAC over 64 KiB of padding, a look at thousands of attributes or peers. So
// nobody can make a worker, which carries other people's media too, do more for a
// byte of control than for a byte of data.
func (s *Shard) affords(c *Client, b []byte) bool {
	if c.alloc == nil && len(b) > visitorMax {
		return false
	}
	if c.alloc == nil && c.Transport == wire.UDP {
		return true // there is no account to charge, and little that can be done
	}
	cost := len(b)
	switch binary.BigEndian.Uint16(b) {
	case wire.TypeBindingRequest, wire.TypeBindingIndication:
	case wire.TypeCreatePermission:
		cost = controlFlat + addressCost*len(b)
	default:
		cost += controlFlat
	}
	return c.charge(s.now, cost)
}
