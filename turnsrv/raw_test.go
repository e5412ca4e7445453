package turnsrv

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v2"

	"turnhub/turnsrv/credentials"
)

// rawClient speaks STUN and TURN message by message. Without a connection it can
// still build messages.
type rawClient struct {
	t        testing.TB
	conn     net.Conn
	stream   bool // TCP or TLS
	username string
	password string
	realm    string
	nonce    string // empty: it asks for one
	held     []byte // read, not yet taken
}

// attr is one attribute of a request under construction.
type attr struct {
	t stun.AttrType
	v []byte
}

// with is an attribute with a value.
func with(t stun.AttrType, v []byte) attr { return attr{t, v} }

// lifetime is LIFETIME, in seconds.
func lifetime(n uint32) attr { return with(stun.AttrLifetime, binary.BigEndian.AppendUint32(nil, n)) }

// transport is REQUESTED-TRANSPORT.
func transport(p byte) attr { return with(stun.AttrRequestedTransport, []byte{p, 0, 0, 0}) }

// family is REQUESTED-ADDRESS-FAMILY.
func family(f byte) attr { return with(stun.AttrRequestedAddressFamily, []byte{f, 0, 0, 0}) }

// additional is ADDITIONAL-ADDRESS-FAMILY.
func additional(f byte) attr { return with(attrAdditionalAddressFamily, []byte{f, 0, 0, 0}) }

// channelNumber is CHANNEL-NUMBER.
func channelNumber(n uint16) attr {
	return with(stun.AttrChannelNumber, []byte{byte(n >> 8), byte(n), 0, 0})
}

// peerAttr is XOR-PEER-ADDRESS for an address and port, or "mapped" for 127.0.0.1 as an
// IPv4-mapped address in the IPv6 form. It must be encoded with the transaction id, so
// it is completed in build.
func peerAttr(s string) attr { return with(stun.AttrXORPeerAddress, []byte(s)) }

// build encodes a message. Without key it is not signed.
// build makes a message, signed where there is a key.
func build(t stun.MessageType, key []byte, attrs ...attr) *stun.Message {
	m := stun.New()
	m.Type = t
	m.TransactionID = stun.NewTransactionID()
	m.WriteHeader()
	for _, a := range attrs {
		if a.t == stun.AttrXORPeerAddress && string(a.v) == "mapped" {
			// 127.0.0.1 as an IPv4-mapped address in the IPv6 form
			v := make([]byte, 20)
			putXORAddress(v, endpoint{hi: 1, lo: 0xffff7f000001, port: 9}, m.Raw)
			v[11] ^= 1
			m.Add(a.t, v)
			continue
		}
		if a.t == stun.AttrXORPeerAddress {
			if ap, err := netip.ParseAddrPort(string(a.v)); err == nil {
				addXORAddress(m, a.t, endpointFrom(ap))
				continue
			}
		}
		m.Add(a.t, a.v)
	}
	if key != nil {
		if err := stun.MessageIntegrity(key).AddTo(m); err != nil {
			panic(err)
		}
	}
	return m
}

// asked is the type of a request.
func asked(method stun.Method) stun.MessageType { return stun.NewType(method, stun.ClassRequest) }

// credentialAttrs are USERNAME, REALM and NONCE.
func (c *rawClient) credentialAttrs() []attr {
	return []attr{
		with(stun.AttrUsername, []byte(c.username)), with(stun.AttrRealm, []byte(c.realm)), with(stun.AttrNonce, []byte(c.nonce)),
	}
}

// key is the long-term key (RFC 8489 section 9.2.2).
func (c *rawClient) key() []byte {
	return stun.NewLongTermIntegrity(c.username, c.realm, c.password)
}

// signed builds an authenticated request, after getting a nonce if need be.
func (c *rawClient) signed(method stun.Method, attrs ...attr) *stun.Message {
	c.t.Helper()
	if c.nonce == "" {
		c.challenge()
	}
	return build(asked(method), c.key(), append(attrs, c.credentialAttrs()...)...)
}

// challenge gets a nonce as a client does, by a request without credentials.
func (c *rawClient) challenge() {
	c.t.Helper()
	res := c.roundTrip(build(asked(stun.MethodAllocate), nil, transport(protocolUDP)))
	if code := codeOf(res); code != 401 {
		c.t.Fatalf("request without credentials: %d, want 401", code)
	}
	nonce, err := res.Get(stun.AttrNonce)
	if err != nil {
		c.t.Fatal(err)
	}
	c.nonce = string(nonce)
}

// do sends an authenticated request and returns the answer, whose
// MESSAGE-INTEGRITY must be right.
func (c *rawClient) do(method stun.Method, attrs ...attr) *stun.Message {
	c.t.Helper()
	res := c.roundTrip(c.signed(method, attrs...))
	if res.Contains(stun.AttrMessageIntegrity) {
		if err := stun.MessageIntegrity(c.key()).Check(res); err != nil {
			c.t.Errorf("answer to %v: %v", method, err)
		}
	} else if code := codeOf(res); code != 401 && code != 438 && code != 400 {
		c.t.Errorf("answer %d to %v is not signed", code, method)
	}
	return res
}

// roundTrip sends a request and returns its answer.
func (c *rawClient) roundTrip(m *stun.Message) *stun.Message {
	c.t.Helper()
	c.send(m.Raw)
	for {
		res := new(stun.Message)
		if err := stun.Decode(c.receive(), res); err != nil {
			c.t.Fatal(err)
		}
		if res.TransactionID == m.TransactionID {
			return res
		}
	}
}

// send sends bytes.
func (c *rawClient) send(b []byte) {
	c.t.Helper()
	if _, err := c.conn.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

// receive returns the next message, for which it waits ten seconds.
func (c *rawClient) receive() []byte {
	c.t.Helper()
	b, err := c.next(10 * time.Second)
	if err != nil {
		c.t.Fatal(err)
	}
	return b
}

// next returns the next message, or an error.
func (c *rawClient) next(patience time.Duration) ([]byte, error) {
	c.conn.SetReadDeadline(time.Now().Add(patience))
	buf := make([]byte, 1<<16)
	if !c.stream {
		n, err := c.conn.Read(buf)
		return buf[:n], err
	}
	for {
		if length, message, err := frame(c.held); err != nil {
			return nil, err
		} else if length > 0 && length <= len(c.held) {
			b := c.held[:message]
			c.held = c.held[length:]
			return b, nil
		}
		n, err := c.conn.Read(buf)
		c.held = append(c.held, buf[:n]...)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			return nil, io.ErrUnexpectedEOF
		}
	}
}

// nothing reports an answer where there must be none. It asks for something else
// and expects that answer to be the first to come.
func (c *rawClient) nothing() {
	c.t.Helper()
	m := build(asked(stun.MethodBinding), nil)
	c.send(m.Raw)
	res := new(stun.Message)
	if err := stun.Decode(c.receive(), res); err != nil || res.TransactionID != m.TransactionID {
		c.t.Errorf("got %v, want nothing", res)
	}
}

// allocate makes an allocation and returns its relayed addresses.
func (c *rawClient) allocate(attrs ...attr) []netip.AddrPort {
	c.t.Helper()
	res := c.do(stun.MethodAllocate, append([]attr{transport(protocolUDP)}, attrs...)...)
	if res.Type.Class != stun.ClassSuccessResponse {
		c.t.Fatalf("Allocate: %d", codeOf(res))
	}
	return relayedOf(res)
}

// relayedOf returns the XOR-RELAYED-ADDRESSes of a message.
func relayedOf(m *stun.Message) (all []netip.AddrPort) {
	for _, a := range m.Attributes {
		if a.Type == stun.AttrXORRelayedAddress {
			e, _, _ := xorAddress(a.Value, m.Raw)
			all = append(all, e.addrPort())
		}
	}
	return all
}

// codeOf returns the error code of a response, 0 for success.
func codeOf(m *stun.Message) int {
	if m.Type.Class == stun.ClassSuccessResponse {
		return 0
	}
	var code stun.ErrorCodeAttribute
	if err := code.GetFrom(m); err != nil {
		return -1
	}
	return int(code.Code)
}

// channelData is a ChannelData message, padded as on a stream where pad is set.
func channelData(number uint16, payload []byte, pad bool) []byte {
	b := binary.BigEndian.AppendUint16(nil, number)
	b = binary.BigEndian.AppendUint16(b, uint16(len(payload)))
	b = append(b, payload...)
	for pad && len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// sendIndication is a Send indication.
func sendIndication(peer string, payload []byte, more ...attr) []byte {
	attrs := append([]attr{peerAttr(peer), with(stun.AttrData, payload)}, more...)
	return build(stun.NewType(stun.MethodSend, stun.ClassIndication), nil, attrs...).Raw
}

// testRealm is the realm of the servers under test.
const testRealm = "turnhub"

// mint returns credentials for an hour.
func mint(c *credentials.Secrets, user string) (username, password string) {
	return c.Mint(user, time.Now().Add(time.Hour))
}
