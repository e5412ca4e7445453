package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"turnhub/turnsrv"
)

// sockets are everything that the server listens on, UDP apart, which the relay
// owns.
type sockets struct {
	tcp   []net.Listener
	udp   []netip.AddrPort // bound by the relay
	admin net.Listener     // nil for none
}

// listen binds everything that is not inherited, or says of every address what
// is in the way.
func listen(ctx context.Context, tcp, udp []string, admin string, relay *turnsrv.Server, in *inherited) (sockets, error) {
	var s sockets
	var errs []error
	bind := func(address string) (net.Listener, error) {
		if ln := in.takeTCP(address); ln != nil {
			return ln, nil
		}
		return new(net.ListenConfig).Listen(ctx, "tcp", address)
	}
	for _, address := range tcp {
		ln, err := bind(address)
		if err != nil {
			errs = append(errs, listenError("tcp", address, "listen.tcp", err))
			continue
		}
		s.tcp = append(s.tcp, ln)
	}
	for _, address := range udp {
		if files := in.takeUDP(address); files != nil {
			bound, err := relay.AdoptUDP(files)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			s.udp = append(s.udp, bound[0])
			continue
		}
		bound, err := relay.ListenUDP(address)
		if err != nil {
			errs = append(errs, listenError("udp", address, "listen.udp", err))
			continue
		}
		s.udp = append(s.udp, bound)
	}
	if admin != "" {
		ln, err := bind(admin)
		if err != nil {
			errs = append(errs, listenError("tcp", admin, "listen.admin", err))
		} else {
			s.admin = ln
		}
	}
	if err := in.rest(); err != nil {
		errs = append(errs, err)
	}
	if errs != nil {
		s.close()
		return sockets{}, errors.Join(errs...)
	}
	return s, nil
}

func (s sockets) close() {
	for _, ln := range s.tcp {
		ln.Close()
	}
	if s.admin != nil {
		s.admin.Close()
	}
}

// listenError says which address cannot be had, and what to do.
func listenError(network, address, key string, err error) error {
	_, port, _ := net.SplitHostPort(address)
	what, remedy := err.Error(), "correct "+key
	show := "ss -lntp"
	if network == "udp" {
		show = "ss -lnup"
	}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		what = "another program uses this port"
		remedy = fmt.Sprintf("stop it (`%s 'sport = :%s'` names it), or write another address in %s", show, port, key)
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		what = "this user may not use ports below 1024"
		remedy = "run under the systemd unit, or `setcap cap_net_bind_service=+ep` the binary, or write a higher port in " + key
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		what = "this host does not have that address"
		remedy = fmt.Sprintf("write \":%s\" in %s to listen on all", port, key)
	}
	return fmt.Errorf("cannot listen on %s %s: %s; %s", network, address, what, remedy)
}

// tcpAddresses are the bound addresses of the universal ports.
func (s sockets) tcpAddresses() []netip.AddrPort {
	var all []netip.AddrPort
	for _, ln := range s.tcp {
		if tcp, ok := ln.Addr().(*net.TCPAddr); ok {
			ap := tcp.AddrPort()
			addr := ap.Addr().Unmap()
			if addr == netip.IPv6Unspecified() { // Go listens on both families
				addr = netip.IPv4Unspecified()
			}
			all = append(all, netip.AddrPortFrom(addr, ap.Port()))
		}
	}
	return all
}
