package turnsrv

import (
	"strings"
	"testing"

	"github.com/pion/stun/v2"
)

// TestFirstRequests has the first requests of real clients answered whatever the
// realm is, and lets the client in that uses the realm it was told. All but the
// longest realms fit into the answers over a stream and to longer requests.
func TestFirstRequests(t *testing.T) {
	udp := transport(protocolUDP)
	for _, realm := range []string{"turnhub", "turn.example.org", strings.Repeat("x", 127), "日本語日本語", "________x"} {
		cfg := testConfig(t)
		cfg.Realm = realm
		ts := startServer(t, cfg)
		for name, attrs := range map[string][]attr{
			"libwebrtc, libnice": {udp},
			"IPv6 relay":         {udp, family(familyIPv6)},
			"lifetime, Firefox":  {udp, lifetime(3600)},
			"coturn's uclient":   {udp, lifetime(800), with(stun.AttrDontFragment, nil), with(stun.AttrSoftware, []byte("TestClient"))},
		} {
			for _, fingerprint := range []bool{false, true} { // pion sets it
				c := dialRaw(t, ts, "anna")
				m := build(asked(stun.MethodAllocate), nil, attrs...)
				if fingerprint {
					if err := stun.Fingerprint.AddTo(m); err != nil {
						t.Fatal(err)
					}
				}
				res := c.roundTrip(m)
				told, err := res.Get(stun.AttrRealm)
				if codeOf(res) != 401 || err != nil {
					t.Fatalf("%s, realm %q: %v", name, realm, res)
				}
				nonce, err := res.Get(stun.AttrNonce)
				if err != nil {
					t.Fatal(err)
				}
				if !strings.HasPrefix(realm, string(told)) && string(told) != "turn" {
					t.Errorf("realm %q: the client was told %q", realm, told)
				}
				c.realm, c.nonce = string(told), string(nonce)
				c.allocate()
				// When the nonce runs out the realm stays.
				c.nonce = "AAAAAAAAAAAA"
				res = c.roundTrip(c.signed(stun.MethodRefresh))
				if again, _ := res.Get(stun.AttrRealm); codeOf(res) != 438 || string(again) != c.realm {
					t.Errorf("realm %q: stale nonce: %d, realm %q, was %q", realm, codeOf(res), again, c.realm)
				}
			}
		}
	}
}
