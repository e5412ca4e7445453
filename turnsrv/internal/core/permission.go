package core

import (
	"encoding/binary"

	"github.com/pion/stun/v2"

	"turnhub/turnsrv/internal/wire"
)

// createPermission handles a CreatePermission request (RFC 8656 section 9.2): all
// the addresses that it names, or none. One that names more than the allocation may
// hold is refused as soon as that is known.
func (s *Shard) createPermission(q *request, a *allocation) {
	limit := s.permissionLimit()
	peers := &s.peers
	peers.reset()
	var last wire.Endpoint // repeated ones cost one comparison
	for _, attr := range q.Attributes {
		if attr.Type != stun.AttrXORPeerAddress {
			continue
		}
		peer, mapped, ok := wire.XORAddress(attr.Value, q.Raw)
		if !ok {
			s.fail(q, stun.CodeBadRequest)
			return
		}
		if peer == last && len(peers.list) > 0 {
			continue
		}
		last = peer
		named := peers.find(peer)
		if named == nil {
			if len(peers.list) == limit {
				s.fail(q, stun.CodeInsufficientCapacity)
				return
			}
			named = peers.add(peer)
		}
		if code := s.judge(a, peer, mapped, named); code != 0 {
			s.fail(q, code)
			return
		}
	}
	if len(peers.list) == 0 {
		s.fail(q, stun.CodeBadRequest)
		return
	}
	if !s.fits(a, peers.list) {
		s.fail(q, stun.CodeInsufficientCapacity)
		return
	}
	for i := range peers.list {
		s.permit(a, &peers.list[i])
	}
	s.finish(q, s.reply(q, stun.ClassSuccessResponse))
}

// namedPeer is an IP address that a request names, and what the policy says of it,
// which is asked once at most.
type namedPeer struct {
	ip      wire.Endpoint
	asked   bool
	outside bool   // the policy admits the address itself
	reason  string // why not
}

// outside asks the peer policy about an address.
func (s *Shard) outside(a *allocation, p *namedPeer) bool {
	if !p.asked {
		p.asked = true
		p.outside, p.reason = s.admit(a, p.ip)
	}
	return p.outside
}

// peerSet is the distinct IP addresses that a request names, working storage of a
// shard.
type peerSet struct {
	list []namedPeer
	many map[wire.Endpoint]int32 // positions in list, when there are more than few
}

func (p *peerSet) reset() {
	p.list = p.list[:0]
	clear(p.many)
}

// find returns an address that is in the set, or nil. It is valid until the next
// add.
func (p *peerSet) find(e wire.Endpoint) *namedPeer {
	if len(p.list) > few {
		if i, ok := p.many[e.IP()]; ok {
			return &p.list[i]
		}
		return nil
	}
	for i := range p.list {
		if p.list[i].ip.SameIP(e) {
			return &p.list[i]
		}
	}
	return nil
}

func (p *peerSet) add(e wire.Endpoint) *namedPeer {
	p.list = append(p.list, namedPeer{ip: e.IP()})
	last := len(p.list) - 1
	if last == few {
		if p.many == nil {
			p.many = make(map[wire.Endpoint]int32)
		}
		for i := range p.list {
			p.many[p.list[i].ip] = int32(i)
		}
	} else if last > few {
		p.many[e.IP()] = int32(last)
	}
	return &p.list[last]
}

// judge returns the error code for a peer to which no permission may be given, or
// 0. The peer policy decides; the relayed addresses of this server are judged by
// whose they are, each on its own. named is its IP address.
func (s *Shard) judge(a *allocation, peer wire.Endpoint, mapped bool, named *namedPeer) stun.ErrorCode {
	if mapped {
		s.count.denied["mapped"]++
		return stun.CodeForbidden
	}
	if a.relayFor(peer) == nil {
		return stun.CodePeerAddrFamilyMismatch
	}
	target, own := s.shared.spaces().lookup(peer)
	if target != nil {
		if s.together(a.user, target.user) {
			return 0
		}
		s.count.denied["not-in-call"]++
		return stun.CodeForbidden
	}
	// A relay port on which nobody is (any more): a permission is harmless, since
	// each packet asks again who is there, and the partner may come back.
	if own && (peer.Port == 0 || peer.Port >= s.shared.cfg.PortMin && peer.Port <= s.shared.cfg.PortMax) {
		return 0
	}
	if s.outside(a, named) {
		return 0
	}
	s.count.denied[named.reason]++
	return stun.CodeForbidden
}

// fits reports whether the allocation may hold permissions for all these peers,
// which are distinct, and may have so many new ones now.
func (s *Shard) fits(a *allocation, peers []namedPeer) bool {
	fresh := s.fresh(a, peers)
	if limit := s.permissionLimit(); len(a.perms)+fresh > limit {
		a.prune(s.second)
		if fresh = s.fresh(a, peers); len(a.perms)+fresh > limit {
			return false
		}
	}
	return s.affordsPeers(a, fresh)
}

// fresh is how many of the peers have no permission.
func (s *Shard) fresh(a *allocation, peers []namedPeer) (n int) {
	for i := range peers {
		if p := a.permission(peers[i].ip); p == nil || p.expires <= s.second {
			n++
		}
	}
	return n
}

// permit installs or refreshes a permission.
func (s *Shard) permit(a *allocation, named *namedPeer) {
	p := a.permission(named.ip)
	if p == nil {
		p = a.addPermission(named.ip)
	}
	p.outside = s.outside(a, named)
	p.epoch = a.epoch()
	p.expires = s.second + wire.PermissionLifetime
}

// channelBind handles a ChannelBind request (RFC 8656 section 12.2).
func (s *Shard) channelBind(q *request, a *allocation) {
	v, _, okNumber := q.value(stun.AttrChannelNumber, 4)
	attr, _ := q.Attributes.Get(stun.AttrXORPeerAddress)
	peer, mapped, okPeer := wire.XORAddress(attr.Value, q.Raw)
	if !okNumber || !okPeer {
		s.fail(q, stun.CodeBadRequest)
		return
	}
	number := binary.BigEndian.Uint16(v)
	if number < wire.ChannelMin || number > wire.ChannelMax {
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
	s.peers.reset()
	named := s.peers.add(peer)
	if code := s.judge(a, peer, mapped, named); code != 0 {
		s.fail(q, code)
		return
	}
	limit := s.permissionLimit()
	if byNumber == nil && len(a.chans) >= limit {
		a.prune(s.second)
	}
	if byNumber == nil && len(a.chans) >= limit || !s.fits(a, s.peers.list) {
		s.fail(q, stun.CodeInsufficientCapacity)
		return
	}
	if ch := a.channelByNumber(number); ch != nil {
		ch.expires = s.second + wire.ChannelLifetime
	} else {
		a.addChannel(channel{number: number, peer: peer, expires: s.second + wire.ChannelLifetime})
	}
	s.permit(a, named)
	s.finish(q, s.reply(q, stun.ClassSuccessResponse))
}

// permissionLimit is how many permissions, and how many channels, an allocation
// may hold.
func (s *Shard) permissionLimit() int {
	limit := s.shared.limits.Load().PermissionsPerAllocation
	if limit <= 0 || limit > maxPermissions {
		return maxPermissions
	}
	return limit
}
