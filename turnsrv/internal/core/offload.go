package core

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"turnhub/turnsrv/internal/wire"
)

// Offload forwards the packets of running calls past the shards, in the kernel. A flow is
// entered when a packet of it has passed all that the data path asks, and lives no longer
// than the channel and the permission by which that one went: the packet after that comes
// to the shard again, which enters it anew. So a refresh costs nothing here. Whatever else
// could change an answer takes flows out first. Its methods are safe for concurrent use.
type Offload interface {
	// Share returns a place for the counters and accounts that both paths of an
	// allocation share, all of them zero, and its number; ok is false where none is left.
	Share() (share *Share, number uint32, ok bool)
	// Release gives it back. The kernel may count there a moment longer.
	Release(number uint32)
	// Enter enters a flow, or replaces it. A local address that is zero but for its port
	// becomes the one that the system sends from. Refused is why it cannot, a label of a
	// metric; empty: it is in.
	Enter(f *Flow) (refused string)
	// Remove takes flows out. No packet is forwarded by them after it has returned.
	Remove(keys []FlowKey)
	// User returns a place for what a user has used, from which both paths take, and
	// its number; ok is false where none is left.
	User() (usage *Usage, number uint32, ok bool)
	// ReleaseUser gives it back.
	ReleaseUser(number uint32)
	// SetRates sets the limits. 0: none.
	SetRates(OffloadRates)
}

// OffloadRates are the limits of relayed data as the kernel applies them.
type OffloadRates struct {
	Bytes, Packets float64 // per second, of each direction of an allocation
	UserBytes      float64 // per second, of a user
	UserVolume     int64   // bytes of a user in a day
}

// FlowKey is what a packet of a flow looks like.
type FlowKey struct {
	Remote, Local wire.Endpoint // from where, and to which address of this host
	Channel       uint16        // of ChannelData; 0: a plain datagram
}

// Flow is one direction of a channel.
type Flow struct {
	FlowKey
	Source, Target wire.Endpoint // it leaves from one to the other
	As             uint16        // the channel in which it is wrapped; 0: none
	Expires        int64         // nanoseconds of the server's clock
	From, To       *Party        // whose client sends, and whose receives; or nil
}

// Party is an allocation's part in a flow.
type Party struct {
	Share  uint32
	Family wire.Family // of its relayed address
}

// offload knows which flows are in the kernel, and why others are not.
type offload struct {
	to Offload

	// state counts what could make an answer of the data path untrue: what was asked
	// before it moved is not entered.
	state atomic.Uint64

	mu      sync.Mutex // guards, and orders what is entered and removed:
	flows   map[FlowKey]flowOwners
	of      map[*allocation]*offloaded
	halves  map[halfKey]half
	barred  int // nothing is entered until so many shards have asked the policy again
	refused map[string]uint64
}

// flowOwners are the allocations with which a flow ends: one, or both sides of a call.
type flowOwners [2]*allocation

// offloaded is what an allocation has in the kernel.
type offloaded struct {
	flows  map[FlowKey]struct{}
	halves map[halfKey]struct{}
}

// half is one side of a channel between two relayed addresses of this server. The flows
// of both are made when the other one is there.
type half struct {
	owner         *allocation
	relay, target *Relay
	channel       uint16
	until         int64         // nanoseconds
	exact         bool          // the channel is that of the address as advertised, from which packets come
	client, local wire.Endpoint // local: of this host, to which the client sends
	party         Party
}

// halfKey are the relayed addresses of both, the half's own first.
type halfKey struct{ own, peer wire.Endpoint }

func newOffload(to Offload) *offload {
	return &offload{
		to: to, flows: make(map[FlowKey]flowOwners), of: make(map[*allocation]*offloaded),
		halves: make(map[halfKey]half), refused: make(map[string]uint64),
	}
}

// offloadRetry is for how many seconds a channel is left to the shard that could not be
// entered.
const offloadRetry = 10

// offload enters a channel whose packet has just passed all checks; target is the relayed
// address of this server that is its peer, or nil. before is the state before the checks.
func (s *Shard) offload(a *allocation, r *Relay, ch *channel, p *permission, target *Relay, before uint64) {
	flushed := a.flushed.Load()
	if ch.offered > s.second && ch.flushed == flushed {
		return
	}
	ch.flushed, ch.offered = flushed, min(ch.expires, p.expires, a.expires)
	o := s.shared.offload
	if why := s.enter(o, a, r, ch, p, target, before); why != "" {
		ch.offered = s.second + offloadRetry
		o.mu.Lock()
		o.refused[why]++
		o.mu.Unlock()
	}
}

// enter returns why a channel stays with the shard, or nothing.
func (s *Shard) enter(o *offload, a *allocation, r *Relay, ch *channel, p *permission, target *Relay, before uint64) (refused string) {
	if s.ports == nil || a.client.Transport != wire.UDP {
		return "transport"
	}
	if a.usage.number == NoUser && s.shared.rates.Load().ofUsers() {
		return "user_limits"
	}
	if ch.peer.Zone != 0 || a.client.Addr.Zone != 0 {
		return "scope"
	}
	local := s.io.LocalIP(a.client)
	local.Port = s.ports.LocalPort(a.client)
	bind := wire.Endpoint{Port: r.addr.Port}
	if ip := r.Bind(); !ip.IsUnspecified() {
		bind = wire.EndpointIP(ip)
		bind.Port = r.addr.Port
	}
	until := min(ch.expires, p.expires, a.expires) * 1e9
	if a.share == nil && !s.takeShare(o, a) {
		return "full"
	}
	party := Party{a.share.number, r.addr.Family()}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.barred > 0 || a.barred > 0 || o.state.Load() != before {
		return "changing"
	}
	if target != nil {
		return o.pair(half{a, r, target, ch.number, until, ch.peer.Unscoped() == target.addr, a.client.Addr, local, party})
	}
	refused = o.put(flowOwners{a}, &Flow{
		FlowKey: FlowKey{Remote: a.client.Addr, Local: local, Channel: ch.number},
		Source:  bind, Target: ch.peer, Expires: until, From: &party,
	})
	if refused == "" {
		refused = o.put(flowOwners{a}, &Flow{
			FlowKey: FlowKey{Remote: ch.peer, Local: bind},
			Source:  local, Target: a.client.Addr, As: ch.number, Expires: until, To: &party,
		})
	}
	return refused
}

// pair enters both directions between two clients, when both sides are known. mu is held.
func (o *offload) pair(own half) (refused string) {
	key := halfKey{own.relay.addr, own.target.addr}
	o.halves[key] = own
	o.has(own.owner).halves[key] = struct{}{}
	other, ok := o.halves[halfKey{key.peer, key.own}]
	if !ok || other.relay != own.target || other.target != own.relay {
		return "" // until the other side sends
	}
	for _, d := range [2][2]*half{{&own, &other}, {&other, &own}} {
		from, to := d[0], d[1]
		if !to.exact {
			continue // gets Data indications
		}
		why := o.put(flowOwners{from.owner, to.owner}, &Flow{
			FlowKey: FlowKey{Remote: from.client, Local: from.local, Channel: from.channel},
			Source:  to.local, Target: to.client, As: to.channel, Expires: min(own.until, other.until),
			From: &from.party, To: &to.party,
		})
		if why != "" {
			refused = why
		}
	}
	return refused
}

func (o *offload) has(a *allocation) *offloaded {
	of := o.of[a]
	if of == nil {
		of = &offloaded{make(map[FlowKey]struct{}), make(map[halfKey]struct{})}
		o.of[a] = of
	}
	return of
}

// put enters a flow. mu is held.
func (o *offload) put(owners flowOwners, f *Flow) (refused string) {
	if refused = o.to.Enter(f); refused != "" {
		return refused
	}
	o.disown(f.FlowKey)
	o.flows[f.FlowKey] = owners
	for _, a := range owners {
		if a != nil {
			o.has(a).flows[f.FlowKey] = struct{}{}
		}
	}
	return ""
}

func (o *offload) disown(key FlowKey) {
	for _, a := range o.flows[key] {
		if a != nil {
			delete(o.of[a].flows, key)
			a.flushed.Add(1)
		}
	}
	delete(o.flows, key)
}

// forget takes all flows of allocations out, and those to them. With bar nothing of
// theirs is entered until unbar.
func (o *offload) forget(allocs []*allocation, bar bool) {
	if o == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.state.Add(1)
	for _, a := range allocs {
		if bar {
			a.barred++
		}
		of := o.of[a]
		if of == nil {
			continue
		}
		keys := make([]FlowKey, 0, len(of.flows))
		for key := range of.flows {
			keys = append(keys, key)
		}
		o.to.Remove(keys)
		for _, key := range keys {
			o.disown(key)
		}
		for key := range of.halves {
			if o.halves[key].owner == a {
				delete(o.halves, key)
			}
		}
		a.flushed.Add(1)
		delete(o.of, a)
	}
}

// forgetOne is forget for one, as soon as what it stands on ends.
func (o *offload) forgetOne(a *allocation) {
	if o != nil && a.share != nil {
		o.forget([]*allocation{a}, false)
	}
}

func (o *offload) unbar(a *allocation) {
	if o == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	a.barred--
}

// forgetAll takes all flows out, and bars all until unbarAll has been called so often.
func (o *offload) forgetAll(bars int) {
	if o == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.state.Add(1)
	o.barred += bars
	keys := make([]FlowKey, 0, len(o.flows))
	for key := range o.flows {
		keys = append(keys, key)
	}
	o.to.Remove(keys)
	for a := range o.of {
		a.flushed.Add(1)
	}
	clear(o.flows)
	clear(o.of)
	clear(o.halves)
}

func (o *offload) unbarAll() {
	if o == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.barred--
}

// FlushOffload takes all flows out of the kernel: what they were made by, such as the
// routes of this host, has changed.
func (s *Shared) FlushOffload() { s.offload.forgetAll(0) }

// FlushOffloadOf takes the flows out of all allocations that have one with these addresses,
// whatever the port: what was known of the way there has changed.
func (s *Shared) FlushOffloadOf(addresses []wire.Endpoint) {
	o := s.offload
	if o == nil {
		return
	}
	moved := make(map[wire.Endpoint]bool)
	for _, e := range addresses {
		moved[e.IP()] = true
	}
	owners := make(map[*allocation]struct{})
	o.mu.Lock()
	for key, of := range o.flows {
		if moved[key.Remote.IP()] {
			for _, a := range of {
				if a != nil {
					owners[a] = struct{}{}
				}
			}
		}
	}
	o.mu.Unlock()
	o.forget(slices.Collect(maps.Keys(owners)), false)
}

// Offloaded are how many flows are in the kernel, and how often one could not be
// entered, by reason.
func (s *Shared) Offloaded() (flows int, refused map[string]uint64) {
	o := s.offload
	if o == nil {
		return 0, nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.flows), maps.Clone(o.refused)
}
