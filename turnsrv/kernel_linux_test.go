//go:build linux && (amd64 || arm64)

package turnsrv

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/pion/stun/v2"
	"golang.org/x/sys/unix"

	"turnhub/internal/netaddr"
	"turnhub/turnsrv/internal/turntest"
	"turnhub/turnsrv/internal/wire"
	"turnhub/turnsrv/policy"
)

// The path inside the kernel, between network namespaces: the server's, in which this
// test runs again as another process, the clients' and the peers', joined to it by a pair
// of interfaces each.

const inNamespace = "TURNSRV_NAMESPACE"

// wantedKernel is KernelOn, or as TURNSRV_KERNEL says.
func wantedKernel() Kernel {
	if k := Kernel(os.Getenv("TURNSRV_KERNEL")); k.must() {
		return k
	}
	return KernelOn
}

// needsKernel runs a test in a server's namespace of its own, or skips it loudly.
func needsKernel(t *testing.T) (server string) {
	t.Helper()
	if name := os.Getenv(inNamespace); name != "" {
		return name
	}
	notPortable(t, "tells no ports")
	if _, err := TryKernel(wantedKernel()); err != nil {
		t.Skipf("######## NOT TESTED: THE RELAY IN THE KERNEL: %v ########", err)
	}
	name := fmt.Sprintf("turnsrv-%d-%d", os.Getpid(), time.Now().UnixNano())
	const commands = `
		ip netns add NAME-s; ip netns add NAME-c; ip netns add NAME-p
		ip -n NAME-s link set lo up
		link() {
			ip link add $1 netns NAME-s type veth peer name eth0 netns NAME-$1
			ip -n NAME-s link set $1 addrgenmode none; ip -n NAME-$1 link set eth0 addrgenmode none
			ip -n NAME-s addr add 10.77.$2.1/24 dev $1; ip -n NAME-s addr add fd77:$2::1/64 dev $1 nodad
			ip -n NAME-$1 addr add 10.77.$2.2/24 dev eth0; ip -n NAME-$1 addr add fd77:$2::2/64 dev eth0 nodad
			ip -n NAME-s link set $1 up; ip -n NAME-$1 link set eth0 up
			ip -n NAME-$1 route add default via 10.77.$2.1; ip -n NAME-$1 -6 route add default via fd77:$2::1
		}
		link c 1; link p 2
		ip -n NAME-c addr add 10.99.0.1/32 dev lo; ip -n NAME-c link set lo up
		ip -n NAME-s route add 10.99.0.0/24 via 10.77.1.2`
	t.Cleanup(func() {
		for _, which := range []string{"s", "c", "p"} {
			if out, err := exec.Command("ip", "netns", "del", name+"-"+which).CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		}
	})
	if out, err := exec.Command("sh", "-ec", strings.ReplaceAll(commands, "NAME", name)).CombinedOutput(); err != nil {
		t.Skipf("######## NOT TESTED: THE RELAY IN THE KERNEL: no network namespaces: %v: %s ########", err, out)
	}
	cmd := exec.Command("ip", "netns", "exec", name+"-s", os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), inNamespace+"="+name)
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS")) {
		t.Errorf("%v\n%s", err, out)
	}
	return ""
}

// within runs f in another namespace: a socket that it opens stays there.
func within(t testing.TB, namespace string, f func() error) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocks: the thread ends with the goroutine
		file, err := os.Open("/run/netns/" + namespace)
		if err == nil {
			defer file.Close()
			err = unix.Setns(int(file.Fd()), unix.CLONE_NEWNET)
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// offloadsChecksums says whether an interface of this namespace makes the checksums of what
// is sent, so that they leave the system unmade.
func offloadsChecksums(t *testing.T, name string, on bool) {
	t.Helper()
	value := struct{ cmd, data uint32 }{cmd: unix.ETHTOOL_STXCSUM}
	if on {
		value.data = 1
	}
	request := struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}{data: unsafe.Pointer(&value)}
	copy(request.name[:], name)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request))); errno != 0 {
		t.Fatal(errno)
	}
}

// kernelServer is a server between the namespaces.
type kernelServer struct {
	*testServer
	t    *testing.T
	name string
}

func startKernel(t *testing.T, name string, change func(*Config)) *kernelServer {
	t.Helper()
	cfg := testConfig(t)
	cfg.Kernel = wantedKernel()
	cfg.Relay = nil
	for _, address := range []string{"10.77.2.1", "fd77:2::1"} {
		a := netip.MustParseAddr(address)
		cfg.Relay = append(cfg.Relay, netaddr.RelayAddress{Bind: a, Advertise: a})
	}
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	udp, err := s.ListenUDP("0.0.0.0:3478")
	if err != nil {
		t.Fatal(err)
	}
	udp6, err := s.ListenUDP("[::]:3478")
	if err != nil {
		t.Fatal(err)
	}
	ts := serveTest(t, s)
	ts.udp, ts.udp6 = udp, udp6
	return &kernelServer{ts, t, name}
}

// client is a client in its namespace, over a family.
func (s *kernelServer) client(user string, family wire.Family) *turntest.Client {
	s.t.Helper()
	return s.clientAt(user, family, nil)
}

// clientAt is a client at one of its namespace's addresses.
func (s *kernelServer) clientAt(user string, family wire.Family, at net.IP) *turntest.Client {
	s.t.Helper()
	to := [...]string{"10.77.1.1:3478", "[fd77:1::1]:3478"}[family]
	var conn net.Conn
	within(s.t, s.name+"-c", func() (err error) {
		conn, err = (&net.Dialer{LocalAddr: &net.UDPAddr{IP: at}}).Dial("udp", to)
		return err
	})
	return newRaw(s.t, s.testServer, conn, user, false)
}

func (s *kernelServer) peer(family wire.Family) net.PacketConn {
	s.t.Helper()
	at := [...]string{"10.77.2.2:0", "[fd77:2::2]:0"}[family]
	var conn net.PacketConn
	within(s.t, s.name+"-p", func() (err error) {
		conn, err = net.ListenPacket("udp", at)
		return err
	})
	s.t.Cleanup(func() { conn.Close() })
	return conn
}

// call is a client with a channel to a peer.
type call struct {
	*kernelServer
	client  *turntest.Client
	relayed netip.AddrPort
	peer    net.PacketConn
}

const testChannel = 0x4001

func (s *kernelServer) call(user string, client, relay wire.Family) *call {
	s.t.Helper()
	c := &call{kernelServer: s, client: s.client(user, client), peer: s.peer(relay)}
	family := byte(wire.FamilyIPv4)
	if relay == wire.IPv6 {
		family = wire.FamilyIPv6
	}
	c.relayed = c.client.Allocate(turntest.Family(family))[0]
	c.bind()
	return c
}

func (c *call) bind() {
	c.t.Helper()
	res := c.client.Do(stun.MethodChannelBind, turntest.ChannelNumber(testChannel), turntest.Peer(c.peer.LocalAddr().String()))
	if code := turntest.CodeOf(res); code != 0 {
		c.t.Fatal("ChannelBind: ", code)
	}
}

// exchange sends a payload each way and compares it.
func (c *call) exchange(payload []byte, pad bool) {
	c.t.Helper()
	c.client.Send(turntest.ChannelData(testChannel, payload, pad))
	exchange(c.t, c.peer, payload, net.UDPAddrFromAddrPort(c.relayed))
	if _, err := c.peer.WriteTo(payload, net.UDPAddrFromAddrPort(c.relayed)); err != nil {
		c.t.Fatal(err)
	}
	if got := c.client.Receive(); !bytes.Equal(got, turntest.ChannelData(testChannel, payload, false)) {
		c.t.Fatalf("got %d bytes, want %d in the channel", len(got), len(payload))
	}
}

// begin exchanges until both directions pass inside the kernel: after the first packet, and
// a pause (PAUSE in relay.c).
func (c *call) begin() {
	c.t.Helper()
	for range 100 {
		n := c.inKernel()
		if c.exchange([]byte("hello"), false); c.inKernel() == n+2 {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	c.t.Fatal("nothing passes inside the kernel: ", c.Stats().KernelRefused)
}

func (s *kernelServer) inKernel() uint64 { return s.Stats().Kernel.Packets }

// TestKernel has calls between every two families pass inside the kernel, with checksums
// that the sender has made and such as the device is to make, and holds the counters to
// what was sent.
func TestKernel(t *testing.T) {
	name := needsKernel(t)
	if name == "" {
		return
	}
	for _, made := range []bool{true, false} {
		for _, families := range [][2]wire.Family{{wire.IPv4, wire.IPv4}, {wire.IPv6, wire.IPv6}, {wire.IPv4, wire.IPv6}, {wire.IPv6, wire.IPv4}} {
			t.Run(fmt.Sprintf("made=%v %s to %s", made, families[0], families[1]), func(t *testing.T) {
				// What arrives unmade leaves over an interface that makes none, so that the
				// receiver checks what was put together in between.
				for _, which := range []string{"c", "p"} {
					offloadsChecksums(t, which, false)
					within(t, name+"-"+which, func() error { offloadsChecksums(t, "eth0", !made); return nil })
				}
				s := startKernel(t, name, nil)
				c := s.call("alice", families[0], families[1])
				c.begin()
				before, sent, bytes := s.Stats(), 0, 0
				for _, n := range []int{4, 5, 7, 172, 1201, 1400} {
					payload := make([]byte, n)
					for i := range payload {
						payload[i] = byte(i*7 + n)
					}
					c.exchange(payload, false)
					c.exchange(payload, true)
					sent, bytes = sent+2, bytes+2*n
				}
				after := s.Stats()
				// An interface that has just come up may be told of later: then flows begin anew.
				if n := int(after.Kernel.Packets - before.Kernel.Packets); n < sent || n > 2*sent {
					t.Errorf("%d packets passed inside the kernel, want %d: %v", n, 2*sent, after.KernelRefused)
				}
				for what, was := range map[string][2]Traffic{
					"to peer":   {before.ToPeer[TransportUDP][families[1]], after.ToPeer[TransportUDP][families[1]]},
					"to client": {before.ToClient[TransportUDP][families[1]], after.ToClient[TransportUDP][families[1]]},
				} {
					if p, b := int(was[1].Packets-was[0].Packets), int(was[1].Bytes-was[0].Bytes); p != sent || b != bytes {
						t.Errorf("%s: %d packets and %d bytes, want %d and %d", what, p, b, sent, bytes)
					}
				}
				// What is too long for every path, or empty, goes through the process, and what
				// follows it at once.
				n := s.inKernel()
				c.exchange(make([]byte, 1490), false)
				c.exchange(nil, false)
				if s.inKernel() != n {
					t.Error("what is odd passed inside the kernel")
				}
				c.begin()
			})
		}
	}
}

// TestKernelRouter has a client behind a router.
func TestKernelRouter(t *testing.T) {
	name := needsKernel(t)
	if name == "" {
		return
	}
	s := startKernel(t, name, nil)
	c := &call{kernelServer: s, client: s.clientAt("alice", wire.IPv4, net.IPv4(10, 99, 0, 1)), peer: s.peer(wire.IPv4)}
	c.relayed = c.client.Allocate()[0]
	c.bind()
	c.begin()
	c.exchange(bytes.Repeat([]byte{7}, 700), false)
}

var errQuiet = errors.New("nothing came")

// quiet reports whether nothing comes to a peer of what is sent before a packet of another
// call, which comes after it. The kernel has been told before; the workers, which are told
// in turn, have heard of it when they answer.
func (c *call) quiet(what string, other *call) {
	c.t.Helper()
	c.Stats()
	c.client.Send(turntest.ChannelData(testChannel, []byte("late"), false))
	other.exchange([]byte("a mark"), false)
	c.peer.SetReadDeadline(time.Now().Add(time.Millisecond))
	if n, _, err := c.peer.ReadFrom(make([]byte, 100)); err == nil {
		c.t.Errorf("%s: %d bytes came, want %v", what, n, errQuiet)
	}
}

// TestKernelRelayToRelay has the packets of two clients of the server pass inside the
// kernel from one to the other, also where the relayed address is the outer side of a NAT.
func TestKernelRelayToRelay(t *testing.T) {
	name := needsKernel(t)
	if name == "" {
		return
	}
	outer := netip.MustParseAddr("192.0.2.1")
	s := startKernel(t, name, func(cfg *Config) { cfg.Relay[0].Advertise = outer })
	for _, families := range [][2]wire.Family{{wire.IPv4, wire.IPv4}, {wire.IPv4, wire.IPv6}} {
		a, b := s.client("alice", families[0]), s.client("bob", families[1])
		atA, atB := a.Allocate()[0], b.Allocate()[0]
		if atA.Addr() != outer {
			t.Fatal(atA)
		}
		for _, x := range []struct {
			c  *turntest.Client
			to netip.AddrPort
		}{{a, atB}, {b, atA}} {
			if res := x.c.Do(stun.MethodChannelBind, turntest.ChannelNumber(testChannel), turntest.Peer(x.to.String())); turntest.CodeOf(res) != 0 {
				t.Fatal(turntest.CodeOf(res))
			}
		}
		var before Stats
		const sent = 10
		for i := range sent + 3 { // the first goes through the process each way, then there is a pause
			if i == 2 {
				time.Sleep(20 * time.Millisecond)
			}
			if i == 3 {
				before = s.Stats()
			}
			message := turntest.ChannelData(testChannel, bytes.Repeat([]byte{byte(i)}, 20+i), false)
			for _, x := range [][2]*turntest.Client{{a, b}, {b, a}} {
				x[0].Send(message)
				if got := x[1].Receive(); !bytes.Equal(got, message) {
					t.Fatalf("got %x, want %x", got, message)
				}
			}
		}
		after := s.Stats()
		if n := after.InProcess.Packets - before.InProcess.Packets; n != 2*sent {
			t.Errorf("%d packets between clients, want %d", n, 2*sent)
		}
		if n := after.Kernel.Packets - before.Kernel.Packets; n < 2*sent || n > 4*sent { // each counts on both sides
			t.Errorf("%d packets inside the kernel, want %d: %v", n, 4*sent, after.KernelRefused)
		}
		s.Revoke("alice")
		if n, _ := s.shared.Offloaded(); n != 0 {
			t.Errorf("%d flows are left of a call of which one side has ended", n)
		}
	}
}

// TestKernelStops holds that packets stop when their allocation, their permission or the
// policy's consent ends: before the call that ends it has returned.
func TestKernelStops(t *testing.T) {
	name := needsKernel(t)
	if name == "" {
		return
	}
	s := startKernel(t, name, nil)
	other := s.call("other", wire.IPv4, wire.IPv4)
	begin := func() *call {
		c := s.call("alice", wire.IPv4, wire.IPv4)
		c.begin()
		return c
	}
	const others = 2 // flows
	c := begin()
	for what, end := range map[string]func(){
		"revoked":   func() { s.Revoke("alice") },
		"refreshed": func() { c.client.Do(stun.MethodRefresh, turntest.Lifetime(0)) },
		"policy": func() {
			peer := netip.MustParsePrefix("10.77.2.2/32")
			s.SetPolicy(policy.New(policy.Config{Mode: policy.ModeAny, Deny: []netip.Prefix{peer}}))
			n, _ := s.shared.Offloaded()
			if n != 0 {
				t.Errorf("%d flows after the policy has changed", n)
			}
			s.SetPolicy(policy.New(policy.Config{Mode: policy.ModeAny}))
			s.Stats() // the workers have heard of both
			other.bind()
		},
	} {
		end()
		if what != "policy" {
			n, _ := s.shared.Offloaded()
			if n > others {
				t.Errorf("%s: %d flows are left", what, n)
			}
			c.quiet(what, other)
		}
		c.client.Conn.Close()
		c = begin()
	}
}

// TestKernelJoined sends trains in a call that passes inside the kernel, each way: what
// arrives joined goes through the process as before, whole and in order, and what comes
// after it through the kernel again.
func TestKernelJoined(t *testing.T) {
	name := needsKernel(t)
	if name == "" {
		return
	}
	s := startKernel(t, name, nil)
	c := s.call("alice", wire.IPv4, wire.IPv4)
	c.begin()
	const packets, size = 8, 400
	var up, down []byte
	for i := range packets {
		payload := bytes.Repeat([]byte{byte(i)}, size)
		up, down = append(up, turntest.ChannelData(testChannel, payload, false)...), append(down, payload...)
	}
	n := s.inKernel()
	burst(t, c.client.Conn.(*net.UDPConn), netip.AddrPort{}, up, size+4)
	b := make([]byte, 1500)
	for i := range packets {
		c.peer.SetReadDeadline(time.Now().Add(10 * time.Second))
		if n, _, err := c.peer.ReadFrom(b); err != nil || !bytes.Equal(b[:n], bytes.Repeat([]byte{byte(i)}, size)) {
			t.Fatalf("packet %d at the peer: %d bytes, %v", i, n, err)
		}
	}
	burst(t, c.peer.(*net.UDPConn), c.relayed, down, size)
	for i := range packets {
		if got := c.client.Receive(); !bytes.Equal(got, turntest.ChannelData(testChannel, bytes.Repeat([]byte{byte(i)}, size), false)) {
			t.Fatalf("packet %d at the client: %d bytes", i, len(got))
		}
	}
	if s.inKernel() != n {
		t.Errorf("%d packets that were joined passed inside the kernel", s.inKernel()-n)
	}
	c.begin()
}
