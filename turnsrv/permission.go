package turnsrv

import (
	"encoding/binary"

	"github.com/pion/stun/v2"
)

// maxPermissions bounds permissions and channels each where the operator set no
// limit: RFC 8656 has no more channel numbers.
const maxPermissions = 4096

// createPermission handles a CreatePermission request (RFC 8656 section 9.2): all
// the addresses that it names, or none.
func (s *shard) createPermission(q *request, a *allocation) {
	var few [8]endpoint
	peers := few[:0]
	for _, attr := range q.Attributes {
		if attr.Type != stun.AttrXORPeerAddress {
			continue
		}
		peer, mapped, ok := xorAddress(attr.Value, q.Raw)
		if !ok {
			s.fail(q, stun.CodeBadRequest)
			return
		}
		if code := s.judge(a, peer, mapped); code != 0 {
			s.fail(q, code)
			return
		}
		peers = append(peers, peer)
	}
	if len(peers) == 0 {
		s.fail(q, stun.CodeBadRequest)
		return
	}
	if !s.fits(a, peers) {
		s.fail(q, stun.CodeInsufficientCapacity)
		return
	}
	for _, peer := range peers {
		s.permit(a, peer)
	}
	s.finish(q, s.reply(q, stun.ClassSuccessResponse))
}

// judge returns the error code for a peer to which no permission may be given, or
// 0. The peer policy decides; the relayed addresses of this server are judged by
// whose they are, each on its own.
func (s *shard) judge(a *allocation, peer endpoint, mapped bool) stun.ErrorCode {
	if mapped {
		s.count.denied["mapped"]++
		return stun.CodeForbidden
	}
	if a.relayFor(peer) == nil {
		return stun.CodePeerAddrFamilyMismatch
	}
	target, own := s.srv.spaces().lookup(peer)
	if target != nil {
		if s.together(a.user, target.user) {
			return 0
		}
		s.count.denied["not-in-call"]++
		return stun.CodeForbidden
	}
	ok, reason := s.admit(a, peer)
	if ok {
		return 0
	}
	// A relay port on which nobody is (any more): a permission is harmless, since
	// each packet asks again who is there, and the partner may come back.
	if own && (peer.port == 0 || peer.port >= s.srv.cfg.PortMin && peer.port <= s.srv.cfg.PortMax) {
		return 0
	}
	s.count.denied[reason]++
	return stun.CodeForbidden
}

// fits reports whether the allocation may hold permissions for all these peers.
func (s *shard) fits(a *allocation, peers []endpoint) bool {
	limit := s.permissionLimit()
	if len(a.perms)+len(peers) <= limit {
		return true
	}
	a.prune(s.second)
	fresh := 0
	for i, peer := range peers {
		seen := a.permission(peer) != nil
		for _, earlier := range peers[:i] {
			seen = seen || earlier.sameIP(peer)
		}
		if !seen {
			fresh++
		}
	}
	return len(a.perms)+fresh <= limit
}

// permit installs or refreshes a permission.
func (s *shard) permit(a *allocation, peer endpoint) {
	p := a.permission(peer)
	if p == nil {
		a.perms = append(a.perms, permission{ip: peer.ip()})
		p = &a.perms[len(a.perms)-1]
	}
	p.outside, _ = s.admit(a, peer)
	p.epoch = a.epoch()
	p.expires = s.second + permissionLifetime
}

// channelBind handles a ChannelBind request (RFC 8656 section 12.2).
func (s *shard) channelBind(q *request, a *allocation) {
	v, _, okNumber := q.value(stun.AttrChannelNumber, 4)
	attr, _ := q.Attributes.Get(stun.AttrXORPeerAddress)
	peer, mapped, okPeer := xorAddress(attr.Value, q.Raw)
	if !okNumber || !okPeer {
		s.fail(q, stun.CodeBadRequest)
		return
	}
	number := binary.BigEndian.Uint16(v)
	if number < channelMin || number > channelMax {
		s.fail(q, stun.CodeBadRequest)
		return
	}
	byNumber, byPeer := a.channelByNumber(number), a.channelByPeer(peer)
	if byNumber != nil && byNumber.expires <= s.second || byPeer != nil && byPeer.expires <= s.second {
		a.prune(s.second)
		byNumber, byPeer = a.channelByNumber(number), a.channelByPeer(peer)
	}
	if byNumber != byPeer {
		s.fail(q, stun.CodeBadRequest) // bound to another peer, or under another number
		return
	}
	if code := s.judge(a, peer, mapped); code != 0 {
		s.fail(q, code)
		return
	}
	limit := s.permissionLimit()
	if byNumber == nil && len(a.chans) >= limit {
		a.prune(s.second)
	}
	if byNumber == nil && len(a.chans) >= limit || !s.fits(a, []endpoint{peer}) {
		s.fail(q, stun.CodeInsufficientCapacity)
		return
	}
	if ch := a.channelByNumber(number); ch != nil {
		ch.expires = s.second + channelLifetime
	} else {
		a.chans = append(a.chans, channel{number: number, peer: peer, expires: s.second + channelLifetime})
	}
	s.permit(a, peer)
	s.finish(q, s.reply(q, stun.ClassSuccessResponse))
}

// permissionLimit is how many permissions, and how many channels, an allocation
// may hold.
func (s *shard) permissionLimit() int {
	limit := s.srv.limits.Load().PermissionsPerAllocation
	if limit <= 0 || limit > maxPermissions {
		return maxPermissions
	}
	return limit
}
