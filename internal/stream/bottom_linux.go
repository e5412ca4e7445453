package stream

import (
	"net"
	"time"
)

// bottom is the Conn in the shape of a net.Conn, which its layers work over.
type bottom Conn

// errNothing is a temporary error, which crypto/tls does not remember.
var errNothing = nothing{}

type nothing struct{}

func (nothing) Error() string   { return "nothing has come" }
func (nothing) Timeout() bool   { return true }
func (nothing) Temporary() bool { return true }

// Read returns what Receive has read for TLS.
func (b *bottom) Read(p []byte) (int, error) {
	if len(b.input) == 0 {
		if b.eof {
			return 0, b.fail
		}
		return 0, errNothing
	}
	n := copy(p, b.input)
	b.input = b.input[n:]
	return n, nil
}

func (b *bottom) Write(p []byte) (int, error) {
	if err := (*Conn)(b).push(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Close is what whoever ends the connection from outside calls: the loop sees the end.
func (b *bottom) Close() error {
	(*Conn)(b).Abort()
	return nil
}

func (b *bottom) LocalAddr() net.Addr  { return b.local }
func (b *bottom) RemoteAddr() net.Addr { return b.remote }

func (b *bottom) SetDeadline(t time.Time) error {
	(*Conn)(b).SetReadDeadline(t)
	return b.SetWriteDeadline(t)
}

func (b *bottom) SetReadDeadline(t time.Time) error {
	(*Conn)(b).SetReadDeadline(t)
	return nil
}

// SetWriteDeadline does nothing: crypto/tls sets one to send close_notify, and nothing
// waits here.
func (b *bottom) SetWriteDeadline(time.Time) error { return nil }
