package turnsrv

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/pion/stun/v2"
)

// TestAmplification holds every answer over UDP to a request without valid
// credentials to 1.5 times that request, counted as IP packets, which is what a
// reflector's victim would get. It sends every method with none, one and two of
// all kinds of attributes, with FINGERPRINT and without, in both families, under
// realms of all lengths; and messages of the other classes and of RFC 3489.
func TestAmplification(t *testing.T) {
	const factor = 1.5
	cfg := testConfig(t)
	cfg.Software = "turnhub"
	var worst float64
	for _, realm := range []string{"turnhub", "a", "12345678", "123456789", "turn.example.org", strings.Repeat("é", 63)} {
		cfg.Realm = realm
		d := newDesk(t, cfg)
		for _, ip := range []string{"192.0.2.1", "2001:db8::1"} {
			from := endpointFrom(netip.AddrPortFrom(netip.MustParseAddr(ip), 1))
			headers := 28
			if !from.is4() {
				headers = 48
			}
			nonce := d.nonces.make(d.second, from)
			stale := d.nonces.make(d.second-2*3600, from)
			username, _ := mint(cfg, "anna")
			valid := []attr{{stun.AttrUsername, []byte(username)}, {stun.AttrRealm, []byte(realm)}, {stun.AttrNonce, nonce[:]}}
			try := func(name string, raw []byte) {
				before := len(d.io.toClients)
				d.placing = 0
				d.fromClient(&client{addr: from, key: fiveTuple{client: from}}, copied(raw))
				for _, answer := range d.io.toClients[before:] {
					f := float64(len(answer)+headers) / float64(len(raw)+headers)
					if worst = max(worst, f); f > factor {
						t.Errorf("%s from %s, realm of %d bytes: %d bytes are answered with %d, factor %.2f", name, ip, len(realm), len(raw), len(answer), f)
					}
				}
				d.io.toClients = d.io.toClients[:0]
			}
			shapes := [][]attr{nil}
			kinds := []attr{
				transport(protocolUDP), lifetime(0), peerAttr("192.0.2.7:9"), channelNumber(0x4000),
				{stun.AttrUsername, nil}, {stun.AttrUsername, []byte("u")}, {stun.AttrRealm, []byte("r")}, {stun.AttrNonce, nil},
				{stun.AttrMessageIntegrity, nil}, {stun.AttrMessageIntegrity, make([]byte, 20)}, {0x001C, make([]byte, 32)}, {0x001C, nil},
				{0x7FFF, nil}, {0x7FFE, []byte{1, 2, 3, 4}}, {0xFFFE, nil}, {stun.AttrSoftware, []byte("x")}, {0x0003, make([]byte, 4)},
			}
			for _, a := range kinds {
				shapes = append(shapes, []attr{a})
				for _, b := range kinds {
					shapes = append(shapes, []attr{a, b})
				}
			}
			shapes = append(shapes, append(valid, attr{stun.AttrMessageIntegrity, make([]byte, 20)}), // wrong password
				[]attr{valid[0], valid[1], {stun.AttrNonce, stale[:]}, {stun.AttrMessageIntegrity, make([]byte, 20)}},
				[]attr{{stun.AttrUsername, nil}, {stun.AttrRealm, nil}, {stun.AttrNonce, nonce[:]}, {stun.AttrMessageIntegrity, make([]byte, 20)}},
				[]attr{{stun.AttrUsername, nil}, {stun.AttrRealm, nil}, {stun.AttrNonce, nil}, {stun.AttrMessageIntegrity, make([]byte, 20)}})
			for _, method := range []stun.Method{0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 0x80, 0xFFF} {
				for i, shape := range shapes {
					classes := []stun.MessageClass{stun.ClassRequest}
					if i < 2 {
						classes = append(classes, stun.ClassIndication, stun.ClassSuccessResponse, stun.ClassErrorResponse)
					}
					for _, class := range classes {
						m := build(stun.NewType(method, class), nil, shape...)
						name := fmt.Sprint(m.Type, " ", shape)
						try(name, m.Raw)
						classic := append([]byte(nil), m.Raw...)
						classic[4] ^= 1 // RFC 3489 had no magic cookie
						try(name+" of RFC 3489", classic)
						if err := stun.Fingerprint.AddTo(m); err != nil {
							t.Fatal(err)
						}
						try(name+" with FINGERPRINT", m.Raw)
					}
				}
			}
		}
		if d.count.drops[DropAmplification] == 0 {
			t.Errorf("realm %q: no answer was too long", realm)
		}
	}
	if worst <= 1.3 {
		t.Errorf("the worst factor is %.2f: nothing was answered", worst)
	}
}

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
			"coturn's uclient":   {udp, lifetime(800), {stun.AttrDontFragment, nil}, {stun.AttrSoftware, []byte("TestClient")}},
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
