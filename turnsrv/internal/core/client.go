package core

import (
	"net/netip"

	"turnhub/internal/netaddr"
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
	Told      bool           // Addr is what a proxy has said, see StreamClient
	Key       wire.FiveTuple // UDP only
	Handle    any            // the driver's: a listener or a stream
	Queued    Queued         // the driver's

	alloc   *allocation
	control ratelimit.Account // see charge
}

// StreamClient returns the client of a TCP or TLS connection, which comes from remote;
// or of which a proxy has said so, where the connection has a method Told that reports
// it.
func StreamClient(conn any, remote netip.AddrPort, transport wire.Transport, handle any) Client {
	c := Client{Transport: transport, Addr: wire.EndpointFrom(remote), Handle: handle}
	if t, ok := conn.(interface{ Told() bool }); ok {
		c.Told = t.Told()
	}
	return c
}

// seenAt returns where the server itself has seen the client, for those who want to
// reach it there. Of an address that it was only told it believes less.
func (c *Client) seenAt() (ip wire.Endpoint, seen bool) {
	return c.Addr.IP(), !c.Told || netaddr.SeenAddress(c.Addr.Addr(), false).IsValid()
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
