package e2e

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	encoding "encoding/binary"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/pion/stun/v2"
	"github.com/pion/turn/v4"
	"golang.org/x/sys/unix"

	"turnhub/internal/probe"
)

// The tests TestStayUp… play what the internet does to a server. Each asserts that
// the service goes on for everyone else while it happens, that memory stays
// bounded, and that afterwards no goroutine and no descriptor is left. `make test`
// runs them small; `make soak` sets E2E_LONG and runs them in full.

// long picks the size of an attack.
func long[T any](short, full T) T {
	if os.Getenv("E2E_LONG") != "" {
		return full
	}
	return short
}

// memoryBound is what the server may take in bytes at the worst of an attack.
const memoryBound = 256 << 20

// usage is what a server's process holds.
type usage struct{ goroutines, descriptors int }

var goroutineTotal = regexp.MustCompile(`^goroutine profile: total (\d+)`)

func (s *server) usage(t *testing.T) usage {
	t.Helper()
	var u usage
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.process.Pid))
	if err != nil {
		t.Fatalf("the server is gone: %v\n%s", err, s.log)
	}
	u.descriptors = len(entries)
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(s.admin + "/debug/pprof/goroutine?debug=1")
	if err != nil {
		return usage{1 << 20, 1 << 20} // too busy to say, or out of descriptors
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	if match := goroutineTotal.FindSubmatch(text); match != nil {
		u.goroutines, _ = strconv.Atoi(string(match[1]))
	}
	return u
}

// settled waits until the usage stays the same for a while.
func (s *server) settled(t *testing.T) usage {
	t.Helper()
	last, same := usage{}, 0
	until(t, "the server is at rest", func() bool {
		now := s.usage(t)
		if now != last {
			last, same = now, 0
		}
		same++
		return same >= 10
	})
	return last
}

// peakMemory is the most that the process ever held, in bytes.
func (s *server) peakMemory(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.process.Pid))
	if err != nil {
		t.Fatalf("the server is gone: %v\n%s", err, s.log)
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	kilobytes, _ := strconv.Atoi(strings.Fields(rest)[0])
	return kilobytes << 10
}

// unharmed asserts what holds after every attack.
func (s *server) unharmed(t *testing.T, before usage) {
	t.Helper()
	s.alive(t, "afterwards")
	var now usage
	for deadline := time.Now().Add(time.Minute); ; {
		now = s.usage(t)
		// A probe of the server's own may be under way.
		if now.goroutines <= before.goroutines+4 && now.descriptors <= before.descriptors+4 {
			break
		}
		if time.Now().After(deadline) {
			t.Errorf("left behind: %d goroutines and %d descriptors, before it were %d and %d", now.goroutines, now.descriptors, before.goroutines, before.descriptors)
			break
		}
	}
	if peak := s.peakMemory(t); peak > memoryBound {
		t.Errorf("the server took %d MB", peak>>20)
	} else {
		t.Logf("peak memory %d MB, goroutines %d, descriptors %d", peak>>20, now.goroutines, now.descriptors)
	}
}

// alive goes through everything that a user needs, from 127.0.0.1: relaying over
// every transport, /config, and a signaling session.
func (s *server) alive(t *testing.T, when string) {
	t.Helper()
	username, password, err := turn.GenerateLongTermTURNRESTCredentials(secret, "alive", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(s.port))
	for _, url := range []string{"turn:localhost:%d?transport=udp", "turn:localhost:%d?transport=tcp", "turns:localhost:%d?transport=tcp"} {
		url = fmt.Sprintf(url, s.port)
		if _, err := probe.RoundTrip(ctx, url, username, password, probe.Options{Address: at, Roots: s.roots}); err != nil {
			t.Fatalf("%s: %v\n%s", when, err, s.log)
		}
	}
	config := &tls.Config{RootCAs: s.roots, ServerName: "localhost"}
	client := http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
	response, err := client.Get(fmt.Sprintf("https://127.0.0.1:%d/config", s.port))
	if err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("%s: /config answers %s", when, response.Status)
	}
	socket := s.socket(t, "127.0.0.1", true)
	if kind := hello(t, socket); kind != "welcome" {
		t.Fatalf("%s: hello is answered by %s", when, kind)
	}
	socket.Close()
}

// socket opens a signaling socket from an address.
func (s *server) socket(t *testing.T, from string, secure bool) *websocket.Conn {
	t.Helper()
	dialer := websocket.Dialer{
		Subprotocols:     []string{"turnhub.v1"},
		TLSClientConfig:  &tls.Config{RootCAs: s.roots, ServerName: "localhost"},
		HandshakeTimeout: time.Minute,
		NetDial:          func(string, string) (net.Conn, error) { return s.connect(from) },
	}
	scheme := "ws"
	if secure {
		scheme = "wss"
	}
	socket, _, err := dialer.Dial(fmt.Sprintf("%s://localhost:%d/ws", scheme, s.port), nil)
	if err != nil {
		t.Fatalf("signaling from %s: %v\n%s", from, err, s.log)
	}
	return socket
}

func hello(t *testing.T, socket *websocket.Conn) (kind string) {
	t.Helper()
	if err := socket.WriteJSON(map[string]any{"type": "hello"}); err != nil {
		t.Fatal(err)
	}
	socket.SetReadDeadline(time.Now().Add(time.Minute))
	defer socket.SetReadDeadline(time.Time{})
	var answer struct {
		Type string `json:"type"`
	}
	if err := socket.ReadJSON(&answer); err != nil {
		t.Fatal(err)
	}
	return answer.Type
}

// connect opens a TCP connection from an address of 127.0.0.0/8.
func (s *server) connect(from string) (net.Conn, error) {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: time.Minute}
	return dialer.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", s.port))
}

// attacker is the i-th address of the attackers' network, far from 127.0.0.0/24.
func attacker(i int) string { return fmt.Sprintf("127.66.%d.%d", i/250, i%250+1) }

// datagrams opens a UDP socket of the i-th attacker towards the server.
func (s *server) datagrams(t *testing.T, i int) *net.UDPConn {
	t.Helper()
	conn, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.ParseIP(attacker(i))}, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: s.port})
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// spoof returns how to send a datagram to the server under anybody's address: by a
// raw socket, which needs root.
func (s *server) spoof(t *testing.T) func(from netip.AddrPort, payload []byte) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_RAW)
	if err != nil {
		t.Skipf("no raw socket: %v", err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	to := unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}
	return func(from netip.AddrPort, payload []byte) {
		source := from.Addr().As4()
		packet := []byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, unix.IPPROTO_UDP, 0, 0} // RFC 791 section 3.1; the kernel fills in the rest
		packet = append(append(packet, source[:]...), to.Addr[:]...)
		packet = encoding.BigEndian.AppendUint16(packet, from.Port()) // RFC 768
		packet = encoding.BigEndian.AppendUint16(packet, uint16(s.port))
		packet = encoding.BigEndian.AppendUint16(packet, uint16(8+len(payload)))
		packet = append(packet, 0, 0) // no checksum
		_ = unix.Sendto(fd, append(packet, payload...), 0, &to)
	}
}

// While the server is flooded with Allocate requests from everywhere, which nobody
// has the credentials for, everybody else is served, and the answers to each network
// are bounded.
func TestStayUpSpoofedAllocates(t *testing.T) {
	s := start(t, nil)
	s.alive(t, "before")
	before := s.settled(t)
	send := s.spoof(t)
	began := time.Now()
	everywhere := func() netip.Addr { // but where the honest ones are
		return netip.AddrFrom4([4]byte{127, byte(64 + mathrand.IntN(128)), byte(mathrand.IntN(256)), byte(mathrand.IntN(256))})
	}
	// One address that we hold ourselves tells what its network is answered.
	victim, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 200, 1, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer victim.Close()
	asked := 0
	for i := range long(20_000, 100_000) {
		setters := []stun.Setter{stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest),
			stun.RawAttribute{Type: stun.AttrRequestedTransport, Value: []byte{17, 0, 0, 0}}}
		if i%2 == 1 { // the second request of a client, with everything made up
			setters = append(setters, stun.NewUsername(fmt.Sprintf("%d:nobody", time.Now().Add(time.Hour).Unix())),
				stun.NewRealm("turnhub"), stun.NewNonce(rand.Text()), stun.NewLongTermIntegrity("nobody", "turnhub", rand.Text()))
		}
		request, err := stun.Build(append(setters, stun.Fingerprint)...)
		if err != nil {
			t.Fatal(err)
		}
		from := netip.AddrPortFrom(everywhere(), uint16(1024+mathrand.IntN(60_000)))
		if i%4 == 0 {
			from = victim.LocalAddr().(*net.UDPAddr).AddrPort()
			asked++
		}
		send(from, request.Raw)
		if i%10_000 == 5_000 {
			s.alive(t, "under spoofed Allocates")
		}
	}
	took := time.Since(began)
	answered, buffer := 0, make([]byte, 2000)
	for {
		victim.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := victim.Read(buffer); err != nil {
			break
		}
		answered++
	}
	// unauthenticated_per_prefix is 50/s, with a burst of at most as much again.
	if most := 50 * (int(took.Seconds()) + 2); answered == 0 || answered > most {
		t.Errorf("%d answers to one network for %d requests, at most %d are right", answered, asked, most)
	}
	t.Logf("%d of %d requests in one network's name were answered", answered, asked)
	s.unharmed(t, before)
}

// Random bytes at every port: UDP, TCP, inside TLS, and a relayed port.
func TestStayUpRandomBytes(t *testing.T) {
	s := start(t, map[string]map[string]any{"relay": {"peers": "any"}})
	s.alive(t, "before")
	before := s.settled(t)
	random := mathrand.NewChaCha8([32]byte{}) // cheap, and the same in every run
	junk := make([]byte, 16<<10)
	budget := long(16<<20, 1<<30) // bytes for each port

	t.Run("UDP", func(t *testing.T) {
		conn := s.datagrams(t, 0)
		defer conn.Close()
		for sent := 0; sent < budget; {
			random.Read(junk)
			size := 1 + int(junk[0])<<4
			if junk[1]&1 == 0 { // looks like STUN
				junk[2], junk[3] = 0, 0
				copy(junk[2:], "\x00\x01\x00\x20\x21\x12\xa4\x42")
				_, _ = conn.Write(junk[2 : 2+size])
			} else {
				_, _ = conn.Write(junk[:size])
			}
			sent += size
		}
		s.alive(t, "after random datagrams")
	})
	stream := func(t *testing.T, budget int, dial func(i int) (net.Conn, error)) {
		for i, sent := 0, 0; sent < budget; i++ {
			conn, err := dial(i)
			if err != nil {
				t.Fatal(err)
			}
			conn.SetDeadline(time.Now().Add(time.Minute))
			for sent < budget {
				random.Read(junk)
				n, err := conn.Write(junk)
				if sent += n + 256; err != nil { // cut off; the next connection
					break
				}
			}
			if secure, ok := conn.(*tls.Conn); ok {
				conn = secure.NetConn() // no farewell to somebody who has gone
			}
			conn.Close()
		}
		s.alive(t, "after random streams")
	}
	plain := func(i int) (net.Conn, error) { return s.connect(attacker(i % 200)) }
	t.Run("TCP", func(t *testing.T) { stream(t, budget, plain) })
	t.Run("TLS", func(t *testing.T) { // each connection costs a handshake
		stream(t, long(budget/16, budget), func(i int) (net.Conn, error) {
			raw, err := plain(i)
			if err != nil {
				return nil, err
			}
			return tls.Client(raw, &tls.Config{RootCAs: s.roots, ServerName: "localhost"}), nil
		})
	})
	t.Run("admin", func(t *testing.T) {
		stream(t, budget, func(int) (net.Conn, error) { return net.Dial("tcp", strings.TrimPrefix(s.admin, "http://")) })
	})
	t.Run("relayed port", func(t *testing.T) {
		victim := s.allocate(t, "tcp", "victim")
		peer, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.ParseIP(attacker(1))}, victim.relay.LocalAddr().(*net.UDPAddr))
		if err != nil {
			t.Fatal(err)
		}
		defer peer.Close()
		if err := victim.client.CreatePermission(peer.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		for sent := 0; sent < long(budget/4, budget); sent += 1200 {
			random.Read(junk[:1200])
			_, _ = peer.Write(junk[:1200])
		}
		s.alive(t, "after random bytes from a peer")
	})
	s.unharmed(t, before)
}

// A peer floods a relayed port, with and without permission, while another pair
// holds a call.
func TestStayUpFloodingPeer(t *testing.T) {
	s := start(t, map[string]map[string]any{"relay": {"peers": "any"}})
	s.alive(t, "before")
	before := s.settled(t)
	t.Run("flood", func(t *testing.T) {
		a, b := s.allocate(t, "udp", "caller"), s.allocate(t, "tcp", "caller")
		permit(t, a, b)
		permit(t, b, a)
		victim := s.allocate(t, "tcp", "victim") // whose client reads slowly: its queue fills
		peer, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.ParseIP(attacker(1))}, victim.relay.LocalAddr().(*net.UDPAddr))
		if err != nil {
			t.Fatal(err)
		}
		defer peer.Close()
		flood := make([]byte, 1200)
		for round := range 20 {
			if round == 10 {
				if err := victim.client.CreatePermission(peer.LocalAddr()); err != nil {
					t.Fatal(err)
				}
			}
			for range long(2_000, 20_000) {
				_, _ = peer.Write(flood)
			}
			exchange(t, a, b, 172)
			exchange(t, b, a, 1200)
		}
		s.alive(t, "under a flood")
	})
	s.unharmed(t, before)
}

// The largest datagrams there are, at every place where one can come in.
func TestStayUpLargeDatagrams(t *testing.T) {
	s := start(t, map[string]map[string]any{"relay": {"peers": "any"}})
	s.alive(t, "before")
	before := s.settled(t)
	t.Run("send", func(t *testing.T) {
		large := make([]byte, 65507) // what fits into one IPv4 packet
		conn := s.datagrams(t, 0)
		defer conn.Close()
		a, b := s.allocate(t, "udp", "caller"), s.allocate(t, "tcp", "caller")
		permit(t, a, b)
		permit(t, b, a)
		peer, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(attacker(2))})
		if err != nil {
			t.Fatal(err)
		}
		defer peer.Close()
		for _, end := range []*allocation{a, b} {
			if err := end.client.CreatePermission(peer.LocalAddr()); err != nil {
				t.Fatal(err)
			}
		}
		for range 50 {
			_, _ = conn.Write(large)
			_, _ = peer.WriteToUDP(large, a.relay.LocalAddr().(*net.UDPAddr)) // no datagram can bring it to the client
			// Over TCP all of it would fit, but pion's client counts a frame's bytes in 16 bits.
			_, _ = peer.WriteToUDP(large[:65000], b.relay.LocalAddr().(*net.UDPAddr))
			_, _ = b.relay.WriteTo(large[:65000], peer.LocalAddr())
			_, _ = b.relay.WriteTo(large[:65000], a.relay.LocalAddr())
		}
		s.alive(t, "after large datagrams")
	})
	s.unharmed(t, before)
}

// Every relay port is taken: 508, while those who have one go on; then all is well
// again.
func TestStayUpPortExhaustion(t *testing.T) {
	low := freePort(t)
	s := start(t, map[string]map[string]any{"relay": {"port_min": low, "port_max": low + 19}, "limits": {"allocations_per_user": 1000}})
	s.alive(t, "before")
	before := s.settled(t)
	t.Run("exhaust", func(t *testing.T) {
		a, b := s.allocate(t, "udp", "caller"), s.allocate(t, "udp", "caller")
		permit(t, a, b)
		permit(t, b, a)
		username, password, err := turn.GenerateLongTermTURNRESTCredentials(secret, "greedy", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		refused := false
		for range 40 {
			client := s.dial(t, "udp", username, password)
			relay, err := client.Allocate()
			if err != nil {
				refused = strings.Contains(err.Error(), "508")
				if !refused {
					t.Fatalf("refused with %v instead of 508", err)
				}
				break
			}
			defer relay.Close()
		}
		if !refused {
			t.Fatal("20 ports made more than 40 allocations")
		}
		exchange(t, a, b, 1200)
		exchange(t, b, a, 1200)
	})
	s.unharmed(t, before)
}
