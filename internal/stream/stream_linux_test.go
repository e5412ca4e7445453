package stream

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"
) // bridge is a layer as the port's multiplexer has it.
type bridge struct {
	net.Conn
	first  []byte
	closed chan struct{}
	once   sync.Once
}

func (b *bridge) Buffered() []byte      { return b.first }
func (b *bridge) NetConn() net.Conn     { return b.Conn }
func (b *bridge) SetNetConn(c net.Conn) { b.Conn, b.first = c, nil }

func (b *bridge) Read(p []byte) (int, error) {
	if len(b.first) > 0 {
		n := copy(p, b.first)
		b.first = b.first[n:]
		return n, nil
	}
	return b.Conn.Read(p)
}

func (b *bridge) Close() error {
	b.once.Do(func() {
		if b.closed != nil {
			close(b.closed)
		}
	})
	return b.Conn.Close()
}

// far is the client's end, and raw the TCP connection below it.
type far struct {
	net.Conn
	raw *net.TCPConn
}

// sourceFunc makes a Source of a function.
type sourceFunc func(Events)

func (f sourceFunc) Ready(e Events) { f(e) }

var certificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"here"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

// pair connects a client with a layered server connection.
func pair(t *testing.T, secure bool, config func(client, server *tls.Config)) (far, net.Conn, *bridge) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	near := make(chan net.Conn, 1)
	go func() {
		c, err := ln.Accept()
		if err != nil {
			t.Error(err)
		}
		near <- c
	}()
	out, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	_ = out.SetDeadline(time.Now().Add(20 * time.Second))
	client := far{out, out.(*net.TCPConn)}
	layer := &bridge{Conn: <-near, closed: make(chan struct{})}
	t.Cleanup(func() { layer.Close() })
	if !secure {
		return client, layer, layer
	}
	theirs, ours := &tls.Config{InsecureSkipVerify: true}, &tls.Config{Certificates: []tls.Certificate{certificate()}}
	if config != nil {
		config(theirs, ours)
	}
	server := tls.Server(layer, ours)
	shaken := make(chan error, 1)
	go func() { shaken <- server.Handshake() }()
	over := tls.Client(out, theirs)
	if err := errors.Join(over.Handshake(), <-shaken); err != nil {
		t.Fatal(err)
	}
	client.Conn = over
	return client, server, layer
}

// turning runs a loop for as long as the test lasts.
func turning(t testing.TB) *Loop {
	t.Helper()
	l, err := NewLoop(64)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	ended := false
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.Run(func() bool {
			mu.Lock()
			defer mu.Unlock()
			return ended
		}, func() {})
	}()
	t.Cleanup(func() {
		mu.Lock()
		ended = true
		mu.Unlock()
		l.Wake()
		<-done
		l.Close()
	})
	return l
}

// echo sends back what comes, and closes when the client has ended.
type echo struct {
	conn  *Conn
	piece int // bytes that are received at once
	ended chan error
}

func (e *echo) Ready(Events) {
	if left, err := e.conn.Flush(); left > 0 && err == nil {
		return // not read further: the client does not
	}
	b := make([]byte, e.piece)
	n, err := e.conn.Receive(b)
	if n > 0 && err == nil {
		err = e.conn.Send(b[:n])
	} else if n > 0 {
		_ = e.conn.Send(b[:n])
	}
	e.conn.Await(false)
	if err != nil {
		e.conn.Close()
		e.ended <- err
	}
}

func start(t *testing.T, l *Loop, near net.Conn, piece int) *echo {
	t.Helper()
	c, err := Take(near)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	e := &echo{conn: c, piece: piece, ended: make(chan error, 1)}
	if err := c.Attach(l, e); err != nil {
		t.Fatal(err)
	}
	return e
}

func both(t *testing.T, test func(t *testing.T, secure bool)) {
	t.Run("TCP", func(t *testing.T) { test(t, false) })
	t.Run("TLS", func(t *testing.T) { test(t, true) })
}

// TestEcho: all bytes come through in order, however they are cut on the way, and
// however little is received at once.
func TestEcho(t *testing.T) {
	both(t, func(t *testing.T, secure bool) {
		l := turning(t)
		sent := make([]byte, 1<<20)
		_, _ = rand.Read(sent)
		for _, piece := range []int{1, 7, 1000, 1 << 16} {
			client, near, layer := pair(t, secure, nil)
			e := start(t, l, near, piece)
			want := sent[:min(len(sent), 2000*piece)]
			go func() { _, _ = client.Write(want) }()
			got := make([]byte, len(want))
			if _, err := io.ReadFull(client, got); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("pieces of %d: %v, or other bytes", piece, err)
			}
			client.Close()
			if err := <-e.ended; !errors.Is(err, io.EOF) {
				t.Fatalf("ended with %v", err)
			}
			<-layer.closed
		}
	})
}

// cutter writes what TLS sends in two pieces, cut at every place in turn.
type cutter struct {
	net.Conn
	at int
}

func (c *cutter) Write(b []byte) (int, error) {
	at := min(c.at, len(b))
	for _, piece := range [][]byte{b[:at], b[at:]} {
		if _, err := c.Conn.Write(piece); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

// TestRecordsCutAnywhere: a record may come in two pieces wherever TCP cuts it.
func TestRecordsCutAnywhere(t *testing.T) {
	l := turning(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	out, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	_ = out.SetDeadline(time.Now().Add(20 * time.Second))
	_ = out.(*net.TCPConn).SetNoDelay(true)
	in, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	server := tls.Server(&bridge{Conn: in, closed: make(chan struct{})}, &tls.Config{Certificates: []tls.Certificate{certificate()}})
	go func() { _ = server.Handshake() }()
	cut := &cutter{Conn: out, at: 1 << 20}
	client := tls.Client(cut, &tls.Config{InsecureSkipVerify: true})
	if err := client.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := server.Handshake(); err != nil { // waits until the other call is through
		t.Fatal(err)
	}
	start(t, l, server, 1<<16)
	message := []byte("a message that is cut")
	for at := range 5 + len(message) + 1 + 16 { // header, type and tag: RFC 8446 section 5.2
		cut.at = at
		if _, err := client.Write(message); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(message))
		if _, err := io.ReadFull(client, got); err != nil || !bytes.Equal(got, message) {
			t.Fatalf("cut at %d: %q, %v", at, got, err)
		}
	}
}

// TestWhatWasReadBefore: bytes that a layer has read, and those that TLS has, come first
// and without the socket's being ready.
func TestWhatWasReadBefore(t *testing.T) {
	both(t, func(t *testing.T, secure bool) {
		client, near, layer := pair(t, secure, nil)
		if _, err := client.Write([]byte("here already")); err != nil {
			t.Fatal(err)
		}
		if secure {
			one := make([]byte, 1)
			if _, err := io.ReadFull(near, one); err != nil || one[0] != 'h' {
				t.Fatal(one, err) // the rest is decrypted and in TLS's hands
			}
			near = &bridge{Conn: near, first: []byte("h"), closed: make(chan struct{})}
		} else {
			layer.first = make([]byte, 5)
			if _, err := io.ReadFull(layer.Conn, layer.first); err != nil {
				t.Fatal(err)
			}
		}
		start(t, turning(t), near, 100)
		got := make([]byte, len("here already"))
		if _, err := io.ReadFull(client, got); err != nil || string(got) != "here already" {
			t.Fatalf("got %q, %v", got, err)
		}
	})
}

// TestRefusedConnectionsStayAsTheyAre: what cannot be taken can still be served.
func TestRefusedConnectionsStayAsTheyAre(t *testing.T) {
	client, near, layer := pair(t, true, nil)
	for name, conn := range map[string]net.Conn{
		"no TCP":                      &bridge{Conn: pipe(t), closed: make(chan struct{})},
		"TLS over what cannot change": tls.Server(layer.Conn, &tls.Config{}),
	} {
		if _, err := Take(conn); !errors.Is(err, ErrForeign) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := client.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if n, err := near.Read(make([]byte, 1)); n != 1 {
		t.Fatal(err)
	}
}

func pipe(t *testing.T) net.Conn {
	a, b := net.Pipe()
	t.Cleanup(func() { a.Close(); b.Close() })
	return a
}
