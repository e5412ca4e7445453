package differential

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v2"
)

// The addresses of the two sides are the same but for ports, so that what comes
// out can be compared by index.
var (
	clientAddr = netip.MustParseAddr("127.12.10.11")
	peerAddrs  = []netip.Addr{
		netip.MustParseAddr("127.12.10.21"),
		netip.MustParseAddr("127.12.10.22"),
		netip.MustParseAddr("127.12.10.21"), // the first one's address, another port
		netip.MustParseAddr("::1"),
	}
)

const (
	clientCount = 3
	deadline    = 5 * time.Second // for what must come; nothing is timed
)

// A side is one server with clients and peers of its own.
type side struct {
	t       testing.TB
	name    string
	server  netip.AddrPort
	clients []*sideClient
	peers   []*net.UDPConn

	ports     *ports
	delivered map[string]int // relayed packets: who got what from whom how often
	barriers  uint64
}

// A sideClient is one client's socket and what it has learned.
type sideClient struct {
	*net.UDPConn
	index   int
	nonce   []byte
	relayed []netip.AddrPort // empty: no allocation
	token   []byte
	user    string // that made the allocation
	key     []byte // of the last request, for the response's integrity
	control []string
	ended   bool // its allocation was ended by a Refresh
}

// ports counts through the client ports of one server over all sequences.
type ports struct{ next uint16 }

func newSide(t testing.TB, name string, server netip.AddrPort, ports *ports) *side {
	s := &side{t: t, name: name, server: server, ports: ports, delivered: make(map[string]int)}
	for i := range clientCount {
		s.clients = append(s.clients, &sideClient{UDPConn: s.dial(), index: i})
	}
	for _, a := range peerAddrs {
		s.peers = append(s.peers, s.listen(a))
	}
	return s
}

// dial opens a client's socket on a port that no client has had before: coturn
// keeps an ended allocation for about a second, in which requests from the same
// five-tuple still find it.
func (s *side) dial() *net.UDPConn {
	for s.ports.next < 65000 {
		s.ports.next++
		c, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(clientAddr, s.ports.next)), net.UDPAddrFromAddrPort(s.server))
		if err == nil {
			return c
		}
	}
	s.t.Fatal("no client port is left: run fewer sequences")
	return nil
}

func (s *side) listen(a netip.Addr) *net.UDPConn {
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, 0)))
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// close ends the allocations, so that thousands of sequences fit into the port
// range, and the sockets.
func (s *side) close() {
	for _, c := range s.clients {
		if len(c.relayed) > 0 {
			m := newMessage(methodRefresh, s.barrierID()).add(attrLifetime, make([]byte, 4))
			s.exchange(c, s.authorize(m, c, c.user))
		}
		c.Close()
	}
	for _, p := range s.peers {
		p.Close()
	}
}

func local(c *net.UDPConn) netip.AddrPort {
	a := c.LocalAddr().(*net.UDPAddr).AddrPort()
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

func (s *side) peer(i int) netip.AddrPort { return local(s.peers[i]) }

// authorize adds good long-term credentials.
func (s *side) authorize(m message, c *sideClient, user string) message {
	c.key = longTermKey(user, realm, password(user, secret))
	return m.add(attrUsername, []byte(user)).add(attrRealm, []byte(realm)).add(attrNonce, c.nonce).sign(c.key)
}

func (s *side) barrierID() (id [12]byte) {
	s.barriers++
	copy(id[:], "BARR")
	binary.BigEndian.PutUint64(id[4:], s.barriers)
	return id
}

// exchange sends b from c and takes in what comes back.
func (s *side) exchange(c *sideClient, b []byte) {
	if _, err := c.Write(b); err != nil {
		s.t.Fatalf("%s: send: %v", s.name, err)
	}
	s.sync(c)
	s.drainPeers()
}

// sync makes sure that the server has handled everything that was sent to any
// of the sockets of its thread so far, by two Binding transactions: what is
// ready before the first is sent is taken in no later than it, and the second is
// answered after all of that has left.
func (s *side) sync(c *sideClient) {
	for range 2 {
		id := s.barrierID()
		if _, err := c.Write(newMessage(methodBinding, id)); err != nil {
			s.t.Fatalf("%s: send: %v", s.name, err)
		}
		s.readUntil(c, func(m *stun.Message) bool { return m.TransactionID == id })
	}
}

// readUntil takes in what the client gets until done says so.
func (s *side) readUntil(c *sideClient, done func(*stun.Message) bool) {
	buffer := make([]byte, 1<<16)
	if err := c.SetReadDeadline(time.Now().Add(deadline)); err != nil {
		s.t.Fatal(err)
	}
	for {
		n, err := c.Read(buffer)
		if err != nil {
			s.t.Fatalf("%s does not answer: %v", s.name, err)
		}
		if n >= 4 && buffer[0]&0xC0 == 0x40 {
			s.channelData(c, buffer[:n])
			continue
		}
		m := &stun.Message{Raw: slices.Clone(buffer[:n])}
		if err := m.Decode(); err != nil {
			c.control = append(c.control, fmt.Sprintf("undecodable % x", buffer[:n]))
			continue
		}
		if done(m) {
			return
		}
		if binary.BigEndian.Uint16(m.Raw) == typeDataIndication {
			s.dataIndication(c, m)
			continue
		}
		c.control = append(c.control, s.describe(c, m))
	}
}

func (s *side) channelData(c *sideClient, b []byte) {
	n := int(binary.BigEndian.Uint16(b[2:]))
	if n > len(b)-4 {
		c.control = append(c.control, "truncated ChannelData")
		return
	}
	s.deliver(fmt.Sprintf("client %d: channel %#x", c.index, binary.BigEndian.Uint16(b)), b[4:4+n])
}

func (s *side) dataIndication(c *sideClient, m *stun.Message) {
	var from stun.XORMappedAddress
	if err := from.GetFromAs(m, stun.AttrXORPeerAddress); err != nil {
		c.control = append(c.control, "Data indication without XOR-PEER-ADDRESS")
		return
	}
	data, err := m.Get(stun.AttrData)
	if err != nil {
		c.control = append(c.control, "Data indication without DATA")
		return
	}
	ip, _ := netip.AddrFromSlice(from.IP)
	source := netip.AddrPortFrom(ip.Unmap(), uint16(from.Port))
	s.deliver(fmt.Sprintf("client %d: Data from %s", c.index, s.whois(source)), data)
}

// whois names an address the same on both sides.
func (s *side) whois(a netip.AddrPort) string {
	for i, p := range s.peers {
		if local(p) == a {
			return fmt.Sprintf("peer %d", i)
		}
	}
	for _, c := range s.clients {
		if slices.Contains(c.relayed, a) {
			return fmt.Sprintf("relay of client %d", c.index)
		}
	}
	return "somebody at " + a.Addr().String()
}

func (s *side) deliver(where string, payload []byte) {
	s.delivered[fmt.Sprintf("%s: %d bytes % x…", where, len(payload), sum(payload))]++
}

// sum stands for the bytes of a payload, whose first eight name the operation.
func sum(payload []byte) []byte {
	key := longTermKey("", "", string(payload))
	return append(slices.Clone(payload[:min(8, len(payload))]), key[:4]...)
}

// drainPeers takes in what has arrived at the peers.
func (s *side) drainPeers() {
	buffer := make([]byte, 1<<16)
	for i, p := range s.peers {
		for {
			n, from, err := readNow(p, buffer)
			if err != nil {
				break
			}
			s.deliver(fmt.Sprintf("peer %d: from %s", i, s.whois(from)), buffer[:n])
		}
	}
}

// readNow reads one datagram if there is one.
func readNow(c *net.UDPConn, b []byte) (n int, from netip.AddrPort, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, from, err
	}
	failed := raw.Control(func(fd uintptr) { n, from, err = receive(int(fd), b) })
	return n, from, errors.Join(err, failed)
}

// fromPeer lets peer i send to a relayed address of client c.
func (s *side) fromPeer(c *sideClient, i int, payload []byte) {
	for _, to := range c.relayed {
		if to.Addr().Is4() != peerAddrs[i].Is4() {
			continue
		}
		if _, err := s.peers[i].WriteToUDPAddrPort(payload, to); err != nil {
			s.t.Fatalf("%s: peer %d: %v", s.name, i, err)
		}
		break
	}
	s.settle()
}

// answers is what has come back to the clients as control messages.
func (s *side) answers() string {
	var all []string
	for _, c := range s.clients {
		all = append(all, c.control...)
	}
	return strings.Join(all, "; ")
}

// forget makes room for the next operation. A client whose allocation has ended
// goes on from a new port.
func (s *side) forget() {
	for i, c := range s.clients {
		c.control = nil
		if c.ended {
			c.Close()
			s.clients[i] = &sideClient{UDPConn: s.dial(), index: i}
		}
	}
	clear(s.delivered)
}

// settle makes sure that the server has handled all that was sent so far, and
// takes in what came of it.
func (s *side) settle() {
	for _, c := range s.clients {
		s.sync(c)
	}
	s.drainPeers()
}
