package attack

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v2"
)

// Attributes of RFC 8656 section 18 that this client writes itself, so that it
// can also write what no honest client does.
const (
	attrChannelNumber      = stun.AttrType(0x000C)
	attrXORPeerAddress     = stun.AttrType(0x0012)
	attrData               = stun.AttrType(0x0013)
	attrXORRelayedAddress  = stun.AttrType(0x0016)
	attrRequestedTransport = stun.AttrType(0x0019)
)

// answerTime bounds the wait for an answer that must come.
const answerTime = 5 * time.Second

// turnClient is a TURN client over UDP that asks for anything it is told to.
type turnClient struct {
	t        *testing.T
	conn     *net.UDPConn
	username string
	realm    string
	nonce    string
	key      stun.MessageIntegrity
	relayed  netip.AddrPort
	answers  chan *stun.Message
	data     chan []byte // payloads that came through the relay
}

// dialTURN allocates from the local address given, with these credentials.
func dialTURN(t *testing.T, local, server, username, password string) *turnClient {
	t.Helper()
	laddr, err := net.ResolveUDPAddr("udp", net.JoinHostPort(local, "0"))
	if err != nil {
		t.Fatal(err)
	}
	raddr, err := net.ResolveUDPAddr("udp", server)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.DialUDP("udp", laddr, raddr)
	if err != nil {
		t.Fatal(err)
	}
	c := &turnClient{t: t, conn: conn, username: username, answers: make(chan *stun.Message, 16), data: make(chan []byte, 1024)}
	done := make(chan struct{})
	go func() { defer close(done); c.read() }()
	t.Cleanup(func() { conn.Close(); <-done })

	udp := stun.RawAttribute{Type: attrRequestedTransport, Value: []byte{17, 0, 0, 0}}
	challenge := c.ask(stun.MethodAllocate, udp)
	var realm stun.Realm
	var nonce stun.Nonce
	if err := challenge.Parse(&realm, &nonce); err != nil {
		t.Fatalf("no challenge: %v in %v", err, challenge)
	}
	c.realm, c.nonce = realm.String(), nonce.String()
	c.key = stun.NewLongTermIntegrity(username, c.realm, password)
	answer := c.ask(stun.MethodAllocate, udp)
	var relayed stun.XORMappedAddress
	if err := relayed.GetFromAs(answer, attrXORRelayedAddress); err != nil {
		t.Fatalf("no allocation: %v", code(answer))
	}
	ip, _ := netip.AddrFromSlice(relayed.IP)
	c.relayed = netip.AddrPortFrom(ip.Unmap(), uint16(relayed.Port))
	return c
}

func (c *turnClient) read() {
	buf := make([]byte, 65536)
	for {
		n, err := c.conn.Read(buf)
		if err != nil {
			if isClosed(err) {
				return
			}
			continue // an ICMP error about something sent before
		}
		packet := bytes.Clone(buf[:n])
		if !stun.IsMessage(packet) {
			if n >= 4 { // ChannelData, RFC 8656 section 12.4
				c.deliver(packet[4:])
			}
			continue
		}
		m := &stun.Message{Raw: packet}
		if m.Decode() != nil {
			continue
		}
		if m.Type.Class == stun.ClassIndication {
			if payload, err := m.Get(attrData); err == nil {
				c.deliver(payload)
			}
			continue
		}
		select {
		case c.answers <- m:
		default:
		}
	}
}

func (c *turnClient) deliver(payload []byte) {
	select {
	case c.data <- payload:
	default:
	}
}

// ask sends a request, signed once there is a key, and waits for its answer.
func (c *turnClient) ask(method stun.Method, attributes ...stun.Setter) *stun.Message {
	c.t.Helper()
	setters := append([]stun.Setter{stun.TransactionID, stun.NewType(method, stun.ClassRequest)}, attributes...)
	if c.key != nil {
		setters = append(setters, stun.NewUsername(c.username), stun.NewRealm(c.realm), stun.NewNonce(c.nonce), c.key)
	}
	m, err := stun.Build(append(setters, stun.Fingerprint)...)
	if err != nil {
		c.t.Fatal(err)
	}
	for range 3 { // retransmission, RFC 8489 section 6.2.1
		if _, err := c.conn.Write(m.Raw); err != nil {
			c.t.Fatal(err)
		}
		timeout := time.After(answerTime / 3)
		for waiting := true; waiting; {
			select {
			case a := <-c.answers:
				if a.TransactionID == m.TransactionID {
					return a
				}
			case <-timeout:
				waiting = false
			}
		}
	}
	c.t.Fatalf("no answer to %v", m.Type)
	return nil
}

// permit asks for a permission and returns the error code, 0 for success.
func (c *turnClient) permit(peer netip.Addr) int {
	return code(c.ask(stun.MethodCreatePermission, peerAddress(netip.AddrPortFrom(peer, 0))))
}

// bind asks for a channel and returns the error code, 0 for success.
func (c *turnClient) bind(channel uint16, peer netip.AddrPort) int {
	number := make([]byte, 4)
	binary.BigEndian.PutUint16(number, channel)
	return code(c.ask(stun.MethodChannelBind, stun.RawAttribute{Type: attrChannelNumber, Value: number}, peerAddress(peer)))
}

// send sends a Send indication, permitted or not.
func (c *turnClient) send(peer netip.AddrPort, payload string) {
	m, err := stun.Build(stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication),
		peerAddress(peer), stun.RawAttribute{Type: attrData, Value: []byte(payload)})
	if err != nil {
		c.t.Fatal(err)
	}
	c.write(m.Raw)
}

// sendChannel sends ChannelData, on a bound channel or not.
func (c *turnClient) sendChannel(channel uint16, payload string) {
	frame := binary.BigEndian.AppendUint16(nil, channel)
	frame = binary.BigEndian.AppendUint16(frame, uint16(len(payload)))
	c.write(append(frame, payload...))
}

func (c *turnClient) write(packet []byte) {
	if _, err := c.conn.Write(packet); err != nil && isClosed(err) {
		c.t.Fatal(err)
	}
}

// settle returns when the server has handled everything sent before: it
// answers in order on one five-tuple.
func (c *turnClient) settle() {
	c.t.Helper()
	c.ask(stun.MethodBinding)
}

// peerAddress writes XOR-PEER-ADDRESS in the family of the address as given: an
// IPv4-mapped address stays an IPv6 one.
type peerAddress netip.AddrPort

func (p peerAddress) AddTo(m *stun.Message) error {
	addr := netip.AddrPort(p)
	value := []byte{0, 1, 0, 0}
	if addr.Addr().Is6() {
		value[1] = 2
	}
	binary.BigEndian.PutUint16(value[2:], addr.Port()^0x2112)
	mask := append([]byte{0x21, 0x12, 0xA4, 0x42}, m.TransactionID[:]...)
	for i, b := range addr.Addr().AsSlice() {
		value = append(value, b^mask[i])
	}
	m.Add(attrXORPeerAddress, value)
	return nil
}

func code(m *stun.Message) int {
	if m.Type.Class == stun.ClassSuccessResponse {
		return 0
	}
	var e stun.ErrorCodeAttribute
	if err := e.GetFrom(m); err != nil {
		return -1
	}
	return int(e.Code)
}

func (c *turnClient) String() string { return fmt.Sprintf("%s at %s", c.username, c.relayed) }
