package portmux

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// inLoops is how many connections the loops have.
func (b bench) inLoops() (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.conns {
		c.below.Lock()
		if _, ok := c.Conn.(*passed); ok {
			n++
		}
		c.below.Unlock()
	}
	return n
}

// flood writes until nothing is taken any more.
func flood(c net.Conn) {
	for chunk := make([]byte, 1<<20); ; {
		c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
		if _, err := c.Write(chunk); err != nil {
			return
		}
	}
}

// gone resets a connection.
func gone(c net.Conn) {
	c.(*net.TCPConn).SetLinger(0)
	c.Close()
}

// TestForwardReset has one end go away with a reset while the other does not read what
// has come before: that waits as long as a half that is closed, not as long as silence.
func TestForwardReset(t *testing.T) {
	silent := make(chan struct{})
	defer close(silent)
	floods := upstream(t, func(c *net.TCPConn) { flood(c); gone(c) })
	deaf := upstream(t, func(*net.TCPConn) { <-silent })
	b := start(t, func(c *Config) {
		c.Forwards = []Forward{{Host: "floods.example.org", To: floods}, {Host: "deaf.example.org", To: deaf}}
		c.Pass = PassTimes{Idle: time.Hour, Half: 200 * time.Millisecond}
	})
	down := b.dial(t)
	down.Write(clientHello(t, "floods.example.org"))
	up := b.dial(t)
	up.Write(clientHello(t, "deaf.example.org"))
	flood(up)
	come(t, "both are in the loops", func() bool { return b.Stats().Accepted["forward"] == 2 })
	gone(up)
	come(t, "both have ended", func() bool { return b.Stats().Open == 0 && b.Stats().Forwarded == 0 })
}

// TestForwardWithoutPipes has no descriptor be left when bytes are to pass: they are
// copied, and all arrive.
func TestForwardWithoutPipes(t *testing.T) {
	heard := make(chan struct{})
	to := upstream(t, func(c *net.TCPConn) {
		c.Read(make([]byte, 16<<10)) // the ClientHello
		heard <- struct{}{}
		io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c}) // no splice, which wants a pipe
		c.CloseWrite()
	})
	b := start(t, func(c *Config) { c.Forwards = []Forward{{Host: "www.example.org", To: to}} })
	conn := b.dial(t)
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	conn.Write(clientHello(t, "www.example.org"))
	<-heard
	come(t, "it is in a loop", func() bool { return b.inLoops() == 1 })
	say := make([]byte, 3<<20)
	rand.Read(say)

	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &before)
	var fds [2]int
	if err := unix.Pipe2(fds[:], 0); !errors.Is(err, unix.EMFILE) {
		t.Fatalf("there are descriptors left: %v", err)
	}
	go func() {
		conn.Write(say)
		conn.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(conn)
	if err != nil || !bytes.Equal(got, say) {
		t.Errorf("%d bytes of %d came back, %v", len(got), len(say), err)
	}
	come(t, "it has ended", func() bool { return b.Stats().Open == 0 })
}

// open counts this process's descriptors that are loops and pipes.
func open(t *testing.T) (n int) {
	t.Helper()
	all, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range all {
		if what, _ := os.Readlink(fd); strings.HasPrefix(what, "pipe:") || strings.Contains(what, "[event") {
			n++
		}
	}
	return n
}

// TestForwardEndsWithTheServer ends the server while connections are passed on that are
// idle, stuck, half closed, and not even accepted by the other server: all of them end,
// and so do the loops, with their descriptors.
func TestForwardEndsWithTheServer(t *testing.T) {
	over := make(chan struct{})
	defer close(over)
	heard := make(chan struct{}, 8)
	idle := upstream(t, func(c *net.TCPConn) { c.Read(make([]byte, 16<<10)); heard <- struct{}{}; <-over })
	half := upstream(t, func(c *net.TCPConn) { c.CloseWrite(); heard <- struct{}{}; <-over })
	floods := upstream(t, func(c *net.TCPConn) { flood(c); heard <- struct{}{}; <-over })
	full := fullBacklog(t)
	before := open(t)
	b := start(t, func(c *Config) {
		c.Forwards = []Forward{{Host: "idle.example.org", To: idle}, {Host: "half.example.org", To: half}, {Host: "floods.example.org", To: floods}, {Host: "full.example.org", To: full}}
	})
	var conns []net.Conn
	for _, name := range []string{"idle", "half", "floods", "full"} {
		conn := b.dial(t)
		conn.Write(clientHello(t, name+".example.org"))
		conns = append(conns, conn)
	}
	for range 3 {
		<-heard
	}
	come(t, "all are in the loops", func() bool { return b.inLoops() == len(conns) })
	b.stop()
	for i, conn := range conns {
		conn.SetDeadline(time.Now().Add(30 * time.Second))
		if _, err := io.Copy(io.Discard, conn); err != nil && !isReset(err) {
			t.Errorf("connection %d: %v", i, err)
		}
	}
	if s := b.Stats(); s.Open != 0 || s.Forwarded != 0 {
		t.Errorf("%+v", s)
	}
	if after := open(t); after != before {
		t.Errorf("%d loops and pipes are open, %d were before", after, before)
	}
}

// fullBacklog is a server that accepts nobody, and whose kernel has nobody wait any more.
func fullBacklog(t *testing.T) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err = unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err == nil {
		err = unix.Listen(fd, 0)
	}
	name, err2 := unix.Getsockname(fd)
	if err = errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	addr := fmt.Sprint("127.0.0.1:", name.(*unix.SockaddrInet4).Port)
	conn, err := net.Dial("tcp", addr) // the one that may wait
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return addr
}

// TestForwardToAHost has the other server be given by a name instead of an address.
func TestForwardToAHost(t *testing.T) {
	_, port, _ := net.SplitHostPort(upstream(t, echo))
	b := start(t, func(c *Config) {
		c.Forwards = []Forward{{Host: "www.example.org", To: "localhost:" + port}, {Host: "no.example.org", To: "no.such.host.invalid:1"}}
	})
	say := append(clientHello(t, "www.example.org"), "and what follows"...)
	conn := b.dial(t)
	conn.Write(say)
	come(t, "it is in a loop", func() bool { return b.inLoops() == 1 })
	if got := sendHalf(t, conn, 1<<20, []byte("and more")); got != string(say)+"and more" {
		t.Errorf("%d bytes came back", len(got))
	}
	if got := sendHalf(t, b.dial(t), 1<<20, clientHello(t, "no.example.org")); got != "" || b.Stats().Refused["forward_down"] != 1 {
		t.Errorf("%q, %+v", got, b.Stats())
	}
}
