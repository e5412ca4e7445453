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
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// bridge is a layer as the port's multiplexer has it.
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
	b.once.Do(func() { close(b.closed) })
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
func turning(t *testing.T) *Loop {
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

// TestSlowReader: what the socket does not take waits, is sent when there is room, and
// nothing is lost or told in vain.
func TestSlowReader(t *testing.T) {
	both(t, func(t *testing.T, secure bool) {
		client, near, _ := pair(t, secure, nil)
		c, err := Take(near)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<14)
		total := 0
		for c.Waiting() == 0 {
			if err := c.Send(sent); err != nil {
				t.Fatal(err)
			}
			total += len(sent)
		}
		flushed := make(chan error, 1)
		err = c.Attach(turning(t), sourceFunc(func(e Events) {
			if e&Writable == 0 {
				return
			}
			if left, err := c.Flush(); left == 0 || err != nil {
				c.Await(false)
				flushed <- err
			}
		}))
		if err != nil {
			t.Fatal(err)
		}
		c.Await(true)
		got := make([]byte, total)
		if _, err := io.ReadFull(client, got); err != nil || !bytes.Equal(got[total-len(sent):], sent) {
			t.Fatalf("%v, or other bytes", err)
		}
		if err := <-flushed; err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-flushed:
			t.Fatal("told of room with nothing waiting", err)
		default:
		}
	})
}

// TestDeadlines: the source is called when a deadline is over, and not before it is
// looked at again.
func TestDeadlines(t *testing.T) {
	both(t, func(t *testing.T, secure bool) {
		client, near, _ := pair(t, secure, nil)
		c, err := Take(near)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		got := make(chan error, 100)
		err = c.Attach(turning(t), sourceFunc(func(Events) {
			var b [100]byte
			n, err := c.Receive(b[:])
			if n > 0 || err != nil {
				got <- err
			}
		}))
		if err != nil {
			t.Fatal(err)
		}
		c.SetReadDeadline(time.Now().Add(time.Millisecond))
		if err := <-got; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("reading ended with %v", err)
		}
		c.SetReadDeadline(time.Time{})
		if _, err := client.Write([]byte("still there")); err != nil {
			t.Fatal(err)
		}
		for err = <-got; errors.Is(err, os.ErrDeadlineExceeded); err = <-got { // seen before that
		}
		if err != nil {
			t.Fatalf("after the deadline was lifted: %v", err)
		}
		for c.Waiting() == 0 { // a client that does not read
			if err := c.Send(make([]byte, 1<<18)); err != nil {
				t.Fatal(err)
			}
		}
		c.SetWriteDeadline(time.Now().Add(-time.Second))
		if left, err := c.Flush(); left == 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("writing ended with %v and %d bytes left", err, left)
		}
		c.mu.Lock()
		c.read, c.write = time.Time{}, time.Time{}
		c.arm()
		armed := c.timer
		c.mu.Unlock()
		if armed != nil {
			t.Fatal("an idle connection has a timer")
		}
	})
}

// TestHalfClose: a client that has ended still gets what it is sent, and TLS's
// close_notify.
func TestHalfClose(t *testing.T) {
	both(t, func(t *testing.T, secure bool) {
		client, near, layer := pair(t, secure, nil)
		c, err := Take(near)
		if err != nil {
			t.Fatal(err)
		}
		err = c.Attach(turning(t), sourceFunc(func(Events) {
			var b [100]byte
			if _, err := c.Receive(b[:]); err == io.EOF {
				c.Deafen() // it would be ready for ever
				_ = c.Send([]byte("last word"))
				c.CloseWrite()
				c.Close()
			}
		}))
		if err != nil {
			t.Fatal(err)
		}
		if err := client.raw.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(client) // an unexpected EOF where close_notify is missing
		if err != nil || string(got) != "last word" {
			t.Fatalf("got %q, %v", got, err)
		}
		<-layer.closed
	})
}

// TestCloseInFlight: anyone may end a connection while the loop and a sender are at it.
func TestCloseInFlight(t *testing.T) {
	both(t, func(t *testing.T, secure bool) {
		l := turning(t)
		for range 50 {
			client, near, layer := pair(t, secure, nil)
			e := start(t, l, near, 1<<16)
			go func() {
				b := make([]byte, 1<<12)
				for {
					if _, err := client.Write(b); err != nil {
						return
					}
				}
			}()
			go func() { _, _ = io.Copy(io.Discard, client) }()
			var sending sync.WaitGroup
			sending.Go(func() { e.conn.Abort() })
			sending.Go(func() { e.conn.Close() })
			sending.Go(func() { near.Close() })
			sending.Wait()
			<-layer.closed
			if e.conn.FD() != -1 || e.conn.Close() || e.conn.Attach(l, e) == nil {
				t.Fatal("closed, and not closed")
			}
			if err := e.conn.Send([]byte("x")); err == nil {
				t.Fatal("sent after the end")
			}
			client.Close()
		}
	})
}

// TestAnswersOfTLSAreBounded: a client that has keys renewed and reads no answer ends,
// instead of filling the memory.
func TestAnswersOfTLSAreBounded(t *testing.T) {
	client, near, _ := pair(t, true, nil)
	c, err := Take(near)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	l, err := NewLoop(8)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := c.Attach(l, sourceFunc(func(Events) {})); err != nil {
		t.Fatal(err)
	}
	for c.Waiting() == 0 { // its buffers are full
		if err := c.Send(make([]byte, 1<<18)); err != nil {
			t.Fatal(err)
		}
	}
	waiting := c.Waiting()
	for range maxAnswers {
		if _, err := (*bottom)(c).Write([]byte("an answer")); err != nil {
			if !errors.Is(err, ErrFlood) || c.Waiting() > waiting+maxAnswers {
				t.Fatal(err, c.Waiting())
			}
			_ = client.Close()
			return
		}
	}
	t.Fatalf("%d bytes wait", c.Waiting())
}

// TestStaleEvents: an event that the kernel told of a descriptor is not another
// connection's that has the descriptor now.
func TestStaleEvents(t *testing.T) {
	l, err := NewLoop(8)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var first, second [2]int
	for _, p := range []*[2]int{&first, &second} {
		if err := unix.Pipe2(p[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
	}
	h, err := l.Add(first[0], sourceFunc(func(Events) { t.Error("a source was called that is gone") }), Readable)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Write(first[1], []byte("x")); err != nil {
		t.Fatal(err)
	}
	if n := l.Poll(1000); n != 1 {
		t.Fatalf("%d events", n)
	}
	stale := l.events[0]
	h.Forget()
	unix.Close(first[0])
	if err := unix.Dup3(second[0], first[0], unix.O_CLOEXEC); err != nil { // the number is used again
		t.Fatal(err)
	}
	called := 0
	again, err := l.Add(first[0], sourceFunc(func(Events) { called++ }), Readable)
	if err != nil {
		t.Fatal(err)
	}
	l.Dispatch() // the event was found before the end
	l.events[0] = stale
	l.collect(1) // and after it
	l.Dispatch()
	if called != 0 {
		t.Fatal("a stale event was handed to the descriptor's next owner")
	}
	if _, err := unix.Write(second[1], []byte("x")); err != nil {
		t.Fatal(err)
	}
	if l.Poll(1000); true {
		l.Dispatch()
	}
	if called != 1 {
		t.Fatalf("the descriptor's owner was called %d times", called)
	}
	again.Remove()
	if n := l.Poll(0); n != 0 {
		t.Fatal("a descriptor that was removed is told of")
	}
	for _, fd := range []int{first[0], first[1], second[0], second[1]} {
		unix.Close(fd)
	}
}

// TestRouse: a source is called without its socket's being ready, a wait ends, and after
// the loop's end neither does harm.
func TestRouse(t *testing.T) {
	l, err := NewLoop(8)
	if err != nil {
		t.Fatal(err)
	}
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(p[0])
	defer unix.Close(p[1])
	called := 0
	h, err := l.Add(p[0], sourceFunc(func(e Events) {
		if called++; e != 0 {
			t.Errorf("events %x", e)
		}
	}), Readable)
	if err != nil {
		t.Fatal(err)
	}
	go h.Rouse()
	for called == 0 {
		l.Sleep(-1)
		l.Dispatch()
	}
	if n := l.Poll(0); n != 0 || l.Woken() {
		t.Fatal("roused for ever")
	}
	l.Wake()
	if l.Poll(1000); !l.Woken() {
		t.Fatal("not woken")
	}
	l.Close()
	l.Close()
	l.Wake()
	h.Rouse()
}

// TestNothingIsAllocated: a message in and out over TLS leaves no garbage of ours.
func TestNothingIsAllocated(t *testing.T) {
	both(t, func(t *testing.T, secure bool) {
		client, near, _ := pair(t, secure, nil)
		c, err := Take(near)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		l, err := NewLoop(8)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		b, got := make([]byte, 1<<12), 0
		if err := c.Attach(l, sourceFunc(func(Events) {
			n, err := c.Receive(b)
			if err == nil && n > 0 {
				err = c.Send(b[:n])
			}
			if got += n; err != nil {
				t.Error(err)
			}
		})); err != nil {
			t.Fatal(err)
		}
		message, answer := make([]byte, 300), make([]byte, 300)
		round := func() {
			if _, err := client.Write(message); err != nil {
				t.Fatal(err)
			}
			for got = 0; got < len(message); {
				l.Poll(1000)
				l.Dispatch()
			}
			if _, err := io.ReadFull(client.Conn, answer); err != nil {
				t.Fatal(err)
			}
		}
		round()
		most := 0.0
		if secure {
			most = 8 // crypto/tls makes one for each read from below, at both ends, and the race detector some
		}
		least := most + 1
		for range 5 { // other tests' goroutines may still be ending
			least = min(least, testing.AllocsPerRun(100, round))
		}
		if least > most {
			t.Fatalf("%v allocations for each message", least)
		}
	})
}
