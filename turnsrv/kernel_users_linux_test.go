//go:build linux && (amd64 || arm64)

package turnsrv

import (
	"net"
	"testing"
	"time"

	"turnhub/turnsrv/internal/turntest"
	"turnhub/turnsrv/internal/wire"
)

// TestKernelUserLimits has calls of a user with a volume for the day pass inside the kernel,
// and holds it to the byte over two allocations and both paths, while another user's goes on.
func TestKernelUserLimits(t *testing.T) {
	name := needsKernel(t)
	if name == "" {
		return
	}
	const volume = 100_000
	s := startKernel(t, name, func(cfg *Config) { cfg.Limits.VolumePerUserDay = volume })
	a, b := s.call("alice", wire.IPv4, wire.IPv4), s.call("alice", wire.IPv4, wire.IPv6)
	a.begin()
	b.begin()
	relayed := func() (bytes uint64) {
		for _, info := range s.Allocations() {
			if info.User == "alice" {
				bytes += info.ToPeer.Bytes + info.ToClient.Bytes
			}
		}
		return bytes
	}
	payload := make([]byte, 1000)
	n := s.inKernel()
	for i := range 300 {
		call := []*call{a, b}[i%2]
		if i%4 < 2 {
			call.client.Send(turntest.ChannelData(testChannel, payload, false))
		} else if _, err := call.peer.WriteTo(payload, net.UDPAddrFromAddrPort(call.relayed)); err != nil {
			t.Fatal(err)
		}
		if i%50 == 49 {
			time.Sleep(20 * time.Millisecond)
		}
	}
	until(t, func() bool { return s.Stats().Drops["user_volume"] >= 200 })
	if got := relayed(); got > volume || got <= volume-1000 {
		t.Errorf("%d bytes were relayed of %d", got, volume)
	}
	if s.inKernel() < n+80 {
		t.Errorf("%d of the packets passed inside the kernel: %v", s.inKernel()-n, s.Stats().KernelRefused)
	}
	// What is left goes to the byte.
	if rest := volume - relayed(); rest > 0 {
		a.client.Send(turntest.ChannelData(testChannel, make([]byte, rest), false))
	}
	until(t, func() bool { return relayed() == volume })
	drops := s.Stats().Drops["user_volume"]
	b.client.Send(turntest.ChannelData(testChannel, []byte{1}, false))
	until(t, func() bool { return s.Stats().Drops["user_volume"] == drops+1 })
	bob := s.call("bob", wire.IPv4, wire.IPv4)
	bob.begin()
}
