//go:build linux && (amd64 || arm64)

package turnsrv

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"time"
	"unsafe"

	"github.com/pion/stun/v2"
	"golang.org/x/sys/unix"

	"turnhub/turnsrv/internal/core"
	"turnhub/turnsrv/internal/turntest"
	"turnhub/turnsrv/internal/wire"
)

// burst sends b as datagrams of size bytes each (the last may be shorter) with one
// system call, as UDP_SEGMENT has it: with that they arrive joined by UDP_GRO.
func burst(t *testing.T, conn *net.UDPConn, to netip.AddrPort, b []byte, size int) {
	t.Helper()
	var oob [64]byte
	var v [2]byte
	binary.LittleEndian.PutUint16(v[:], uint16(size))
	h := (*unix.Cmsghdr)(unsafe.Pointer(&oob[0]))
	h.Level, h.Type = unix.SOL_UDP, unix.UDP_SEGMENT
	h.SetLen(unix.CmsgLen(len(v)))
	copy(oob[unix.CmsgLen(0):], v[:])
	n := unix.CmsgSpace(len(v))
	var err error
	if to.IsValid() {
		_, _, err = conn.WriteMsgUDPAddrPort(b, oob[:n], to)
	} else {
		_, _, err = conn.WriteMsgUDP(b, oob[:n], nil)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestBatches sends trains of datagrams, which the kernel joins and the worker cuts
// apart, and expects each at the other end, whole, in order and in its form: over
// channels and indications, to and from a peer, and between two clients on the same
// and on different workers.
func TestBatches(t *testing.T) {
	for _, workers := range []int{1, 2} {
		for _, bind := range []bool{true, false} {
			t.Run(fmt.Sprintf("workers=%d channel=%v", workers, bind), func(t *testing.T) {
				cfg := testConfig(t)
				cfg.Workers = workers
				ts := startServer(t, cfg)
				conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				conn.SetReadBuffer(4 << 20)
				alice := dialRaw(t, ts, "alice")
				relayed := alice.Allocate()[0]
				// Four partners make it likely that one is on the other worker.
				peers := []*turntest.Client{nil}
				addresses := []string{conn.LocalAddr().String()}
				for range 4 {
					c := dialRaw(t, ts, "bob")
					addresses = append(addresses, c.Allocate()[0].String())
					if code := turntest.CodeOf(c.Do(stun.MethodChannelBind, turntest.Peer(relayed.String()), turntest.ChannelNumber(0x4001))); code != 0 {
						t.Fatal(code)
					}
					peers = append(peers, c)
				}
				for i, address := range addresses {
					number := 0x4000 + uint16(i)
					if bind {
						alice.Do(stun.MethodChannelBind, turntest.Peer(address), turntest.ChannelNumber(number))
					} else {
						alice.Do(stun.MethodCreatePermission, turntest.Peer(address))
					}
					for _, size := range []int{1, 172, 1200} {
						train(t, ts, alice, number, address, bind, peers[i], conn, relayed, size)
					}
				}
				if s := ts.Stats(); s.Drops["malformed"]+s.Drops["send"]+s.Drops["worker_busy"] != 0 {
					t.Errorf("drops %v", s.Drops)
				}
			})
		}
	}
}

// train sends 20 datagrams each way.
func train(t *testing.T, ts *testServer, alice *turntest.Client, number uint16, address string, bind bool, peer *turntest.Client, conn *net.UDPConn, relayed netip.AddrPort, size int) {
	t.Helper()
	const count = 20
	var payloads [][]byte
	var up, down []byte
	length := 0
	for i := range count {
		p := make([]byte, size)
		if i == count-1 {
			p = p[:(size+1)/2] // the last one of a train may be shorter
		}
		for j := range p {
			p[j] = byte(rand.Uint32())
		}
		payloads = append(payloads, p)
		b := turntest.Send(address, p)
		if bind {
			b = turntest.ChannelData(number, p, false)
		}
		if i == 0 {
			length = len(b)
		}
		up = append(up, b...)
		if peer != nil {
			p = turntest.ChannelData(0x4001, p, false)
		}
		down = append(down, p...)
	}
	aliceConn := alice.Conn.(*net.UDPConn)
	burst(t, aliceConn, netip.AddrPort{}, up, length)
	for i, p := range payloads {
		if peer != nil {
			if got := peer.Receive(); !bytes.Equal(got, turntest.ChannelData(0x4001, p, false)) {
				t.Fatalf("datagram %d of %d bytes came as %d bytes", i, len(p), len(got))
			}
			continue
		}
		buf := make([]byte, 2000)
		conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if err != nil || from != relayed || !bytes.Equal(buf[:n], p) {
			t.Fatalf("datagram %d of %d bytes: %d bytes from %v, %v", i, len(p), n, from, err)
		}
	}
	if peer != nil {
		burst(t, peer.Conn.(*net.UDPConn), netip.AddrPort{}, down, size+wire.ChannelHeaderSize)
	} else {
		burst(t, conn, relayed, down, size)
	}
	for i, p := range payloads {
		got := alice.Receive()
		if bind {
			if !bytes.Equal(got, turntest.ChannelData(number, p, false)) {
				t.Fatalf("datagram %d of %d bytes came as %d bytes", i, len(p), len(got))
			}
			continue
		}
		m := new(stun.Message)
		if err := stun.Decode(got, m); err != nil {
			t.Fatal(err)
		}
		if data, err := m.Get(stun.AttrData); err != nil || !bytes.Equal(data, p) {
			t.Fatalf("datagram %d of %d bytes came as %v", i, len(p), m)
		}
	}
}

// TestBacklog lets more wait in a listener and a relay socket than a worker takes at
// a time, and nothing come after it: what is left must not wait for the next packet.
func TestBacklog(t *testing.T) {
	cfg := testConfig(t)
	cfg.Workers = 1
	ts := startServer(t, cfg)
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	alice := dialRaw(t, ts, "alice")
	relayed := alice.Allocate()[0]
	if code := turntest.CodeOf(alice.Do(stun.MethodChannelBind, turntest.Peer(conn.LocalAddr().String()), turntest.ChannelNumber(0x4000))); code != 0 {
		t.Fatal(code)
	}
	const count = 97 // a worker takes 64 from a listener and 32 from a relay socket at a time
	release := make(chan struct{})
	ts.workers[0].Post(func(*core.Shard) { <-release })
	for i := range count {
		alice.Send(turntest.ChannelData(0x4000, []byte{byte(i)}, false))
		if _, err := conn.WriteToUDPAddrPort([]byte{byte(i)}, relayed); err != nil {
			t.Fatal(err)
		}
	}
	close(release)
	buf := make([]byte, 100)
	for i := range count {
		conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		if n, err := conn.Read(buf); err != nil || n != 1 || buf[0] != byte(i) {
			t.Fatalf("datagram %d to the peer: %d bytes, %v", i, n, err)
		}
		if got := alice.Receive(); !bytes.Equal(got, turntest.ChannelData(0x4000, []byte{byte(i)}, false)) {
			t.Fatalf("datagram %d to the client came as % x", i, got)
		}
	}
}

// TestWildcardListener checks that answers leave from the address that was asked.
func TestWildcardListener(t *testing.T) { eachDriver(t, wildcardListener) }

func wildcardListener(t *testing.T, cfg Config) {
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	wild, err := s.ListenUDP(":0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error)
	go func() { done <- s.Serve(ctx) }()
	for _, ip := range []string{"127.0.0.1", "127.11.0.9", "::1"} {
		conn, err := net.Dial("udp", netip.AddrPortFrom(netip.MustParseAddr(ip), wild.Port()).String())
		if err != nil {
			t.Fatal(err)
		}
		// A connected socket takes answers from that address alone.
		newRaw(t, &testServer{Server: s}, conn, "alice", false).Allocate()
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestErrorsOnSockets closes peers' and clients' ports, so that ICMP errors come
// back, and holds the listener and the allocation to going on.
func TestErrorsOnSockets(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg Config) {
		ts := startServer(t, cfg)
		c := dialRaw(t, ts, "alice")
		relayed := c.Allocate()[0]
		gone, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		closed := gone.LocalAddr().String()
		gone.Close()
		for range 50 { // clients that are gone when the answer comes
			conn, err := net.Dial("udp", ts.udp.String())
			if err != nil {
				t.Fatal(err)
			}
			conn.Write(turntest.Build(turntest.Request(stun.MethodBinding), nil).Raw)
			conn.Close()
		}
		peer, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		defer peer.Close()
		c.Do(stun.MethodCreatePermission, turntest.Peer(closed))
		for i := range 20 {
			c.Send(turntest.Send(closed, []byte("to nobody")))
			payload := []byte{byte(i)}
			c.Send(turntest.Send(peer.LocalAddr().String(), payload))
			exchange(t, peer, payload, net.UDPAddrFromAddrPort(relayed))
		}
		dialRaw(t, ts, "bob").Allocate()
	})
}

// TestNoDescriptors takes the process's file descriptors away: Allocate gets 508,
// what exists goes on, and when there are some again all is well. (relay.sockets: auto
// would go on without sockets: TestSocketsWithoutDescriptors.)
func TestNoDescriptors(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg Config) {
		cfg.Sockets = SocketsOn
		ts := startServer(t, cfg)
		c, waiting := dialRaw(t, ts, "alice"), dialRaw(t, ts, "bob")
		c.Allocate()
		waiting.Challenge()
		var limit unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Fatal(err)
		}
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: limit.Max}); err != nil {
			t.Fatal(err)
		}
		full, refresh := waiting.Do(stun.MethodAllocate, turntest.Transport(wire.ProtocolUDP)), c.Do(stun.MethodRefresh)
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Fatal(err)
		}
		if turntest.CodeOf(full) != 508 || turntest.CodeOf(refresh) != 0 {
			t.Errorf("without descriptors: Allocate %d, Refresh %d", turntest.CodeOf(full), turntest.CodeOf(refresh))
		}
		waiting.Allocate()
		if s := ts.Stats(); s.Created != 2 {
			t.Errorf("%d allocations", s.Created)
		}
	})
}
