package web

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// Proxies are reverse proxies whose forwarding headers are believed. A proxy on
// this very host (loopback) always is: headers from there are written by who
// could as well connect as anybody.
type Proxies []netip.Prefix

func (p Proxies) trusted(addr netip.Addr) bool {
	if addr.IsLoopback() {
		return true
	}
	for _, prefix := range p {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// ClientAddress returns where the person behind a request is: the last address
// of X-Forwarded-For that is no trusted proxy. The port is 0 where a proxy
// stands between. direct says that the connection came from there itself, and
// not through any proxy that says so.
func (p Proxies) ClientAddress(r *http.Request) (client netip.AddrPort, direct bool) {
	client, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.AddrPort{}, false
	}
	client = netip.AddrPortFrom(client.Addr().Unmap(), client.Port())
	forwarded := strings.Join(r.Header.Values("X-Forwarded-For"), ",")
	if forwarded == "" && r.Header.Get("Forwarded") == "" && r.Header.Get("X-Real-Ip") == "" && r.Header.Get("Via") == "" {
		return client, true
	}
	hops := strings.Split(forwarded, ",")
	for i := len(hops) - 1; i >= 0 && p.trusted(client.Addr()); i-- {
		hop := strings.TrimSpace(hops[i])
		if host, _, err := net.SplitHostPort(hop); err == nil {
			hop = host
		}
		addr, err := netip.ParseAddr(strings.Trim(hop, "[]"))
		if err != nil {
			break
		}
		client = netip.AddrPortFrom(addr.Unmap().WithZone(""), 0)
	}
	return client, false
}

// forwards reports whether the request comes from a trusted proxy itself.
func (p Proxies) forwards(r *http.Request) bool {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && p.trusted(peer.Addr().Unmap())
}

// secure reports whether the person came over TLS, here or at a trusted proxy.
func (p Proxies) secure(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	return strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https") && p.forwards(r)
}
