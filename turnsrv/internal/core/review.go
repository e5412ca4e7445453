package core

import "turnhub/turnsrv/internal/wire"

// recheck asks the peer policy again for an allocation.
func (s *Shard) recheck(a *allocation) {
	if a.dead {
		return
	}
	s.shared.offload.forgetOne(a)
	a.bumpEpoch()
	for i := range a.perms {
		s.reviewPermission(a, &a.perms[i])
	}
}

// reviewPermission asks the policy again about a permission that was given under
// an older epoch.
func (s *Shard) reviewPermission(a *allocation, p *permission) {
	outside, reason := s.admit(a, p.ip)
	p.epoch = a.epoch()
	p.outside = outside
	if _, own := s.shared.spaces().lookup(p.ip); !outside && !own {
		s.count.denied[reason]++
		p.expires = 0
	}
}

// admit asks the peer policy about an address.
func (s *Shard) admit(a *allocation, peer wire.Endpoint) (ok bool, reason string) {
	v := s.shared.policy.Load().Admit(a.user, peer.Addr(), s.shared.directory.clientsAt)
	return v.Allowed, v.Reason
}

// together reports whether two relayed addresses of this server may exchange
// packets.
func (s *Shard) together(a, b string) bool {
	p := s.shared.policy.Load()
	return p.Together(a, b) && p.Together(b, a)
}
