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
	"math/big"
	"net"
	"net/http"
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
	stop func() // ends it; so does the end of the test
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
	b := bench{Mux: New(cfg), addr: ln.Addr().String(), tls: &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"}}
	var served sync.WaitGroup
	served.Go(func() { b.Serve(ctx, ln) })
	b.stop = func() { cancel(); served.Wait() }
	t.Cleanup(b.stop)
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

// come waits until something is so.
func come(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	end := time.After(30 * time.Second)
	for !is() {
		select {
		case <-end:
			t.Fatalf("after 30 s it is still not so that %s", what)
		case <-tick.C:
		}
	}
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
