// Package turntest is for tests: a client that speaks STUN and TURN message by message,
// so that it can also say what no real client says.
package turntest

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v2"

	"turnhub/turnsrv/credentials"
	"turnhub/turnsrv/internal/wire"
)

// Client speaks STUN and TURN message by message. Without a connection it can
// still build messages.
type Client struct {
	T        testing.TB
	Conn     net.Conn
	Stream   bool // TCP or TLS
	Username string
	Password string
	Realm    string
	Nonce    string // empty: it asks for one
	held     []byte // read, not yet taken
}

// Attr is one attribute of a request under construction.
type Attr struct {
	T stun.AttrType
	V []byte
}

// With is an attribute with a value.
func With(t stun.AttrType, v []byte) Attr { return Attr{t, v} }

// Lifetime is LIFETIME, in seconds.
func Lifetime(n uint32) Attr { return With(stun.AttrLifetime, binary.BigEndian.AppendUint32(nil, n)) }

// Transport is REQUESTED-TRANSPORT.
func Transport(p byte) Attr { return With(stun.AttrRequestedTransport, []byte{p, 0, 0, 0}) }

// Family is REQUESTED-ADDRESS-FAMILY.
func Family(f byte) Attr { return With(stun.AttrRequestedAddressFamily, []byte{f, 0, 0, 0}) }

// Additional is ADDITIONAL-ADDRESS-FAMILY.
func Additional(f byte) Attr { return With(wire.AttrAdditionalAddressFamily, []byte{f, 0, 0, 0}) }

// ChannelNumber is CHANNEL-NUMBER.
func ChannelNumber(n uint16) Attr {
	return With(stun.AttrChannelNumber, []byte{byte(n >> 8), byte(n), 0, 0})
}

// Peer is XOR-PEER-ADDRESS for an address and port, or "mapped" for 127.0.0.1 as an
// IPv4-mapped address in the IPv6 form. It must be encoded with the transaction id, so
// it is completed in build.
func Peer(s string) Attr { return With(stun.AttrXORPeerAddress, []byte(s)) }

// Build encodes a message. Without key it is not signed.
// build makes a message, signed where there is a key.
func Build(t stun.MessageType, key []byte, attrs ...Attr) *stun.Message {
	m := stun.New()
	m.Type = t
	m.TransactionID = stun.NewTransactionID()
	m.WriteHeader()
	for _, a := range attrs {
		if a.T == stun.AttrXORPeerAddress && string(a.V) == "mapped" {
			// 127.0.0.1 as an IPv4-mapped address in the IPv6 form
			v := make([]byte, 20)
			wire.PutXORAddress(v, wire.Endpoint{Hi: 1, Lo: 0xffff7f000001, Port: 9}, m.Raw)
			v[11] ^= 1
			m.Add(a.T, v)
			continue
		}
		if a.T == stun.AttrXORPeerAddress {
			if ap, err := netip.ParseAddrPort(string(a.V)); err == nil {
				wire.AddXORAddress(m, a.T, wire.EndpointFrom(ap))
				continue
			}
		}
		m.Add(a.T, a.V)
	}
	if key != nil {
		if err := stun.MessageIntegrity(key).AddTo(m); err != nil {
			panic(err)
		}
	}
	return m
}

// Request is the type of a request.
func Request(method stun.Method) stun.MessageType { return stun.NewType(method, stun.ClassRequest) }

// CredentialAttrs are USERNAME, REALM and NONCE.
func (c *Client) CredentialAttrs() []Attr {
	return []Attr{
		With(stun.AttrUsername, []byte(c.Username)), With(stun.AttrRealm, []byte(c.Realm)), With(stun.AttrNonce, []byte(c.Nonce)),
	}
}

// Key is the long-term key (RFC 8489 section 9.2.2).
func (c *Client) Key() []byte {
	return stun.NewLongTermIntegrity(c.Username, c.Realm, c.Password)
}

// Signed builds an authenticated request, after getting a nonce if need be.
func (c *Client) Signed(method stun.Method, attrs ...Attr) *stun.Message {
	c.T.Helper()
	if c.Nonce == "" {
		c.Challenge()
	}
	return Build(Request(method), c.Key(), append(attrs, c.CredentialAttrs()...)...)
}

// Challenge gets a nonce as a client does, by a request without credentials.
func (c *Client) Challenge() {
	c.T.Helper()
	res := c.RoundTrip(Build(Request(stun.MethodAllocate), nil, Transport(wire.ProtocolUDP)))
	if code := CodeOf(res); code != 401 {
		c.T.Fatalf("request without credentials: %d, want 401", code)
	}
	nonce, err := res.Get(stun.AttrNonce)
	if err != nil {
		c.T.Fatal(err)
	}
	c.Nonce = string(nonce)
}

// Do sends an authenticated request and returns the answer, whose
// MESSAGE-INTEGRITY must be right.
func (c *Client) Do(method stun.Method, attrs ...Attr) *stun.Message {
	c.T.Helper()
	res := c.RoundTrip(c.Signed(method, attrs...))
	if res.Contains(stun.AttrMessageIntegrity) {
		if err := stun.MessageIntegrity(c.Key()).Check(res); err != nil {
			c.T.Errorf("answer to %v: %v", method, err)
		}
	} else if code := CodeOf(res); code != 401 && code != 438 && code != 400 {
		c.T.Errorf("answer %d to %v is not signed", code, method)
	}
	return res
}

// RoundTrip sends a request and returns its answer.
func (c *Client) RoundTrip(m *stun.Message) *stun.Message {
	c.T.Helper()
	c.Send(m.Raw)
	for {
		res := new(stun.Message)
		if err := stun.Decode(c.Receive(), res); err != nil {
			c.T.Fatal(err)
		}
		if res.TransactionID == m.TransactionID {
			return res
		}
	}
}

// Send sends bytes.
func (c *Client) Send(b []byte) {
	c.T.Helper()
	if _, err := c.Conn.Write(b); err != nil {
		c.T.Fatal(err)
	}
}

// Receive returns the next message, for which it waits ten seconds.
func (c *Client) Receive() []byte {
	c.T.Helper()
	b, err := c.next(10 * time.Second)
	if err != nil {
		c.T.Fatal(err)
	}
	return b
}

// next returns the next message, or an error.
func (c *Client) next(patience time.Duration) ([]byte, error) {
	c.Conn.SetReadDeadline(time.Now().Add(patience))
	buf := make([]byte, 1<<16)
	if !c.Stream {
		n, err := c.Conn.Read(buf)
		return buf[:n], err
	}
	for {
		if length, message, err := wire.Frame(c.held); err != nil {
			return nil, err
		} else if length > 0 && length <= len(c.held) {
			b := c.held[:message]
			c.held = c.held[length:]
			return b, nil
		}
		n, err := c.Conn.Read(buf)
		c.held = append(c.held, buf[:n]...)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			return nil, io.ErrUnexpectedEOF
		}
	}
}

// Nothing reports an answer where there must be none. It asks for something else
// and expects that answer to be the first to come.
func (c *Client) Nothing() {
	c.T.Helper()
	m := Build(Request(stun.MethodBinding), nil)
	c.Send(m.Raw)
	res := new(stun.Message)
	if err := stun.Decode(c.Receive(), res); err != nil || res.TransactionID != m.TransactionID {
		c.T.Errorf("got %v, want nothing", res)
	}
}

// Allocate makes an allocation and returns its relayed addresses.
func (c *Client) Allocate(attrs ...Attr) []netip.AddrPort {
	c.T.Helper()
	res := c.Do(stun.MethodAllocate, append([]Attr{Transport(wire.ProtocolUDP)}, attrs...)...)
	if res.Type.Class != stun.ClassSuccessResponse {
		c.T.Fatalf("Allocate: %d", CodeOf(res))
	}
	return RelayedOf(res)
}

// RelayedOf returns the XOR-RELAYED-ADDRESSes of a message.
func RelayedOf(m *stun.Message) (all []netip.AddrPort) {
	for _, a := range m.Attributes {
		if a.Type == stun.AttrXORRelayedAddress {
			e, _, _ := wire.XORAddress(a.Value, m.Raw)
			all = append(all, e.AddrPort())
		}
	}
	return all
}

// CodeOf returns the error code of a response, 0 for success.
func CodeOf(m *stun.Message) int {
	if m.Type.Class == stun.ClassSuccessResponse {
		return 0
	}
	var code stun.ErrorCodeAttribute
	if err := code.GetFrom(m); err != nil {
		return -1
	}
	return int(code.Code)
}

// ChannelData is a ChannelData message, padded as on a stream where pad is set.
func ChannelData(number uint16, payload []byte, pad bool) []byte {
	b := binary.BigEndian.AppendUint16(nil, number)
	b = binary.BigEndian.AppendUint16(b, uint16(len(payload)))
	b = append(b, payload...)
	for pad && len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// Send is a Send indication.
func Send(peer string, payload []byte, more ...Attr) []byte {
	attrs := append([]Attr{Peer(peer), With(stun.AttrData, payload)}, more...)
	return Build(stun.NewType(stun.MethodSend, stun.ClassIndication), nil, attrs...).Raw
}

// Realm is the realm of the servers under test.
const Realm = "turnhub"

// Mint returns credentials for an hour.
func Mint(c *credentials.Secrets, user string) (username, password string) {
	return c.Mint(user, time.Now().Add(time.Hour))
}
