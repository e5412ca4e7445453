// Package forwarded is the one place that decides whose forwarding headers are
// believed, and what they say: X-Forwarded-For, -Proto, -Host and -Port, and
// Forwarded (RFC 7239). Headers of the PROXY protocol (internal/proxyheader) are
// believed from the same addresses.
//
// A header is written by anybody. It proves something only where the operator has
// named the address that the connection comes from, in listen.trusted_proxies;
// loopback is nobody special, since everything that passes connections on from
// this host connects from there, whether or not it looks at their headers.
package forwarded

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"turnhub/internal/netaddr"
)

// Proxies are the reverse proxies that the operator has named. A nil *Proxies
// names none.
type Proxies struct {
	named   []netip.Prefix
	notices notices
}

// New returns the proxies at these addresses. log is told of addresses that send
// forwarding headers without being named; nil: nobody is.
func New(named []netip.Prefix, log *slog.Logger) *Proxies {
	p := &Proxies{notices: notices{log: log, start: time.Now()}}
	for _, prefix := range named {
		if addr := prefix.Addr(); addr.Is4In6() && prefix.Bits() >= 96 {
			prefix = netip.PrefixFrom(addr.Unmap(), prefix.Bits()-96)
		}
		p.named = append(p.named, prefix)
	}
	return p
}

// Named reports whether an address is one of the proxies.
func (p *Proxies) Named(addr netip.Addr) bool {
	if p == nil {
		return false
	}
	addr = netaddr.Plain(addr)
	for _, prefix := range p.named {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// From reports whether a request comes from a proxy itself.
func (p *Proxies) From(r *http.Request) bool {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && p.Named(peer.Addr())
}

// ClientAddress returns where the person behind a request is: where the connection
// comes from, or where a proxy says, going back over those that are named too. The
// port is 0 where a proxy stands between. Where the headers of a proxy name nobody,
// or two of them name different ones, it is the proxy's own address.
//
// direct says that the connection came from there itself, and not through anything
// that says so in a header, believed or not, that of the PROXY protocol included.
func (p *Proxies) ClientAddress(r *http.Request) (client netip.AddrPort, direct bool) {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil { // no TCP: nobody can be told from others
		return netip.AddrPort{}, false
	}
	peer = netip.AddrPortFrom(peer.Addr().Unmap(), peer.Port())
	header := mark(r.Header)
	if !p.Named(peer.Addr()) {
		if p != nil && header != "" && header != "Via" {
			p.unnamed(peer.Addr(), header, r.Header)
		}
		return peer, header == "" && r.Context().Value(toldKey{}) == nil
	}
	byList, listed := p.walk(peer.Addr(), listFor(r.Header))
	byElement, named := p.walk(peer.Addr(), elementsFor(r.Header))
	switch {
	case listed && named && byList != byElement:
		p.contradiction(peer.Addr())
		return peer, false
	case listed:
		return from(byList, peer), false
	case named:
		return from(byElement, peer), false
	}
	return peer, false
}

// toldKey marks the context of connections whose client a proxy has named.
type toldKey struct{}

// Told marks the context of requests on a connection whose remote address is what a
// trusted proxy has said by the PROXY protocol: nobody came from there directly.
func Told(ctx context.Context) context.Context { return context.WithValue(ctx, toldKey{}, true) }

func from(addr netip.Addr, peer netip.AddrPort) netip.AddrPort {
	if addr == peer.Addr() {
		return peer
	}
	return netip.AddrPortFrom(addr, 0)
}

// walk goes back from a proxy over the hops that it names, the last one first,
// until one is no proxy or says nothing. any is false where there are no hops.
func (p *Proxies) walk(client netip.Addr, hops []string) (_ netip.Addr, any bool) {
	for i := len(hops) - 1; i >= 0 && p.Named(client); i-- {
		addr, ok := parseNode(hops[i])
		if !ok {
			break
		}
		client = addr
	}
	return client, len(hops) > 0
}

// Secure reports whether the person came over TLS, here or at a proxy.
func (p *Proxies) Secure(r *http.Request) bool {
	return r.TLS != nil || p.From(r) && secure(r.Header)
}

// secure reads the protocol that the person used at the first of all proxies: in
// "https, http" each has added its own. Traefik says wss for WebSockets.
func secure(h http.Header) bool {
	proto := first(h, "X-Forwarded-Proto")
	if proto == "" {
		proto = first(h, "X-Forwarded-Scheme")
	}
	if proto == "" {
		proto = firstParameter(h, "proto")
	}
	if proto == "" && strings.EqualFold(first(h, "X-Forwarded-Ssl"), "on") {
		return true
	}
	return strings.EqualFold(proto, "https") || strings.EqualFold(proto, "wss")
}

// Host returns the host and port under which the person knows this server: the
// Host header, or what a proxy says that it was. The port is left away where it is
// the protocol's own, as browsers do.
func (p *Proxies) Host(r *http.Request) string {
	if !p.From(r) {
		return r.Host
	}
	host := first(r.Header, "X-Forwarded-Host")
	if host == "" {
		host = firstParameter(r.Header, "host")
	}
	if !validHost(host) {
		return r.Host
	}
	if port := first(r.Header, "X-Forwarded-Port"); bare(host) && isPort(port) {
		host += ":" + port
	}
	own := ":80"
	if p.Secure(r) {
		own = ":443"
	}
	if name, found := strings.CutSuffix(host, own); found && bare(name) {
		return name
	}
	return host
}

// Port returns the port by which the person came, as Host has it; 0 where that says
// nothing that can be one.
func (p *Proxies) Port(r *http.Request) uint16 {
	host := p.Host(r)
	if bare(host) {
		if p.Secure(r) {
			return 443
		}
		return 80
	}
	port, err := strconv.ParseUint(host[strings.LastIndexByte(host, ':')+1:], 10, 16)
	if err != nil {
		return 0
	}
	return uint16(port)
}

// bare reports whether a host has no port.
func bare(host string) bool {
	return !strings.Contains(host, ":") || strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]")
}

func isPort(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return 1 <= len(s) && len(s) <= 5
}

// validHost reports whether a proxy's word may stand in a URL.
func validHost(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`/?#@\"<>`, c) >= 0 {
			return false
		}
	}
	return 1 <= len(s) && len(s) <= 255
}

// mark returns a header by which something between the person and this server
// shows itself, the most telling one; "" when there is none.
func mark(h http.Header) string {
	found := ""
	for name := range h {
		switch name {
		case "Forwarded", "X-Forwarded-For":
			return name
		case "Via", "X-Real-Ip", "X-Client-Ip", "X-Cluster-Client-Ip", "X-Original-Forwarded-For",
			"Cf-Connecting-Ip", "True-Client-Ip", "Fastly-Client-Ip", "X-Envoy-External-Address":
		default:
			if !strings.HasPrefix(name, "X-Forwarded-") {
				continue
			}
		}
		if found == "" || found == "Via" {
			found = name
		}
	}
	return found
}

// first returns the first element of a header that is a list: what the proxy that
// the person spoke to has said.
func first(h http.Header, name string) string {
	for _, line := range h.Values(name) {
		for word := range strings.SplitSeq(line, ",") {
			if word = strings.TrimSpace(word); word != "" {
				return word
			}
		}
	}
	return ""
}

// listFor returns the hops of X-Forwarded-For, over all its lines. Empty elements
// say nothing (RFC 9110 section 5.6.1).
func listFor(h http.Header) (hops []string) {
	for _, line := range h.Values("X-Forwarded-For") {
		for word := range strings.SplitSeq(line, ",") {
			if word = strings.TrimSpace(word); word != "" {
				hops = append(hops, word)
			}
		}
	}
	return hops
}

// elementsFor returns the hops of Forwarded. An element without "for" is a hop
// that says nothing, and so is all of a header that cannot be read: what stands
// in front may have been written to hide what stands behind.
func elementsFor(h http.Header) (hops []string) {
	elements, ok := parse(h.Values("Forwarded"))
	if !ok {
		return []string{""}
	}
	for _, e := range elements {
		hops = append(hops, e["for"])
	}
	return hops
}

// firstParameter returns a parameter of the first element of Forwarded that has it.
func firstParameter(h http.Header, name string) string {
	elements, _ := parse(h.Values("Forwarded"))
	for _, e := range elements {
		if e[name] != "" {
			return e[name]
		}
	}
	return ""
}

// parseNode reads a hop: an address, with or without a port, IPv6 in brackets or
// (not by RFC 7239) bare. "unknown" and names that begin with _ are none.
func parseNode(s string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	if err != nil {
		host, _, split := net.SplitHostPort(s)
		if split != nil {
			return netip.Addr{}, false
		}
		if addr, err = netip.ParseAddr(host); err != nil {
			return netip.Addr{}, false
		}
	}
	return netaddr.Plain(addr), true
}
