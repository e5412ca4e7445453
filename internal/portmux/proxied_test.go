package portmux

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"turnhub/internal/forwarded"
	"turnhub/internal/proxyheader"
)

// claimed is the header by which a proxy says that somebody at an address came.
func claimed(version, client string) string {
	h := proxyheader.Header{Client: netip.AddrPortFrom(netip.MustParseAddr(client), 5000), Server: netip.MustParseAddrPort("192.0.2.1:443")}
	if h.Client.Addr().Is6() {
		h.Server = netip.MustParseAddrPort("[2001:db8::1]:443")
	}
	return string(proxyheader.Append(nil, version, h))
}

// behindProxy is a Mux that believes 127.0.0.1 and says who came, in each protocol.
func behindProxy(t *testing.T, change func(*Config)) bench {
	return start(t, func(c *Config) {
		proxies := forwarded.New([]netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, nil)
		c.Proxy = proxies.Named
		c.HTTP = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			client, direct := proxies.ClientAddress(r)
			fmt.Fprintf(w, "from=%s direct=%v;", client, direct)
		})
		c.STUN = func(c *Conn, _ bool) {
			defer c.Close()
			io.ReadFull(c, make([]byte, len(binding)))
			fmt.Fprintf(c, "from=%s to=%s told=%v;", c.RemoteAddr(), c.LocalAddr(), c.Told())
		}
		if change != nil {
			change(c)
		}
	})
}

// after says something with what stands before it, in TLS or not, in parts of some
// bytes or at once, and returns what is answered up to the semicolon.
func (b bench) after(t *testing.T, from, header string, secure bool, parts int, say string) string {
	t.Helper()
	conn, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).Dial("tcp", b.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	first := header
	if !secure {
		first += say
	}
	for len(first) > 0 {
		n := min(parts, len(first))
		if _, err := io.WriteString(conn, first[:n]); err != nil {
			return ""
		}
		first = first[n:]
	}
	top := conn
	if secure {
		top = tls.Client(conn, b.tls)
		io.WriteString(top, say)
	}
	all, _ := io.ReadAll(top)
	_, answer, _ := strings.Cut(string(all), "from=")
	answer, _, _ = strings.Cut(answer, ";")
	return answer
}

const request = "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

// TestProxyHeader has a named proxy say who came, before each protocol, in one piece
// and byte by byte; without a header the proxy itself has come.
func TestProxyHeader(t *testing.T) {
	b := behindProxy(t, nil)
	for _, version := range []string{proxyheader.V1, proxyheader.V2} {
		for _, secure := range []bool{false, true} {
			for _, parts := range []int{1, 7, 1 << 20} {
				for client, shown := range map[string]string{"203.0.113.9": "203.0.113.9:5000", "2001:db8::9": "[2001:db8::9]:5000"} {
					name := fmt.Sprint(version, " ", client, ", TLS ", secure, ", parts of ", parts)
					if got := b.after(t, "127.0.0.1", claimed(version, client), secure, parts, string(binding)); !strings.HasPrefix(got, shown+" to=") || !strings.HasSuffix(got, ":443 told=true") {
						t.Errorf("%s: STUN is from %q", name, got)
					}
					if got := b.after(t, "127.0.0.1", claimed(version, client), secure, parts, request); got != shown+" direct=false" {
						t.Errorf("%s: HTTP is from %q", name, got)
					}
				}
			}
		}
	}
	for _, own := range []string{"", "PROXY UNKNOWN\r\n", string(proxyheader.Append(nil, proxyheader.V2, proxyheader.Header{}))} {
		for _, secure := range []bool{false, true} {
			if got := b.after(t, "127.0.0.1", own, secure, 1<<20, string(binding)); !strings.HasPrefix(got, "127.0.0.1:") || !strings.HasSuffix(got, "told=false") {
				t.Errorf("%q: STUN is from %q", own, got)
			}
		}
	}
	if s := b.Stats(); len(s.Refused) != 0 {
		t.Errorf("%+v", s)
	}
}

// TestProxyHeaderRefused holds that nothing of a bad header, or of a stranger's, is
// believed, and that each is counted by its reason.
func TestProxyHeaderRefused(t *testing.T) {
	const v2 = "\r\n\r\n\x00\r\nQUIT\n"
	var mu sync.Mutex
	var strangers []string
	b := behindProxy(t, func(c *Config) {
		c.Unnamed = func(sender, claimed netip.Addr) {
			mu.Lock()
			defer mu.Unlock()
			strangers = append(strangers, fmt.Sprint(sender, " ", claimed))
		}
	})
	good := claimed(proxyheader.V2, "203.0.113.9")
	for _, tc := range []struct {
		from, header, reason string
		secure               bool
		say                  string
	}{
		{"127.0.0.2", good, "proxy_stranger", false, string(binding)},
		{"127.0.0.2", claimed(proxyheader.V1, "203.0.113.9"), "proxy_stranger", true, request},
		{"127.0.0.2", "PROXY UNKNOWN\r\n", "proxy_stranger", false, request},
		{"127.0.0.1", "PROXY TCP5 1.2.3.4 1.2.3.4 5 5\r\n", "proxy_malformed", false, request},
		{"127.0.0.1", v2 + "\x21\x11\x00\x04abcd", "proxy_malformed", false, request},
		{"127.0.0.1", v2 + "\x21\x00\x00\x00", "proxy_family", false, request},
		{"127.0.0.1", v2 + "\x21\x31\x00\xd8" + strings.Repeat("x", 216), "proxy_family", false, request},
		{"127.0.0.1", v2 + "\x20\x00\xff\xff", "proxy_long", false, request},
		{"127.0.0.1", "PROXY TCP4 " + strings.Repeat("1", 200), "proxy_long", false, request},
		{"127.0.0.1", good + good, "proxy_late", false, request},
		{"127.0.0.1", good + claimed(proxyheader.V1, "203.0.113.10"), "proxy_late", false, string(binding)},
		{"127.0.0.1", good, "proxy_late", true, good + request}, // in TLS the client has written it
		{"127.0.0.1", "", "proxy_late", true, claimed(proxyheader.V1, "203.0.113.10") + request},
	} {
		before := b.Stats().Refused[tc.reason]
		if got := b.after(t, tc.from, tc.header, tc.secure, 1<<20, tc.say); got != "" {
			t.Errorf("%q from %s: believed to be %q", tc.header, tc.from, got)
		}
		if after := b.Stats().Refused[tc.reason]; after != before+1 {
			t.Errorf("%q from %s: %d are counted as %s; %v", tc.header, tc.from, after-before, tc.reason, b.Stats().Refused)
		}
	}
	if want := "[127.0.0.2 203.0.113.9 127.0.0.2 203.0.113.9 127.0.0.2 invalid IP]"; fmt.Sprint(strangers) != want {
		t.Errorf("told of %v", strangers)
	}
	// After the first bytes it is what the client says: here a bad request.
	if got := b.after(t, "127.0.0.1", "", false, 1<<20, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n"+good); !strings.HasPrefix(got, "127.0.0.1:") {
		t.Errorf("a header after a request: %q", got)
	}
	// Half a header is waited for half a second, whatever else a client may take.
	begin := time.Now()
	if got := b.after(t, "127.0.0.1", good[:20], false, 1<<20, ""); got != "" || b.Stats().Refused["proxy_timeout"] != 1 || time.Since(begin) < headerPatience {
		t.Errorf("half a header: %q after %v, %v", got, time.Since(begin), b.Stats().Refused)
	}
}

// TestProxiedAreCounted holds that who comes through a proxy is counted like who
// comes directly, each household for itself, and the proxy not at all.
func TestProxiedAreCounted(t *testing.T) {
	b := behindProxy(t, func(c *Config) {
		c.ConnectionsPerIP = 2
		c.STUN = func(c *Conn, _ bool) { c.Write([]byte("here")); io.Copy(io.Discard, c); c.Close() }
	})
	knock := func(header string) (net.Conn, bool) {
		conn := b.dial(t)
		return conn, ask(t, conn, 4, header+string(binding)) == "here"
	}
	var held []net.Conn
	for _, client := range []string{"203.0.113.9", "203.0.113.9", "203.0.113.10", "2001:db8::9", "::ffff:203.0.113.10"} {
		conn, in := knock(claimed(proxyheader.V2, client))
		if !in {
			t.Fatalf("%s is refused: %+v", client, b.Stats())
		}
		held = append(held, conn)
	}
	for range 5 {
		if _, in := knock(""); !in {
			t.Fatal("the proxy itself is limited")
		}
	}
	for _, client := range []string{"203.0.113.9", "203.0.113.10"} {
		if _, in := knock(claimed(proxyheader.V1, client)); in {
			t.Errorf("%s has a third connection", client)
		}
	}
	if n := b.Stats().Refused["per_ip"]; n != 2 {
		t.Errorf("%+v", b.Stats())
	}
	held[0].Close()
	come(t, "the server has noticed", func() bool { return b.Stats().Open <= 9 })
	if _, in := knock(claimed(proxyheader.V2, "203.0.113.9")); !in {
		t.Error("the place of who left is not free")
	}
}

// TestProxiedLeaveNothingCounted ends a Mux under all sorts of proxied connections.
func TestProxiedLeaveNothingCounted(t *testing.T) {
	var m *Mux
	t.Run("", func(t *testing.T) {
		b := behindProxy(t, func(c *Config) { c.ConnectionsPerIP = 2 })
		m = b.Mux
		for i := range 40 {
			conn := b.dial(t)
			io.WriteString(conn, claimed(proxyheader.V2, fmt.Sprintf("203.0.113.%d", 1+i%7))[:20+i%9])
		}
	})
	if m.clients.Total() != 0 || m.places.Total() != 0 || m.waiting.Len() != 0 || m.Stats().Open != 0 {
		t.Errorf("left: %d connections, %d places, %d waiting", m.clients.Total(), m.places.Total(), m.waiting.Len())
	}
}
