package stream

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestKeepWhole has a connection whose writes stay whole read what came before, write and
// wait as any other, and give the kernel no more than it is told to take ahead.
func TestKeepWhole(t *testing.T) {
	for name, secure := range map[string]bool{"TCP": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			client, near, layer := pair(t, secure, nil)
			if !secure {
				layer.first = []byte("read before, ")
			}
			conn := KeepWhole(near)
			if TCP(conn) == nil {
				t.Fatal("its socket is not found")
			}
			if _, err := client.Write([]byte("said")); err != nil {
				t.Fatal(err)
			}
			want := "read before, said"
			if secure {
				want = "said"
			}
			heard := make([]byte, len(want), 20)
			if _, err := io.ReadFull(conn, heard); err != nil || string(heard) != want {
				t.Fatalf("%q, %v", heard, err)
			}
			if _, err := conn.Write([]byte("answered")); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(client, heard[:8]); err != nil || string(heard[:8]) != "answered" {
				t.Fatalf("%q, %v", heard[:8], err)
			}
			_ = client.raw.SetReadBuffer(64 << 10)
			if unsent := fill(t, conn); unsent > 4*pieceBytes {
				t.Errorf("%d bytes wait in the kernel to be sent, of writes of %d", unsent, pieceBytes)
			}
		})
	}
}

const pieceBytes = 1000

// fill writes to a client that reads nothing for as long as it takes something, and returns how
// many bytes the kernel has taken and not sent.
func fill(t *testing.T, conn net.Conn) (unsent int) {
	t.Helper()
	raw, err := TCP(conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	control := func(f func(fd int) error) {
		t.Helper()
		var failed error
		if err := raw.Control(func(fd uintptr) { failed = f(int(fd)) }); err != nil || failed != nil {
			t.Fatal(err, failed)
		}
	}
	control(func(fd int) error {
		return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, pieceBytes)
	})
	if err := conn.SetWriteDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = conn.Write(make([]byte, pieceBytes))
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	control(func(fd int) (err error) { unsent, err = unix.IoctlGetInt(fd, unix.SIOCOUTQNSD); return err })
	return unsent
}
