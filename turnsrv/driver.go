package turnsrv

import (
	"turnhub/internal/ratelimit"
	"turnhub/turnsrv/internal/wire"
)

// driver is the seam between the core and the operating system: it feeds a shard
// with what arrives and carries out what the shard wants sent. But for Wake and Post
// its methods are called by the shard, on the shard's own thread of control, which is
// the driver's: one round after the other,
//
//	Tick, then FromClient, FromPeer, ClientGone, Drain and what was posted in any
//	order, then the driver's own flush with Reclaim, then WakeOthers.
//
// A segment that is handed over may be sent later in the round, up to the flush.
// A driver that has sent nothing by then but told the kernel to, which will still
// read the memory, holds the segment's buffer (wire.Buffer) before it calls Reclaim,
// and releases it on the same thread of control when the kernel has done with it.
// That goes for the driver's own receive buffers as for the core's memory.
type driver interface {
	// BindRelay opens the socket of a relayed address; the handle of the relay is for
	// the driver. A port that another program holds is errPortInUse.
	BindRelay(r *relay, port uint16) error
	// CloseRelay closes it, after what was handed over for it before has been sent.
	CloseRelay(r *relay)
	// ToPeer sends a payload from a relayed address; with dontFragment as one packet
	// or not at all.
	ToPeer(r *relay, peer wire.Endpoint, g wire.Segment, dontFragment bool)
	// ToClient sends a message; media may be dropped when a stream is full.
	ToClient(c *client, g wire.Segment, media bool)
	// CloseClient ends a stream client after what is queued has been written.
	CloseClient(c *client)
	// LocalIP is the address of this host to which a client came, with port 0; zero
	// where the driver cannot tell.
	LocalIP(c *client) wire.Endpoint
	// Flush sends what is queued, and calls Reclaim.
	Flush()

	// Wake makes the shard look at its rings. It is called by other shards.
	Wake()
	// Post runs f in the shard's thread of control, soon and in order; after the
	// driver has ended, at once. It is called by anybody.
	Post(f func(*shard))
}

// client is a client's five-tuple (RFC 8656 section 3) and the allocation made
// over it, if any. Drivers make them: of a stream one for as long as it lives, of UDP
// one for each client without allocation of a round, since only those with one are
// kept, in the shard's table.
type client struct {
	Transport wire.Transport
	Addr      wire.Endpoint
	Key       wire.FiveTuple // UDP only
	Handle    any            // the driver's: a listener or a stream
	Pend      pending        // the driver's

	alloc   *allocation
	control ratelimit.Account // see charge
}

// pending is a driver's list of what a client waits to be sent, as positions in its
// queue plus one.
type pending struct{ Head, Tail int32 }

// Allocated reports whether the client has an allocation.
func (c *client) Allocated() bool { return c.alloc != nil }

// Current returns the client that stands in the tables for one that may have been
// made for a single packet, nil when it has no allocation.
func (c *client) Current() *client {
	if c.alloc == nil {
		return nil
	}
	return c.alloc.client
}
