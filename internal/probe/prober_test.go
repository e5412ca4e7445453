package probe

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"turnhub/internal/netaddr"
)

func relayAt(pairs ...string) func() []netaddr.RelayAddress {
	var list []netaddr.RelayAddress
	for _, pair := range pairs {
		bind, advertise, _ := strings.Cut(pair, "=")
		list = append(list, netaddr.RelayAddress{Bind: netip.MustParseAddr(bind), Advertise: netip.MustParseAddr(advertise)})
	}
	return func() []netaddr.RelayAddress { return list }
}

func mint() (string, string) { return user, password }

func TestProber(t *testing.T) {
	a := newAuthority(t)
	cert := a.issue(t, time.Now().Add(time.Minute), "turn.example.org", "127.0.0.1", "8.8.4.7")
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	server := newTURNServer(t, "127.0.0.1", cert)
	udp := fmt.Sprintf("turn:127.0.0.1:%d?transport=udp", server.udp)
	tcp := fmt.Sprintf("turn:127.0.0.1:%d?transport=tcp", server.tcp)
	secure := fmt.Sprintf("turns:127.0.0.1:%d?transport=tcp", server.tls)
	mapped := fmt.Sprintf("turns:8.8.4.7:%d?transport=tcp", server.tls)
	wrong := fmt.Sprintf("turn:127.0.0.1:%d?transport=tcp", server.udp) // nobody listens there
	wrongToo := fmt.Sprintf("turns:127.0.0.1:%d?transport=tcp", server.tcp)

	targets := []Target{{URL: udp}, {URL: wrong}, {URL: tcp}, {URL: secure}, {URL: wrongToo, Optional: true}, {URL: mapped}}
	changes := 0
	var logged bytes.Buffer
	p := New(Config{
		Targets:     func() []Target { return targets },
		Mint:        mint,
		Relay:       relayAt("127.0.0.1=8.8.4.7"),
		Certificate: func(string) *x509.Certificate { return leaf },
		Changed:     func() { changes++ },
		Logger:      slog.New(slog.NewTextHandler(&logged, nil)),
		Timeout:     20 * time.Second,
	})
	if err := p.Ready(); err == nil || len(p.URLs(0)) != 0 {
		t.Errorf("before the first round: ready %v, URLs %v", err, p.URLs(0))
	}
	if p.round(t.Context()) {
		t.Error("healthy with a URL that fails")
	}
	if want := []string{udp, tcp, secure, mapped}; !slices.Equal(p.URLs(0), want) {
		t.Errorf("URLs %v, want %v", p.URLs(0), want)
	}
	if err := p.Ready(); err != nil || changes != 1 {
		t.Errorf("ready %v, %d changes", err, changes)
	}
	states := p.States()
	if s := states[1]; s.Proved || s.Failure == nil || s.Failure.Stage != StageConnect || s.Failures != 1 {
		t.Errorf("state of the URL that fails: %+v", s)
	}
	if s := states[3]; s.Local || s.Trusted || !s.NotAfter.Equal(leaf.NotAfter) || s.Latency <= 0 || s.Passes != 1 {
		t.Errorf("state of TLS: %+v", s)
	}
	if s := states[5]; !s.Local {
		t.Errorf("state of the address behind NAT: %+v", s)
	}
	for _, line := range []string{"nothing listens on TCP", "works only for those who trust"} {
		if !strings.Contains(logged.String(), line) {
			t.Errorf("the log does not say %q:\n%s", line, logged.String())
		}
	}
	if strings.Contains(logged.String(), wrongToo) {
		t.Error("an optional URL that fails is no warning")
	}

	// A second round with nothing new says nothing new.
	logged.Reset()
	p.round(t.Context())
	if logged.Len() != 0 || changes != 1 || p.States()[0].Passes != 2 {
		t.Errorf("%d changes, log:\n%s", changes, logged.String())
	}

	// What no longer works is withdrawn.
	targets = []Target{{URL: wrong}}
	p.round(t.Context())
	if err := p.Ready(); err == nil || !strings.Contains(err.Error(), "refused") || len(p.URLs(0)) != 0 || changes != 2 {
		t.Errorf("ready %v, URLs %v, %d changes", err, p.URLs(0), changes)
	}
}

// The prober's goroutine proves at once, again when asked, and ends with ctx.
func TestProberRun(t *testing.T) {
	server := newTURNServer(t, "127.0.0.1", newAuthority(t).issue(t, time.Now().Add(time.Minute), "127.0.0.1"))
	url := fmt.Sprintf("turn:127.0.0.1:%d?transport=udp", server.udp)
	rounds := make(chan struct{}, 10)
	p := New(Config{
		Targets: func() []Target { rounds <- struct{}{}; return []Target{{URL: url}} },
		Mint:    mint,
		Relay:   relayAt("127.0.0.1=127.0.0.1"),
		Timeout: 20 * time.Second,
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { p.Run(ctx); close(done) }()
	<-p.First()
	if len(p.URLs(0)) != 1 {
		t.Errorf("URLs %v: %v", p.URLs(0), p.Ready())
	}
	<-rounds
	p.Trigger()
	<-rounds
	cancel()
	<-done
}

// A container without IPv6 says of a name's IPv6 address that it cannot be tried from
// there, and is well; a server with IPv6 says what is wrong, and so does one whose name has
// no other address.
func TestNoIPv6Here(t *testing.T) {
	if c, err := net.Dial("udp6", "[2001:db8::1]:9"); err == nil {
		c.Close()
		t.Skip("SKIPPED: this machine has IPv6 (ip netns exec one without)")
	}
	server := newTURNServer(t, "127.0.0.1", newAuthority(t).issue(t, time.Now().Add(time.Minute), "127.0.0.1"))
	url := fmt.Sprintf("turn:turn.example.org:%d?transport=udp", server.udp)
	for _, x := range []struct {
		name    string
		dns     string
		relay   func() []netaddr.RelayAddress
		healthy bool
		want    string // in the log
	}{
		{"in a container", "127.0.0.1 2001:db8::1", relayAt("127.0.0.1=127.0.0.1"), true, "level=INFO msg=\"this machine or container has no IPv6"},
		{"with IPv6 that has no way out", "127.0.0.1 2001:db8::1", relayAt("127.0.0.1=127.0.0.1", "2001:db8::2=2001:db8::2"), false, "2001:db8::1, which is not this server"},
		{"by IPv6 alone", "2001:db8::1", relayAt("127.0.0.1=127.0.0.1"), false, "this machine has no way there"},
	} {
		var logged bytes.Buffer
		p := New(Config{
			Targets: func() []Target { return []Target{{URL: url}} }, Mint: mint, Relay: x.relay,
			Logger: slog.New(slog.NewTextHandler(&logged, nil)), Timeout: 20 * time.Second,
		})
		p.lookup = func(context.Context, string) (addresses []netip.Addr, err error) {
			for _, word := range strings.Fields(x.dns) {
				addresses = append(addresses, netip.MustParseAddr(word))
			}
			return addresses, nil
		}
		if healthy := p.round(t.Context()); healthy != x.healthy {
			t.Errorf("%s: healthy %v", x.name, healthy)
		}
		if !strings.Contains(logged.String(), x.want) || x.healthy && strings.Contains(logged.String(), "DNS record") {
			t.Errorf("%s: %s", x.name, &logged)
		}
		said := logged.Len()
		if p.round(t.Context()); logged.Len() != said {
			t.Errorf("%s: said again: %s", x.name, logged.String()[said:])
		}
	}
}

// An address behind NAT is reached by its local side; a foreign one is known as such.
func TestSide(t *testing.T) {
	p := New(Config{
		Targets: func() []Target { return []Target{{URL: "turn:localhost:1?transport=tcp"}} },
		Mint:    mint,
		Relay:   relayAt("10.0.0.5=8.8.4.7"),
		Timeout: 20 * time.Second,
	})
	if _, local, foreign := p.side(netip.MustParseAddr("9.9.9.9")); local || !foreign {
		t.Error("9.9.9.9 taken for our own")
	}
	if at, local, foreign := p.side(netip.MustParseAddr("8.8.4.7")); at.String() != "10.0.0.5" || !local || foreign {
		t.Errorf("8.8.4.7: %s, local %v, foreign %v", at, local, foreign)
	}
	if _, local, foreign := p.side(netip.MustParseAddr("127.0.0.1")); local || foreign {
		t.Error("loopback")
	}
}

// TestBeside gives those who come by a port that no other URL leads to one of their own.
func TestBeside(t *testing.T) {
	at := netip.MustParseAddrPort
	relay := relayAt("8.8.4.7=8.8.4.7")()
	for _, test := range []struct {
		name   string
		layout Layout
		want   string
	}{
		{"80 beside 443", Layout{PublicHost: "turn.example.org", Relay: relay, UDP: []netip.AddrPort{at("[::]:443"), at("[::]:3478")}, TCP: []netip.AddrPort{at("[::]:80"), at("[::]:443")}, TLS: true},
			"turns:turn.example.org:80?transport=tcp 80"},
		{"80 is plain TCP's already", Layout{PublicHost: "turn.example.org", Relay: relay, TCP: []netip.AddrPort{at("[::]:80")}}, ""},
		{"and with TLS", Layout{PublicHost: "turn.example.org", Relay: relay, UDP: []netip.AddrPort{at("[::]:443")}, TCP: []netip.AddrPort{at("[::]:80"), at("[::]:443")}, TLS: true}, ""},
		{"without TLS", Layout{Relay: relay, UDP: []netip.AddrPort{at("[::]:3478")}, TCP: []netip.AddrPort{at("[::]:80"), at("[::]:3478")}}, "turn:8.8.4.7:80?transport=tcp 80"},
		{"a proxy's", Layout{PublicHost: "turn.example.org", Relay: relay, TCP: []netip.AddrPort{at("127.0.0.1:80"), at("[::]:443")}, TLS: true}, ""},
		{"ports for nobody's sake", Layout{PublicHost: "turn.example.org", Relay: relay, TCP: []netip.AddrPort{at("[::]:8080"), at("[::]:443")}, TLS: true}, ""},
		{"nothing", Layout{}, ""},
	} {
		var words []string
		for _, target := range Beside(test.layout) {
			words = append(words, target.URL, fmt.Sprint(target.Port))
		}
		if got := strings.Join(words, " "); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}

	p := New(Config{})
	for i, url := range []string{"a", "b", "c", "d", "e"} {
		p.states = append(p.states, State{URL: url, Proved: true, Port: []uint16{0, 0, 0, 0, 80}[i]})
	}
	for _, test := range []struct {
		port uint16
		want string
	}{{0, "abcd"}, {443, "abcd"}, {80, "abce"}} {
		if got := strings.Join(p.URLs(test.port), ""); got != test.want {
			t.Errorf("by port %d: %s, want %s", test.port, got, test.want)
		}
	}
	p.states[3].Proved = false
	if got := strings.Join(p.URLs(80), ""); got != "abce" {
		t.Errorf("with one that fails: %s", got)
	}
	p.states[4].Proved = false
	if got := strings.Join(p.URLs(80), ""); got != "abc" {
		t.Errorf("its own fails: %s", got)
	}
}

func TestTargets(t *testing.T) {
	ports := func(list ...string) (bound []netip.AddrPort) {
		for _, text := range list {
			bound = append(bound, netip.MustParseAddrPort(text))
		}
		return bound
	}
	for _, test := range []struct {
		name   string
		layout Layout
		want   string // ? marks what is optional
	}{
		{"defaults", Layout{Relay: relayAt("192.0.2.2=192.0.2.2")(), UDP: ports("[::]:3478"), TCP: ports("[::]:8080", "[::]:3478")},
			"turn:192.0.2.2:3478?transport=udp turn:192.0.2.2:3478?transport=tcp"},
		{"both families", Layout{Relay: relayAt("192.0.2.2=192.0.2.2", "fd00::2=fd00::2")(), UDP: ports("[::]:3478"), TCP: ports("[::]:3478")},
			"turn:192.0.2.2:3478?transport=udp turn:192.0.2.2:3478?transport=tcp ?turn:[fd00::2]:3478?transport=udp"},
		{"a public server", Layout{PublicHost: "turn.example.org", Relay: relayAt("10.0.0.5=8.8.4.7")(), UDP: ports("[::]:3478"), TCP: ports("[::]:80", "[::]:443", "[::]:3478"), TLS: true},
			"turn:turn.example.org:3478?transport=udp turn:turn.example.org:3478?transport=tcp turns:turn.example.org:443?transport=tcp ?turns:8.8.4.7:443?transport=tcp"},
		{"all on 443", Layout{PublicHost: "turn.example.org", Relay: relayAt("8.8.4.7=8.8.4.7")(), UDP: ports("0.0.0.0:443"), TCP: ports("0.0.0.0:443"), TLS: true},
			"turn:turn.example.org:443?transport=udp turn:turn.example.org:443?transport=tcp turns:turn.example.org:443?transport=tcp ?turns:8.8.4.7:443?transport=tcp"},
		{"without TLS 443 is for TCP", Layout{PublicHost: "8.8.4.7", Relay: relayAt("8.8.4.7=8.8.4.7")(), UDP: ports("[::]:3478"), TCP: ports("[::]:3478", "[::]:443")},
			"turn:8.8.4.7:3478?transport=udp turn:8.8.4.7:443?transport=tcp"},
		{"on loopback", Layout{Relay: relayAt("192.0.2.2=192.0.2.2")(), UDP: ports("127.0.0.1:3478"), TCP: ports("127.0.0.1:8080")},
			"turn:127.0.0.1:3478?transport=udp turn:127.0.0.1:8080?transport=tcp"},
		{"on one address behind NAT", Layout{Relay: relayAt("10.0.0.5=8.8.4.7", "10.0.0.6=8.8.4.8")(), UDP: ports("10.0.0.6:3478")},
			"turn:8.8.4.8:3478?transport=udp"},
		{"TLS by address", Layout{Relay: relayAt("192.0.2.2=192.0.2.2")(), UDP: ports("[::]:3478"), TCP: ports("[::]:8443"), TLS: true},
			"turn:192.0.2.2:3478?transport=udp turn:192.0.2.2:8443?transport=tcp turns:192.0.2.2:8443?transport=tcp"},
		{"UDP 443 too", Layout{PublicHost: "turn.example.org", Relay: relayAt("8.8.4.7=8.8.4.7")(), UDP: ports("[::]:3478", "[::]:443"), TCP: ports("[::]:80", "[::]:443", "[::]:3478"), TLS: true},
			"turn:turn.example.org:3478?transport=udp ?turn:turn.example.org:443?transport=udp turns:turn.example.org:443?transport=tcp ?turns:8.8.4.7:443?transport=tcp"},
		{"UDP 443 too, by address", Layout{PublicHost: "8.8.4.7", Relay: relayAt("8.8.4.7=8.8.4.7")(), UDP: ports("[::]:443", "[::]:3478"), TCP: ports("[::]:443", "[::]:3478"), TLS: true},
			"turn:8.8.4.7:3478?transport=udp ?turn:8.8.4.7:443?transport=udp turn:8.8.4.7:3478?transport=tcp turns:8.8.4.7:443?transport=tcp"},
		{"UDP 443 too, both families", Layout{Relay: relayAt("192.0.2.2=192.0.2.2", "fd00::2=fd00::2")(), UDP: ports("[::]:3478", "[::]:443"), TCP: ports("[::]:443"), TLS: true},
			"turn:192.0.2.2:3478?transport=udp ?turn:192.0.2.2:443?transport=udp turns:192.0.2.2:443?transport=tcp ?turn:[fd00::2]:3478?transport=udp"},
		{"UDP 443 too, without TLS", Layout{PublicHost: "turn.example.org", Relay: relayAt("8.8.4.7=8.8.4.7")(), UDP: ports("[::]:3478", "[::]:443"), TCP: ports("[::]:3478")},
			"turn:turn.example.org:3478?transport=udp ?turn:turn.example.org:443?transport=udp turn:turn.example.org:3478?transport=tcp"},
		{"UDP 443 too, behind a proxy for TCP", Layout{PublicHost: "turn.example.org", Front: true, Relay: relayAt("8.8.4.7=8.8.4.7")(), UDP: ports("[::]:3478", "[::]:443"), TCP: ports("127.0.0.1:8443", "[::]:3478"), TLS: true},
			"turn:turn.example.org:3478?transport=udp ?turn:turn.example.org:443?transport=udp ?turns:turn.example.org:443?transport=tcp ?turns:turn.example.org:3478?transport=tcp"},
		{"behind a proxy for TCP", Layout{PublicHost: "turn.example.org", Front: true, Relay: relayAt("8.8.4.7=8.8.4.7")(), UDP: ports("[::]:3478"), TCP: ports("127.0.0.1:8443", "[::]:3478"), TLS: true},
			"turn:turn.example.org:3478?transport=udp turn:turn.example.org:3478?transport=tcp ?turns:turn.example.org:443?transport=tcp ?turns:turn.example.org:3478?transport=tcp"},
		{"nothing", Layout{}, ""},
	} {
		var words []string
		for _, target := range Targets(test.layout) {
			mark := ""
			if target.Optional {
				mark = "?"
			}
			words = append(words, mark+target.URL)
		}
		if got := strings.Join(words, " "); got != test.want {
			t.Errorf("%s:\n%s, want\n%s", test.name, got, test.want)
		}
	}
}
