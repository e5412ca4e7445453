package core

import (
	"errors"

	"turnhub/turnsrv/internal/wire"
)

// Driver is the seam between the core and the operating system: it feeds a shard
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
type Driver interface {
	// BindRelay opens the socket of a relayed address; the handle of the relay is for
	// the driver. A port that another program holds is ErrPortInUse; ErrNoDescriptors
	// says that the machine has no socket to give.
	BindRelay(r *Relay, port uint16) error
	// CloseRelay closes it (never one without a socket), after what was handed over for it before has been sent.
	CloseRelay(r *Relay)
	// ToPeer sends a payload from a relayed address; with dontFragment as one packet
	// or not at all.
	ToPeer(r *Relay, peer wire.Endpoint, g wire.Segment, dontFragment bool)
	// ToClient sends a message; media may be dropped when a stream is full.
	ToClient(c *Client, g wire.Segment, media bool)
	// CloseClient ends a stream client after what is queued has been written.
	CloseClient(c *Client)
	// LocalIP is the address of this host to which a client came, with port 0; zero
	// where the driver cannot tell.
	LocalIP(c *Client) wire.Endpoint
	// Flush sends what is queued, and calls Reclaim.
	Flush()

	// Wake makes the shard look at its rings. It is called by other shards.
	Wake()
	// Post runs f in the shard's thread of control, soon and in order; after the
	// driver has ended, at once. It is called by anybody.
	Post(f func(*Shard))
}

// ErrPortInUse is what BindRelay returns for a port that another program holds. A
// driver that closes a socket later than CloseRelay returns may find a port of its own
// in use; it is tried again some seconds later.
var ErrPortInUse = errors.New("port in use")

// ErrNoDescriptors is what BindRelay returns where this process or the machine can open
// no more sockets.
var ErrNoDescriptors = errors.New("no descriptors left for a socket")
