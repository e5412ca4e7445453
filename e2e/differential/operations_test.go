package differential

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"turnhub/turnsrv"
)

// An operation is one thing that is done to both sides in the same way.
type operation struct {
	kind string // the first word or two of name
	name string
	run  func(s *side)
	// media says that it is a packet of a call, which may be repeated: such ones can pass
	// inside the kernel.
	media bool
}

// expiry is in the usernames; all of one run are good for a day.
var (
	expiry  = strconv.FormatInt(time.Now().Add(24*time.Hour).Unix(), 10)
	later   = strconv.FormatInt(time.Now().Add(25*time.Hour).Unix(), 10)
	expired = strconv.FormatInt(time.Now().Add(-time.Hour).Unix(), 10)
)

// A generator draws operations.
type generator struct {
	*rand.Rand
	number uint64 // of the operation, in every payload
}

func pick[T any](g *generator, from ...T) T { return from[g.IntN(len(from))] }

// mostly returns common nine times out of ten, otherwise one of rare.
func mostly[T any](g *generator, common T, rare ...T) T {
	if g.IntN(10) > 0 {
		return common
	}
	return pick(g, rare...)
}

// fragment asks for DONT-FRAGMENT, which the portable driver does not know.
func (g *generator) fragment() bool {
	return g.IntN(12) == 0 && wantedDriver != turnsrv.DriverPortable
}

func (g *generator) id() (id [12]byte) {
	copy(id[:], "OPER")
	binary.BigEndian.PutUint64(id[4:], g.Uint64())
	return id
}

func (g *generator) next() operation {
	g.number++
	var op operation
	if n := int(g.number & 0xFFFF); n <= clientCount {
		op = g.allocate(n - 1) // let most sequences begin with what all else needs
	} else {
		op = g.draw(g.IntN(clientCount))
	}
	_, words, _ := strings.Cut(op.name, ": ")
	op.kind, _, _ = strings.Cut(words, " ")
	return op
}

func (g *generator) draw(c int) operation {
	switch n := g.IntN(100); {
	case n < 10:
		return g.allocate(c)
	case n < 15:
		return g.refresh(c)
	case n < 30:
		return g.permission(c)
	case n < 45:
		return g.channelBind(c)
	case n < 60:
		return g.send(c)
	case n < 77:
		return g.channelData(c)
	case n < 92:
		return g.fromPeer(c)
	case n < 95:
		return g.binding(c)
	default:
		return g.malformed(c)
	}
}

// payload begins with the operation's number, so that each delivery can be told
// from all others.
func (g *generator) payload() []byte {
	p := make([]byte, 8+pick(g, 0, 1, 2, 3, 4, 100, 160, 164, 1000, 1200))
	for i := 8; i < len(p); i++ {
		p[i] = byte(g.Uint32())
	}
	binary.BigEndian.PutUint64(p, g.number)
	return p
}

// A target is a peer or the relayed address of a client.
type target int

// target prefers the first peer, so that packets often meet a permission.
func (g *generator) target() target {
	if g.IntN(2) == 0 {
		return 0
	}
	return target(g.IntN(len(peerAddrs) + clientCount))
}

func (t target) String() string {
	if int(t) < len(peerAddrs) {
		return fmt.Sprintf("peer %d", int(t))
	}
	return fmt.Sprintf("relay of client %d", int(t)-len(peerAddrs))
}

func (t target) of(s *side) netip.AddrPort {
	if int(t) < len(peerAddrs) {
		return s.peer(int(t))
	}
	if c := s.clients[int(t)-len(peerAddrs)]; len(c.relayed) > 0 {
		return c.relayed[0]
	}
	return s.peer(0)
}

// credentials names how a request is authenticated.
func (g *generator) credentials() string {
	return mostly(g, "good", "none", "wrong password", "not the scheme", "expired", "wrong realm", "stale nonce",
		"no nonce", "no realm", "no username", "broken integrity", "somebody else", "of a later expiry")
}

// request signs and sends a request. The first one of a client is refused, as it
// has no nonce yet; then it is sent again.
func (g *generator) request(name string, c int, how string, build func(s *side, id [12]byte) message) operation {
	id, second, fingerprint := g.id(), g.id(), g.IntN(2) == 0
	return operation{
		name: fmt.Sprintf("client %d: %s, credentials %s", c, name, how),
		run: func(s *side) {
			client := s.clients[c]
			if client.nonce == nil {
				// Long enough to be answered: see differences_test.go.
				s.exchange(client, build(s, second).add(attrUnknownMay, []byte("what")))
				client.control = nil
			}
			m := credentials(client, how, build(s, id))
			if fingerprint {
				m = m.print()
			}
			s.exchange(client, m)
		},
	}
}

func credentials(c *sideClient, how string, m message) message {
	user := expiry + ":user" // one for all clients, so that they may take each other's tokens
	nonce, inRealm, word := c.nonce, realm, ""
	switch how {
	case "none":
		return m
	case "wrong password":
		word = "wrong"
	case "not the scheme":
		user = "vasya"
	case "expired":
		user = expired + ":user"
	case "wrong realm":
		inRealm = "elsewhere"
	case "stale nonce":
		nonce = []byte("0123456789abcdef")
	case "of a later expiry":
		user = later + ":user"
	case "somebody else":
		user = expiry + ":another"
	}
	if word == "" {
		word = password(user, secret)
	}
	if how == "good" {
		c.user = user
	}
	c.key = longTermKey(user, inRealm, word)
	if how != "no username" {
		m = m.add(attrUsername, []byte(user))
	}
	if how != "no realm" {
		m = m.add(attrRealm, []byte(inRealm))
	}
	if how != "no nonce" {
		m = m.add(attrNonce, nonce)
	}
	m = m.sign(c.key)
	if how == "broken integrity" {
		m[len(m)-1] ^= 1
	}
	return m
}

// extra adds an attribute that nobody knows, now and then.
func (g *generator) extra() (string, func(message) message) {
	switch g.IntN(24) {
	case 0:
		return ", unknown attribute", func(m message) message { return m.add(attrUnknownMust, []byte("what")) }
	case 1:
		return ", optional attribute", func(m message) message { return m.add(attrUnknownMay, []byte("what")) }
	}
	return "", func(m message) message { return m }
}

func (g *generator) allocate(c int) operation {
	transport := mostly(g, "UDP", "TCP", "none", "unknown", "short")
	family := mostly(g, "", "IPv4", "IPv6", "IPv6", "odd")
	even := mostly(g, "", "even", "even and reserve")
	token := mostly(g, "", "", "bogus token", "token")
	additional := mostly(g, "", "", "additional IPv6", "additional IPv4")
	life := mostly(g, -1, 0, 60, 600, 1000, 3600, 100000)
	fragment := g.fragment()
	extra, add := g.extra()
	name := fmt.Sprintf("Allocate %s %s %s %s %s lifetime %d fragment %v%s", transport, family, even, token, additional, life, fragment, extra)
	return g.request(name, c, g.credentials(), func(s *side, id [12]byte) message {
		m := newMessage(methodAllocate|classRequest, id)
		switch transport {
		case "UDP":
			m = m.add(attrTransport, []byte{17, 0, 0, 0})
		case "TCP":
			m = m.add(attrTransport, []byte{6, 0, 0, 0})
		case "unknown":
			m = m.add(attrTransport, []byte{99, 0, 0, 0})
		case "short":
			m = m.add(attrTransport, []byte{17})
		}
		if n := map[string]byte{"IPv4": 1, "IPv6": 2, "odd": 5}[family]; n > 0 {
			m = m.add(attrFamily, []byte{n, 0, 0, 0})
		}
		switch even {
		case "even":
			m = m.add(attrEvenPort, []byte{0})
		case "even and reserve":
			m = m.add(attrEvenPort, []byte{0x80})
		}
		switch token {
		case "bogus token":
			m = m.add(attrToken, []byte("12345678"))
		case "token":
			for _, other := range s.clients {
				if other.token != nil {
					m = m.add(attrToken, other.token)
					break
				}
			}
		}
		if n := map[string]byte{"additional IPv4": 1, "additional IPv6": 2}[additional]; n > 0 {
			m = m.add(attrAdditional, []byte{n, 0, 0, 0})
		}
		if life >= 0 {
			m = m.add(attrLifetime, binary.BigEndian.AppendUint32(nil, uint32(life)))
		}
		if fragment {
			m = m.add(attrDontFragment, nil)
		}
		return add(m)
	})
}

func (g *generator) refresh(c int) operation {
	life := pick(g, -1, 0, 1, 600, 700, 3600, 100000)
	family := mostly(g, byte(0), 1, 2)
	extra, add := g.extra()
	return g.request(fmt.Sprintf("Refresh lifetime %d family %d%s", life, family, extra), c, g.credentials(),
		func(s *side, id [12]byte) message {
			m := newMessage(methodRefresh|classRequest, id)
			if life >= 0 {
				m = m.add(attrLifetime, binary.BigEndian.AppendUint32(nil, uint32(life)))
			}
			if family > 0 {
				m = m.add(attrFamily, []byte{family, 0, 0, 0})
			}
			return add(m)
		})
}

func (g *generator) permission(c int) operation {
	var targets []target
	for range mostly(g, 1, 0, 2, 3) {
		targets = append(targets, g.target())
	}
	short := g.IntN(20) == 0
	extra, add := g.extra()
	return g.request(fmt.Sprintf("CreatePermission %v short %v%s", targets, short, extra), c, g.credentials(),
		func(s *side, id [12]byte) message {
			m := newMessage(methodPermission|classRequest, id)
			for _, t := range targets {
				m = m.add(attrXORPeer, address(t.of(s), id))
			}
			if short {
				m = m.add(attrXORPeer, []byte{0, 1, 2})
			}
			return add(m)
		})
}

func (g *generator) channelBind(c int) operation {
	number := g.channel()
	peer := g.target()
	missing := mostly(g, "", "number", "peer")
	extra, add := g.extra()
	return g.request(fmt.Sprintf("ChannelBind %#x to %v without %q%s", number, peer, missing, extra), c, g.credentials(),
		func(s *side, id [12]byte) message {
			m := newMessage(methodChannelBind|classRequest, id)
			if missing != "number" {
				m = m.add(attrChannelNumber, binary.BigEndian.AppendUint16(nil, number))
				m = append(m[:len(m)-2], 0, 0)
				binary.BigEndian.PutUint16(m[len(m)-6:], 4)
			}
			if missing != "peer" {
				m = m.add(attrXORPeer, address(peer.of(s), id))
			}
			return add(m)
		})
}

func (g *generator) channel() uint16 {
	return mostly(g, pick[uint16](g, 0x4000, 0x4001, 0x4002), 0x3FFF, 0x4FFF, 0x5000, 0x7FFF, 0x8000)
}

func (g *generator) send(c int) operation {
	peer, payload, id := g.target(), g.payload(), g.id()
	missing := mostly(g, "", "peer", "data")
	fragment := g.fragment()
	extra, add := g.extra()
	return operation{
		name: fmt.Sprintf("client %d: Send %d bytes to %v without %q fragment %v%s", c, len(payload), peer, missing, fragment, extra),
		run: func(s *side) {
			m := newMessage(methodSend|classIndication, id)
			if missing != "peer" {
				m = m.add(attrXORPeer, address(peer.of(s), id))
			}
			if missing != "data" {
				m = m.add(attrData, payload)
			}
			if fragment {
				m = m.add(attrDontFragment, nil)
			}
			s.exchange(s.clients[c], add(m))
			s.settle()
		},
	}
}

func (g *generator) channelData(c int) operation {
	number, payload := g.channel(), g.payload()
	shape := mostly(g, "", "padded", "too long a length", "trailing bytes", "empty")
	return operation{
		media: true,
		name:  fmt.Sprintf("client %d: ChannelData %#x, %d bytes %s", c, number, len(payload), shape),
		run: func(s *side) {
			b := channelData(number, len(payload), payload)
			switch shape {
			case "padded":
				for len(b)%4 != 0 {
					b = append(b, 0)
				}
			case "too long a length":
				b = channelData(number, len(payload)+4, payload)
			case "trailing bytes":
				b = append(b, 1, 2, 3, 4, 5)
			case "empty":
				b = channelData(number, 0, nil)
			}
			s.exchange(s.clients[c], b)
			s.settle()
		},
	}
}

func (g *generator) fromPeer(c int) operation {
	peer, payload := g.IntN(len(peerAddrs)), g.payload()
	return operation{
		media: true,
		name:  fmt.Sprintf("peer %d: %d bytes to the relay of client %d", peer, len(payload), c),
		run: func(s *side) {
			s.fromPeer(s.clients[c], peer, payload)
		},
	}
}

func (g *generator) binding(c int) operation {
	id := g.id()
	shape := pick(g, "plain", "fingerprint", "wrong fingerprint", "unknown attribute", "optional attribute", "indication")
	return operation{
		name: fmt.Sprintf("client %d: Binding, %s", c, shape),
		run: func(s *side) {
			m := newMessage(methodBinding|classRequest, id)
			switch shape {
			case "fingerprint":
				m = m.print()
			case "wrong fingerprint":
				m = m.print()
				m[len(m)-1] ^= 1
			case "unknown attribute":
				m = m.add(attrUnknownMust, []byte("what"))
			case "optional attribute":
				m = m.add(attrUnknownMay, []byte("what"))
			case "indication":
				m = newMessage(methodBinding|classIndication, id)
			}
			s.exchange(s.clients[c], m)
		},
	}
}

func (g *generator) malformed(c int) operation {
	id, payload := g.id(), g.payload()
	shape := pick(g, "noise", "truncated", "wrong cookie", "odd length", "response", "unknown method", "attribute past the end", "one byte")
	return operation{
		name: fmt.Sprintf("client %d: malformed, %s", c, shape),
		run: func(s *side) {
			m := newMessage(methodAllocate|classRequest, id).add(attrTransport, []byte{17, 0, 0, 0})
			switch shape {
			case "noise":
				m = append([]byte{0xC3}, payload...)
			case "truncated":
				m = m[:len(m)-3]
			case "wrong cookie":
				m[5] ^= 1
			case "odd length":
				m = append(m, 0).sized(0)
			case "response":
				m = newMessage(methodAllocate|classSuccess, id)
			case "unknown method":
				// 12 method bits with the class between: 0x0F1 is 0x03C1.
				m = newMessage(0x03C1, id)
			case "attribute past the end":
				binary.BigEndian.PutUint16(m[headerSize+2:], 400)
			case "one byte":
				m = message{0}
			}
			s.exchange(s.clients[c], m)
		},
	}
}
