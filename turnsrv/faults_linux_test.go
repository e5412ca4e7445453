//go:build linux && (amd64 || arm64)

package turnsrv

import (
	"bytes"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/pion/stun/v2"
	"golang.org/x/sys/unix"

	"turnhub/turnsrv/internal/core"
	"turnhub/turnsrv/internal/turntest"
	"turnhub/turnsrv/internal/wire"
)

// batched are the drivers of which this is a test.
func batched(t *testing.T, test func(t *testing.T, cfg Config)) {
	eachDriver(t, func(t *testing.T, cfg Config) {
		if cfg.Driver != DriverPortable {
			test(t, cfg)
		}
	})
}

// channelTo allocates and binds a channel to a peer.
func channelTo(t *testing.T, c *turntest.Client, peer *net.UDPConn, attrs ...turntest.Attr) netip.AddrPort {
	t.Helper()
	relayed := c.Allocate(attrs...)[0]
	if code := turntest.CodeOf(c.Do(stun.MethodChannelBind, turntest.Peer(peer.LocalAddr().String()), turntest.ChannelNumber(0x4000))); code != 0 {
		t.Fatal(code)
	}
	return relayed
}

func listenPeer(t *testing.T, network, address string) *net.UDPConn {
	t.Helper()
	peer, err := net.ListenPacket(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { peer.Close() })
	peer.SetReadDeadline(time.Now().Add(20 * time.Second))
	return peer.(*net.UDPConn)
}

// boundTo finds this process's socket that is bound to a UDP port.
func boundTo(t *testing.T, port uint16) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		fd, _ := strconv.Atoi(e.Name())
		kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
		if err != nil || kind != unix.SOCK_DGRAM {
			continue
		}
		switch name, _ := unix.Getsockname(fd); name := name.(type) {
		case *unix.SockaddrInet4:
			if name.Port == int(port) {
				return fd
			}
		case *unix.SockaddrInet6:
			if name.Port == int(port) {
				return fd
			}
		}
	}
	t.Fatalf("no socket has port %d", port)
	return -1
}

// TestNoBuffersToSend has the kernel refuse a packet with ENOBUFS, as where memory is
// short: that packet is counted as lost, and the next one goes out.
func TestNoBuffersToSend(t *testing.T) {
	batched(t, func(t *testing.T, cfg Config) {
		ts := startServer(t, cfg)
		conn, err := net.Dial("udp", ts.udp6.String())
		if err != nil {
			t.Skip(err)
		}
		c := newRaw(t, ts, conn, "anna", false)
		peer := listenPeer(t, "udp6", "[::1]:0")
		relayed := channelTo(t, c, peer, turntest.Family(2))
		fd := boundTo(t, relayed.Port())
		// Fragments beyond the first are refused so when they exceed twice the buffer.
		long := make([]byte, 30000)
		for option, value := range map[[2]int]int{{unix.SOL_SOCKET, unix.SO_SNDBUF}: 1, {unix.IPPROTO_IPV6, unix.IPV6_MTU}: 1280} {
			if err := unix.SetsockoptInt(fd, option[0], option[1], value); err != nil {
				t.Fatal(err)
			}
		}
		to := &unix.SockaddrInet6{Port: peer.LocalAddr().(*net.UDPAddr).Port, Addr: netip.IPv6Loopback().As16()}
		if err := unix.Sendto(fd, long, 0, to); err != unix.ENOBUFS {
			t.Skipf("this kernel has no ENOBUFS for it: %v", err)
		}
		for round := range 5 {
			c.Send(turntest.ChannelData(0x4000, long, false))
			want := []byte{byte(round), 'x'}
			c.Send(turntest.ChannelData(0x4000, want, false))
			b := make([]byte, 1<<16)
			n, err := peer.Read(b)
			if err != nil || !bytes.Equal(b[:n], want) {
				t.Fatalf("round %d: %d bytes, %v", round, n, err)
			}
		}
		if n := ts.Stats().Drops[core.DropSend.String()]; n != 5 {
			t.Errorf("%d packets are counted as not sent, want 5", n)
		}
	})
}

// TestICMPOnKeptSockets: the socket that a client has of its own after a handover is
// connected, so that an ICMP error for one packet is told to whoever uses the socket
// next. It costs neither the packet sent then nor the ability to hear.
func TestICMPOnKeptSockets(t *testing.T) {
	batched(t, func(t *testing.T, cfg Config) {
		cfg.Workers = 1
		ts := startServer(t, cfg)
		c := dialRaw(t, ts, "anna")
		peer := listenPeer(t, "udp4", "127.0.0.1:0")
		relayed := channelTo(t, c, peer)
		spare, err := ts.ListenerFiles()
		if err != nil {
			t.Fatal(err)
		}
		if lost := ts.Yield(); lost != 0 {
			t.Fatalf("%d clients were lost", lost)
		}
		if err := ts.Resume(spare); err != nil {
			t.Fatal(err)
		}
		send := func(b []byte) {
			if _, err := peer.WriteToUDPAddrPort(b, relayed); err != nil {
				t.Fatal(err)
			}
		}
		// The client is away for three packets of one round.
		own := c.Conn.LocalAddr().(*net.UDPAddr)
		c.Conn.Close()
		release := make(chan struct{})
		ts.workers[0].Post(func(*core.Shard) { <-release })
		for n := 30; n > 0; n -= 10 { // of different lengths: each is a message of its own
			send(bytes.Repeat([]byte{'a'}, n))
		}
		close(release)
		until(t, func() bool {
			s := ts.Stats()
			return s.ToClient[wire.UDP][wire.IPv4].Packets == 3
		})
		if n := ts.Stats().Drops[core.DropSend.String()]; n != 0 {
			t.Errorf("%d packets were not sent", n)
		}
		// It is back.
		conn, err := net.DialUDP("udp4", own, net.UDPAddrFromAddrPort(ts.udp))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		c.Conn = conn
		for i := range 3 {
			send([]byte{'b', byte(i)})
			if got := c.Receive(); !bytes.Equal(got, turntest.ChannelData(0x4000, []byte{'b', byte(i)}, false)) {
				t.Fatalf("%q", got)
			}
			c.Send(turntest.ChannelData(0x4000, []byte{'c', byte(i)}, false))
			b := make([]byte, 100)
			if n, err := peer.Read(b); err != nil || !bytes.Equal(b[:n], []byte{'c', byte(i)}) {
				t.Fatalf("%q, %v", b[:n], err)
			}
		}
	})
}

// TestStopUnderLoad ends a server while packets come from everywhere: it ends without an
// error, with every descriptor closed and every relay port free.
func TestStopUnderLoad(t *testing.T) {
	batched(t, func(t *testing.T, cfg Config) {
		before := descriptors(t)
		for range 3 {
			ts := startServer(t, cfg)
			peer := listenPeer(t, "udp4", "127.0.0.1:0")
			var clients []*turntest.Client
			var ports []netip.AddrPort
			for range 6 {
				c := dialRaw(t, ts, "anna")
				clients, ports = append(clients, c), append(ports, channelTo(t, c, peer))
			}
			stop := make(chan struct{})
			var all sync.WaitGroup
			for i, c := range clients {
				all.Go(func() {
					up, down := turntest.ChannelData(0x4000, make([]byte, 100), false), make([]byte, 100)
					for {
						select {
						case <-stop:
							return
						default: // after the end the ports refuse
							c.Conn.Write(up)
							peer.WriteToUDPAddrPort(down, ports[i])
						}
					}
				})
			}
			b := make([]byte, 1500)
			for range 300 {
				if _, err := peer.Read(b); err != nil {
					t.Fatal(err)
				}
			}
			ts.stop()
			for _, port := range ports {
				conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(port))
				if err != nil {
					t.Errorf("after the end: %v", err)
					continue
				}
				conn.Close()
			}
			close(stop)
			all.Wait()
			for _, c := range clients {
				c.Conn.Close()
			}
			peer.Close()
		}
		if n := descriptors(t); n > before {
			t.Errorf("%d descriptors are open, %d were", n, before)
		}
	})
}
