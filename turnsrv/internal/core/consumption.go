package core

import (
	"cmp"
	"net/netip"
	"slices"
	"sync/atomic"

	"turnhub/internal/netaddr"
	"turnhub/internal/ratelimit"
)

// What relayed data may use up. A relay with credentials for everybody is otherwise
// used as a tunnel: a call has a few peers, keeps within a bandwidth and sends packets
// of some size.

// flow is what one direction of an allocation has used.
type flow struct{ bytes, packets ratelimit.Account }

// flowRates are the limits as the data path reads them: one load a packet.
type flowRates struct {
	bytes, packets ratelimit.Rate // of one direction of an allocation
	newPeers       ratelimit.Rate // of an allocation
	userBytes      ratelimit.Rate // of a user, over all allocations and both directions
	userVolume     int64          // bytes of a user in volumeWindow
}

// A second's worth may come at once, as a key frame needs it.
func newFlowRates(l *Limits) *flowRates {
	return &flowRates{
		bytes:      aSecondsWorth(float64(l.BandwidthPerAllocation)),
		packets:    aSecondsWorth(l.PacketsPerAllocation),
		newPeers:   ratelimit.Rate{PerSecond: l.NewPeersPerAllocation, Burst: newPeersBurst},
		userBytes:  aSecondsWorth(float64(l.BandwidthPerUser)),
		userVolume: l.VolumePerUserDay,
	}
}

// affordsToPeer charges one direction of an allocation, and its user, for a packet of n
// bytes, or counts the drop.
func (s *Shard) affordsToPeer(a *allocation, n int) bool {
	if a.share != nil {
		return s.affordsShared(a, &a.share.ToPeer, n)
	}
	return s.went(s.shared.rates.Load().charge(&a.out, a.usage, s.now, s.second, n))
}

// affordsToClient is affordsToPeer for the other direction.
func (s *Shard) affordsToClient(a *allocation, n int) bool {
	if a.share != nil {
		return s.affordsShared(a, &a.share.ToClient, n)
	}
	return s.went(s.shared.rates.Load().charge(&a.in, a.usage, s.now, s.second, n))
}

// affordsShared charges accounts from which the kernel takes too.
func (s *Shard) affordsShared(a *allocation, d *ShareDirection, n int) bool {
	r := s.shared.rates.Load()
	switch {
	case !d.Packets.Take(s.now, r.packets, 1):
		return s.went(DropPackets)
	case !d.Bytes.Take(s.now, r.bytes, float64(n)):
		return s.went(DropBandwidth)
	}
	return s.went(r.chargeUser(a.usage, s.now, s.second, n))
}

func (s *Shard) went(drop Drop) bool {
	if drop != noDrop {
		s.drop(drop)
	}
	return drop == noDrop
}

// noDrop is what charge returns for a packet that goes.
const noDrop = drops

// charge charges one direction, and its user, for a packet of n bytes, or says why it is
// dropped.
func (r *flowRates) charge(f *flow, u *usage, now, second int64, n int) Drop {
	switch {
	case !f.packets.Take(now, r.packets, 1):
		return DropPackets
	case !f.bytes.Take(now, r.bytes, float64(n)):
		return DropBandwidth
	}
	return r.chargeUser(u, now, second, n)
}

// ofUsers reports whether users are limited over all their allocations.
func (r *flowRates) ofUsers() bool { return r.userBytes.PerSecond > 0 || r.userVolume > 0 }

func (r *flowRates) chargeUser(u *usage, now, second int64, n int) Drop {
	switch {
	case !u.Bandwidth.Take(now, r.userBytes, float64(n)):
		return DropUserBandwidth
	case r.userVolume > 0 && !u.take(second, n, r.userVolume):
		return DropUserVolume
	}
	return noDrop
}

// affordsPeers charges an allocation for peers that it has no permission for.
func (s *Shard) affordsPeers(a *allocation, fresh int) bool {
	if fresh == 0 || a.newPeers.Take(s.now, s.shared.rates.Load().newPeers, float64(fresh)) {
		return true
	}
	s.count.denied["new-peers"]++
	return false
}

// usage is what all allocations of one holder of quotas have used together. While it is
// held it may be where the kernel takes from it, too.
type usage struct {
	*Usage
	own    Usage
	number uint32       // by which the kernel knows it, or NoUser
	told   atomic.Int64 // of the volume: to the process that takes over, under the directory's lock
	held   int          // by so many allocations; under the directory's lock

	// What of the volume is of other nodes, in the window that began then, and what each of
	// them has told; under the directory's lock. See elsewhere.go.
	foreign, foreignOf int64
	tellers            map[string]teller
}

func newUsage() *usage {
	u := &usage{number: NoUser}
	u.Usage = &u.own
	return u
}

// share has the kernel take from it, too, if that has room. Nobody uses it yet.
func (u *usage) share(o *offload) {
	if o == nil {
		return
	}
	if in, number, ok := o.to.User(); ok {
		in.Continue(&u.own)
		u.Usage, u.number = in, number
	}
}

// unshare ends share. Nobody uses it any more.
func (u *usage) unshare(o *offload) {
	if u.number == NoUser {
		return
	}
	u.own.Continue(u.Usage)
	o.to.ReleaseUser(u.number)
	u.Usage, u.number = &u.own, NoUser
}

// take counts n bytes in the window of a day that begins with the first of them, or
// none where the user has had its volume.
func (u *usage) take(second int64, n int, limit int64) bool {
	if began := u.Began.Load(); began == 0 || second-began >= volumeWindow {
		if u.Began.CompareAndSwap(began, max(second, 1)) {
			u.Volume.Store(0)
			u.told.Store(0)
		}
	}
	if u.Volume.Add(int64(n)) <= limit {
		return true
	}
	u.Volume.Add(int64(-n))
	return false
}

// consumer is who has a usage: as Config.Consumer says, where names prove nothing the
// household alone.
func (d *directory) consumer(user string, client netip.Addr) holder {
	name, proved := user, true
	if d.consumerOf != nil {
		name, proved = d.consumerOf(user)
	}
	if !proved {
		return holder{household: netaddr.Household(client)}
	}
	return holder{user: name}
}

// use gives an allocation the usage of its user. The lock is held.
func (d *directory) use(a *allocation) {
	a.usage = d.hold(d.consumer(a.user, a.client.Addr.Addr()), a.created)
}

// unuse ends use.
func (d *directory) unuse(a *allocation) {
	d.letGo(d.consumer(a.user, a.client.Addr.Addr()), a.usage)
}

// hold returns what somebody has used up, until letGo. The lock is held.
func (d *directory) hold(h holder, now int64) *usage {
	u := d.entry(h, now)
	if u.held++; u.held == 1 {
		u.share(d.offload)
	}
	return u
}

// letGo ends hold. What a user has had of the day's volume is kept for the day.
func (d *directory) letGo(h holder, u *usage) {
	if u.held--; u.held > 0 {
		return
	}
	u.unshare(d.offload)
	if u.Volume.Load() == 0 {
		delete(d.usages, h)
	}
}

// forgetUsages makes room, much at a time: of those whose day is over, and if they are
// few, of any that no allocation holds.
func (d *directory) forgetUsages(now int64) {
	if now == d.forgotten {
		return // all others are held by allocations, which are bounded
	}
	d.forgotten = now
	for h, u := range d.usages {
		if u.held == 0 && now-u.Began.Load() >= volumeWindow {
			delete(d.usages, h)
		}
	}
	for h, u := range d.usages {
		if len(d.usages) < maxUsages*7/8 {
			return
		}
		if u.held == 0 {
			delete(d.usages, h)
		}
	}
}

// Volume is what a user, or where names prove nothing a household, has had of the
// day's volume.
type Volume struct {
	User      string       `json:"user,omitempty"` // as Config.Consumer names it
	Household netip.Prefix `json:"household,omitzero"`
	Bytes     int64        `json:"bytes"`
	Age       int64        `json:"age"` // seconds since the first of them
}

// Volumes returns what users have had of their day, for the process that takes over; or
// with since only what has come after the last time it was asked, when this process ends.
func (s *Shared) Volumes(since bool) (volumes []Volume) {
	now := s.Clock() / 1e9
	d := s.directory
	d.mu.Lock()
	defer d.mu.Unlock()
	for h, u := range d.usages {
		all := u.ownVolume() // the next process hears of the others by itself
		told := u.told.Swap(all)
		if !since {
			told = 0 // an earlier successor may have come to nothing
		}
		if age := now - u.Began.Load(); all > told && age < volumeWindow {
			volumes = append(volumes, Volume{h.user, h.household, all - told, age})
		}
	}
	slices.SortFunc(volumes, func(a, b Volume) int { return cmp.Compare(b.Bytes, a.Bytes) })
	return volumes[:min(len(volumes), maxVolumes)]
}

// AddVolumes takes over what another process of this server has counted.
func (s *Shared) AddVolumes(volumes []Volume) {
	now := s.Clock() / 1e9
	d := s.directory
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, v := range volumes[:min(len(volumes), maxVolumes)] {
		d.entry(holder{v.User, v.Household}, now).add(v, now)
	}
}

// entry returns what somebody has used up, whether anybody holds it or not. The lock is held.
func (d *directory) entry(h holder, now int64) *usage {
	u := d.usages[h]
	if u == nil {
		if len(d.usages) >= maxUsages {
			d.forgetUsages(now)
		}
		u = newUsage()
		d.usages[h] = u
	}
	return u
}

// add counts what was relayed elsewhere, in a window that may have begun earlier.
func (u *usage) add(v Volume, now int64) {
	began := now - v.Age
	switch own := u.Began.Load(); {
	case own == 0 || now-own >= volumeWindow: // of a day that is over
		u.Began.Store(began)
		u.Volume.Store(0)
		u.told.Store(0)
	case began < own:
		u.Began.Store(began)
		if u.foreignOf == own {
			u.foreignOf = began
		}
	}
	u.Volume.Add(v.Bytes)
}
