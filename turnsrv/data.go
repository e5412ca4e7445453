package turnsrv

import "encoding/binary"

// The data path. Nothing here allocates, takes a lock or asks for the time; each
// way in which a packet can be dropped is counted.

// fromClient handles one datagram from a UDP client or one message of a stream.
func (s *shard) fromClient(c *client, g segment) {
	s.handled++
	b := g.bytes()
	if len(b) < channelHeaderSize {
		s.drop(DropMalformed)
		return
	}
	// RFC 8656 section 12: the first two bits tell ChannelData from STUN.
	switch b[0] >> 6 {
	case 1:
		s.channelData(c, g)
	case 0:
		if len(b) < headerSize || binary.BigEndian.Uint32(b[4:]) != magicCookie ||
			headerSize+int(binary.BigEndian.Uint16(b[2:])) != len(b) || b[3]&3 != 0 {
			s.drop(DropMalformed)
			return
		}
		if binary.BigEndian.Uint16(b) == typeSendIndication {
			s.sendIndication(c, g)
			return
		}
		s.control(c, g)
	default:
		s.drop(DropMalformed)
	}
}

// channelData handles ChannelData from a client (RFC 8656 section 12.6).
func (s *shard) channelData(c *client, g segment) {
	b := g.bytes()
	number := binary.BigEndian.Uint16(b)
	length := int(binary.BigEndian.Uint16(b[2:]))
	if length > len(b)-channelHeaderSize {
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
	s.relayToPeer(a, ch.peer, &ch.link, g.strip(channelHeaderSize, length), false)
}

// sendIndication handles a Send indication (RFC 8656 section 11.2).
func (s *shard) sendIndication(c *client, g segment) {
	b := g.bytes()
	s.count.requests[6]++
	a := c.alloc
	if a == nil {
		s.drop(DropNoAllocation)
		return
	}
	var peer endpoint
	havePeer, dontFragment := false, false
	data, length := -1, 0
	for at := headerSize; at < len(b); {
		if len(b)-at < attributeSize {
			s.drop(DropMalformed)
			return
		}
		t, n := binary.BigEndian.Uint16(b[at:]), int(binary.BigEndian.Uint16(b[at+2:]))
		at += attributeSize
		if n > len(b)-at {
			s.drop(DropMalformed)
			return
		}
		switch t {
		case 0x0012: // XOR-PEER-ADDRESS
			var mapped, ok bool
			if peer, mapped, ok = xorAddress(b[at:at+n], b); !ok || mapped {
				s.drop(DropMalformed)
				return
			}
			havePeer = true
		case 0x0013: // DATA
			data, length = at, n
		case 0x001A: // DONT-FRAGMENT
			if s.noDontFragment {
				s.drop(DropUnknownAttribute)
				return
			}
			dontFragment = true
		default:
			if t < 0x8000 {
				s.drop(DropUnknownAttribute)
				return
			}
		}
		at += padded(n)
	}
	if !havePeer || data < 0 {
		s.drop(DropMalformed)
		return
	}
	s.relayToPeer(a, peer, nil, g.strip(data, length), dontFragment)
}

// relayToPeer sends a payload to a peer: over a relay socket, or inside the
// process when the peer is a relayed address of this server. The peer policy's
// verdict, which the permission carries, is looked at once more right here, the
// only place that leads to a socket.
func (s *shard) relayToPeer(a *allocation, peer endpoint, cache *link, g segment, dontFragment bool) {
	p := a.permission(peer)
	if p == nil || p.expires <= s.second {
		s.drop(DropNoPermission)
		return
	}
	r := a.relayFor(peer)
	if r == nil {
		s.drop(DropFamily)
		return
	}
	n := g.len()
	if target, _ := s.srv.spaces().lookup(peer); target != nil {
		if cache == nil {
			cache = &p.link
		}
		if !s.linked(a, r, target, cache) {
			s.drop(DropPolicy)
			return
		}
		if !s.affordsBytes(&a.out, n) {
			s.drop(DropBandwidth)
			return
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
	if p.epoch != r.epoch.Load() {
		s.reviewPermission(a, p)
	}
	if !p.outside {
		s.drop(DropPolicy)
		return
	}
	if !s.affordsBytes(&a.out, n) {
		s.drop(DropBandwidth)
		return
	}
	s.countToPeer(a, r, n)
	s.io.toPeer(r, peer, g, dontFragment)
}

func (s *shard) countToPeer(a *allocation, r *relay, n int) {
	a.touch(s.second)
	a.toPeer.add(n)
	s.count.toPeer[a.client.transport][r.addr.family()].add(n)
}

// linked reports whether r may send to target, from the cache where that holds.
func (s *shard) linked(a *allocation, r, target *relay, cache *link) bool {
	own, theirs := r.epoch.Load(), target.epoch.Load()
	if cache.target == target && cache.epoch == own && cache.targets == theirs && (cache.together || cache.asked == s.second) {
		return cache.together
	}
	together := s.together(a.user, target.user)
	*cache = link{target, own, theirs, s.second, together}
	return together
}

// fromPeer handles a datagram that arrived at a relay socket (RFC 8656 section
// 11.3).
func (s *shard) fromPeer(r *relay, peer endpoint, g segment) {
	s.handled++
	a := r.alloc
	if a == nil {
		s.drop(DropRelayGone)
		return
	}
	p := a.permission(peer)
	if p == nil || p.expires <= s.second {
		s.drop(DropNoPermission)
		return
	}
	if p.epoch != r.epoch.Load() {
		s.reviewPermission(a, p)
	}
	if !p.outside {
		s.drop(DropPolicy)
		return
	}
	s.relayToClient(a, r, peer, g)
}

// deliver hands a datagram from another client of this server to its peer. The
// sender's side has asked the policy.
func (s *shard) deliver(r *relay, peer endpoint, g segment) {
	a := r.alloc
	if a == nil {
		s.drop(DropRelayGone)
		return
	}
	p := a.permission(peer)
	if p == nil || p.expires <= s.second {
		s.drop(DropNoPermission)
		return
	}
	s.relayToClient(a, r, peer, g)
}

// relayToClient sends a peer's payload to the client, as ChannelData if the peer
// has a channel (RFC 8656 section 12.7), else as a Data indication (11.3).
func (s *shard) relayToClient(a *allocation, r *relay, peer endpoint, g segment) {
	n := g.len()
	if !s.affordsBytes(&a.in, n) {
		s.drop(DropBandwidth)
		return
	}
	c := a.client
	stream := c.transport != TransportUDP
	if ch := a.channelByPeer(peer); ch != nil && ch.expires > s.second {
		pad := 0
		if stream {
			pad = padded(n) - n // RFC 8656 section 12.5
		}
		if g.free < channelHeaderSize || g.spare < pad {
			g = s.moved(g)
		}
		g.lo -= channelHeaderSize
		binary.BigEndian.PutUint16(g.buf[g.lo:], ch.number)
		binary.BigEndian.PutUint16(g.buf[g.lo+2:], uint16(n))
		g.hi = padWith(g.buf, g.hi, pad)
	} else {
		size := xorAddressSize(peer)
		front := headerSize + attributeSize + size + attributeSize
		pad := padded(n) - n
		if front-headerSize+n+pad > 0xffff {
			s.drop(DropMalformed) // cannot be said in a STUN message
			return
		}
		if g.free < front || g.spare < pad {
			g = s.moved(g)
		}
		g.lo -= front
		h := g.buf[g.lo:]
		binary.BigEndian.PutUint16(h, typeDataIndication)
		binary.BigEndian.PutUint16(h[2:], uint16(front-headerSize+n+pad))
		binary.BigEndian.PutUint32(h[4:], magicCookie)
		s.nextTID += 0x9E3779B97F4A7C15 // no answer will ever name it: unique is enough
		binary.BigEndian.PutUint32(h[8:], uint32(s.id))
		binary.BigEndian.PutUint64(h[12:], s.nextTID)
		binary.BigEndian.PutUint16(h[20:], 0x0012) // XOR-PEER-ADDRESS
		binary.BigEndian.PutUint16(h[22:], uint16(size))
		putXORAddress(h[24:], peer, h)
		binary.BigEndian.PutUint16(h[24+size:], 0x0013) // DATA
		binary.BigEndian.PutUint16(h[26+size:], uint16(n))
		g.hi = padWith(g.buf, g.hi, pad)
	}
	a.touch(s.second)
	a.toClient.add(n)
	s.count.toClient[c.transport][r.addr.family()].add(n)
	s.io.toClient(c, g, true)
}

func padWith(buf []byte, at, n int) int {
	for range n {
		buf[at] = 0
		at++
	}
	return at
}
