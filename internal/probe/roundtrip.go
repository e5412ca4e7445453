// Package probe proves that STUN and TURN URLs work: it goes through each of them
// as a browser would, with pion/turn's client, which shares no code with this
// server, over real sockets and TLS with a verified certificate, and relays a
// payload from one allocation to another.
package probe

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// User is the TURN user of the server's own probes. It has the form of a session
// id, which nobody can have minted over HTTP, and no session bears it, so that it
// is together with nobody but itself.
const User = "s_probe"

const (
	payloadSize = 200                    // bytes, about an audio packet
	resendAfter = 250 * time.Millisecond // a lost datagram is sent again
	passes      = 3                      // the latency is the best of these
)

// Options of a round trip. The zero value is right for a look from outside.
type Options struct {
	// Address is connected to instead of what the URL's host resolves to. TLS is
	// still verified against the host.
	Address netip.AddrPort
	// Roots are the certificate authorities that are trusted; nil: the system's.
	Roots *x509.CertPool
	// IPv6 prefers IPv6 where the host has both.
	IPv6 bool
}

// A Result is what a round trip found. Durations that do not apply are zero.
type Result struct {
	Server
	Address netip.AddrPort      // connected to
	Mapped  netip.AddrPort      // our own address as the server sees it
	Local   netip.Addr          // our own address as this machine sees it
	Relayed [2]netip.AddrPort   // the two relayed transport addresses
	Chain   []*x509.Certificate // as the server sent it, its own first; empty without TLS

	DNS      time.Duration
	Connect  time.Duration // TCP handshake
	TLS      time.Duration
	Allocate time.Duration // for stun: URLs the Binding request
	Latency  time.Duration // there and back through both allocations
}

// RoundTrip makes two allocations for one user through a URL and sends a payload
// from the one relayed address to the other and back. For a stun: URL it makes a
// Binding request. It ends with ctx, or half a second later when an allocation has
// to be given back, and leaves nothing behind. The error is a *Failure.
func RoundTrip(ctx context.Context, url, username, password string, opt Options) (Result, error) {
	server, err := ParseURL(url)
	if err != nil {
		return Result{}, &Failure{URL: url, Stage: StageURL, Err: err, Remedy: "correct the URL"}
	}
	result := Result{Server: server, Address: opt.Address}
	fail := func(f *Failure) (Result, error) {
		f.URL = url
		if result.Address.IsValid() {
			f.Address = result.Address.String()
		}
		return result, f
	}
	if !result.Address.IsValid() {
		begin := time.Now()
		addresses, err := Lookup(ctx, server.Host)
		if err != nil {
			return fail(dnsFailure(server, err))
		}
		result.DNS = time.Since(begin)
		result.Address = netip.AddrPortFrom(pick(addresses, opt.IPv6), server.Port)
	}
	var legs [2]*leg
	defer func() {
		var group sync.WaitGroup
		for _, l := range legs {
			if l != nil {
				group.Go(l.close)
			}
		}
		group.Wait()
	}()
	if server.Scheme == "stun" {
		l, failure := open(ctx, server, result.Address, "", "", opt.Roots)
		if failure != nil {
			return fail(failure)
		}
		legs[0] = l
		begin := time.Now()
		if _, err := l.client.SendBindingRequest(); err != nil {
			return fail(l.failure(ctx, server, StageBinding, err))
		}
		result.Allocate = time.Since(begin)
		_, _, result.Mapped, _ = l.conn.seen()
		result.Local = l.local
		return result, nil
	}

	// Both allocations at once: the second tells nothing new about the way.
	type made struct {
		i        int
		leg      *leg
		allocate time.Duration
		failure  *Failure
	}
	results := make(chan made, len(legs))
	for i := range legs {
		go func() {
			l, failure := open(ctx, server, result.Address, username, password, opt.Roots)
			if failure != nil {
				results <- made{i, nil, 0, failure}
				return
			}
			begin := time.Now()
			if err := l.allocate(); err != nil {
				results <- made{i, l, 0, l.failure(ctx, server, StageAllocate, err)}
				return
			}
			results <- made{i, l, time.Since(begin), nil}
		}()
	}
	var failure *Failure
	for range legs {
		m := <-results
		legs[m.i] = m.leg
		if m.failure != nil {
			failure = m.failure
		}
		result.Allocate = max(result.Allocate, m.allocate)
	}
	if failure != nil {
		return fail(failure)
	}
	for i, l := range legs {
		result.Connect, result.TLS = max(result.Connect, l.connect), max(result.TLS, l.handshake)
		result.Chain = l.chain
		_, _, result.Mapped, _ = l.conn.seen()
		result.Local = l.local
		if udp, ok := l.relay.LocalAddr().(*net.UDPAddr); ok {
			addr := udp.AddrPort()
			result.Relayed[i] = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
		}
	}
	if server.Transport == "udp" {
		result.Connect = 0
	}
	if failure := relay(ctx, server, legs, &result); failure != nil {
		return fail(failure)
	}
	return result, nil
}

// relay sends the payload there and back a few times.
func relay(ctx context.Context, server Server, legs [2]*leg, result *Result) *Failure {
	for i, l := range legs {
		peer := legs[1-i].relay.LocalAddr()
		if err := l.client.CreatePermission(peer); err != nil {
			return l.failure(ctx, server, StagePermit, err)
		}
	}
	payload := make([]byte, payloadSize)
	rand.Read(payload)
	for pass := range passes {
		payload[0] = byte(pass)
		begin := time.Now()
		for from := range legs {
			if err := carry(ctx, legs[from], legs[1-from], payload); err != nil {
				return legs[from].failure(ctx, server, StageRelay, err)
			}
		}
		if took := time.Since(begin); pass == 0 || took < result.Latency {
			result.Latency = took
		}
	}
	return nil
}

var errAltered = errors.New("the relayed payload came out changed")

// carry brings payload from one relayed address to the other, sending again what
// got lost, until ctx ends.
func carry(ctx context.Context, from, to *leg, payload []byte) error {
	buffer := make([]byte, 2*payloadSize)
	for {
		if _, err := from.relay.WriteTo(payload, to.relay.LocalAddr()); err != nil {
			return err
		}
		if err := to.relay.SetReadDeadline(time.Now().Add(resendAfter)); err != nil {
			return err
		}
		for {
			n, source, err := to.relay.ReadFrom(buffer)
			if isTimeout(err) && ctx.Err() == nil {
				break
			}
			if err != nil {
				return err
			}
			if source.String() != from.relay.LocalAddr().String() {
				return fmt.Errorf("relayed packets come from %s instead of %s", source, from.relay.LocalAddr())
			}
			if bytes.Equal(buffer[:n], payload) {
				return nil
			}
			if n != len(payload) || buffer[0] == payload[0] {
				return errAltered
			}
			// A duplicate of an earlier pass.
		}
	}
}

// failure explains an error by what the server answered last.
func (l *leg) failure(ctx context.Context, s Server, stage Stage, err error) *Failure {
	code, reason, _, broken := l.conn.seen()
	switch {
	case ctx.Err() != nil:
		err = ctx.Err()
	case broken != nil:
		err = broken
	case strings.Contains(err.Error(), "all retransmissions failed"): // the client has no value for it
		err = context.DeadlineExceeded
	}
	if errors.Is(err, errAltered) {
		return &Failure{Stage: stage, Err: err, Remedy: "something on the way rewrites packets (a SIP or STUN helper of a router): switch it off"}
	}
	return turnFailure(s, stage, err, code, reason)
}

// Lookup returns the addresses of a host, which may be an IP address itself.
func Lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr.Unmap()}, nil
	}
	addresses, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	for i, a := range addresses {
		addresses[i] = a.Unmap()
	}
	if err == nil && len(addresses) == 0 {
		err = &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return addresses, err
}

// pick takes the first address of the family wanted, else the first.
func pick(addresses []netip.Addr, ipv6 bool) netip.Addr {
	if i := slices.IndexFunc(addresses, func(a netip.Addr) bool { return a.Is6() == ipv6 }); i >= 0 {
		return addresses[i]
	}
	return addresses[0]
}
