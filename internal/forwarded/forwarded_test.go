package forwarded

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

func named(prefixes ...string) *Proxies {
	var list []netip.Prefix
	for _, p := range prefixes {
		list = append(list, netip.MustParsePrefix(p))
	}
	return New(list, nil)
}

// request is one from remote with headers "Name: value".
func request(remote string, headers ...string) *http.Request {
	r := httptest.NewRequest("GET", "http://turnhub.internal:8080/", nil)
	r.RemoteAddr = remote
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	return r
}

// TestClientAddress tries every form of the headers, from proxies that are named
// and from addresses that are not, loopback among them.
func TestClientAddress(t *testing.T) {
	p := named("10.0.0.0/8", "::1/128", "::ffff:192.0.2.0/120", "fe80::/10")
	for _, x := range []struct {
		remote  string
		headers []string
		want    string
		direct  bool
	}{
		{"9.9.9.9:5", nil, "9.9.9.9:5", true},
		{"[::ffff:9.9.9.9]:5", nil, "9.9.9.9:5", true},
		{"@", nil, "invalid AddrPort", false},

		// Not named: believed nothing, whoever it is.
		{"9.9.9.9:5", []string{"X-Forwarded-For: 1.1.1.1"}, "9.9.9.9:5", false},
		{"127.0.0.1:5", []string{"X-Forwarded-For: 1.1.1.1"}, "127.0.0.1:5", false},
		{"127.0.0.1:5", []string{"Forwarded: for=1.1.1.1"}, "127.0.0.1:5", false},
		{"[::ffff:127.0.0.1]:5", []string{"X-Forwarded-For: 1.1.1.1"}, "127.0.0.1:5", false},
		{"172.16.0.2:5", []string{"Via: 1.1 proxy"}, "172.16.0.2:5", false},
		{"172.16.0.2:5", []string{"X-Real-IP: 1.1.1.1"}, "172.16.0.2:5", false},
		{"172.16.0.2:5", []string{"CF-Connecting-IP: 1.1.1.1"}, "172.16.0.2:5", false},
		{"172.16.0.2:5", []string{"X-Forwarded-Proto: https"}, "172.16.0.2:5", false},
		{"@", []string{"X-Forwarded-For: 1.1.1.1"}, "invalid AddrPort", false},

		// Named.
		{"10.1.1.1:5", nil, "10.1.1.1:5", false},
		{"10.1.1.1:5", []string{"X-Forwarded-For: 1.1.1.1"}, "1.1.1.1:0", false},
		{"[::1]:5", []string{"X-Forwarded-For: 1.1.1.1"}, "1.1.1.1:0", false},
		{"[::ffff:10.1.1.1]:5", []string{"X-Forwarded-For: 1.1.1.1"}, "1.1.1.1:0", false},
		{"192.0.2.9:5", []string{"X-Forwarded-For: 1.1.1.1"}, "1.1.1.1:0", false}, // named in its IPv4-mapped form
		{"[fe80::7%eth0]:5", []string{"X-Forwarded-For: 1.1.1.1"}, "1.1.1.1:0", false},
		{"10.1.1.1:5", []string{"X-Forwarded-For: 6.6.6.6, 1.1.1.1"}, "1.1.1.1:0", false},
		{"10.1.1.1:5", []string{"X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 1.1.1.1, 10.2.2.2"}, "1.1.1.1:0", false},
		{"10.1.1.1:5", []string{"X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 1.1.1.1"}, "1.1.1.1:0", false},
		{"10.1.1.1:5", []string{"X-Forwarded-For: 10.3.3.3, 10.2.2.2"}, "10.3.3.3:0", false},
		{"10.1.1.1:5", []string{"X-Forwarded-For: 1.1.1.1:77"}, "1.1.1.1:0", false},
		{"10.1.1.1:5", []string{"X-Forwarded-For: [2a00::1]:77"}, "[2a00::1]:0", false},
		{"10.1.1.1:5", []string{"X-Forwarded-For: [2a00::1]"}, "[2a00::1]:0", false},
		{"10.1.1.1:5", []string{"X-Forwarded-For: 2a00::1"}, "[2a00::1]:0", false},
		{"10.1.1.1:5", []string{"X-Forwarded-For: ::ffff:1.1.1.1"}, "1.1.1.1:0", false},
		{"10.1.1.1:5", []string{"X-Forwarded-For: fe80::1%eth0"}, "[fe80::1]:0", false},
		{"10.1.1.1:5", []string{"X-Forwarded-For:   1.1.1.1 , "}, "1.1.1.1:0", false},
		// The proxy does not know who it was: nor do we, and nothing in front counts.
		{"10.1.1.1:5", []string{"X-Forwarded-For: nonsense"}, "10.1.1.1:5", false},
		{"10.1.1.1:5", []string{"X-Forwarded-For: 6.6.6.6, unknown"}, "10.1.1.1:5", false},
		{"10.1.1.1:5", []string{"X-Forwarded-For: 6.6.6.6, unknown, 10.2.2.2"}, "10.2.2.2:0", false},
		{"10.1.1.1:5", []string{"X-Forwarded-For: "}, "10.1.1.1:5", false},
		{"10.1.1.1:5", []string{"X-Real-IP: 6.6.6.6"}, "10.1.1.1:5", false},
		{"10.1.1.1:5", []string{"Via: 1.1 proxy"}, "10.1.1.1:5", false},

		{"10.1.1.1:5", []string{"Forwarded: for=1.1.1.1"}, "1.1.1.1:0", false},
		{"10.1.1.1:5", []string{`Forwarded: For="[2001:db8::1]:47"`}, "[2001:db8::1]:0", false},
		{"10.1.1.1:5", []string{`Forwarded: for="[2001:db8::1]"`}, "[2001:db8::1]:0", false},
		{"10.1.1.1:5", []string{`Forwarded: proto=https;by=203.0.113.43;for=1.1.1.1:80`}, "1.1.1.1:0", false},
		{"10.1.1.1:5", []string{`Forwarded: for=6.6.6.6, for=1.1.1.1;proto=http, for="10.2.2.2"`}, "1.1.1.1:0", false},
		{"10.1.1.1:5", []string{`Forwarded: for=6.6.6.6`, `Forwarded: for=1.1.1.1`}, "1.1.1.1:0", false},
		{"10.1.1.1:5", []string{`Forwarded: for="1.1.1.1:_hidden"`}, "1.1.1.1:0", false},
		{"10.1.1.1:5", []string{`Forwarded: for=6.6.6.6, for=_hidden`}, "10.1.1.1:5", false},
		{"10.1.1.1:5", []string{`Forwarded: for=6.6.6.6, for=unknown`}, "10.1.1.1:5", false},
		{"10.1.1.1:5", []string{`Forwarded: for=6.6.6.6, proto=https`}, "10.1.1.1:5", false},
		// A client's open quote in front of what the proxy adds.
		{"10.1.1.1:5", []string{`Forwarded: for="6.6.6.6, for=1.1.1.1`}, "10.1.1.1:5", false},
		{"10.1.1.1:5", []string{`Forwarded: for="`, `Forwarded: for="[2a00::1]"`}, "10.1.1.1:5", false},
		{"10.1.1.1:5", []string{`Forwarded: for=6.6.6.6;for=1.1.1.1`}, "10.1.1.1:5", false},

		// One header is the proxy's, the other was passed on as the client wrote it.
		{"10.1.1.1:5", []string{"X-Forwarded-For: 1.1.1.1", "Forwarded: for=1.1.1.1"}, "1.1.1.1:0", false},
		{"10.1.1.1:5", []string{"X-Forwarded-For: 1.1.1.1", "Forwarded: for=6.6.6.6"}, "10.1.1.1:5", false},
		{"10.1.1.1:5", []string{"X-Forwarded-For: 6.6.6.6", "Forwarded: for=1.1.1.1"}, "10.1.1.1:5", false},
		{"10.1.1.1:5", []string{"X-Forwarded-For: 6.6.6.6", "Forwarded: for=_hidden"}, "10.1.1.1:5", false},
	} {
		got, direct := p.ClientAddress(request(x.remote, x.headers...))
		if got.String() != x.want || direct != x.direct {
			t.Errorf("%s %q: %s %v, want %s %v", x.remote, x.headers, got, direct, x.want, x.direct)
		}
	}
}

// TestSecure reads how the person came: the first word is the client's.
func TestSecure(t *testing.T) {
	p := named("10.0.0.0/8")
	for _, x := range []struct {
		remote string
		header string
		want   bool
	}{
		{"10.1.1.1:5", "X-Forwarded-Proto: https", true},
		{"10.1.1.1:5", "X-Forwarded-Proto: HTTPS", true},
		{"10.1.1.1:5", "X-Forwarded-Proto: https, http", true},
		{"10.1.1.1:5", "X-Forwarded-Proto: https,https", true},
		{"10.1.1.1:5", "X-Forwarded-Proto:  https ,http", true},
		{"10.1.1.1:5", "X-Forwarded-Proto: wss", true}, // Traefik
		{"10.1.1.1:5", "X-Forwarded-Proto: http, https", false},
		{"10.1.1.1:5", "X-Forwarded-Proto: http", false},
		{"10.1.1.1:5", "X-Forwarded-Scheme: https", true},
		{"10.1.1.1:5", "X-Forwarded-Ssl: on", true},
		{"10.1.1.1:5", "X-Forwarded-Ssl: off", false},
		{"10.1.1.1:5", "Forwarded: for=1.1.1.1;proto=https, for=10.2.2.2;proto=http", true},
		{"10.1.1.1:5", `Forwarded: for=1.1.1.1;Proto="https"`, true},
		{"10.1.1.1:5", "Forwarded: for=1.1.1.1, for=10.2.2.2;proto=https", true},
		{"10.1.1.1:5", "Forwarded: for=1.1.1.1;proto=http, for=10.2.2.2;proto=https", false},
		{"9.9.9.9:5", "X-Forwarded-Proto: https", false},
		{"127.0.0.1:5", "X-Forwarded-Proto: https", false},
		{"127.0.0.1:5", "Forwarded: proto=https", false},
	} {
		if got := p.Secure(request(x.remote, x.header)); got != x.want {
			t.Errorf("%s %s: %v", x.remote, x.header, got)
		}
	}
	lines := request("10.1.1.1:5", "X-Forwarded-Proto: https", "X-Forwarded-Proto: http")
	if !p.Secure(lines) {
		t.Error("of two lines the first is the client's")
	}
	r := request("9.9.9.9:5")
	r.TLS = new(tls.ConnectionState)
	if !p.Secure(r) {
		t.Error("TLS here is not seen")
	}
}

func TestHost(t *testing.T) {
	p := named("10.0.0.0/8")
	for _, x := range []struct {
		remote  string
		headers []string
		want    string
	}{
		{"10.1.1.1:5", nil, "turnhub.internal:8080"},
		{"10.1.1.1:5", []string{"X-Forwarded-Host: calls.example"}, "calls.example"},
		{"10.1.1.1:5", []string{"X-Forwarded-Host: calls.example, inner"}, "calls.example"},
		{"10.1.1.1:5", []string{"X-Forwarded-Host: calls.example:443", "X-Forwarded-Proto: https"}, "calls.example"},
		{"10.1.1.1:5", []string{"X-Forwarded-Host: calls.example:443"}, "calls.example:443"},
		{"10.1.1.1:5", []string{"X-Forwarded-Host: calls.example", "X-Forwarded-Port: 8443"}, "calls.example:8443"},
		{"10.1.1.1:5", []string{"X-Forwarded-Host: calls.example:1", "X-Forwarded-Port: 8443"}, "calls.example:1"},
		{"10.1.1.1:5", []string{"X-Forwarded-Host: [2001:db8::1]", "X-Forwarded-Port: 80"}, "[2001:db8::1]"},
		{"10.1.1.1:5", []string{"X-Forwarded-Host: calls.example", "X-Forwarded-Port: 80x"}, "calls.example"},
		{"10.1.1.1:5", []string{"X-Forwarded-Port: 8443"}, "turnhub.internal:8080"},
		{"10.1.1.1:5", []string{`Forwarded: host="calls.example:99";for=1.1.1.1`}, "calls.example:99"},
		{"10.1.1.1:5", []string{"X-Forwarded-Host: a/../b"}, "turnhub.internal:8080"},
		{"10.1.1.1:5", []string{"X-Forwarded-Host: " + strings.Repeat("a", 256)}, "turnhub.internal:8080"},
		{"127.0.0.1:5", []string{"X-Forwarded-Host: evil.example"}, "turnhub.internal:8080"},
		{"9.9.9.9:5", []string{"Forwarded: host=evil.example"}, "turnhub.internal:8080"},
	} {
		if got := p.Host(request(x.remote, x.headers...)); got != x.want {
			t.Errorf("%s %q: %s, want %s", x.remote, x.headers, got, x.want)
		}
	}
}

// TestNobodyNamed is a server without proxies.
func TestNobodyNamed(t *testing.T) {
	var p *Proxies
	r := request("127.0.0.1:5", "X-Forwarded-For: 1.1.1.1", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil.example")
	if got, direct := p.ClientAddress(r); got.String() != "127.0.0.1:5" || direct {
		t.Error(got, direct)
	}
	if p.Secure(r) || p.From(r) || p.Named(netip.MustParseAddr("127.0.0.1")) || p.Host(r) != "turnhub.internal:8080" {
		t.Error("nobody is named, and somebody is believed")
	}
}

// TestUnnamedAreTold looks for the line that an operator needs, and that nobody
// can fill the log with it, nor keep it out by sending headers from elsewhere.
func TestUnnamedAreTold(t *testing.T) {
	var log bytes.Buffer
	p := New([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, slog.New(slog.NewJSONHandler(&log, nil)))
	for i := range 1000 {
		p.ClientAddress(request(fmt.Sprintf("9.9.%d.%d:5", i/256, i%256), "X-Forwarded-For: 1.1.1.1"))
	}
	if lines := strings.Count(log.String(), "\n"); lines != int(noticeRate.Burst) {
		t.Errorf("%d lines about 1000 addresses", lines)
	}
	if !strings.Contains(log.String(), "listen.trusted_proxies: [10.0.0.0/8, 9.9.0.0/32]") {
		t.Error(log.String())
	}
	log.Reset()
	for range 100 {
		p.ClientAddress(request("127.0.0.1:5", "Forwarded: for=1.1.1.1"))
	}
	if lines := strings.Count(log.String(), "\n"); lines != 1 || !strings.Contains(log.String(), `\n  listen.trusted_proxies: [10.0.0.0/8, 127.0.0.1/32, ::1/128]\n`) ||
		!strings.Contains(log.String(), `"from":"127.0.0.1","header":"Forwarded"`) {
		t.Error(log.String())
	}
	log.Reset()
	p.ClientAddress(request("172.16.0.2:5", "X-Forwarded-For: "+Claimed.String()))
	p.ClientAddress(request("172.16.0.2:5", "Forwarded: for="+Claimed.String()))
	p.ClientAddress(request("172.16.0.2:5", "Via: 1.1 squid"))
	p.ClientAddress(request("172.16.0.2:5"))
	p.ClientAddress(request("10.0.0.2:5", "X-Forwarded-For: 1.1.1.1"))
	if log.Len() > 0 {
		t.Errorf("told without a reason: %s", log.String())
	}
	p.ClientAddress(request("10.0.0.2:5", "X-Forwarded-For: 1.1.1.1", "Forwarded: for=6.6.6.6"))
	if !strings.Contains(log.String(), "name different clients") {
		t.Error(log.String())
	}
}

// FuzzForwarded holds that nothing a client writes in front of what a proxy adds
// changes whom the proxy names, to anybody but the proxy itself.
func FuzzForwarded(f *testing.F) {
	for _, seed := range []string{`for=6.6.6.6`, `for="`, `for="6.6.6.6`, `for=6.6.6.6;`, `;;,,`, `for="\"`, `for="\\"`, `by=x;for="[::1]:1"`, "for=\x00", `=`, `for`} {
		f.Add(seed)
	}
	p := named("10.0.0.0/8")
	f.Fuzz(func(t *testing.T, written string) {
		for _, header := range []string{"Forwarded", "X-Forwarded-For"} {
			adds := "for=1.1.1.1"
			if header == "X-Forwarded-For" {
				adds = "1.1.1.1"
			}
			r := request("10.1.1.1:5")
			r.Header[header] = []string{written + ", " + adds}
			if got, _ := p.ClientAddress(r); got.Addr().String() != "1.1.1.1" && got.Addr().String() != "10.1.1.1" {
				t.Errorf("%s: %q makes the client %s", header, r.Header[header], got)
			}
			r.Header[header] = []string{written, adds}
			if got, _ := p.ClientAddress(r); got.Addr().String() != "1.1.1.1" && got.Addr().String() != "10.1.1.1" {
				t.Errorf("%s: %q makes the client %s", header, r.Header[header], got)
			}
		}
	})
}

// TestPort reads the port that the person has typed, or the protocol's own.
func TestPort(t *testing.T) {
	proxies := New([]netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}, nil)
	for _, tc := range []struct {
		remote, host string
		headers      map[string]string
		tls          bool
		want         uint16
	}{
		{"198.51.100.7:1", "calls.example.org", nil, true, 443},
		{"198.51.100.7:1", "calls.example.org", nil, false, 80},
		{"198.51.100.7:1", "calls.example.org:80", nil, true, 80},
		{"198.51.100.7:1", "[2001:db8::1]", nil, true, 443},
		{"198.51.100.7:1", "[2001:db8::1]:8443", nil, true, 8443},
		{"198.51.100.7:1", "calls.example.org:99999", nil, true, 0},
		{"198.51.100.7:1", "calls.example.org", map[string]string{"X-Forwarded-Host": "x:80"}, true, 443},
		{"192.0.2.1:1", "calls.example.org", map[string]string{"X-Forwarded-Proto": "https"}, false, 443},
		{"192.0.2.1:1", "localhost", map[string]string{"X-Forwarded-Host": "calls.example.org:80", "X-Forwarded-Proto": "https"}, false, 80},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr, r.Host = tc.remote, tc.host
		if tc.tls {
			r.TLS = &tls.ConnectionState{}
		}
		for name, value := range tc.headers {
			r.Header.Set(name, value)
		}
		if got := proxies.Port(r); got != tc.want {
			t.Errorf("%+v: %d", tc, got)
		}
	}
}
