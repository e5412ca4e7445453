package probe

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/stun/v2"
)

// lossy is a path of UDP to a server, of which drop loses packets.
func lossy(t *testing.T, port uint16, drop func(packet []byte, toServer bool) bool) uint16 {
	t.Helper()
	front, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	server := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(port)}
	backs := make(map[netip.AddrPort]*net.UDPConn)
	var group sync.WaitGroup
	group.Go(func() {
		buffer := make([]byte, 2048)
		for {
			n, from, err := front.ReadFromUDPAddrPort(buffer)
			if err != nil {
				break
			}
			back := backs[from]
			if back == nil {
				if back, err = net.DialUDP("udp4", nil, server); err != nil {
					break
				}
				backs[from] = back
				group.Go(func() {
					buffer := make([]byte, 2048)
					for {
						n, err := back.Read(buffer)
						if err != nil {
							return
						}
						if !drop(buffer[:n], false) {
							front.WriteToUDPAddrPort(buffer[:n], from)
						}
					}
				})
			}
			if !drop(buffer[:n], true) {
				back.Write(buffer[:n])
			}
		}
		for _, back := range backs {
			back.Close()
		}
	})
	t.Cleanup(func() {
		front.Close()
		group.Wait()
	})
	return uint16(front.LocalAddr().(*net.UDPAddr).Port)
}

func method(packet []byte) stun.Method {
	message := &stun.Message{Raw: packet}
	if message.Decode() != nil {
		return 0
	}
	return message.Type.Method
}

// TestNothingBehind: whatever becomes of a round trip, no allocation is left, also
// where the network loses what gives it back.
func TestNothingBehind(t *testing.T) {
	a := newAuthority(t)
	server := newTURNServer(t, "127.0.0.1", a.issue(t, time.Now().Add(time.Minute), "127.0.0.1"))
	none := func(when string) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); server.AllocationCount() > 0; {
			if time.Now().After(deadline) { // they live for ten minutes
				t.Fatalf("%s: %d allocations are left", when, server.AllocationCount())
			}
			time.Sleep(time.Millisecond)
		}
	}
	try := func(ctx context.Context, port uint16) error {
		_, err := RoundTrip(ctx, fmt.Sprintf("turn:127.0.0.1:%d", port), user, password, Options{})
		return err
	}
	if err := try(t.Context(), server.udp); err != nil {
		t.Fatal(err)
	}
	none("all went well")

	var refreshes atomic.Int32
	port := lossy(t, server.udp, func(packet []byte, toServer bool) bool {
		return toServer && method(packet) == stun.MethodRefresh && refreshes.Add(1) <= 4 // two of both legs
	})
	if err := try(t.Context(), port); err != nil {
		t.Fatal(err)
	}
	none("two Refresh requests were lost")
	if refreshes.Load() < 5 {
		t.Errorf("%d Refresh requests: none was sent again", refreshes.Load())
	}

	// Interrupted: after the allocations, and while they are being made.
	for when, stop := range map[string]func(cancel func(), packet []byte, toServer bool) bool{
		"interrupted after the allocation": func(cancel func(), packet []byte, toServer bool) bool {
			if toServer && method(packet) == stun.MethodCreatePermission {
				cancel()
			}
			return false
		},
		"interrupted before its answer came": func(cancel func(), packet []byte, toServer bool) bool {
			answer := &stun.Message{Raw: packet}
			if !toServer && answer.Decode() == nil && answer.Type == stun.NewType(stun.MethodAllocate, stun.ClassSuccessResponse) {
				cancel()
				return true
			}
			return false
		},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		port := lossy(t, server.udp, func(packet []byte, toServer bool) bool { return stop(cancel, packet, toServer) })
		if err := try(ctx, port); err == nil {
			t.Errorf("%s: it went well", when)
		}
		cancel()
		none(when)
	}
}

// TestHidden: a proxy in front of TCP shows in the mapped address.
func TestHidden(t *testing.T) {
	for _, tc := range []struct {
		transport, at, local, mapped string
		want                         bool
	}{
		{"tcp", "198.41.0.4", "198.41.0.9", "198.41.0.9", false},
		{"tcp", "198.41.0.4", "192.168.1.5", "198.41.0.77", false}, // NAT
		{"tcp", "198.41.0.4", "192.168.1.5", "127.0.0.1", true},
		{"tls", "198.41.0.4", "192.168.1.5", "::1", true},
		{"tls", "198.41.0.4", "198.41.0.9", "172.17.0.1", true},
		{"tls", "198.41.0.4", "198.41.0.9", "100.64.1.1", true},
		{"tcp", "10.0.0.4", "10.0.0.9", "10.0.0.9", false},
		{"tcp", "10.0.0.4", "10.1.0.9", "10.0.0.1", false}, // inside a private network any NAT does so
		{"tcp", "10.0.0.4", "10.0.0.9", "127.0.0.1", true},
		{"tcp", "127.0.0.1", "127.0.0.1", "127.0.0.1", false},
		{"tcp", "10.0.0.4", "10.0.0.4", "10.0.0.4", false}, // the server itself
		{"udp", "198.41.0.4", "198.41.0.9", "127.0.0.1", false},
	} {
		r := Result{Server: Server{Transport: tc.transport}, Address: netip.AddrPortFrom(netip.MustParseAddr(tc.at), 443),
			Mapped: netip.AddrPortFrom(netip.MustParseAddr(tc.mapped), 5), Local: netip.MustParseAddr(tc.local)}
		if got := hidden(r); got != tc.want {
			t.Errorf("%+v: %v", tc, got)
		}
	}
}
