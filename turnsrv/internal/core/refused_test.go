package core

import (
	"net/netip"
	"testing"

	"github.com/pion/stun/v2"

	"turnhub/turnsrv/internal/turntest"
	"turnhub/turnsrv/internal/wire"
)

// TestRefusedIsToldOfGenuineAddresses guesses passwords: only an address that has
// echoed a nonce is told, never one that may be forged.
func TestRefusedIsToldOfGenuineAddresses(t *testing.T) {
	cfg := deskConfig(t)
	var told []string
	cfg.Refused = func(client netip.Addr, transport wire.Transport, why AuthResult) {
		told = append(told, client.String()+" "+transport.String()+" "+why.String())
	}
	d := newDesk(t, cfg)
	guess := func(c *Client, nonce string) {
		d.FromClient(c, wire.Copied(turntest.Build(turntest.Request(stun.MethodAllocate), []byte("a guessed key"), turntest.Transport(wire.ProtocolUDP),
			turntest.With(stun.AttrUsername, []byte("4102444800:alice")), turntest.With(stun.AttrRealm, []byte(turntest.Realm)), turntest.With(stun.AttrNonce, []byte(nonce))).Raw))
	}
	for i := range 100 {
		e := wire.EndpointIPv4(0xC0000200+uint32(i), 1)
		guess(&Client{Addr: e, Key: wire.FiveTuple{Client: e}}, "AAAAAAAAAAAA")
	}
	if len(told) != 0 {
		t.Errorf("addresses that may be forged are told: %v", told)
	}
	for range 100 {
		e := wire.EndpointIPv4(0xCB007107, 1) // 203.0.113.7
		nonce := d.nonces.Make(d.second, e)
		guess(&Client{Addr: e, Key: wire.FiveTuple{Client: e}}, string(nonce[:]))
	}
	if len(told) != 100 || told[99] != "203.0.113.7 udp bad_integrity" {
		t.Errorf("told %d times: %q", len(told), told[max(0, len(told)-1):])
	}
	if d.count.auth[AuthBadIntegrity] != 100 || d.count.auth[AuthStaleNonce] != 100 {
		t.Errorf("counted %v", d.count.auth)
	}
}
