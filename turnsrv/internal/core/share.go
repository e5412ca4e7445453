package core

import (
	"sync/atomic"

	"turnhub/internal/ratelimit"
	"turnhub/turnsrv/internal/wire"
)

// Share is what both paths of an allocation count, that of the shard and that in the
// kernel, whose program has the same layout. The accounts are of both together; what has
// been relayed and dropped is the kernel's alone, and the shard adds it to its own.
type Share struct{ ToPeer, ToClient ShareDirection }

// ShareDirection is one direction of it.
type ShareDirection struct {
	Bytes, Packets                   ratelimit.Shared
	RelayedPackets, RelayedBytes     [wire.Families]atomic.Uint64
	OverBandwidth, OverPackets       atomic.Uint64
	InProcessPackets, InProcessBytes atomic.Uint64
	Last                             atomic.Int64 // nanoseconds of the server's clock
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
		for _, n := range [4]*atomic.Uint64{&d.OverBandwidth, &d.OverPackets, &d.InProcessPackets, &d.InProcessBytes} {
			n.Store(0)
		}
		d.Last.Store(0)
	}
}

// shared is an allocation's share, and how much of it the shard has counted.
type shared struct {
	*Share
	number           uint32
	toPeer, toClient countedShare
}

type countedShare struct {
	relayed                    [wire.Families]Traffic
	inProcess                  Traffic
	overBandwidth, overPackets uint64
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
	in := Traffic{sh.ToPeer.InProcessPackets.Load(), sh.ToPeer.InProcessBytes.Load()}
	was := &sh.toPeer.inProcess
	s.count.inProcess.sum(Traffic{in.Packets - was.Packets, in.Bytes - was.Bytes})
	*was = in
	for _, d := range [2]struct {
		d *ShareDirection
		c *countedShare
	}{{&sh.Share.ToPeer, &sh.toPeer}, {&sh.Share.ToClient, &sh.toClient}} {
		bandwidth, packets := d.d.OverBandwidth.Load(), d.d.OverPackets.Load()
		s.count.drops[DropBandwidth] += bandwidth - d.c.overBandwidth
		s.count.drops[DropPackets] += packets - d.c.overPackets
		d.c.overBandwidth, d.c.overPackets = bandwidth, packets
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
