package turnsrv

import (
	"bytes"
	"net"
	"testing"

	"github.com/pion/stun/v2"
)

// flight is a Binding request as browsers send it that put DTLS into their
// connectivity checks (SPED): a flight of about 1.2 kB in an attribute that may be
// ignored (RFC 8489 section 14), and another one that acknowledges.
func flight(t *testing.T) []byte {
	t.Helper()
	m, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewUsername("abcd:efgh"),
		stun.RawAttribute{Type: 0xC070, Value: bytes.Repeat([]byte{22, 254, 253}, 400)},
		stun.RawAttribute{Type: 0xC071, Value: []byte{1, 2, 3, 4}},
		stun.NewShortTermIntegrity("secret"), stun.Fingerprint)
	if err != nil {
		t.Fatal(err)
	}
	return m.Raw
}

// TestCheckWithDTLSInside passes such a request on as it came, over every transport and
// in both directions, and answers one that is meant for the server itself.
func TestCheckWithDTLSInside(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg Config) {
		ts := startServer(t, cfg)
		check := flight(t)
		for _, transport := range []string{"udp4", "tcp", "tls", "tls-portable"} {
			t.Run(transport, func(t *testing.T) {
				relayed, err := pionClient(t, ts, transport, "alice").Allocate()
				if err != nil {
					t.Fatal(err)
				}
				defer relayed.Close()
				peer, err := net.ListenPacket("udp4", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				defer peer.Close()
				for range 5 { // pion binds a channel after the first packets
					if _, err := relayed.WriteTo(check, peer.LocalAddr()); err != nil {
						t.Fatal(err)
					}
					exchange(t, peer, check, relayed.LocalAddr())
					if _, err := peer.WriteTo(check, relayed.LocalAddr()); err != nil {
						t.Fatal(err)
					}
					exchange(t, relayed, check, peer.LocalAddr())
				}
			})
		}
		server, err := net.Dial("udp4", ts.udp.String())
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		m, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.RawAttribute{Type: 0xC070, Value: make([]byte, 1200)}, stun.Fingerprint)
		if err != nil {
			t.Fatal(err)
		}
		c := newRaw(t, ts, server, "bob", false)
		if answer := c.RoundTrip(m); answer.Type != stun.BindingSuccess {
			t.Errorf("answered by %v", answer.Type)
		}
	})
}
