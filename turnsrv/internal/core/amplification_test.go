package core

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/pion/stun/v2"

	"turnhub/turnsrv/internal/turntest"
	"turnhub/turnsrv/internal/wire"
)

// TestAmplification holds every answer over UDP to a request without valid
// credentials to 1.5 times that request, counted as IP packets, which is what a
// reflector's victim would get. It sends every method with none, one and two of
// all kinds of attributes, with FINGERPRINT and without, in both families, under
// realms of all lengths; and messages of the other classes and of RFC 3489.
func TestAmplification(t *testing.T) {
	const factor = 1.5
	cfg := deskConfig(t)
	cfg.Software = "turnhub"
	var worst float64
	for _, realm := range []string{"turnhub", "a", "12345678", "123456789", "turn.example.org", strings.Repeat("é", 63)} {
		cfg.Realm = realm
		d := newDesk(t, cfg)
		for _, ip := range []string{"192.0.2.1", "2001:db8::1"} {
			from := wire.EndpointFrom(netip.AddrPortFrom(netip.MustParseAddr(ip), 1))
			headers := 28
			if !from.Is4() {
				headers = 48
			}
			nonce := d.nonces.Make(d.second, from)
			stale := d.nonces.Make(d.second-2*3600, from)
			username, _ := turntest.Mint(cfg.Credentials, "anna")
			valid := []turntest.Attr{turntest.With(stun.AttrUsername, []byte(username)), turntest.With(stun.AttrRealm, []byte(realm)), turntest.With(stun.AttrNonce, nonce[:])}
			try := func(name string, raw []byte) {
				before := len(d.io.toClients)
				d.Reclaim()
				d.FromClient(&Client{Addr: from, Key: wire.FiveTuple{Client: from}}, wire.Copied(raw))
				for _, answer := range d.io.toClients[before:] {
					f := float64(len(answer)+headers) / float64(len(raw)+headers)
					if worst = max(worst, f); f > factor {
						t.Errorf("%s from %s, realm of %d bytes: %d bytes are answered with %d, factor %.2f", name, ip, len(realm), len(raw), len(answer), f)
					}
				}
				d.io.toClients = d.io.toClients[:0]
			}
			shapes := [][]turntest.Attr{nil}
			kinds := []turntest.Attr{
				turntest.Transport(wire.ProtocolUDP), turntest.Lifetime(0), turntest.Peer("192.0.2.7:9"), turntest.ChannelNumber(0x4000),
				turntest.With(stun.AttrUsername, nil), turntest.With(stun.AttrUsername, []byte("u")), turntest.With(stun.AttrRealm, []byte("r")), turntest.With(stun.AttrNonce, nil),
				turntest.With(stun.AttrMessageIntegrity, nil), turntest.With(stun.AttrMessageIntegrity, make([]byte, 20)), turntest.With(0x001C, make([]byte, 32)), turntest.With(0x001C, nil),
				turntest.With(0x7FFF, nil), turntest.With(0x7FFE, []byte{1, 2, 3, 4}), turntest.With(0xFFFE, nil), turntest.With(stun.AttrSoftware, []byte("x")), turntest.With(0x0003, make([]byte, 4)),
			}
			for _, a := range kinds {
				shapes = append(shapes, []turntest.Attr{a})
				for _, b := range kinds {
					shapes = append(shapes, []turntest.Attr{a, b})
				}
			}
			shapes = append(shapes, append(valid, turntest.With(stun.AttrMessageIntegrity, make([]byte, 20))), // wrong password
				[]turntest.Attr{valid[0], valid[1], turntest.With(stun.AttrNonce, stale[:]), turntest.With(stun.AttrMessageIntegrity, make([]byte, 20))},
				[]turntest.Attr{turntest.With(stun.AttrUsername, nil), turntest.With(stun.AttrRealm, nil), turntest.With(stun.AttrNonce, nonce[:]), turntest.With(stun.AttrMessageIntegrity, make([]byte, 20))},
				[]turntest.Attr{turntest.With(stun.AttrUsername, nil), turntest.With(stun.AttrRealm, nil), turntest.With(stun.AttrNonce, nil), turntest.With(stun.AttrMessageIntegrity, make([]byte, 20))})
			for _, method := range []stun.Method{0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 0x80, 0xFFF} {
				for i, shape := range shapes {
					classes := []stun.MessageClass{stun.ClassRequest}
					if i < 2 {
						classes = append(classes, stun.ClassIndication, stun.ClassSuccessResponse, stun.ClassErrorResponse)
					}
					for _, class := range classes {
						m := turntest.Build(stun.NewType(method, class), nil, shape...)
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
