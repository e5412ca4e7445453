//go:build !linux

package stream

import (
	"errors"
	"net"
	"time"
)

// Loop is there on Linux only.
type Loop struct{}

// Events are what a Source waits for.
type Events uint32

// The events that a Source may ask for or be told of.
const (
	Readable Events = 1 << iota
	Writable
	Hangup
	Edge
)

// Source is told when its socket can go on.
type Source interface{ Ready(Events) }

// NewLoop returns an error that wraps errors.ErrUnsupported.
func NewLoop(int) (*Loop, error) { return nil, errors.ErrUnsupported }

// Run does nothing: there is no loop here.
func (*Loop) Run(func() bool, func()) {}

// Share does nothing.
func (*Loop) Share() {}

// Wake does nothing.
func (*Loop) Wake() {}

// Close does nothing.
func (*Loop) Close() {}

// Conn is there on Linux only.
type Conn struct{}

// Take returns ErrForeign: every connection is served as a net.Conn here.
func Take(net.Conn) (*Conn, error) { return nil, ErrForeign }

func (*Conn) Attach(*Loop, Source) error   { return errors.ErrUnsupported }
func (*Conn) Receive([]byte) (int, error)  { return 0, errors.ErrUnsupported }
func (*Conn) Send([]byte) error            { return errors.ErrUnsupported }
func (*Conn) Flush() (int, error)          { return 0, errors.ErrUnsupported }
func (*Conn) Waiting() int                 { return 0 }
func (*Conn) Await(bool)                   {}
func (*Conn) Deafen()                      {}
func (*Conn) Hear()                        {}
func (*Conn) Rouse()                       {}
func (*Conn) Unacknowledged() (int, error) { return 0, errors.ErrUnsupported }
func (*Conn) CloseWrite()                  {}
func (*Conn) Close() bool                  { return false }
func (*Conn) Abort()                       {}
func (*Conn) SetReadDeadline(time.Time)    {}
func (*Conn) SetWriteDeadline(time.Time)   {}
func (*Conn) NetConn() net.Conn            { return nil }

// KeepWhole does nothing.
func (*Conn) KeepWhole() {}

// KeepWhole does nothing.
func KeepWhole(conn net.Conn) net.Conn { return conn }

// FD is no descriptor.
func (*Conn) FD() int { return -1 }

// Ahead limits nothing here.
type Ahead struct{}

// Open does nothing.
func (*Ahead) Open(int) {}

// Bytes is how many bytes are written at once.
func (*Ahead) Bytes() int { return 16 << 10 }

// AtOnce is the same of what has just come.
func (*Ahead) AtOnce() int { return 16 << 10 }

// Full says nothing here.
func (*Ahead) Full() {}

// Look asks nothing.
func (*Ahead) Look(int, int64) (roundTrip int64, ok bool) { return 0, false }

// Swift returns tcp: nothing is known here that is quicker.
func Swift(tcp *net.TCPConn) net.Conn { return tcp }
