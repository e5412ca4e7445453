package core

import (
	"encoding/binary"

	"github.com/pion/stun/v2"

	"turnhub/turnsrv/internal/wire"
)

// The data path. Nothing here allocates, takes a lock or asks for the time; each
// way in which a packet can be dropped is counted.

// FromClient handles one datagram from a UDP client or one message of a stream.
func (s *Shard) FromClient(c *Client, g wire.Segment) {
	s.handled++
	b := g.Bytes()
	if len(b) < wire.ChannelHeaderSize {
		s.drop(DropMalformed)
		return
	}
	// RFC 8656 section 12: the first two bits tell ChannelData from STUN.
	switch b[0] >> 6 {
	case 1:
		s.channelData(c, g)
	case 0:
		if len(b) < wire.HeaderSize || binary.BigEndian.Uint32(b[4:]) != wire.MagicCookie ||
			wire.HeaderSize+int(binary.BigEndian.Uint16(b[2:])) != len(b) || b[3]&3 != 0 {
			s.drop(DropMalformed)
			return
		}
		if binary.BigEndian.Uint16(b) == wire.TypeSendIndication {
			s.sendIndication(c, g)
			return
		}
		s.control(c, g)
	default:
		s.drop(DropMalformed)
	}
}

// ChannelData handles ChannelData from a client (RFC 8656 section 12.6).
func (s *Shard) channelData(c *Client, g wire.Segment) {
	b := g.Bytes()
	number := binary.BigEndian.Uint16(b)
	length := int(binary.BigEndian.Uint16(b[2:]))
	if length > len(b)-wire.ChannelHeaderSize {
		s.drop(DropMalformed)
		return
	}
	a := c.alloc
	if a == nil {
		s.drop(DropNoAllocation)
		return
	}
	ch := a.channelByNumber(number)
	if ch == nil || ch.expires <= s.second {
		s.drop(DropNoChannel)
		return
	}
	s.relayToPeer(a, ch.peer, ch, g.Strip(wire.ChannelHeaderSize, length), false)
}

// Send handles a Send indication (RFC 8656 section 11.2).
func (s *Shard) sendIndication(c *Client, g wire.Segment) {
	b := g.Bytes()
	s.count.requests[stun.MethodSend]++
	a := c.alloc
	if a == nil {
		s.drop(DropNoAllocation)
		return
	}
	var peer wire.Endpoint
	havePeer, dontFragment := false, false
	data, length := -1, 0
	for at := wire.HeaderSize; at < len(b); {
		if len(b)-at < wire.AttributeSize {
			s.drop(DropMalformed)
			return
		}
		t, n := binary.BigEndian.Uint16(b[at:]), int(binary.BigEndian.Uint16(b[at+2:]))
		at += wire.AttributeSize
		if n > len(b)-at {
			s.drop(DropMalformed)
			return
		}
		switch stun.AttrType(t) {
		case stun.AttrXORPeerAddress:
			var mapped, ok bool
			if peer, mapped, ok = wire.XORAddress(b[at:at+n], b); !ok || mapped {
				s.drop(DropMalformed)
				return
			}
			havePeer = true
		case stun.AttrData:
			data, length = at, n
		case stun.AttrDontFragment:
			if !s.unfragmented {
				s.drop(DropUnknownAttribute)
				return
			}
			dontFragment = true
		default:
			if stun.AttrType(t).Required() {
				s.drop(DropUnknownAttribute)
				return
			}
		}
		at += wire.Padded(n)
	}
	if !havePeer || data < 0 {
		s.drop(DropMalformed)
		return
	}
	s.relayToPeer(a, peer, nil, g.Strip(data, length), dontFragment)
}

// relayToPeer sends a payload to a peer: over a relay socket, or inside the
// process when the peer is a relayed address of this server. The peer policy's
// verdict, which the permission carries, is looked at once more right here, the
// only place that leads to a socket.
func (s *Shard) relayToPeer(a *allocation, peer wire.Endpoint, ch *channel, g wire.Segment, dontFragment bool) {
	var before uint64
	offers := ch != nil && s.shared.offload != nil
	if offers {
		before = s.shared.offload.state.Load()
	}
	p := s.permitted(a, peer)
	if p == nil {
		return
	}
	r := a.relayFor(peer)
	if r == nil {
		s.drop(DropFamily)
		return
	}
	n := g.Len()
	if target, _ := s.shared.spaces().lookup(peer); target != nil {
		cache := &p.pair
		if ch != nil {
			cache = &ch.pair
		}
		if !s.paired(a, r, target, cache) {
			s.drop(DropPolicy)
			return
		}
		if !s.affordsToPeer(a, n) {
			return
		}
		if offers {
			s.offload(a, r, ch, p, target, before)
		}
		s.count.inProcess.add(n)
		s.countToPeer(a, r, n)
		if target.shard == s {
			s.deliver(target, r.addr, g)
		} else {
			s.pass(target, r.addr, g)
		}
		return
	}
	if !s.stands(a, r, p) {
		return
	}
	if r.bare {
		s.drop(DropNoSocket)
		return
	}
	if !s.affordsToPeer(a, n) {
		return
	}
	if !p.sent {
		s.leaves(a, p)
	}
	if offers {
		s.offload(a, r, ch, p, nil, before)
	}
	s.countToPeer(a, r, n)
	s.io.ToPeer(r, peer, g, dontFragment)
}

// permitted returns the permission for a peer, or counts the drop and returns nil.
func (s *Shard) permitted(a *allocation, peer wire.Endpoint) *permission {
	p := a.permission(peer)
	if p == nil || p.expires <= s.second {
		s.drop(DropNoPermission)
		return nil
	}
	return p
}

// stands reports whether the peer policy still admits the address of a permission,
// and counts the drop where it does not. It is asked again when the epoch has moved.
func (s *Shard) stands(a *allocation, r *Relay, p *permission) bool {
	if p.epoch != r.epoch.Load() {
		s.reviewPermission(a, p)
	}
	if !p.outside {
		s.drop(DropPolicy)
	}
	return p.outside
}

func (s *Shard) countToPeer(a *allocation, r *Relay, n int) {
	a.touch(s.second)
	a.toPeer.add(n)
	s.count.toPeer[a.client.Transport][r.addr.Family()].add(n)
}

// paired reports whether r may send to target, from the cache where that holds.
func (s *Shard) paired(a *allocation, r, target *Relay, cache *pairing) bool {
	own, theirs := r.epoch.Load(), target.epoch.Load()
	if cache.target == target && cache.epoch == own && cache.targets == theirs && (cache.together || cache.asked == s.second) {
		return cache.together
	}
	together := s.together(a.user, target.user)
	*cache = pairing{target, own, theirs, s.second, together}
	return together
}

// FromPeer handles a datagram that arrived at a relay socket (RFC 8656 section
// 11.3).
func (s *Shard) FromPeer(r *Relay, peer wire.Endpoint, g wire.Segment) {
	s.handled++
	a := r.alloc
	if a == nil {
		s.drop(DropRelayGone)
		return
	}
	p := a.permission(peer)
	if p == nil || !p.sent {
		s.unasked(r, p, peer)
	}
	if p == nil || p.expires <= s.second {
		s.drop(DropNoPermission)
		return
	}
	if !s.stands(a, r, p) {
		return
	}
	s.relayToClient(a, r, peer, g)
}

// deliver hands a datagram from another client of this server to its peer. The
// sender's side has asked the policy.
func (s *Shard) deliver(r *Relay, peer wire.Endpoint, g wire.Segment) {
	a := r.alloc
	if a == nil {
		s.drop(DropRelayGone)
		return
	}
	if s.permitted(a, peer) == nil {
		return
	}
	s.relayToClient(a, r, peer, g)
}

// relayToClient sends a peer's payload to the client, as ChannelData if the peer
// has a channel (RFC 8656 section 12.7), else as a Data indication (11.3).
func (s *Shard) relayToClient(a *allocation, r *Relay, peer wire.Endpoint, g wire.Segment) {
	n := g.Len()
	if !s.affordsToClient(a, n) {
		return
	}
	c := a.client
	stream := c.Transport != wire.UDP
	if ch := a.channelByPeer(peer); ch != nil && ch.expires > s.second {
		pad := 0
		if stream {
			pad = wire.Padded(n) - n // RFC 8656 section 12.5
		}
		if g.Free < wire.ChannelHeaderSize || g.Spare < pad {
			g = s.placed(g.Bytes())
		}
		g.Lo -= wire.ChannelHeaderSize
		binary.BigEndian.PutUint16(g.Buf.Mem[g.Lo:], ch.number)
		binary.BigEndian.PutUint16(g.Buf.Mem[g.Lo+2:], uint16(n))
		g.Hi = padWith(g.Buf.Mem, g.Hi, pad)
	} else {
		size := wire.XORAddressSize(peer)
		front := wire.HeaderSize + wire.AttributeSize + size + wire.AttributeSize
		pad := wire.Padded(n) - n
		if front-wire.HeaderSize+n+pad > 0xffff {
			s.drop(DropMalformed) // cannot be said in a STUN message
			return
		}
		if g.Free < front || g.Spare < pad {
			g = s.placed(g.Bytes())
		}
		g.Lo -= front
		h := g.Buf.Mem[g.Lo:]
		binary.BigEndian.PutUint16(h, wire.TypeDataIndication)
		binary.BigEndian.PutUint16(h[2:], uint16(front-wire.HeaderSize+n+pad))
		binary.BigEndian.PutUint32(h[4:], wire.MagicCookie)
		s.nextTID += 0x9E3779B97F4A7C15 // no answer will ever name it: unique is enough
		binary.BigEndian.PutUint32(h[8:], uint32(s.id))
		binary.BigEndian.PutUint64(h[12:], s.nextTID)
		binary.BigEndian.PutUint16(h[20:], uint16(stun.AttrXORPeerAddress))
		binary.BigEndian.PutUint16(h[22:], uint16(size))
		wire.PutXORAddress(h[24:], peer, h)
		binary.BigEndian.PutUint16(h[24+size:], uint16(stun.AttrData))
		binary.BigEndian.PutUint16(h[26+size:], uint16(n))
		g.Hi = padWith(g.Buf.Mem, g.Hi, pad)
	}
	a.touch(s.second)
	a.toClient.add(n)
	s.count.toClient[c.Transport][r.addr.Family()].add(n)
	s.io.ToClient(c, g, true)
}

func padWith(buf []byte, at, n int) int {
	for range n {
		buf[at] = 0
		at++
	}
	return at
}
