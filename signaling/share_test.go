package signaling

import (
	"errors"
	"net/netip"
	"testing"
)

// TestSocketsPerNetwork has all homes of a /48 connect: they get as many sockets
// as 16 of them, others are not touched, and the metrics say by which bound.
func TestSocketsPerNetwork(t *testing.T) {
	s := newStill(t, Config{Limits: Limits{ConnectionsPerIP: 2, ConnectionsTotal: 40}})
	attach := func(addr netip.Addr) error {
		_, err := s.hub.Attach(SocketInfo{Dialect: "relay", Remote: netip.AddrPortFrom(addr, 1), Direct: true})
		return err
	}
	home := func(i int) netip.Addr {
		return netip.AddrFrom16([16]byte{0: 0x20, 1: 0x01, 2: 0x0d, 3: 0xb8, 7: byte(i), 15: 1})
	}
	for i := range 200 {
		if err := attach(home(i / 2)); (err == nil) != (i < 32) || err != nil && !errors.Is(err, ErrFull) {
			t.Fatal(i, err)
		}
	}
	if err := attach(home(0)); err == nil {
		t.Error("one household has a third socket")
	}
	for i := range 8 {
		if err := attach(netip.AddrFrom4([4]byte{9, 9, byte(i), 1})); err != nil {
			t.Error("another network pays for it", err)
		}
	}
	if err := attach(netip.MustParseAddr("8.8.8.8")); err == nil {
		t.Error("more than the hub takes")
	}
	if got := s.hub.Stats().Refused; got["per_network"] != 168 || got["per_ip"] != 1 || got["total"] != 1 {
		t.Errorf("%v", got)
	}
}
