//go:build !linux

package portmux

import "net"

// passLoops are there on Linux only.
type passLoops struct{}

func (*passLoops) close() {}

// door is there on Linux only.
type door struct{}

func (*Mux) open(net.Listener) *door { return nil }
func (*door) wait() error            { return nil }
func (*door) close()                 {}
func (*door) look()                  {}

// carry passes nothing on in a loop here.
func (m *Mux) carry(*Conn, *net.TCPConn) bool { return false }
