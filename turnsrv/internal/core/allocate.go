package core

import (
	"encoding/binary"
	"errors"

	"github.com/pion/stun/v2"

	"turnhub/internal/netaddr"
	"turnhub/turnsrv/internal/wire"
)

// allocate handles an authenticated Allocate request, in the order of RFC 8656
// section 7.2.
func (s *Shard) allocate(q *request) {
	// 2. The five-tuple must be free, whoever holds it. A retransmission gets its
	// answer again.
	if a := q.client.alloc; a != nil {
		if a.transaction == q.TransactionID && a.username == q.username {
			s.allocated(q, a)
			return
		}
		s.fail(q, stun.CodeAllocMismatch)
		return
	}
	// 3. REQUESTED-TRANSPORT
	transport, _, ok := q.value(stun.AttrRequestedTransport, 4)
	if !ok {
		s.fail(q, stun.CodeBadRequest)
		return
	}
	if transport[0] != wire.ProtocolUDP {
		s.fail(q, stun.CodeUnsupportedTransProto)
		return
	}
	// 4. DONT-FRAGMENT is understood.
	// 5. to 8.: which addresses are wanted.
	want, code := q.wanted()
	if code != 0 {
		s.fail(q, code)
		return
	}
	lifetime, ok := q.lifetime()
	if !ok {
		s.fail(q, stun.CodeBadRequest)
		return
	}
	// 9. Quotas, counted before anything is made.
	if s.shared.draining.Load() {
		s.noRoom(q, "draining")
		s.fail(q, stun.CodeInsufficientCapacity)
		return
	}
	// No household makes more allocations in a second than it may hold, or minChurn.
	rate := s.shared.limits.Load().AllocationsPerIP * s.shared.cfg.Gateway.Times(q.client.Addr.Addr())
	if rate > 0 && !s.shared.churn.Take(q.client.Addr.Household(), s.now, aSecondsWorth(float64(max(rate, minChurn)))) {
		s.noRoom(q, "rate")
		s.fail(q, stun.CodeAllocQuotaReached)
		return
	}
	places := 1
	if want.pair {
		places = 2
	}
	if want.reservation {
		code = s.redeem(q, &want)
	} else {
		code = s.reserve(q, places)
	}
	if code != 0 {
		s.fail(q, code)
		return
	}
	a := &allocation{
		owner:    s,
		username: q.username, user: q.user, key: q.key, transaction: q.TransactionID,
		created: s.second, lifetime: lifetime, expires: s.second + int64(lifetime), slot: -1,
	}
	a.touch(s.second)
	if code := s.makeRelays(a, want, q.client); code != 0 {
		s.shared.directory.cancel(q.user, q.client.Addr, places)
		s.fail(q, code)
		return
	}
	s.adopt(q.client, a)
	if s.shared.revoked(a.username) {
		// While it was made. Now that it stands in the directory, either Revoke has
		// found it there, or we have seen what comes before Revoke.
		s.count.revoked++
		s.end(a)
		q.authenticated = false
		s.refuse(q, stun.CodeUnauthorized, AuthRevoked)
		return
	}
	s.allocated(q, a)
}

// reserve counts allocations that are about to be made.
func (s *Shard) reserve(q *request, n int) stun.ErrorCode {
	refused, replaced := s.shared.directory.reserve(q.user, q.client.Addr, n, s.shared.limits.Load(), s.second)
	for _, a := range replaced {
		s.replace(a)
	}
	if refused != within {
		s.noRoom(q, refused)
		return stun.CodeAllocQuotaReached
	}
	return 0
}

// noRoom counts an allocation that a quota refuses, and tells who asks.
func (s *Shard) noRoom(q *request, of quota) {
	s.count.quota[string(of)]++
	if tell := s.shared.cfg.NoRoom; tell != nil {
		tell(q.user, q.client.Addr.Addr(), q.client.Transport, string(of))
	}
}

// replace ends an allocation, maybe of another shard, in favour of a new one.
func (s *Shard) replace(a *allocation) {
	end := func(owner *Shard, a *allocation) {
		if !a.dead {
			owner.count.replaced++
			owner.end(a)
		}
	}
	if a.owner == s {
		end(s, a)
		return
	}
	s.shared.on([]*allocation{a}, end)
}

// redeem takes the port that RESERVATION-TOKEN names, which is counted already,
// though maybe for another address of the client.
func (s *Shard) redeem(q *request, w *wanted) stun.ErrorCode {
	res, ok := s.shared.reservations.take(s.second, w.token, q.user)
	if !ok {
		return stun.CodeInsufficientCapacity
	}
	w.reserved = res
	if netaddr.Household(res.client.Addr()) == netaddr.Household(q.client.Addr.Addr()) {
		return 0
	}
	s.shared.directory.cancel(res.user, res.client, 1)
	code := s.reserve(q, 1)
	if code != 0 {
		res.space.release(res.port)
	}
	return code
}

// adopt enters a new allocation into the tables.
func (s *Shard) adopt(c *Client, a *allocation) {
	if c.Transport == wire.UDP {
		// The client at hand is one without allocation, made for this packet.
		c.alloc = a
		c = &Client{Transport: c.Transport, Addr: c.Addr, Key: c.Key, Handle: c.Handle}
		s.clients[c.Key] = c
	}
	a.client, c.alloc = c, a
	s.allocs[a] = struct{}{}
	s.shared.directory.add(a)
	s.wheel.add(a, a.expires)
	s.count.created++
	for _, r := range a.relays {
		if r != nil {
			r.space.publish(r)
		}
	}
}

// allocated answers an Allocate request with success (RFC 8656 section 7.2).
func (s *Shard) allocated(q *request, a *allocation) {
	m := s.reply(q, stun.ClassSuccessResponse)
	for _, r := range a.relays {
		if r != nil {
			wire.AddXORAddress(m, stun.AttrXORRelayedAddress, r.addr)
		}
	}
	wire.AddUint32(m, stun.AttrLifetime, a.lifetime)
	if a.token != [8]byte{} {
		m.Add(stun.AttrReservationToken, a.token[:])
	}
	if a.addrError != 0 {
		// RFC 8656 section 18.12
		var v [4]byte
		v[0] = a.addrFamily
		v[2], v[3] = byte(a.addrError/100), byte(a.addrError%100)
		m.Add(wire.AttrAddressErrorCode, append(v[:], wire.CodeReasons[stun.ErrorCode(a.addrError)]...))
	}
	wire.AddXORAddress(m, stun.AttrXORMappedAddress, q.client.Addr)
	s.finish(q, m)
}

// wanted is what an Allocate request asks for.
type wanted struct {
	family      wire.Family
	additional  bool // an IPv6 address besides the IPv4 one
	even, pair  bool // EVEN-PORT, and its R bit
	reservation bool
	token       [8]byte
	reserved    reservation // what token stands for
}

// wanted reads RESERVATION-TOKEN, EVEN-PORT and the address family attributes
// (RFC 8656 section 7.2, steps 5 to 8).
func (q *request) wanted() (w wanted, code stun.ErrorCode) {
	token, reservation, ok := q.value(stun.AttrReservationToken, 8)
	if reservation && !ok {
		return w, stun.CodeBadRequest
	}
	family, hasFamily, ok := q.value(stun.AttrRequestedAddressFamily, 4)
	if hasFamily && !ok {
		return w, stun.CodeBadRequest
	}
	additional, hasAdditional, ok := q.value(wire.AttrAdditionalAddressFamily, 4)
	if hasAdditional && !ok {
		return w, stun.CodeBadRequest
	}
	even, hasEven, ok := q.value(stun.AttrEvenPort, 1)
	if hasEven && !ok {
		return w, stun.CodeBadRequest
	}
	if reservation {
		if hasEven || hasFamily || hasAdditional {
			return w, stun.CodeBadRequest
		}
		w.reservation = true
		copy(w.token[:], token)
	}
	if hasFamily {
		switch family[0] {
		case wire.FamilyIPv4:
		case wire.FamilyIPv6:
			w.family = wire.IPv6
		default:
			return w, stun.CodeAddrFamilyNotSupported
		}
	}
	if hasAdditional {
		if hasFamily || additional[0] != wire.FamilyIPv6 {
			return w, stun.CodeBadRequest
		}
		w.additional = true
	}
	if hasEven {
		w.even, w.pair = true, even[0]&0x80 != 0
		if w.pair && hasAdditional {
			return w, stun.CodeBadRequest
		}
	}
	return w, 0
}

// lifetime reads LIFETIME and bounds it (RFC 8656 section 7.2).
func (q *request) lifetime() (granted uint32, ok bool) {
	v, present, ok := q.value(stun.AttrLifetime, 4)
	if !present {
		return wire.LifetimeDefault, true
	}
	if !ok {
		return 0, false
	}
	return min(max(binary.BigEndian.Uint32(v), wire.LifetimeDefault), wire.LifetimeMax), true
}

// makeRelays opens the relayed addresses that were asked for.
func (s *Shard) makeRelays(a *allocation, w wanted, c *Client) stun.ErrorCode {
	if w.reservation {
		res := w.reserved
		r := s.newRelay(a, res.space, res.port)
		if res.bare && s.shared.withoutSocket() {
			r.bare = true
		} else if err := s.bind(r, res.port); err != nil {
			res.space.release(res.port)
			return stun.CodeInsufficientCapacity
		}
		a.relays[r.addr.Family()] = r
		return 0
	}
	code := s.makeRelay(a, w.family, w, c)
	if !w.additional {
		return code
	}
	// One of two will do; why there is no other, ADDRESS-ERROR-CODE says.
	code6 := s.makeRelay(a, wire.IPv6, wanted{even: w.even}, c)
	switch {
	case code != 0 && code6 != 0:
		return code
	case code != 0:
		a.addrError, a.addrFamily = uint16(code), wire.FamilyIPv4
	case code6 != 0:
		a.addrError, a.addrFamily = uint16(code6), wire.FamilyIPv6
	}
	return 0
}

// makeRelay opens one relayed address of a family: on the relay address that is the
// one to which the client came, so that with several external addresses a client
// has to do with one of them, else on the first that can give one. It gives up when no
// port is left that it could have: what other programs hold of a narrow range is passed
// over.
func (s *Shard) makeRelay(a *allocation, family wire.Family, w wanted, c *Client) stun.ErrorCode {
	spaces := s.shared.spaces()
	code := stun.CodeAddrFamilyNotSupported
	for _, space := range spaces.preferring(s.io, c) {
		if space.family() != family {
			continue
		}
		code = stun.CodeInsufficientCapacity
		for port := range space.claims(w.even, w.pair) {
			r, err := s.openRelay(a, space, port, w.pair)
			if errors.Is(err, ErrPortInUse) {
				continue
			}
			if err != nil {
				s.log.Warn("cannot open a relay socket", "bind", space.Bind, "port", port, "error", err)
				return code
			}
			return s.keep(r, w, c)
		}
	}
	if code != stun.CodeInsufficientCapacity || !s.shared.withoutSocket() {
		return code
	}
	for _, space := range spaces.preferring(s.io, c) {
		if space.family() != family {
			continue
		}
		// What is left is with other programs, which does not matter without a socket.
		if port, ok := space.takeForeign(w.even, w.pair); ok {
			r := s.newRelay(a, space, port)
			s.goWithout(r, ErrPortInUse)
			return s.keep(r, w, c)
		}
	}
	return code
}

// keep gives an allocation a relayed address, and with pair reserves the next port.
func (s *Shard) keep(r *Relay, w wanted, c *Client) stun.ErrorCode {
	a, port := r.alloc, r.addr.Port
	if w.pair {
		token, ok := s.shared.reservations.put(s.second, reservation{space: r.space, port: port + 1, user: a.user, client: c.Addr, bare: r.bare})
		if !ok {
			s.unbind(r)
			r.space.release(port)
			r.space.release(port + 1)
			return stun.CodeInsufficientCapacity
		}
		a.token = token
	}
	a.relays[r.addr.Family()] = r
	return 0
}

// openRelay binds a claimed port, with pair after a look at whether the next one
// can be bound too. On an error it has given up the claims: a port of another
// program is set aside.
func (s *Shard) openRelay(a *allocation, space *relaySpace, port uint16, pair bool) (*Relay, error) {
	bind := func(port uint16) (*Relay, error) {
		r := s.newRelay(a, space, port)
		err := s.bind(r, port)
		switch {
		case errors.Is(err, ErrPortInUse):
			space.setAside(port, s.second)
		case err != nil:
			space.release(port)
		}
		return r, err
	}
	if pair {
		next, err := bind(port + 1)
		if err != nil {
			space.release(port)
			return nil, err
		}
		s.unbind(next)
	}
	r, err := bind(port)
	if err != nil && pair {
		space.release(port + 1)
	}
	return r, err
}

func (s *Shard) newRelay(a *allocation, space *relaySpace, port uint16) *Relay {
	r := &Relay{shard: s, space: space, user: a.user, addr: space.advertise, alloc: a}
	r.addr.Port = port
	spoke := space.spoke[port-space.first]
	r.echoes = spoke != 0 && s.second < int64(spoke)+remembered
	return r
}
