package probe

import (
	"net"
	"net/netip"
	"slices"
	"strconv"

	"turnhub/internal/netaddr"
)

// MaxURLs bounds what is handed out: with more, browsers take noticeably longer
// to gather their candidates.
const MaxURLs = 4

// A Target is a URL that the server would like to hand out.
type Target struct {
	URL string
	// Optional targets are nice to have: that one does not work is no failure.
	Optional bool
	// Port is not 0 for what is handed out to those alone who have come by this TCP port:
	// it is the one that their network is known to let through.
	Port uint16
}

// Layout is what the URLs follow from.
type Layout struct {
	PublicHost string                 // public_host
	Relay      []netaddr.RelayAddress // the relay's addresses, the best first
	UDP, TCP   []netip.AddrPort       // the listeners' bound addresses
	TLS        bool                   // the TCP listeners speak TLS too
	// Front says that the operator has named a proxy, which may have port 443 of
	// PublicHost and pass TLS on to here.
	Front bool
}

// Targets returns the URLs for a layout, at most MaxURLs, by the table of
// docs/firewall.md: best first those by which a way is open that nothing else opens. That
// is a second UDP port where 443 and 3478 are there: some networks let nothing of UDP out
// but to 443, others everything but that. For a name it is TLS by the IP address too,
// since a network without a working resolver stops a URL with a name for seconds; for an
// IPv4 address it is the IPv6 one. Where two over UDP make them more, plain TCP is left
// out: wherever it passes, TLS does, which costs one round trip more.
func Targets(l Layout) []Target {
	var targets []Target
	add := func(scheme, transport string, at netip.AddrPort, host string, optional bool) {
		if host == "" {
			host = l.host(at.Addr())
		}
		if at.IsValid() && host != "" {
			url := Server{Scheme: scheme, Host: host, Port: at.Port(), Transport: transport}.String()
			targets = append(targets, Target{URL: url, Optional: optional})
		}
	}
	udp := choose(l.UDP, 3478, 443)
	secure := netip.AddrPort{}
	plain := choose(l.TCP, 443, 3478)
	if l.TLS {
		secure = choose(l.TCP, 443, 5349)
		plain = choose(l.TCP, 3478, 80)
	}
	add("turn", "udp", udp, l.PublicHost, false)
	if second := choose(l.UDP, 443); second.Port() == 443 && udp.Port() != 443 && second.Addr().IsLoopback() == udp.Addr().IsLoopback() {
		add("turn", "udp", second, l.PublicHost, true)
	}
	tcp := len(targets)
	add("turn", "tcp", plain, l.PublicHost, false)
	if l.behindFront() {
		add("turns", "tls", netip.AddrPortFrom(netip.IPv4Unspecified(), 443), l.PublicHost, true)
		secure = choose(slices.DeleteFunc(slices.Clone(l.TCP), func(a netip.AddrPort) bool {
			return a.Addr().IsLoopback() // where nobody but the proxy comes
		}), 5349)
	}
	add("turns", "tls", secure, l.PublicHost, l.behindFront())

	_, err := netip.ParseAddr(l.PublicHost)
	switch named := l.PublicHost != "" && err != nil; {
	case named && secure.IsValid():
		add("turns", "tls", secure, l.host(secure.Addr()), true)
	case l.PublicHost == "":
		for _, r := range l.Relay {
			if r.Advertise.Is6() && udp.IsValid() && udp.Addr().IsUnspecified() && l.host(udp.Addr()) != r.Advertise.String() {
				add("turn", "udp", udp, r.Advertise.String(), true)
				break
			}
		}
	}
	if len(targets) > MaxURLs && tcp == 2 && secure.IsValid() {
		targets = slices.Delete(targets, tcp, tcp+1)
	}
	return targets[:min(len(targets), MaxURLs)]
}

// Beside returns the URLs for those who come by TCP port 80 or 443, which closed networks
// let through, where no URL of Targets leads to that port.
func Beside(l Layout) (targets []Target) {
	scheme, transport := "turn", "tcp"
	if l.TLS {
		scheme, transport = "turns", "tls"
	}
	for _, port := range []uint16{443, 80} {
		at := choose(l.TCP, port)
		host := l.PublicHost
		if host == "" {
			host = l.host(at.Addr())
		}
		if at.Port() != port || at.Addr().IsLoopback() || host == "" || leadsTo(Targets(l), port) {
			continue
		}
		url := Server{Scheme: scheme, Host: host, Port: port, Transport: transport}.String()
		targets = append(targets, Target{URL: url, Optional: true, Port: port})
	}
	return targets
}

// leadsTo reports whether one of some targets leads to a TCP port.
func leadsTo(targets []Target, port uint16) bool {
	return slices.ContainsFunc(targets, func(t Target) bool {
		s, err := ParseURL(t.URL)
		return err == nil && s.Port == port && s.Transport != "udp"
	})
}

// behindFront reports whether TLS may come by port 443 though none is listened on.
func (l Layout) behindFront() bool {
	return l.Front && l.TLS && l.PublicHost != "" &&
		!slices.ContainsFunc(l.TCP, func(a netip.AddrPort) bool { return a.Port() == 443 })
}

// Site returns the URL of the pages, as a person would type it; empty when no TCP
// port is listened on.
func (l Layout) Site() string {
	scheme, standard, at := "http", uint16(80), choose(l.TCP, 80)
	if l.TLS {
		scheme, standard, at = "https", 443, choose(l.TCP, 443)
	}
	if l.behindFront() && at.Addr().IsLoopback() {
		return scheme + "://" + bracketed(l.PublicHost)
	}
	host := l.PublicHost
	if host == "" {
		host = l.host(at.Addr())
	}
	if !at.IsValid() || host == "" {
		return ""
	}
	if at.Port() != standard {
		return scheme + "://" + net.JoinHostPort(host, strconv.Itoa(int(at.Port())))
	}
	return scheme + "://" + bracketed(host)
}

// bracketed writes an IPv6 address as URLs do.
func bracketed(host string) string {
	if addr, err := netip.ParseAddr(host); err == nil && addr.Is6() {
		return "[" + host + "]"
	}
	return host
}

// host is the address by which a listener is reached from outside.
func (l Layout) host(bound netip.Addr) string {
	if !bound.IsValid() {
		return ""
	}
	bound = bound.Unmap()
	for _, r := range l.Relay {
		if r.Bind == bound {
			return r.Advertise.String()
		}
	}
	if !bound.IsUnspecified() {
		return bound.String()
	}
	if len(l.Relay) == 0 {
		return ""
	}
	return l.Relay[0].Advertise.String()
}

// choose picks the listener with the port wanted most, else the first.
func choose(listeners []netip.AddrPort, ports ...uint16) netip.AddrPort {
	for _, port := range ports {
		if i := slices.IndexFunc(listeners, func(a netip.AddrPort) bool { return a.Port() == port }); i >= 0 {
			return listeners[i]
		}
	}
	if len(listeners) == 0 {
		return netip.AddrPort{}
	}
	return listeners[0]
}
