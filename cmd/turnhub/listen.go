package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"turnhub/internal/config"
	"turnhub/turnsrv"
)

// sockets are everything that the server listens on, UDP apart, which the relay
// owns.
type sockets struct {
	tcp   []net.Listener
	udp   []netip.AddrPort // bound by the relay
	admin net.Listener     // nil for none
	// missed are the addresses of listen.udp: auto that could not be had, and why.
	missed []error
}

// listen binds everything that is not inherited, or says of every address what
// is in the way.
func listen(ctx context.Context, want config.Listen, relay *turnsrv.Server, in *inherited) (sockets, error) {
	tcp, admin := want.TCP, want.Admin
	udp, may := want.UDPAddresses()
	var s sockets
	var errs []error
	bind := func(w wish) ([]net.Listener, error) {
		if lns := in.takeTCP(w); lns != nil {
			other, err := otherFamily(ctx, w, lns, in)
			return append(lns, other...), err
		}
		ln, err := keepalive().Listen(ctx, w.tcp(), w.address)
		return []net.Listener{ln}, err
	}
	var shared []string
	if admin != "" {
		shared = []string{admin}
	}
	streams, err := wishes(tcp, shared...)
	if err != nil {
		return s, err
	}
	packets, err := wishes(udp)
	if err != nil {
		return s, err
	}
	for _, w := range streams {
		lns, err := bind(w)
		if err != nil {
			errs = append(errs, listenError("tcp", w.address, "listen.tcp", err))
			continue
		}
		s.tcp = append(s.tcp, lns...)
	}
	for _, w := range packets {
		bound, err := listenUDP(w, relay, in)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s.udp = append(s.udp, bound)
	}
	extra, err := wishes(may)
	if err != nil {
		return s, err
	}
	for _, w := range extra {
		if err := in.available(w); err != nil {
			s.missed = append(s.missed, listenError("udp", w.address, "listen.udp", err))
			continue
		}
		bound, err := listenUDP(w, relay, in)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s.udp = append(s.udp, bound)
	}
	if admin != "" {
		own, err := wishes(shared, tcp...)
		if err != nil {
			return s, err
		}
		lns, err := bind(own[0])
		if err != nil {
			errs = append(errs, listenError("tcp", admin, "listen.admin", err))
		} else {
			s.admin = lns[0]
			for _, ln := range lns[1:] { // a second family, which it has no use for
				ln.Close()
			}
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

// otherFamily listens on the family that is asked for and that nothing inherited
// serves: the configuration may have changed since the predecessor began. What it
// holds cannot always be had beside it; then this process must not replace it. A unit
// of systemd that names one family wants one.
func otherFamily(ctx context.Context, w wish, have []net.Listener, in *inherited) ([]net.Listener, error) {
	if !w.both || in.fromSystemd {
		return nil, nil
	}
	var ipv4, ipv6 bool
	for _, ln := range have {
		tcp, ok := ln.(*net.TCPListener)
		switch {
		case !ok:
		case tcp.Addr().(*net.TCPAddr).AddrPort().Addr().Unmap().Is4():
			ipv4 = true
		default:
			ipv6 = true
			ipv4 = ipv4 || !ipv6Alone(tcp)
		}
	}
	network, host := "tcp4", "0.0.0.0"
	switch {
	case ipv4 && ipv6:
		return nil, nil
	case ipv4:
		network, host = "tcp6", "[::]"
	}
	ln, err := keepalive().Listen(ctx, network, fmt.Sprint(host, ":", w.addr.Port()))
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, err
	case err != nil: // the host does not have that family
		return nil, nil
	}
	return []net.Listener{ln}, nil
}

// listenUDP adopts what is inherited of an address and binds the rest.
func listenUDP(w wish, relay *turnsrv.Server, in *inherited) (netip.AddrPort, error) {
	port := fmt.Sprint(":", w.addr.Port())
	files, ipv4, ipv6 := in.takeUDP(w)
	if files == nil {
		address := w.address
		if w.both {
			address = port
		}
		var bound netip.AddrPort
		err := onceFree(func() (err error) {
			bound, err = relay.ListenUDP(address)
			return err
		})
		if err != nil {
			err = listenError("udp", w.address, "listen.udp", err)
		}
		return bound, err
	}
	bound, err := relay.AdoptUDP(files)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if !w.both || ipv4 && ipv6 {
		return bound[0], nil
	}
	// One family of two: a unit that names one, or a configuration that has changed
	// since the predecessor began. A unit wants the other not served where it cannot be
	// had; a predecessor is not replaced then.
	other := "0.0.0.0"
	if ipv4 {
		other = "[::]"
	}
	var second netip.AddrPort
	err = onceFree(func() (err error) {
		second, err = relay.ListenUDP(other + port)
		return err
	})
	switch {
	case err != nil && !in.fromSystemd && errors.Is(err, syscall.EADDRINUSE):
		return netip.AddrPort{}, listenError("udp", w.address, "listen.udp", err)
	case err == nil && !ipv4:
		return second, nil
	}
	return bound[0], nil
}

// onceFree binds an address, again for some two seconds where it is in use: the kernel lets
// go of sockets that io_uring had in use a little after their process has ended, whatever
// ended it.
func onceFree(bind func() error) (err error) {
	for range 100 {
		if err = bind(); !errors.Is(err, syscall.EADDRINUSE) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
	return err
}

// available tries whether an address can be had over UDP, without keeping it: what is
// inherited can.
func (in *inherited) available(w wish) error {
	for _, f := range in.udp {
		if bound, err := udpAddress(f); err == nil && w.matches(bound) {
			return nil
		}
	}
	addresses := []string{w.address}
	if w.both {
		port := fmt.Sprint(":", w.addr.Port())
		addresses = []string{"0.0.0.0" + port, "[::]" + port}
	}
	for _, address := range addresses {
		at, err := netip.ParseAddrPort(address)
		if err != nil {
			at = w.addr
		}
		network := "udp4"
		if at.Addr().Is6() {
			network = "udp6"
		}
		err = onceFree(func() error {
			conn, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(at))
			if err == nil {
				conn.Close()
			}
			return err
		})
		switch {
		case err == nil:
		case w.both && at.Addr().Is6() && !errors.Is(err, syscall.EADDRINUSE) && !errors.Is(err, syscall.EACCES):
			// a host without IPv6
		default:
			return err
		}
	}
	return nil
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
		remedy = "run under the systemd unit, or `setcap cap_net_bind_service=+ep` the binary, or give the container --sysctl net.ipv4.ip_unprivileged_port_start=0, or write a higher port in " + key
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
			if addr == netip.IPv6Unspecified() && !ipv6Alone(ln.(*net.TCPListener)) { // both families
				addr = netip.IPv4Unspecified()
			}
			all = append(all, netip.AddrPortFrom(addr, ap.Port()))
		}
	}
	return all
}
