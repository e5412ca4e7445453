package portmux

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var binding = []byte("\x00\x01\x00\x00\x21\x12\xa4\x42abcdefghijkl")

// bench is a Mux on loopback whose STUN side echoes.
type bench struct {
	*Mux
	addr string
	tls  *tls.Config
}

func start(t *testing.T, change func(*Config)) bench {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	cfg := Config{
		HTTP: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "%s tls=%v from=%s", r.URL.Path, r.TLS != nil, r.RemoteAddr)
		}),
		STUN: func(c *Conn, secure bool) {
			defer c.Close()
			fmt.Fprintf(c, "secure=%v ", secure)
			io.Copy(c, c)
		},
		TLS: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
	}
	if change != nil {
		change(&cfg)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	b := bench{New(cfg), ln.Addr().String(), &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"}}
	var served sync.WaitGroup
	served.Go(func() { b.Serve(ctx, ln) })
	t.Cleanup(func() { cancel(); served.Wait() })
	return b
}

// ask sends the parts one after the other and returns what came until n bytes
// are there or the connection ended.
func ask(t *testing.T, c net.Conn, n int, parts ...string) string {
	t.Helper()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	for _, p := range parts {
		if _, err := c.Write([]byte(p)); err != nil {
			break
		}
	}
	b := make([]byte, n)
	got, _ := io.ReadFull(c, b)
	return string(b[:got])
}

func (b bench) dial(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", b.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func (b bench) dialTLS(t *testing.T, protos ...string) net.Conn {
	t.Helper()
	cfg := b.tls.Clone()
	cfg.NextProtos = protos
	c, err := tls.Dial("tcp", b.addr, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestProtocols(t *testing.T) {
	b := start(t, nil)
	stun := string(binding)
	split := strings.Split(stun, "")
	const request = "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
	for name, tc := range map[string]struct {
		conn net.Conn
		send []string
		want string
	}{
		"turn":                      {b.dial(t), []string{stun}, "secure=false " + stun},
		"turn byte by byte":         {b.dial(t), split, "secure=false " + stun},
		"turns without ALPN":        {b.dialTLS(t), []string{stun}, "secure=true " + stun},
		"turns, byte by byte":       {b.dialTLS(t), split, "secure=true " + stun},
		"turns with ALPN":           {b.dialTLS(t, ALPNTURN), []string{stun}, "secure=true " + stun},
		"stuns with ALPN":           {b.dialTLS(t, ALPNSTUN), []string{stun}, "secure=true " + stun},
		"both of RFC 7443":          {b.dialTLS(t, ALPNSTUN, ALPNTURN), []string{stun}, "secure=true " + stun},
		"both ALPN, HTTP preferred": {b.dialTLS(t, ALPNHTTP, ALPNTURN), []string{request}, "HTTP/1.1 200 OK"},
		"http":                      {b.dial(t), []string{request}, "HTTP/1.1 200 OK"},
		"http byte by byte":         {b.dial(t), strings.Split(request, ""), "HTTP/1.1 200 OK"},
		"https without ALPN":        {b.dialTLS(t), []string{request}, "HTTP/1.1 200 OK"},
		"h2 offered as well":        {b.dialTLS(t, "h2", ALPNHTTP), []string{request}, "HTTP/1.1 200 OK"},
		"channel data first":        {b.dial(t), []string{"\x40\x00\x00\x04abcd"}, ""},
		"ssh":                       {b.dial(t), []string{"SSH-2.0-x\r\n"}, ""},
		"http/2 without TLS":        {b.dial(t), []string{"PRI * HTTP/2.0\r\n\r\n"}, ""},
		"TLS in TLS":                {b.dialTLS(t), []string{"\x16\x03\x01\x00\x05hello"}, ""},
	} {
		if got := ask(t, tc.conn, max(len(tc.want), 1), tc.send...); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

func TestRequestKnowsClientAndTLS(t *testing.T) {
	b := start(t, nil)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: b.tls, DisableKeepAlives: true}}
	for scheme, want := range map[string]string{"http": "/a tls=false from=127.0.0.1:", "https": "/a tls=true from=127.0.0.1:"} {
		res, err := client.Get(scheme + "://" + b.addr + "/a")
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if !strings.HasPrefix(string(body), want) {
			t.Errorf("%s: %q", scheme, body)
		}
	}
	if s := b.Stats(); s.Accepted["http"] != 1 || s.Accepted["https"] != 1 {
		t.Errorf("%+v", s)
	}
}

func TestTLSOnPlainPortGetsAlert(t *testing.T) {
	b := start(t, func(c *Config) { c.TLS = nil })
	_, err := tls.Dial("tcp", b.addr, &tls.Config{InsecureSkipVerify: true})
	if err == nil || !strings.Contains(err.Error(), "handshake failure") {
		t.Error(err)
	}
}

func TestSilentClientIsCutOff(t *testing.T) {
	b := start(t, func(c *Config) { c.IdentifyTimeout = 20 * time.Millisecond })
	for _, send := range []string{"", "GE", "\x16"} {
		if got := ask(t, b.dial(t), 1, send); got != "" {
			t.Errorf("after %q: %q", send, got)
		}
	}
	if s := b.Stats(); s.Refused["timeout"] != 3 {
		t.Errorf("%+v", s)
	}
	b = start(t, func(c *Config) { c.IdentifyTimeout = 2 * time.Second }) // enough to begin with TLS in any case
	if got := ask(t, b.dial(t), 1, "\x16\x03\x01\x40\x00"); got != "" {
		t.Errorf("after half a record: %q", got)
	}
	if s := b.Stats(); s.Refused["tls"] != 1 {
		t.Errorf("%+v", s)
	}
	b = start(t, func(c *Config) { c.IdentifyTimeout = 2 * time.Second })
	if got := ask(t, b.dialTLS(t), 1, "\x00\x01"); got != "" {
		t.Errorf("in TLS: %q", got)
	}
	if s := b.Stats(); s.Refused["timeout"] != 1 {
		t.Errorf("%+v", s)
	}
}

func TestOldestMakesRoom(t *testing.T) {
	b := start(t, func(c *Config) { c.Unidentified, c.Patience = 2, time.Nanosecond })
	silent := []net.Conn{b.dial(t), b.dial(t)}
	third := b.dial(t)
	if got := ask(t, silent[0], 1); got != "" {
		t.Errorf("the oldest got %q", got)
	}
	if got := ask(t, third, 13, string(binding)); got != "secure=false " {
		t.Errorf("the newest got %q", got)
	}
	if got := ask(t, silent[1], 13, string(binding)); got != "secure=false " {
		t.Errorf("the second got %q", got)
	}
	if s := b.Stats(); s.Refused["crowded"] != 1 || s.Refused["closed"] != 0 {
		t.Errorf("%+v", s)
	}
}

// TestCrowdAtOnce has far more clients come in the same moment than may wait, as
// after a restart of the server: all get in at the first try, those that are slow
// with their TLS handshakes too.
func TestCrowdAtOnce(t *testing.T) {
	b := start(t, func(c *Config) { c.Unidentified, c.Patience = 16, time.Hour })
	var clients sync.WaitGroup
	for range 300 {
		clients.Go(func() {
			conn, err := tls.Dial("tcp", b.addr, b.tls)
			if err != nil {
				t.Errorf("a client is refused: %v", err)
				return
			}
			defer conn.Close()
			if got := ask(t, conn, 12, string(binding)); got != "secure=true " {
				t.Errorf("a client got %q", got)
			}
		})
	}
	clients.Wait()
	if s := b.Stats(); s.Refused["crowded"] != 0 || s.Accepted["turns"] != 300 {
		t.Errorf("%+v", s)
	}
}

func TestConnectionsPerIP(t *testing.T) {
	b := start(t, func(c *Config) { c.ConnectionsPerIP = 2 })
	first, second := b.dial(t), b.dial(t)
	ask(t, first, 13, string(binding))
	ask(t, second, 13, string(binding))
	if third, err := net.Dial("tcp", b.addr); err == nil { // the reset may come as early as this
		if got := ask(t, third, 1, string(binding)); got != "" {
			t.Errorf("the third got %q", got)
		}
		third.Close()
	}
	first.Close()
	for { // until the server has noticed
		if s := b.Stats(); s.Open == 1 {
			break
		}
	}
	if got := ask(t, b.dial(t), 13, string(binding)); got != "secure=false " {
		t.Errorf("after one left: %q", got)
	}
	if s := b.Stats(); s.Refused["per_ip"] != 1 {
		t.Errorf("%+v", s)
	}

	proxied := start(t, func(c *Config) {
		c.ConnectionsPerIP = 1
		c.Proxy = netip.MustParsePrefix("127.0.0.0/8").Contains
	})
	for range 3 {
		if got := ask(t, proxied.dial(t), 13, string(binding)); got != "secure=false " {
			t.Errorf("a proxy is limited: %q", got)
		}
	}
}

// from is a connection that seems to come from an address.
type from struct {
	net.Conn
	addr netip.Addr
}

func (c from) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(netip.AddrPortFrom(c.addr, 1)) }

// TestConnectionsPerNetwork has all homes of a /48 connect, and all of a /24: they
// get as many places as 16 of them, and others are not touched by it.
func TestConnectionsPerNetwork(t *testing.T) {
	m := New(Config{ConnectionsPerIP: 2, HTTP: http.NotFoundHandler(), STUN: func(c *Conn, _ bool) { c.Close() }})
	open := func(addr netip.Addr) (far net.Conn, in bool) {
		near, far := net.Pipe()
		before := m.Stats().Open
		m.take(from{near, addr})
		if m.Stats().Open == before {
			far.Close()
			return nil, false
		}
		return far, true
	}
	home := func(i int) netip.Addr {
		return netip.AddrFrom16([16]byte{0: 0x20, 1: 0x01, 2: 0x0d, 3: 0xb8, 7: byte(i), 15: 1})
	}
	four := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}) }
	var all []net.Conn
	for _, address := range []func(int) netip.Addr{home, four} {
		for i := range 200 {
			if far, in := open(address(i / 2)); in {
				all = append(all, far)
			}
		}
	}
	if len(all) != 64 {
		t.Errorf("a /48 and a /24 have %d connections, want 32 each", len(all))
	}
	if _, in := open(home(0)); in {
		t.Error("one household has a third connection")
	}
	for _, other := range []string{"2001:db8:1::1", "203.0.114.1"} {
		far, in := open(netip.MustParseAddr(other))
		if !in {
			t.Fatalf("%s pays for its neighbours", other)
		}
		all = append(all, far)
	}
	if s := m.Stats(); s.Refused["per_network"] != 2*(200-32) || s.Refused["per_ip"] != 1 {
		t.Errorf("%+v", s)
	}
	for _, far := range all {
		far.Close()
	}
	m.handing.Wait()
	if m.clients.Total() != 0 {
		t.Errorf("%d are counted and none is there", m.clients.Total())
	}
}

// TestSlowNetworkCrowdsNobodyOut has all homes of a /48 connect and say nothing yet:
// they get a quarter of the places of those who have not said what they are, though
// they may have as many connections as there are places, and others are let in.
func TestSlowNetworkCrowdsNobodyOut(t *testing.T) {
	var log bytes.Buffer
	m := New(Config{ConnectionsPerIP: 4, Unidentified: 64, Patience: time.Hour, Logger: slog.New(slog.NewTextHandler(&log, nil)),
		HTTP: http.NotFoundHandler(), STUN: func(c *Conn, _ bool) { c.Close() }})
	var all []net.Conn
	open := func(addr netip.Addr) (in bool) {
		near, far := net.Pipe()
		before := m.Stats().Open
		m.take(from{near, addr})
		all = append(all, far)
		return m.Stats().Open > before
	}
	got := 0
	for i := range 64 {
		if open(netip.AddrFrom16([16]byte{0: 0x20, 1: 0x01, 2: 0x0d, 3: 0xb8, 7: byte(i), 15: 1})) {
			got++
		}
	}
	if got != 16 || m.Stats().Refused["crowded"] != 48 {
		t.Errorf("a /48 has %d of 64 places; %+v", got, m.Stats())
	}
	if !m.room(t.Context()) || !open(netip.MustParseAddr("9.9.9.9")) {
		t.Error("another one does not get in")
	}
	if n := strings.Count(log.String(), "TCP connections are refused"); n != 1 || !strings.Contains(log.String(), "limits.connections_per_ip") {
		t.Errorf("%d lines about it:\n%s", n, log.String())
	}
	for _, far := range all {
		far.Close()
	}
	m.handing.Wait()
	if m.places.Total() != 0 || m.clients.Total() != 0 || m.waiting.Len() != 0 {
		t.Errorf("left: %d places, %d connections, %d waiting", m.places.Total(), m.clients.Total(), m.waiting.Len())
	}
}

// failing is a listener that is out of file descriptors a few times.
type failing struct {
	net.Listener
	left int
}

func (f *failing) Accept() (net.Conn, error) {
	if f.left > 0 {
		f.left--
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	return f.Listener.Accept()
}

func TestAcceptErrorsAreWaitedOut(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := New(Config{STUN: func(c *Conn, _ bool) { c.Write([]byte("here")); c.Close() }})
	ctx, cancel := context.WithCancel(context.Background())
	var served sync.WaitGroup
	served.Go(func() { m.Serve(ctx, &failing{ln, 3}) })
	defer served.Wait()
	defer cancel()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := ask(t, c, 4, string(binding)); got != "here" {
		t.Errorf("%q", got)
	}
	if n := m.Stats().AcceptErrors; n != 3 {
		t.Errorf("%d accept errors", n)
	}
}

func TestServeEndsEverything(t *testing.T) {
	ended := make(chan struct{})
	m := New(Config{
		HTTP: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			c.Write([]byte("mine"))
			go func() { io.Copy(io.Discard, c); close(ended) }()
		}),
		STUN: func(c *Conn, _ bool) { c.Write([]byte("here")); io.Copy(io.Discard, c); c.Close() },
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var served sync.WaitGroup
	served.Go(func() { m.Serve(ctx, ln) })
	var conns []net.Conn
	for range 3 {
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns = append(conns, c)
	}
	ask(t, conns[0], 4, string(binding))
	ask(t, conns[1], 4, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	cancel() // the third has said nothing
	served.Wait()
	<-ended
	for i, c := range conns {
		if got := ask(t, c, 1); got != "" {
			t.Errorf("connection %d: %q", i, got)
		}
	}
	if s := m.Stats(); s.Open != 0 {
		t.Errorf("%+v", s)
	}
}

func TestSniff(t *testing.T) {
	for in, want := range map[string]Protocol{
		"":                             Undecided,
		"\x16":                         Undecided,
		"\x16\x03":                     TLS,
		"\x16\x02":                     Unknown,
		"\x00\x01\x00\x00":             Undecided,
		"\x00\x01\x00\x00\x21\x12":     Undecided,
		"\x00\x01\x00\x00\x21\x13":     Unknown,
		string(binding):                STUN,
		"\x40\x00\x00\x00":             Unknown,
		"\x80\x01":                     Unknown,
		"G":                            Undecided,
		"GET":                          Undecided,
		"GET ":                         HTTP,
		"GETS":                         Unknown,
		"P":                            Undecided,
		"PO":                           Undecided,
		"PRI * HT":                     Unknown,
		"OPTIONS ":                     HTTP,
		"OPTION /":                     Unknown,
		"get ":                         Unknown,
		"\xff\xff\xff\xff\xff\xff\xff": Unknown,
	} {
		if got := Sniff([]byte(in)); got != want {
			t.Errorf("%q: %v, want %v", in, got, want)
		}
	}
}

// FuzzSniff holds that eight bytes always decide, that a decision never changes
// with more bytes, and that what is found is there.
func FuzzSniff(f *testing.F) {
	for _, s := range []string{"GET / HTTP/1.1\r\n", "\x16\x03\x01\x02\x00\x01", string(binding), "\x16\x03\x00\x00\x21\x12\xa4\x42", "@ABCDEFGH", "OPTIONS * HTTP/1.1"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		whole := Sniff(b)
		if len(b) >= sniffLength && whole == Undecided {
			t.Fatalf("%q decides nothing", b)
		}
		for i := range b {
			if p := Sniff(b[:i]); p != Undecided && p != whole {
				t.Fatalf("%q is %v, %q is %v", b[:i], p, b, whole)
			}
		}
		switch whole {
		case STUN:
			if b[0]&0xC0 != 0 || !bytes.Equal(b[4:8], []byte{0x21, 0x12, 0xA4, 0x42}) {
				t.Fatalf("%q is no STUN", b)
			}
		case HTTP:
			if _, err := bufio.NewReader(bytes.NewReader(b)).ReadString(' '); err != nil {
				t.Fatalf("%q is no HTTP", b)
			}
		}
	})
}
