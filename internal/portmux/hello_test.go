package portmux

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"
)

// clientHello is what a browser's first bytes are: with a post-quantum key share
// it does not fit one segment.
func clientHello(t *testing.T, name string) []byte {
	t.Helper()
	cfg := &tls.Config{ServerName: name}
	if name == "" {
		cfg.InsecureSkipVerify = true
	}
	return clientHelloOf(t, cfg)
}

func clientHelloOf(t *testing.T, cfg *tls.Config) []byte {
	t.Helper()
	near, far := net.Pipe()
	go func() {
		tls.Client(near, cfg).Handshake()
		near.Close()
	}()
	var hello []byte
	buf := make([]byte, 16<<10)
	n, err := far.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	hello = append(hello, buf[:n]...)
	for want := 5 + int(hello[3])<<8 + int(hello[4]); len(hello) < want; hello = append(hello, buf[:n]...) {
		if n, err = far.Read(buf); err != nil {
			t.Fatal(err)
		}
	}
	far.Close()
	return hello
}

// cut is a client that has said something, of which each Read gets a few bytes; when
// all is read it says so and is silent.
type cut struct {
	net.Conn
	rest    []byte
	parts   int
	silent  *sync.WaitGroup
	once    sync.Once
	closing chan struct{}
	closed  sync.Once
}

func (c *cut) Read(b []byte) (int, error) {
	if len(c.rest) == 0 {
		c.once.Do(c.silent.Done)
		<-c.closing
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), c.parts)], c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

func (c *cut) Write(b []byte) (int, error)      { return len(b), nil }
func (c *cut) Close() error                     { c.closed.Do(func() { close(c.closing) }); return nil }
func (c *cut) SetDeadline(time.Time) error      { return nil }
func (c *cut) SetReadDeadline(time.Time) error  { return nil }
func (c *cut) SetWriteDeadline(time.Time) error { return nil }
func (c *cut) LocalAddr() net.Addr              { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 443} }
func (c *cut) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:5000"))
}

// held is how many bytes of memory some clients cost that have said this and no more.
func held(cfg Config, clients, parts int, say []byte) int64 {
	m := New(cfg)
	var silent sync.WaitGroup
	var all []*cut
	for range clients {
		silent.Add(1)
		all = append(all, &cut{rest: say, parts: parts, silent: &silent, closing: make(chan struct{})})
	}
	memory := func() int64 {
		var s runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&s)
		return int64(s.HeapAlloc)
	}
	before := memory()
	for _, c := range all {
		m.take(c)
	}
	silent.Wait()
	cost := memory() - before
	for _, c := range all {
		c.Close()
	}
	m.handing.Wait()
	return cost
}

// TestHelloInBytesCostsNoMore holds that a ClientHello cut into single bytes takes no
// more memory than one that comes whole.
func TestHelloInBytesCostsNoMore(t *testing.T) {
	hello := clientHello(t, "turn.example.org")
	say := hello[:len(hello)-1]
	const clients = 200
	for what, forwards := range map[string][]Forward{"alone": nil, "with other servers": {{Host: "www.example.org", To: "127.0.0.1:1"}}} {
		cfg := Config{HTTP: http.NotFoundHandler(), STUN: func(c *Conn, _ bool) { c.Close() }, TLS: &tls.Config{}, Forwards: forwards}
		usual := func(parts int) int64 { // what tests before have left may come and go meanwhile
			var all []int64
			for range 5 {
				all = append(all, held(cfg, clients, parts, say)/clients)
			}
			slices.Sort(all)
			return all[len(all)/2]
		}
		whole, single := usual(len(say)), usual(1)
		t.Logf("%s, a connection with half a ClientHello of %d bytes holds %d bytes when it comes whole, %d in single bytes", what, len(hello), whole, single)
		if single > whole+whole/20 {
			t.Errorf("%s: in single bytes it costs %d bytes, whole %d", what, single, whole)
		}
	}
}

// echList is an ECHConfigList (RFC 9849 section 4) with one key and the name that the
// ClientHello outside carries.
func echList(t *testing.T, outer string) []byte {
	t.Helper()
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	vector := func(bytes int, b []byte) []byte {
		length := binary.BigEndian.AppendUint32(nil, uint32(len(b)))
		return append(length[4-bytes:], b...)
	}
	contents := []byte{7, 0, 0x20} // config_id, DHKEM(X25519, HKDF-SHA256)
	contents = append(contents, vector(2, key.PublicKey().Bytes())...)
	contents = append(contents, vector(2, []byte{0, 1, 0, 1})...) // HKDF-SHA256, AES-128-GCM
	contents = append(contents, 32)                               // maximum_name_length
	contents = append(contents, vector(1, []byte(outer))...)
	contents = append(contents, 0, 0) // no extensions
	return vector(2, append([]byte{0xfe, 0x0d}, vector(2, contents)...))
}

// TestForwardByOuterName has a ClientHello that is encrypted (ECH) go where its outer name
// leads, and arrive as it is: the inner one only the other server can read.
func TestForwardByOuterName(t *testing.T) {
	to := upstream(t, echo)
	b := start(t, func(c *Config) {
		c.Own = "calls.example.org"
		c.Forwards = []Forward{{Host: "front.example.org", To: to}, {Host: "secret.example.org", To: "127.0.0.1:1"}}
	})
	hello := clientHelloOf(t, &tls.Config{ServerName: "secret.example.org", MinVersion: tls.VersionTLS13, EncryptedClientHelloConfigList: echList(t, "front.example.org")})
	if bytes.Contains(hello, []byte("secret.example.org")) || !bytes.Contains(hello, []byte("front.example.org")) {
		t.Fatal("the ClientHello is not encrypted")
	}
	for how, say := range map[string][]byte{"one record": hello, "records of 100 bytes": records(hello, 100)} {
		for _, parts := range []int{1 << 20, 700, 1} {
			if got := sendHalf(t, b.dial(t), parts, say); got != string(say) {
				t.Errorf("%s in parts of %d: %d bytes came back of %d", how, parts, len(got), len(say))
			}
		}
	}
	if s := b.Stats(); s.Accepted["forward"] != 6 {
		t.Errorf("%+v", s)
	}
}

// TestGlance holds that a glance sees of a ClientHello what crypto/tls sees, or nothing.
func TestGlance(t *testing.T) {
	hello := clientHello(t, "www.example.org")
	if name, ok := serverName(append(hello[:len(hello):len(hello)], "more"...)); !ok || name != "www.example.org" {
		t.Errorf("%q, %v", name, ok)
	}
	for n := range hello {
		if name, ok := serverName(hello[:n]); ok {
			t.Errorf("of %d bytes it sees %q", n, name)
		}
	}
	for what, say := range map[string][]byte{"no name": clientHello(t, ""), "an address": clientHello(t, "192.0.2.1"), "records of 100 bytes": records(hello, 100)} {
		if name, ok := serverName(say); ok {
			t.Errorf("%s: it sees %q", what, name)
		}
	}
}
