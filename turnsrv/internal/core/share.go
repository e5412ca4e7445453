package core

import (
	"sync/atomic"

	"turnhub/internal/ratelimit"
	"turnhub/turnsrv/internal/wire"
)

// Share is what both paths of an allocation count, that of the shard and that in the
// kernel, whose program has the same layout. The accounts are of both together; what has
// been relayed and dropped is the kernel's alone, and the shard adds it to its own.
type Share struct {
	ToPeer, ToClient         ShareDirection
	RareToPeer, RareToClient ShareRare
}

// ShareDirection is one direction of it: a cache line of what every packet touches.
type ShareDirection struct {
	RelayedPackets, RelayedBytes [wire.Families]atomic.Uint64
	Last                         atomic.Int64 // nanoseconds of the server's clock
	Bytes, Packets               ratelimit.Shared
	_                            uint64
}

// ShareRare is what few packets of a direction touch.
type ShareRare struct {
	OverBandwidth, OverPackets        atomic.Uint64
	OverUserBandwidth, OverUserVolume atomic.Uint64
	InProcessPackets, InProcessBytes  atomic.Uint64
	User                              atomic.Uint32 // the number of its usage, or NoUser
	_                                 [3]uint32
}

// NoUser is the number of a usage that the kernel does not know.
const NoUser = 1<<32 - 1

// Usage is what all allocations of one holder of quotas have used together. The kernel's
// program has the same layout.
type Usage struct {
	Bandwidth ratelimit.Shared
	Began     atomic.Int64 // of the window, in seconds of the server's clock; 0: none yet
	Volume    atomic.Int64 // bytes in the window
	_         uint64
}

// Continue makes it go on from what another one has, while nobody uses either.
func (u *Usage) Continue(from *Usage) {
	u.Bandwidth.ContinueShared(&from.Bandwidth)
	u.Began.Store(from.Began.Load())
	u.Volume.Store(from.Volume.Load())
}

// Reset makes all of it zero.
func (s *Share) Reset() {
	for _, d := range [2]*ShareDirection{&s.ToPeer, &s.ToClient} {
		d.Bytes.Continue(ratelimit.Account{})
		d.Packets.Continue(ratelimit.Account{})
		for f := range wire.Families {
			d.RelayedPackets[f].Store(0)
			d.RelayedBytes[f].Store(0)
		}
		d.Last.Store(0)
	}
	for _, r := range [2]*ShareRare{&s.RareToPeer, &s.RareToClient} {
		for _, n := range r.drops() {
			n.Store(0)
		}
		r.InProcessPackets.Store(0)
		r.InProcessBytes.Store(0)
		r.User.Store(NoUser)
	}
}

// shareDrops are why the kernel drops packets, in the order of drops.
var shareDrops = [...]Drop{DropBandwidth, DropPackets, DropUserBandwidth, DropUserVolume}

func (r *ShareRare) drops() [len(shareDrops)]*atomic.Uint64 {
	return [...]*atomic.Uint64{&r.OverBandwidth, &r.OverPackets, &r.OverUserBandwidth, &r.OverUserVolume}
}

// shared is an allocation's share, and how much of it the shard has counted.
type shared struct {
	*Share
	number           uint32
	toPeer, toClient countedShare
}

type countedShare struct {
	relayed   [wire.Families]Traffic
	inProcess Traffic
	dropped   [len(shareDrops)]uint64
}

// takeShare gives an allocation a share.
func (s *Shard) takeShare(o *offload, a *allocation) bool {
	share, number, ok := o.to.Share()
	if !ok {
		return false
	}
	share.ToPeer.Bytes.Continue(a.out.bytes)
	share.ToPeer.Packets.Continue(a.out.packets)
	share.ToClient.Bytes.Continue(a.in.bytes)
	share.ToClient.Packets.Continue(a.in.packets)
	for _, r := range [2]*ShareRare{&share.RareToPeer, &share.RareToClient} {
		r.User.Store(a.usage.number)
	}
	a.share = &shared{Share: share, number: number}
	a.kernel.Store(share)
	return true
}

// dropShare ends it, when no flow of the allocation is left.
func (s *Shard) dropShare(a *allocation) {
	if a.share == nil {
		return
	}
	s.countShare(a)
	a.kernel.Store(nil)
	s.shared.offload.to.Release(a.share.number)
	a.share = nil
}

// countShare adds to the counters what the kernel has relayed since the last time.
func (s *Shard) countShare(a *allocation) {
	sh := a.share
	if sh == nil {
		return
	}
	t := a.client.Transport
	for f := range wire.Families {
		d := sh.ToPeer.since(&sh.toPeer.relayed[f], f)
		a.toPeer.sum(d)
		s.count.toPeer[t][f].sum(d)
		s.count.kernel.sum(d)
		d = sh.ToClient.since(&sh.toClient.relayed[f], f)
		a.toClient.sum(d)
		s.count.toClient[t][f].sum(d)
		s.count.kernel.sum(d)
	}
	in := Traffic{sh.RareToPeer.InProcessPackets.Load(), sh.RareToPeer.InProcessBytes.Load()}
	was := &sh.toPeer.inProcess
	s.count.inProcess.sum(Traffic{in.Packets - was.Packets, in.Bytes - was.Bytes})
	*was = in
	for _, d := range [2]struct {
		r *ShareRare
		c *countedShare
	}{{&sh.RareToPeer, &sh.toPeer}, {&sh.RareToClient, &sh.toClient}} {
		for i, n := range d.r.drops() {
			now := n.Load()
			s.count.drops[shareDrops[i]] += now - d.c.dropped[i]
			d.c.dropped[i] = now
		}
	}
	if last := lastOf(sh.Share); last > a.active.Load() {
		a.active.Store(last)
	}
}

// since returns what has been relayed after counted, which it becomes.
func (d *ShareDirection) since(counted *Traffic, f wire.Family) Traffic {
	now := Traffic{d.RelayedPackets[f].Load(), d.RelayedBytes[f].Load()}
	was := *counted
	*counted = now
	return Traffic{now.Packets - was.Packets, now.Bytes - was.Bytes}
}

func (t *Traffic) sum(o Traffic) {
	t.Packets += o.Packets
	t.Bytes += o.Bytes
}

// lastOf is the second in which the kernel has last relayed something.
func lastOf(s *Share) int64 { return max(s.ToPeer.Last.Load(), s.ToClient.Last.Load()) / 1e9 }

// lastActive is the second of the last data, on either path, or request. It is safe for
// concurrent use.
func (a *allocation) lastActive() int64 {
	active := a.active.Load()
	if share := a.kernel.Load(); share != nil {
		active = max(active, lastOf(share))
	}
	return active
}
