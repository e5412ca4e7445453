package core

import (
	"sync/atomic"

	"turnhub/internal/ratelimit"
	"turnhub/turnsrv/internal/wire"
)

// allocation is the state that one Allocate request makes (RFC 8656 section 3.2).
// It belongs to one shard. It is kept small: an idle one costs little more than
// its sockets.
type allocation struct {
	client *Client
	owner  *Shard
	relays [wire.Families]*Relay

	username string // as in USERNAME: 441 when another one comes
	user     string // its user part: quotas, peer policy
	key      [16]byte

	perms []permission
	chans []channel
	index *peerIndex // of both, when there are many

	in, out  flow // from the peers, to the peers
	newPeers ratelimit.Account
	usage    *usage // with the user's other allocations
	toPeer   Traffic
	toClient Traffic
	share    *shared // with the kernel; nil: it has had no flow there

	created, expires int64 // seconds of the server's clock
	// active is the second of the last data, either way, or request. Other shards
	// read it when they look for an allocation that nobody uses.
	active atomic.Int64
	// counted says that the directory counts it; the directory's lock guards it.
	counted bool
	kernel  atomic.Pointer[Share] // as share, for other shards: see lastActive
	flushed atomic.Uint32         // counts when flows of it have left the kernel
	barred  int                   // see offload; its lock guards it

	// The Allocate request that made it, so that a retransmission gets the same
	// answer (RFC 8489 section 6.3.1).
	transaction [12]byte
	lifetime    uint32
	token       [8]byte // RESERVATION-TOKEN, zero if none
	addrError   uint16  // ADDRESS-ERROR-CODE of the family that was not to be had, 0 if none
	addrFamily  byte    // which that is

	wheelPrev, wheelNext *allocation
	slot                 int32 // of the wheel, -1 when in none
	dead                 bool
	sent                 bool // something over a socket, to any peer
	forgot               bool // to whom: such a permission has been pruned
}

// permission lets one IP address send to, and receive from, an allocation (RFC
// 8656 section 9).
type permission struct {
	ip      wire.Endpoint // port 0
	expires int64
	epoch   uint32 // of the owner's relay when the policy was asked
	// outside: the policy admits the address itself. Without it only the relayed
	// addresses of this server on that IP are meant, each judged by its owner.
	outside bool
	sent    bool    // something, over a socket: see unasked.go
	pair    pairing // for Send indications
}

// channel is a channel binding (RFC 8656 section 12).
type channel struct {
	peer    wire.Endpoint
	expires int64
	number  uint16
	pair    pairing

	offered int64  // until this second it need not be offered to the kernel again,
	flushed uint32 // unless the allocation's count has moved
}

// pairing caches the policy's answer about one relayed address of this server: yes as
// long as neither side's epoch has moved, no for a second at most, since nobody is
// told when two come together.
type pairing struct {
	target         *Relay
	epoch, targets uint32
	asked          int64 // second
	together       bool
}

// prune removes what has expired, so that the slices hold the living only.
func (a *allocation) prune(now int64) {
	keep := a.perms[:0]
	for _, p := range a.perms {
		if p.expires > now {
			keep = append(keep, p)
		} else {
			a.forgot = a.forgot || p.sent
		}
	}
	a.perms = keep
	chans := a.chans[:0]
	for _, c := range a.chans {
		if c.expires > now {
			chans = append(chans, c)
		}
	}
	clear(a.chans[len(chans):])
	a.chans = chans
	a.reindex()
}

// relayFor returns the relayed address with which peer can be reached, or nil.
func (a *allocation) relayFor(peer wire.Endpoint) *Relay { return a.relays[peer.Family()] }

// touch notes that the allocation is in use. It writes once a second at most.
func (a *allocation) touch(second int64) {
	if a.active.Load() != second {
		a.active.Store(second)
	}
}

// epoch is bumped by Recheck on all relays of the allocation.
func (a *allocation) epoch() uint32 {
	for _, r := range a.relays {
		if r != nil {
			return r.epoch.Load()
		}
	}
	return 0
}

func (a *allocation) bumpEpoch() {
	for _, r := range a.relays {
		if r != nil {
			r.epoch.Add(1)
		}
	}
}

// inKernel is for how many seconds after its last packet there an allocation is said to be
// inside the kernel.
const inKernel = 10

func (a *allocation) info(now int64) AllocationInfo {
	info := AllocationInfo{
		User: a.user, Transport: a.client.Transport, Client: a.client.Addr.AddrPort(),
		AgeSeconds: now - a.created, ExpiresInSeconds: a.expires - now,
		ToPeer: a.toPeer, ToClient: a.toClient,
	}
	if share := a.kernel.Load(); share != nil {
		info.InKernel = now-lastOf(share) < inKernel
	}
	for _, r := range a.relays {
		if r != nil {
			info.Relayed = append(info.Relayed, r.addr.AddrPort())
		}
	}
	for _, p := range a.perms {
		if p.expires > now {
			info.Permissions++
		}
	}
	for _, c := range a.chans {
		if c.expires > now {
			info.Channels++
		}
	}
	return info
}
