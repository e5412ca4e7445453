package probe

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"

	"turnhub/internal/forwarded"
)

// fronted is a server's /config behind a reverse proxy, which changes the headers
// of what it passes on. Without change there is no proxy.
func fronted(t *testing.T, named string, change func(in, out *http.Request)) (url string) {
	t.Helper()
	var prefixes []netip.Prefix
	if named != "" {
		prefixes = append(prefixes, netip.MustParsePrefix(named))
	}
	proxies := forwarded.New(prefixes, nil)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		client, _ := proxies.ClientAddress(r)
		fmt.Fprintf(w, `{"iceServers":[],"client":"%s"}`, client.Addr())
	}))
	t.Cleanup(server.Close)
	if change == nil {
		return server.URL
	}
	target := mustParse(t, server.URL)
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		for _, name := range []string{"X-Forwarded-For", "Forwarded"} { // ReverseProxy has removed them
			r.Out.Header[name] = r.In.Header[name]
		}
		change(r.In, r.Out)
	}})
	t.Cleanup(proxy.Close)
	return proxy.URL
}

func mustParse(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// TestForgedHeaders asks servers behind proxies that are set up well and badly,
// named and not.
func TestForgedHeaders(t *testing.T) {
	passing := func(in, out *http.Request) {}
	overwriting := func(in, out *http.Request) {
		out.Header.Set("X-Forwarded-For", "127.0.0.1")
		out.Header.Del("Forwarded")
	}
	half := func(in, out *http.Request) { out.Header.Set("X-Forwarded-For", "127.0.0.1") }
	appending := func(in, out *http.Request) {
		out.Header.Set("X-Forwarded-For", strings.TrimPrefix(in.Header.Get("X-Forwarded-For")+", 10.1.1.1", ", "))
		out.Header.Del("Forwarded")
	}
	for name, x := range map[string]struct {
		named   string
		change  func(in, out *http.Request)
		own     bool
		list    Verdict
		element Verdict
	}{
		"no proxy, none named":     {"", nil, false, OK, OK},
		"not named, passing on":    {"", passing, false, OK, OK},
		"not named, overwriting":   {"", overwriting, false, OK, OK},
		"named, passing on":        {"127.0.0.1/32", passing, false, Failed, Failed},
		"named, overwriting":       {"127.0.0.1/32", overwriting, false, OK, OK},
		"named, appending":         {"127.0.0.1/32", appending, false, OK, OK},
		"named, overwriting one":   {"127.0.0.1/32", half, false, OK, OK}, // neither is believed
		"from the proxy's machine": {"127.0.0.1/32", nil, true, Skipped, Skipped},
	} {
		c := &checker{}
		if x.own {
			c.cfg.Side = Layout{}.Side
		}
		s, err := parseSite(fronted(t, x.named, x.change))
		if err != nil {
			t.Fatal(err)
		}
		rows := c.front(context.Background(), s, iceConfig{fetched: true})
		if len(rows) != 3 || rows[0].Verdict != x.list || rows[1].Verdict != x.element || rows[2].Verdict != OK { // net/http takes no PROXY header
			t.Errorf("%s: %+v", name, rows)
		}
		if CallsFail(rows) || Succeeded(rows) == (x.list == Failed) {
			t.Errorf("%s: who believes what is forged still carries calls: %+v", name, rows)
		}
		for _, row := range rows {
			if row.Verdict != OK && row.Remedy == "" {
				t.Errorf("%s: no remedy: %+v", name, row)
			}
		}
	}
}

// TestHides tells a proxy's address from one's own.
func TestHides(t *testing.T) {
	for _, x := range []struct {
		from, to, believed string
		want               bool
	}{
		{"198.18.0.1", "8.8.8.8", "9.9.9.9", false},          // behind this network's NAT
		{"9.9.9.9", "8.8.8.8", "9.9.9.9", false},             //
		{"192.168.1.9", "8.8.8.8", "127.0.0.1", true},        // a proxy on the server itself
		{"192.168.1.9", "192.168.1.2", "127.0.0.1", true},    // the same in one network
		{"192.168.1.9", "8.8.8.8", "10.0.0.7", true},         // a proxy beside the server
		{"192.168.1.9", "8.8.8.8", "8.8.8.8", true},          // a proxy that connects from where it listens
		{"192.168.1.9", "192.168.1.2", "192.168.1.9", false}, //
		{"127.0.0.1", "127.0.0.1", "127.0.0.1", false},       // one machine: nobody can tell
		{"8.8.8.8", "8.8.8.8", "8.8.8.8", false},             // the server itself, by its public address
		{"2001:db8::9", "2001:db8::1", "::1", true},
	} {
		r := route{netip.MustParseAddr(x.from), netip.MustParseAddr(x.to)}
		if got := r.hides(netip.MustParseAddr(x.believed)); got != x.want {
			t.Errorf("%+v: %v", x, got)
		}
	}
	if (route{}).hides(netip.MustParseAddr("127.0.0.1")) {
		t.Error("an unknown way hides somebody")
	}
}

// TestSocketURL judges the URL that a server behind a proxy hands out.
func TestSocketURL(t *testing.T) {
	for _, x := range []struct {
		site, socket string
		want         Verdict
	}{
		{"https://calls.example", "wss://calls.example/ws", ""},
		{"https://calls.example", "ws://calls.example/ws", Failed},
		{"https://calls.example", "wss://127.0.0.1:8080/ws", Warned},
		{"https://calls.example", "ws://127.0.0.1:8080/ws", Failed},
		{"http://calls.example", "ws://calls.example/ws", ""},
		{"http://calls.example", "", ""},
	} {
		s, err := parseSite(x.site)
		if err != nil {
			t.Fatal(err)
		}
		rows := (&checker{}).socketURL(s, x.socket)
		if (len(rows) == 0) != (x.want == "") || len(rows) > 0 && rows[0].Verdict != x.want {
			t.Errorf("%+v: %+v", x, rows)
		}
	}
}

// TestSeenOverUDP compares where the server sees this machine by each transport.
func TestSeenOverUDP(t *testing.T) {
	const own, other, proxy, sixth = "203.0.113.20", "203.0.113.21", "10.0.0.1", "2001:db8::1"
	row := func(over, seen string) Row {
		return Row{Verdict: OK, Subject: "turn:calls.example?transport=tcp", over: over, seen: netip.MustParseAddr(seen)}
	}
	for name, x := range map[string]struct {
		rows []Row
		want []int // which are warned of
	}{
		"all alike":               {[]Row{row("udp", own), row("udp", own), row("tcp", own), row("tls", own)}, nil},
		"a proxy before TCP":      {[]Row{row("tcp", proxy), row("tls", own), row("udp", own)}, []int{0}},
		"before both":             {[]Row{row("tcp", proxy), row("tls", proxy), row("udp", own)}, []int{0, 1}},
		"UDP does not pass":       {[]Row{row("tcp", proxy), {Verdict: Failed, Subject: "turn:calls.example"}}, nil},
		"several ways out":        {[]Row{row("tcp", proxy), row("udp", own), row("udp", other)}, nil},
		"another family over UDP": {[]Row{row("tcp", proxy), row("udp", sixth)}, nil},
		"nothing":                 {nil, nil},
	} {
		seeProxies(x.rows)
		var got []int
		for i, r := range x.rows {
			if r.Verdict == Warned {
				got = append(got, i)
				if !strings.Contains(r.Detail, own) || !strings.Contains(r.Remedy, "send-proxy-v2") {
					t.Errorf("%s: %+v", name, r)
				}
			}
		}
		if !slices.Equal(got, x.want) {
			t.Errorf("%s: %v are warned of", name, got)
		}
	}
}
