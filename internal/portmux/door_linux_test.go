package portmux

import (
	"bytes"
	"crypto/tls"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestDoor has the loops accept while there are names that are passed on, and no longer:
// what has not said yet whose it is waits there then, and costs no goroutine.
func TestDoor(t *testing.T) {
	forwards := []Forward{{Host: "www.example.org", To: upstream(t, echo)}}
	b := start(t, nil)
	hello := clientHello(t, "www.example.org")
	for round, list := range [][]Forward{nil, forwards, nil, forwards} {
		b.SetForwards("calls.example.org", list)
		begun := b.dial(t) // may have been accepted as before
		if got := ask(t, begun, 13, string(binding)); got != "secure=false " {
			t.Fatalf("round %d: %q", round, got)
		}
		conn := b.dial(t)
		conn.Write(hello[:10])
		come(t, "it waits", func() bool { b.mu.Lock(); defer b.mu.Unlock(); return b.waiting.Len() == 1 })
		if n := b.inLoops(); n != len(list) {
			t.Fatalf("round %d: %d are in the loops", round, n)
		}
		got := sendHalf(t, conn, 1<<20, hello[10:])
		if forwarded := got == string(hello); forwarded != (list != nil) {
			t.Errorf("round %d: %d bytes came back", round, len(got))
		}
		begun.Close()
		come(t, "all have ended", func() bool { return b.Stats().Open == 0 })
	}
	if s := b.Stats(); s.Accepted["forward"] != 2 || s.Accepted["turn"] != 4 {
		t.Errorf("%+v", s)
	}
}

// TestDoorCloses has nothing be accepted any more by loops whose listeners another process
// has, until they are its own again.
func TestDoorCloses(t *testing.T) {
	b := start(t, func(c *Config) { c.Forwards = []Forward{{Host: "www.example.org", To: upstream(t, echo)}} })
	hello := string(clientHello(t, "www.example.org"))
	kept := b.dial(t)
	kept.Write([]byte(hello[:10]))
	come(t, "it is in a loop", func() bool { return b.inLoops() == 1 })
	b.StopAccepting()
	come(t, "the doors are closed", func() bool { b.mu.Lock(); defer b.mu.Unlock(); return len(b.doors) == 0 })
	if conn, err := net.Dial("tcp", b.addr); err == nil {
		conn.Close()
		t.Error("somebody still listens")
	}
	if got := sendHalf(t, kept, 1<<20, []byte(hello[10:])); got != hello {
		t.Errorf("who was there before gets %d bytes", len(got))
	}
	ln, err := net.Listen("tcp", b.addr)
	if err != nil {
		t.Fatal(err)
	}
	b.ResumeAccepting(ln)
	if got := sendHalf(t, b.dial(t), 1<<20, []byte(hello)); got != hello {
		t.Errorf("afterwards %d bytes come", len(got))
	}
}

// TestSilentInLoop cuts off in the loops too who does not say what it is, and makes room.
func TestSilentInLoop(t *testing.T) {
	forward := func(c *Config) { c.Forwards = []Forward{{Host: "www.example.org", To: "127.0.0.1:1"}} }
	b := start(t, func(c *Config) { forward(c); c.IdentifyTimeout = 50 * time.Millisecond })
	for _, send := range []string{"", "GE", "\x16", "\x16\x03\x01\x01\x00"} {
		if got := ask(t, b.dial(t), 1, send); got != "" {
			t.Errorf("after %q: %q", send, got)
		}
	}
	conn := b.dial(t)
	conn.Write([]byte("\x16"))
	conn.Close()
	come(t, "all are counted", func() bool {
		s := b.Stats()
		return s.Refused["timeout"] == 4 && s.Refused["closed"] == 1 && s.Open == 0
	})

	b = start(t, func(c *Config) { forward(c); c.Unidentified, c.Patience = 2, time.Nanosecond })
	silent := []net.Conn{b.dial(t), b.dial(t)}
	third := b.dial(t)
	if got := ask(t, silent[0], 1); got != "" {
		t.Errorf("the oldest got %q", got)
	}
	for _, conn := range []net.Conn{third, silent[1]} {
		if got := ask(t, conn, 13, string(binding)); got != "secure=false " {
			t.Errorf("another got %q", got)
		}
	}
	if s := b.Stats(); s.Refused["crowded"] != 1 || s.Refused["closed"] != 0 {
		t.Errorf("%+v", s)
	}
}

// TestOursFromLoop has what a loop has heard and is ours be answered as ever: TLS by one or
// many reads, with and without a PROXY header, HTTP and TURN.
func TestOursFromLoop(t *testing.T) {
	b := behindProxy(t, func(c *Config) { c.Forwards = []Forward{{Host: "www.example.org", To: "127.0.0.1:1"}} })
	for _, parts := range []int{1, 300, 1 << 20} {
		for _, header := range []string{"", claimed("v1", "192.0.2.7"), claimed("v2", "192.0.2.7")} {
			conn := tls.Client(&slowly{b.dial(t), parts, []byte(header)}, b.tls)
			want := "from=127.0.0.1"
			if header != "" {
				want = "from=192.0.2.7"
			}
			if got := ask(t, conn, len(want), string(binding)); got != want {
				t.Errorf("in parts of %d after %q: %q", parts, header, got)
			}
			conn.Close()
			if got := ask(t, &slowly{b.dial(t), parts, []byte(header)}, 15, "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); got != "HTTP/1.1 200 OK" {
				t.Errorf("HTTP in parts of %d after %q: %q", parts, header, got)
			}
		}
	}
	if s := b.Stats(); s.Accepted["turns"] != 9 || s.Accepted["http"] != 9 {
		t.Errorf("%+v", s)
	}
}

// slowly writes in parts, after a header.
type slowly struct {
	net.Conn
	parts  int
	header []byte
}

func (s *slowly) Write(b []byte) (int, error) {
	all := append(s.header, b...)
	s.header = nil
	for len(all) > 0 {
		n, err := s.Conn.Write(all[:min(s.parts, len(all))])
		if err != nil {
			return 0, err
		}
		all = all[n:]
	}
	return len(b), nil
}

// TestHelloInBytesInLoop holds that a ClientHello in single bytes has a loop keep no more
// than one that comes whole, but for its last byte.
func TestHelloInBytesInLoop(t *testing.T) {
	m := New(Config{Forwards: []Forward{{Host: "www.example.org", To: "127.0.0.1:1"}}})
	hello := clientHello(t, "www.example.org")
	kept := func(parts int) int {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fds[0])
		defer unix.Close(fds[1])
		p := &passed{mux: m, loop: new(passLoop), hearing: true}
		p.conn = &Conn{Conn: p, clock: m.clock}
		p.client = end{of: p, fd: fds[0]}
		for rest := hello[:len(hello)-1]; len(rest) > 0; rest = rest[min(parts, len(rest)):] {
			unix.Write(fds[1], rest[:min(parts, len(rest))])
			p.hear()
		}
		if !bytes.Equal(p.conn.first, hello[:len(hello)-1]) {
			t.Errorf("in parts of %d it keeps %d bytes", parts, len(p.conn.first))
		}
		return cap(p.conn.first)
	}
	if whole, single := kept(1<<20), kept(1); whole != single || single > len(hello) {
		t.Errorf("whole there is room for %d bytes, in single bytes for %d, of %d", whole, single, len(hello))
	}
}

// TestNoDelay holds that what a loop has accepted and passes on sends at once: with
// Multipath TCP, which Go listens with, that is not inherited.
func TestNoDelay(t *testing.T) {
	b := start(t, func(c *Config) {
		c.Forwards = []Forward{{Host: "www.example.org", To: upstream(t, func(c *net.TCPConn) { c.Write([]byte("x")); echo(c) })}}
	})
	conn := b.dial(t)
	conn.Write(clientHello(t, "www.example.org"))
	if got := ask(t, conn, 1); got != "x" {
		t.Fatalf("%q", got)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.conns {
		if on, err := unix.GetsockoptInt(c.lower().(*passed).client.fd, unix.IPPROTO_TCP, unix.TCP_NODELAY); on != 1 || err != nil {
			t.Errorf("%d, %v", on, err)
		}
	}
}
