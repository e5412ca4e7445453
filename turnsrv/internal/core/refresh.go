package core

import (
	"encoding/binary"

	"github.com/pion/stun/v2"

	"turnhub/turnsrv/internal/wire"
)

// refresh handles a Refresh request (RFC 8656 section 8.2).
func (s *Shard) refresh(q *request, a *allocation) {
	only, hasFamily := wire.IPv4, false
	if v, present, ok := q.value(stun.AttrRequestedAddressFamily, 4); present {
		if !ok || v[0] != wire.FamilyIPv4 && v[0] != wire.FamilyIPv6 {
			s.fail(q, stun.CodeBadRequest)
			return
		}
		hasFamily = true
		if v[0] == wire.FamilyIPv6 {
			only = wire.IPv6
		}
		if a.relays[only] == nil {
			s.fail(q, stun.CodePeerAddrFamilyMismatch)
			return
		}
	}
	v, present, ok := q.value(stun.AttrLifetime, 4)
	if present && !ok {
		s.fail(q, stun.CodeBadRequest)
		return
	}
	if present && binary.BigEndian.Uint32(v) == 0 {
		if hasFamily && a.relays[1-only] != nil {
			s.closeRelay(a.relays[only]) // a dual allocation keeps the other one
		} else {
			s.ended.add(q.TransactionID, q.client.Key, a.username)
			s.end(a)
		}
		s.refreshed(q, 0)
		return
	}
	lifetime, _ := q.lifetime()
	a.expires = s.second + int64(lifetime)
	s.refreshed(q, lifetime)
}

// refreshed answers a Refresh request with success.
func (s *Shard) refreshed(q *request, lifetime uint32) {
	m := s.reply(q, stun.ClassSuccessResponse)
	wire.AddUint32(m, stun.AttrLifetime, lifetime)
	s.finish(q, m)
}
