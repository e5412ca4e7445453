package stream

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// swiftPair returns both ends of a connection, the first of which is Swift's.
func swiftPair(t *testing.T) (swift net.Conn, far *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	near, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close() })
	other, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	return Swift(near.(*net.TCPConn)), other.(*net.TCPConn)
}

// More than both sockets hold goes there and back while the other end does not read at once.
func TestSwiftCarriesAll(t *testing.T) {
	c, far := swiftPair(t)
	text := make([]byte, 16<<20)
	_, _ = rand.Read(text)
	go func() { // an echo that reads nothing before all buffers are full
		buf := make([]byte, 1<<10)
		for {
			n, err := far.Read(buf)
			if err != nil {
				far.CloseWrite()
				return
			}
			if _, err := far.Write(buf[:n]); err != nil {
				return
			}
		}
	}()
	wrote := make(chan error, 1)
	go func() {
		n, err := c.Write(text)
		if err == nil && n != len(text) {
			err = io.ErrShortWrite
		}
		if err == nil {
			err = c.(interface{ CloseWrite() error }).CloseWrite()
		}
		wrote <- err
	}()
	got, err := io.ReadAll(c)
	if err != nil {
		t.Fatal("read:", err)
	}
	if err := <-wrote; err != nil {
		t.Fatal("write:", err)
	}
	if !bytes.Equal(got, text) {
		t.Fatalf("%d bytes came back of %d, or others", len(got), len(text))
	}
}

// What waits ends by a deadline, in either direction, and by Close.
func TestSwiftEnds(t *testing.T) {
	c, far := swiftPair(t)
	soon := func() time.Time { return time.Now().Add(10 * time.Millisecond) }
	_ = c.SetReadDeadline(soon())
	if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("a read without anything came to %d, %v", n, err)
	}
	_ = c.SetReadDeadline(time.Time{})
	wrote := make(chan error, 1)
	go func() {
		n, err := c.Write(make([]byte, 64<<20))
		if n == 0 || n == 64<<20 || !errors.Is(err, os.ErrDeadlineExceeded) {
			wrote <- fmt.Errorf("a write that nobody reads came to %d, %v", n, err)
		}
		close(wrote)
	}()
	if _, err := far.Read(make([]byte, 1)); err != nil { // it is under way
		t.Fatal(err)
	}
	_ = c.SetWriteDeadline(soon())
	if err := <-wrote; err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := c.Read(make([]byte, 1))
		ended <- err
	}()
	c.Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Fatal("a read of a closed connection:", err)
	}
	if _, err := c.Write([]byte{1}); !errors.Is(err, net.ErrClosed) {
		t.Fatal("a write to a closed connection:", err)
	}
}

// A reset is told as net tells it.
func TestSwiftReset(t *testing.T) {
	c, far := swiftPair(t)
	_ = far.SetLinger(0)
	far.Close()
	if _, err := io.ReadAll(c); err == nil {
		t.Fatal("a connection that was reset ended well")
	}
}
