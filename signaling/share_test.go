package signaling

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"testing"

	"turnhub/signaling/internal/wire"
)

// TestSocketsPerNetwork has all homes of a /48 connect: they get as many sockets
// as 16 of them, others are not touched, and the metrics say by which bound.
func TestSocketsPerNetwork(t *testing.T) {
	s := newStill(t, Config{Limits: Limits{ConnectionsPerIP: 2, ConnectionsTotal: 40}})
	attach := func(addr netip.Addr) error {
		_, err := s.hub.Attach(ClientInfo{Dialect: "relay", Remote: netip.AddrPortFrom(addr, 1), Direct: true}, func() {})
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

// TestRingingHasShares has one household ring a user as often as anything may: a
// caller from elsewhere gets through, at the cost of one of these calls, and the
// household itself does not get one more.
func TestRingingHasShares(t *testing.T) {
	h, url := newServer(t, Config{ClientAddress: func(r *http.Request) (netip.AddrPort, bool) {
		return netip.AddrPortFrom(netip.MustParseAddr(r.URL.Query().Get("from")), 1), true
	}})
	bob := openClient(t, url+"?from=7.7.7.7", `{"type":"hello","user":"bob","userSecret":"12345678"}`)
	var mallory *client
	for i := range maxRingingCalls {
		c := openClient(t, url+"?from=9.9.9.1", fmt.Sprintf(`{"type":"hello","user":"x%d","userSecret":"12345678"}`, i))
		c.say(`{"type":"invite","user":"bob","id":1`)
		c.expect("calling")
		c.expectState("ringing")
		bob.expectState("incoming")
		mallory = c
	}
	again := openClient(t, url+"?from=9.9.9.1", `{"type":"hello","user":"again","userSecret":"12345678"}`)
	again.say(`{"type":"invite","user":"bob","id":1`)
	again.expect("calling")
	if c := again.expectState("ended"); c.str("reason") != "busy" {
		t.Errorf("one call more of the same household: %v", c)
	}
	bob.expect("missed")
	anna := openClient(t, url+"?from=8.8.8.8", `{"type":"hello","user":"anna","userSecret":"12345678"}`)
	anna.say(`{"type":"invite","user":"bob","id":1`)
	anna.expect("calling")
	anna.expectState("ringing")
	if c := mallory.expectState("ended"); c.str("reason") != "busy" {
		t.Errorf("the last call of the household with most: %v", c)
	}
	bob.expectState("ended")
	if c := bob.expectState("incoming"); c.str("user") != "anna" {
		t.Errorf("bob is called by %v", c)
	}
	if n := h.Stats().Ringing; n != maxRingingCalls {
		t.Errorf("%d calls ring", n)
	}
}

// TestLobbyHasShares fills the lobby of a room from one household: somebody from
// elsewhere takes the place of the last, whose host hears of it.
func TestLobbyHasShares(t *testing.T) {
	h, url := newServer(t, Config{ClientAddress: func(r *http.Request) (netip.AddrPort, bool) {
		return netip.AddrPortFrom(netip.MustParseAddr(r.URL.Query().Get("from")), 1), true
	}})
	host := openClient(t, url+"?from=7.7.7.7", `{"type":"hello"}`)
	host.say(`{"type":"join","room":"fox"`)
	host.expect("joined")
	visit := func(from string) *client {
		c := openClient(t, url+"?from="+from, `{"type":"hello"}`)
		c.say(`{"type":"lobby","room":"fox","first":{},"id":1`)
		return c
	}
	var last *client
	for range maxLobby {
		last = visit("9.9.9.1")
		last.expect("lobby")
		host.expect("lobby-peer")
	}
	visit("9.9.9.1").expectError(wire.CodeTooMany)
	if !h.Together(host.id, last.id) {
		t.Fatal("a visitor is apart from its host")
	}
	anna := visit("8.8.8.8")
	if l := anna.expect("lobby"); l["first"] != host.id {
		t.Errorf("anna has no host: %v", l)
	}
	if l := last.expect("lobby"); l["first"] != nil {
		t.Errorf("the last has a host still: %v", l)
	}
	if l := host.expect("lobby-left"); l["peer"] != last.id {
		t.Errorf("the host hears %v", l)
	}
	if l := host.expect("lobby-peer"); l["peer"] != anna.id {
		t.Errorf("the host hears %v", l)
	}
	if h.Together(host.id, last.id) || !h.Together(host.id, anna.id) {
		t.Error("the wrong one reaches the host")
	}
	last.say(`{"type":"lobby","room":"fox","first":{},"id":2`)
	last.expectError(wire.CodeTooMany)
	last.say(`{"type":"join","room":"fox","id":3`)
	last.expect("joined")
}
