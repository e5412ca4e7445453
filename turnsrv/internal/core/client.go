package core

import (
	"turnhub/internal/ratelimit"
	"turnhub/turnsrv/internal/wire"
)

// Client is a client's five-tuple (RFC 8656 section 3) and the allocation made
// over it, if any. Drivers make them: of a stream one for as long as it lives, of UDP
// one for each client without allocation of a round, since only those with one are
// kept, in the shard's table.
type Client struct {
	Transport wire.Transport
	Addr      wire.Endpoint
	Key       wire.FiveTuple // UDP only
	Handle    any            // the driver's: a listener or a stream
	Queued    Queued         // the driver's

	alloc   *allocation
	control ratelimit.Account // see charge
}

// Queued is a driver's list of what a client waits to be sent, as positions in its
// queue plus one.
type Queued struct{ Head, Tail int32 }

// Allocated reports whether the client has an allocation.
func (c *Client) Allocated() bool { return c.alloc != nil }

// Current returns the client that stands in the tables for one that may have been
// made for a single packet, nil when it has no allocation.
func (c *Client) Current() *Client {
	if c.alloc == nil {
		return nil
	}
	return c.alloc.client
}
