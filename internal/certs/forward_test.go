package certs

import (
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"

	"turnhub/internal/portmux"
)

// TestACMEForAnotherServer has a server behind listen.forward get its own certificate by
// each challenge, from the authority that gives ours to us on the same port: what is asked
// for its name by TLS and by plain HTTP reaches it.
func TestACMEForAnotherServer(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: ACME needs Pebble, which -short leaves out")
	}
	for challenge, adjust := range map[string]func(*certmagic.ACMEIssuer){
		"TLS-ALPN-01": func(i *certmagic.ACMEIssuer) { i.DisableHTTPChallenge = true },
		"HTTP-01":     func(i *certmagic.ACMEIssuer) { i.DisableTLSALPNChallenge = true },
	} {
		t.Run(challenge, func(t *testing.T) {
			t.Parallel()
			domain := strings.ToLower(challenge) + ".example.org" // certmagic keeps challenges under way by name
			own, name := "calls."+domain, "www."+domain
			listener, port := listenUniversal(t)
			authority := startPebble(t, port, time.Hour)
			front := serveUniversal(t, listener, authority, t.TempDir(), acmeTuning{}, adjust, own)
			behind, _ := listenUniversal(t)
			front.mux.SetForwards(own, []portmux.Forward{{Host: "*." + domain, To: behind.Addr().String(), HTTP: behind.Addr().String()}})
			other := serveUniversal(t, behind, authority, t.TempDir(), acmeTuning{}, adjust, name)
			waitFor(t, "both certificates", func() bool { return !front.NotAfter().IsZero() && !other.NotAfter().IsZero() })

			roots := authority.roots(t)
			for name, holder := range map[string]*universal{own: front, name: other} {
				conn, err := front.dial(roots, name)
				if err != nil {
					t.Fatal(err)
				}
				if got := conn.ConnectionState().PeerCertificates[0].SerialNumber; got.Cmp(holder.newest(name).Leaf.SerialNumber) != 0 {
					t.Errorf("%s is answered with another's certificate", name)
				}
				conn.Close()
			}
			if n := front.mux.Stats().Accepted["forward"]; challenge == "TLS-ALPN-01" && n < 2 { // the challenge, and ours above
				t.Errorf("%d connections were passed on", n)
			}
		})
	}
}
