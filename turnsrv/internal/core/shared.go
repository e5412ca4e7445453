package core

import (
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"turnhub/internal/netaddr"
	"turnhub/turnsrv/credentials"
	"turnhub/turnsrv/internal/wire"
	"turnhub/turnsrv/policy"
)

// Limits bound what clients can use. Zero means no limit.
type Limits struct {
	AllocationsPerUser       int
	AllocationsPerIP         int
	AllocationsTotal         int
	PermissionsPerAllocation int     // and as many channels
	BandwidthPerAllocation   int64   // payload bytes per second, each direction
	PacketsPerAllocation     float64 // per second, each direction
	NewPeersPerAllocation    float64 // peers without a permission, per second after a burst
	BandwidthPerUser         int64   // payload bytes per second, over all allocations and both directions
	VolumePerUserDay         int64   // payload bytes in 24 hours from the first of them, likewise
	UnauthenticatedPerPrefix float64 // answers per second, per IPv4 /24 and IPv6 /48
}

// Config is what the shards of one server work by.
type Config struct {
	Realm       string
	Software    string // the SOFTWARE attribute; empty: none
	Credentials *credentials.Secrets
	Policy      *policy.Policy
	Relay       []netaddr.RelayAddress
	PortMin     uint16 // of relayed addresses
	PortMax     uint16
	Limits      Limits
	Sockets     Sockets
	Offload     Offload // nil: none
	Logger      *slog.Logger

	// Hooks, each safe for concurrent use and quick; nil: none. See turnsrv.Config.

	Revoked  func(user string, expires time.Time) bool
	Refused  func(client netip.Addr, transport wire.Transport, why AuthResult)
	Ended    func(AllocationInfo)
	NoRoom   func(user string, client netip.Addr, transport wire.Transport, quota string)
	Unproved func(user string) bool
	Consumer func(user string) (name string, proved bool)

	Gateway *netaddr.Gateway // see turnsrv.Config
}

// Shared is what all shards of one server have in common: what is either immutable
// and swapped as a whole (policy, limits, relay addresses), a lock-free table (relay
// ports, answers per prefix), or touched by the control path only (quotas,
// reservations). Its exported methods are safe for concurrent use; those that reach
// into shards need their drivers to run.
type Shared struct {
	cfg        Config
	started    time.Time
	shortRealm string // see realm.go

	limits   atomic.Pointer[Limits]
	rates    atomic.Pointer[flowRates] // of limits, for the data path
	policy   atomic.Pointer[policy.Policy]
	relays   atomic.Pointer[relaySpaces]
	draining atomic.Bool
	open     openness
	sockets  atomic.Int32 // a Sockets
	left     atomic.Bool  // a relayed packet has left the server, ever
	bare     atomic.Bool  // it has been said that allocations get no socket

	elders atomic.Pointer[[]Ports] // of older processes

	nonceKey     []byte
	prefixes     *prefixLimit // of answers to requests that prove nothing
	churn        *prefixLimit // of new allocations
	directory    *directory
	offload      *offload // nil: none
	reservations reservations

	shards []*Shard // by their id; complete before the first one runs
}

// NewShared returns the common part of a server. cfg must be complete.
func NewShared(cfg Config) *Shared {
	s := &Shared{
		cfg: cfg, started: time.Now(), shortRealm: shortRealm(cfg.Realm),
		nonceKey: wire.NewNonceKey(), prefixes: newPrefixLimit(), churn: newPrefixLimit(), directory: newDirectory(cfg.Unproved, cfg.Consumer),
	}
	if cfg.Offload != nil {
		s.offload = newOffload(cfg.Offload)
		s.directory.offload = s.offload
	}
	s.reservations.directory = s.directory
	s.directory.gateway = cfg.Gateway
	s.policy.Store(cfg.Policy)
	s.relays.Store(new(relaySpaces))
	s.SetSockets(cfg.Sockets)
	s.SetRelay(cfg.Relay)
	s.SetLimits(cfg.Limits)
	return s
}

// Clock is the server's coarse clock: nanoseconds since it was made, plus a day so
// that nothing ever happened at time 0. It never goes back.
func (s *Shared) Clock() int64 { return int64(time.Since(s.started) + 24*time.Hour) }

func (s *Shared) spaces() *relaySpaces { return s.relays.Load() }

// each runs f on every shard, one after the other, in its thread of control.
func (s *Shared) each(f func(*Shard)) {
	for _, sh := range s.shards {
		done := make(chan struct{})
		sh.io.Post(func(sh *Shard) {
			f(sh)
			close(done)
		})
		<-done
	}
}

// on has f done to allocations by the shards that own them. It does not wait:
// the caller may hold a lock that the peer policy needs too.
func (s *Shared) on(allocs []*allocation, f func(*Shard, *allocation)) {
	byShard := make([][]*allocation, len(s.shards))
	for _, a := range allocs {
		id := a.owner.id
		byShard[id] = append(byShard[id], a)
	}
	for id, mine := range byShard {
		if len(mine) > 0 {
			s.shards[id].io.Post(func(sh *Shard) {
				for _, a := range mine {
					f(sh, a)
				}
			})
		}
	}
}

// Recheck asks the peer policy again for every permission of these users'
// allocations, or of all when none is named: their rooms have changed. It does not
// wait until that is done, which takes the shards one round.
func (s *Shared) Recheck(users ...string) {
	if len(users) == 0 {
		s.offload.forgetAll(len(s.shards))
		for _, sh := range s.shards {
			sh.io.Post(func(sh *Shard) {
				for a := range sh.allocs {
					sh.recheck(a)
				}
				s.offload.unbarAll()
			})
		}
		return
	}
	var allocs []*allocation
	for _, user := range users {
		allocs = append(allocs, s.directory.of(user)...)
	}
	s.offload.forget(allocs, true)
	s.on(allocs, func(sh *Shard, a *allocation) {
		sh.recheck(a)
		s.offload.unbar(a)
	})
}

// Revoke ends all allocations of a user, and all others whose credentials
// Config.Revoked names, within one round of the shards, and returns how many there
// are. Allocations that are being made see by Config.Revoked what comes before Revoke.
func (s *Shared) Revoke(user string) int {
	allocs := s.directory.which(func(a *allocation) bool { return a.user == user || s.revoked(a.username) })
	s.offload.forget(allocs, true)
	s.on(allocs, func(sh *Shard, a *allocation) {
		if a.dead {
			return
		}
		sh.count.revoked++
		c := a.client
		sh.end(a)
		if c.Transport != wire.UDP {
			sh.io.CloseClient(c)
		}
	})
	return len(allocs)
}

// voids asks Config.Revoked.
func (s *Shared) voids(user string, expires time.Time) bool {
	return s.cfg.Revoked != nil && s.cfg.Revoked(user, expires)
}

// revoked is voids for the username of an allocation.
func (s *Shared) revoked(username string) bool {
	if s.cfg.Revoked == nil {
		return false
	}
	expires, user, err := credentials.ParseUsername(username)
	return err == nil && s.cfg.Revoked(user, expires)
}

// SetLimits replaces the limits. Allocations that exist stay, even above them.
func (s *Shared) SetLimits(l Limits) {
	s.limits.Store(&l)
	rates := newFlowRates(&l)
	s.rates.Store(rates)
	if s.offload != nil {
		s.offload.to.SetRates(OffloadRates{rates.bytes.PerSecond, rates.packets.PerSecond, rates.userBytes.PerSecond, rates.userVolume})
	}
}

// SetRelay replaces the addresses on which new allocations get their relayed
// addresses. Those that exist stay.
func (s *Shared) SetRelay(addresses []netaddr.RelayAddress) {
	for {
		old := s.relays.Load()
		next := old.with(addresses, s.cfg.PortMin, s.cfg.PortMax)
		s.keepClear(next)
		if s.relays.CompareAndSwap(old, next) {
			s.offload.forgetAll(0)
			return
		}
	}
}

// SetPolicy replaces the peer policy and applies it to what exists.
func (s *Shared) SetPolicy(p *policy.Policy) {
	s.policy.Store(p)
	s.Recheck()
}

// SetDraining refuses new allocations with 508 from now on, or no longer does. Those
// that exist go on.
func (s *Shared) SetDraining(on bool) { s.draining.Store(on) }

// ShortRealm is the realm that the shortest requests over UDP are answered with,
// where the realm is longer than RealmBytes and would make the answer more than
// 1.5 times as long as the request.
func (s *Shared) ShortRealm() string { return s.shortRealm }

// Stats returns the sum of the shards' counters.
func (s *Shared) Stats() Stats {
	stats := newStats()
	s.each(func(sh *Shard) {
		for a := range sh.allocs {
			sh.countShare(a)
			for f, r := range a.relays {
				if r != nil {
					stats.Allocations[a.client.Transport][f]++
					if r.bare {
						stats.Bare++
					}
				}
			}
		}
		stats.merge(&sh.count)
	})
	return stats
}

// Relayed is how many payload bytes the allocations of each user have relayed that there
// are now, both ways.
func (s *Shared) Relayed(users []string) []uint64 {
	type one struct {
		user  int
		alloc *allocation
	}
	byShard := make(map[*Shard][]one)
	for i, user := range users {
		for _, a := range s.directory.of(user) {
			byShard[a.owner] = append(byShard[a.owner], one{i, a})
		}
	}
	sums := make([]uint64, len(users))
	for sh, mine := range byShard {
		done := make(chan struct{})
		sh.io.Post(func(sh *Shard) {
			for _, o := range mine {
				if !o.alloc.dead { // Config.Ended has told of it
					sh.countShare(o.alloc)
					sums[o.user] += o.alloc.toPeer.Bytes + o.alloc.toClient.Bytes
				}
			}
			close(done)
		})
		<-done
	}
	return sums
}

// Allocations returns all allocations, in no order.
func (s *Shared) Allocations() []AllocationInfo {
	var all []AllocationInfo
	s.each(func(sh *Shard) {
		for a := range sh.allocs {
			sh.countShare(a)
			all = append(all, a.info(sh.second))
		}
	})
	return all
}
