package stream

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"io"
	"net"
	"reflect"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// withoutBuffers has crypto/tls be another than the one that is known.
func withoutBuffers(t *testing.T) {
	was := inside
	inside = buffers{}
	t.Cleanup(func() { inside = was })
}

// TestBuffersAreKnown fails when crypto/tls has other buffers than before: connections that
// wait cost twice as much then.
func TestBuffersAreKnown(t *testing.T) {
	if !inside.known {
		t.Error("the buffers of this crypto/tls are not known: see look")
	}
	for name, other := range map[string]reflect.Type{
		"neither":       reflect.TypeFor[struct{ conn net.Conn }](),
		"one":           reflect.TypeFor[struct{ rawInput bytes.Buffer }](),
		"of other type": reflect.TypeFor[struct{ rawInput, hand *bytes.Buffer }](),
	} {
		if look(other).known {
			t.Errorf("%s: known", name)
		}
	}
	withoutBuffers(t)
	t.Run("Echo", TestEcho)
	t.Run("RecordsCutAnywhere", TestRecordsCutAnywhere)
	t.Run("WhatWasReadBefore", TestWhatWasReadBefore)
}

// TestNothingIsHeld: a connection on which nothing is awaited has no buffer, after as much
// as comes at once, and one that has got half a record has that and no more.
func TestNothingIsHeld(t *testing.T) {
	l := turning(t)
	client, near, _ := pair(t, true, nil)
	c, err := Take(near)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	const size = 100_000
	type state struct{ got, held int }
	newest := make(chan state, 1)
	total := 0
	b := make([]byte, 64<<10)
	source := sourceFunc(func(Events) {
		n, err := c.Receive(b)
		total += n
		if err != nil {
			total = -1
		}
		select {
		case <-newest:
		default:
		}
		newest <- state{total, unread(c.tls).Cap()}
	})
	if err := c.Attach(l, source); err != nil {
		t.Fatal(err)
	}
	if s := <-newest; s != (state{}) { // roused at first
		t.Fatalf("after the handshake: %+v", s)
	}
	if _, err := client.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	for s := range newest {
		if s.got == size && s.held == 0 {
			break
		}
		if s.got < 0 || s.got == size {
			t.Fatalf("after %d bytes: %+v", size, s)
		}
	}
	if _, err := client.raw.Write([]byte{23, 3, 3, 0x40, 0, 1, 2, 3}); err != nil {
		t.Fatal(err)
	}
	for s := range newest {
		if s.held >= 8 && s.held <= 64 {
			break
		}
		if s.held > 0 || s.got != size {
			t.Fatalf("after the beginning of a record: %+v", s)
		}
	}
}

// TestBufferInTurn: one connection of a loop has no room for what has come, and others
// receive meanwhile.
func TestBufferInTurn(t *testing.T) {
	l := turning(t)
	type end struct {
		far
		sent []byte
	}
	var ends []end
	for _, piece := range []int{5, 3000, 9000, 1 << 16} {
		client, near, _ := pair(t, true, nil)
		start(t, l, near, piece)
		e := end{client, make([]byte, 40*piece)}
		_, _ = rand.Read(e.sent)
		ends = append(ends, e)
	}
	for _, e := range ends {
		go func() {
			for rest := e.sent; len(rest) > 0; {
				n := min(len(rest), 700)
				_, _ = e.Write(rest[:n])
				rest = rest[n:]
			}
		}()
	}
	for i, e := range ends {
		got := make([]byte, len(e.sent))
		if _, err := io.ReadFull(e.far, got); err != nil || !bytes.Equal(got, e.sent) {
			t.Errorf("connection %d: %v, or other bytes", i, err)
		}
	}
}

// BenchmarkIdleTLS tells what heap is kept for a connection over TLS that waits, bytes for
// each: by crypto/tls, which is the floor for whoever uses it as it is, and by a Conn over
// it, which gives the buffers back. Run it with -benchtime 1000x.
func BenchmarkIdleTLS(b *testing.B) {
	b.Run("crypto-tls", func(b *testing.B) {
		idle(b, func(c net.Conn) io.Closer { return c })
	})
	b.Run("stream", func(b *testing.B) {
		l := turning(b)
		idle(b, func(near net.Conn) io.Closer {
			c, err := Take(near)
			if err != nil {
				b.Fatal(err)
			}
			waits := make(chan struct{})
			looked := false
			if err := c.Attach(l, sourceFunc(func(Events) {
				if _, err := c.Receive(make([]byte, 64<<10)); err != nil {
					c.Close()
				}
				if !looked {
					looked = true
					close(waits)
				}
			})); err != nil {
				b.Fatal(err)
			}
			<-waits
			return c.NetConn()
		})
	})
}

// idle weighs what keep keeps of b.N connections that have sent one message.
func idle(b *testing.B, keep func(net.Conn) io.Closer) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer ln.Close()
	config := &tls.Config{Certificates: []tls.Certificate{certificate()}}
	fds := make([]int, 0, b.N+1)
	connect := func() io.Closer {
		shaken := make(chan int, 1)
		go func() { // with nothing of the client left but its socket
			out, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				b.Error(err)
			}
			if _, err := tls.Client(out, &tls.Config{InsecureSkipVerify: true}).Write(make([]byte, 300)); err != nil {
				b.Error(err)
			}
			fd, err := Duplicate(out.(*net.TCPConn))
			if err != nil {
				b.Error(err)
			}
			out.Close()
			shaken <- fd
		}()
		in, err := ln.Accept()
		if err != nil {
			b.Fatal(err)
		}
		server := tls.Server(&bridge{Conn: in}, config)
		if _, err := io.ReadFull(server, make([]byte, 300)); err != nil {
			b.Fatal(err)
		}
		fds = append(fds, <-shaken)
		return keep(server)
	}
	kept := append(make([]io.Closer, 0, b.N+1), connect()) // what the first makes for all
	before := heap()
	for range b.N {
		kept = append(kept, connect())
	}
	b.ReportMetric(float64(heap()-before)/float64(b.N), "B/connection")
	for i, c := range kept {
		c.Close()
		unix.Close(fds[i])
	}
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
