// Package sockets opens the listeners that both generations of pion/turn are
// given, as their examples "simple-multithreaded" and "tls" do.
package sockets

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// Options are the flags of a rival.
type Options struct {
	Address, TLSAddress string
	Secret, Realm       string
	Threads             int
	Cert, Key           string
}

// Flags reads the options from the command line.
func Flags() *Options {
	o := new(Options)
	flag.StringVar(&o.Address, "address", "127.0.0.1:3478", "UDP and TCP")
	flag.StringVar(&o.TLSAddress, "tls-address", "", "TLS; empty: none")
	flag.StringVar(&o.Secret, "secret", "", "shared secret (TURN REST)")
	flag.StringVar(&o.Realm, "realm", "bench", "realm")
	flag.IntVar(&o.Threads, "threads", 1, "UDP sockets that share the port")
	flag.StringVar(&o.Cert, "cert", "", "certificate file")
	flag.StringVar(&o.Key, "key", "", "key file")
	flag.Parse()
	return o
}

// IP returns the address without its port.
func (o *Options) IP() string {
	host, _, _ := net.SplitHostPort(o.Address)
	return host
}

// Open opens all listeners.
func (o *Options) Open() (packets []net.PacketConn, streams []net.Listener, err error) {
	shared := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var failed error
		err := c.Control(func(fd uintptr) {
			failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
			// Not in the examples: without it bursts are lost before pion sees them.
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 4<<20)
		})
		if err == nil {
			err = failed
		}
		return err
	}}
	ctx := context.Background()
	for range o.Threads {
		p, err := shared.ListenPacket(ctx, "udp", o.Address)
		if err != nil {
			return nil, nil, fmt.Errorf("listen on UDP: %w", err)
		}
		packets = append(packets, p)
	}
	tcp, err := net.Listen("tcp", o.Address)
	if err != nil {
		return nil, nil, fmt.Errorf("listen on TCP: %w", err)
	}
	streams = append(streams, tcp)
	if o.TLSAddress != "" {
		pair, err := tls.LoadX509KeyPair(o.Cert, o.Key)
		if err != nil {
			return nil, nil, fmt.Errorf("load the certificate: %w", err)
		}
		l, err := tls.Listen("tcp", o.TLSAddress, &tls.Config{Certificates: []tls.Certificate{pair}})
		if err != nil {
			return nil, nil, fmt.Errorf("listen on TLS: %w", err)
		}
		streams = append(streams, l)
	}
	return packets, streams, nil
}
