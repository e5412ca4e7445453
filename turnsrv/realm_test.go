package turnsrv

import (
	"strings"
	"testing"

	"github.com/pion/stun/v2"

	"turnhub/turnsrv/internal/turntest"
	"turnhub/turnsrv/internal/wire"
)

// TestFirstRequests has the first requests of real clients answered whatever the
// realm is, and lets the client in that uses the realm it was told. All but the
// longest realms fit into the answers over a stream and to longer requests.
func TestFirstRequests(t *testing.T) {
	udp := turntest.Transport(wire.ProtocolUDP)
	for _, realm := range []string{"turnhub", "turn.example.org", strings.Repeat("x", 127), "日本語日本語", "________x"} {
		cfg := testConfig(t)
		cfg.Realm = realm
		ts := startServer(t, cfg)
		for name, attrs := range map[string][]turntest.Attr{
			"libwebrtc, libnice": {udp},
			"IPv6 relay":         {udp, turntest.Family(wire.FamilyIPv6)},
			"lifetime, Firefox":  {udp, turntest.Lifetime(3600)},
			"coturn's uclient":   {udp, turntest.Lifetime(800), turntest.With(stun.AttrDontFragment, nil), turntest.With(stun.AttrSoftware, []byte("TestClient"))},
		} {
			for _, fingerprint := range []bool{false, true} { // pion sets it
				c := dialRaw(t, ts, "anna")
				m := turntest.Build(turntest.Request(stun.MethodAllocate), nil, attrs...)
				if fingerprint {
					if err := stun.Fingerprint.AddTo(m); err != nil {
						t.Fatal(err)
					}
				}
				res := c.RoundTrip(m)
				told, err := res.Get(stun.AttrRealm)
				if turntest.CodeOf(res) != 401 || err != nil {
					t.Fatalf("%s, realm %q: %v", name, realm, res)
				}
				nonce, err := res.Get(stun.AttrNonce)
				if err != nil {
					t.Fatal(err)
				}
				if !strings.HasPrefix(realm, string(told)) && string(told) != "turn" {
					t.Errorf("realm %q: the client was told %q", realm, told)
				}
				c.Realm, c.Nonce = string(told), string(nonce)
				c.Allocate()
				// When the nonce runs out the realm stays.
				c.Nonce = "AAAAAAAAAAAA"
				res = c.RoundTrip(c.Signed(stun.MethodRefresh))
				if again, _ := res.Get(stun.AttrRealm); turntest.CodeOf(res) != 438 || string(again) != c.Realm {
					t.Errorf("realm %q: stale nonce: %d, realm %q, was %q", realm, turntest.CodeOf(res), again, c.Realm)
				}
			}
		}
	}
}
