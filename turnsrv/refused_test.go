package turnsrv

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/pion/stun/v2"
)

// TestRefusalsAreBounded guesses passwords: the log names the address, seldom, and
// never one that may be forged, which has answered no nonce.
func TestRefusalsAreBounded(t *testing.T) {
	cfg := testConfig(t)
	var log strings.Builder
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	d := newDesk(t, cfg)
	guess := func(c *client, nonce string) {
		d.fromClient(c, copied(build(asked(stun.MethodAllocate), []byte("a guessed key"), transport(protocolUDP),
			attr{stun.AttrUsername, []byte("4102444800:alice")}, attr{stun.AttrRealm, []byte(testRealm)}, attr{stun.AttrNonce, []byte(nonce)}).Raw))
	}
	for i := range 100 {
		e := endpointIPv4(0xC0000200+uint32(i), 1)
		guess(&client{addr: e, key: fiveTuple{client: e}}, "AAAAAAAAAAAA")
	}
	if log.Len() != 0 {
		t.Errorf("addresses that may be forged are logged:\n%s", log.String())
	}
	for range 100 {
		e := endpointIPv4(0xCB007107, 1) // 203.0.113.7
		nonce := d.nonces.make(d.second, e)
		guess(&client{addr: e, key: fiveTuple{client: e}}, string(nonce[:]))
	}
	const line = `msg="TURN credentials refused" client=203.0.113.7 transport=udp reason=bad_integrity`
	if n := strings.Count(log.String(), "\n"); n != 1 || !strings.Contains(log.String(), line) {
		t.Errorf("%d lines in one second:\n%s", n, log.String())
	}
	if d.count.auth[AuthBadIntegrity] != 100 || d.count.auth[AuthStaleNonce] != 100 {
		t.Errorf("counted %v", d.count.auth)
	}
}
