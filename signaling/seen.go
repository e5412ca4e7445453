package signaling

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// SessionPrefix begins every session id. No other way of getting TURN
// credentials mints a user of this form.
const SessionPrefix = "s_"

// Together reports whether TURN users a and b may relay to each other's
// allocations: the same user, sessions that share a room or an accepted call or are in a
// lobby and its host, or two people without a hub session. It takes no lock that is held for long.
func (h *Hub) Together(a, b string) bool {
	if a == b {
		return true
	}
	isA, isB := strings.HasPrefix(a, SessionPrefix), strings.HasPrefix(b, SessionPrefix)
	if !isA && !isB {
		return true
	}
	if !isA || !isB {
		return false
	}
	sa, sb := h.sessions.get(a), h.sessions.get(b)
	return sa != nil && sb != nil && sa.reaches(sb)
}

// Seen reports whether the signaling socket of someone together with user has
// arrived from addr, by the rules of seenAddress.
func (h *Hub) Seen(user string, addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	if !strings.HasPrefix(user, SessionPrefix) {
		return h.strangers.at(addr)
	}
	s := h.sessions.get(user)
	return s != nil && s.partnerAt(addr)
}

// seenAddress returns addr as something at which the server itself has seen a
// person, or the zero Addr: a special-purpose address counts only where the
// connection came from it directly, loopback never. The host's own addresses
// are the relay policy's to refuse.
func seenAddress(addr netip.Addr, direct bool) netip.Addr {
	addr = addr.Unmap()
	switch {
	case !addr.IsValid(), addr.IsLoopback(), addr.IsUnspecified(), addr.IsMulticast(),
		addr.IsLinkLocalUnicast(), addr.Zone() != "":
		return netip.Addr{}
	case !direct && special(addr):
		return netip.Addr{}
	}
	return addr
}

// special reports whether addr is not a global unicast address of the
// Internet. The relay's deny list is finer; here it is enough to be strict.
func special(addr netip.Addr) bool {
	if addr.IsPrivate() || !addr.IsGlobalUnicast() {
		return true
	}
	for _, p := range specialPrefixes {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

var specialPrefixes = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("192.88.99.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("64:ff9b::/96"),
	netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("100::/64"),
	netip.MustParsePrefix("2001::/23"),
	netip.MustParsePrefix("2001:db8::/32"),
	netip.MustParsePrefix("2002::/16"),
	netip.MustParsePrefix("fec0::/10"),
}

// ClientAddress returns where the person behind a request is, and whether the
// connection came from there directly. Forwarding headers are written by
// anybody, so they are believed only from a reverse proxy on this very host
// (loopback), and there only the last entry, which that proxy has added. From
// anywhere else they only take away directness.
func ClientAddress(r *http.Request) (client netip.AddrPort, direct bool) {
	client, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.AddrPort{}, false
	}
	client = netip.AddrPortFrom(client.Addr().Unmap(), client.Port())
	if r.Header.Get("X-Forwarded-For") == "" && r.Header.Get("Forwarded") == "" &&
		r.Header.Get("X-Real-Ip") == "" && r.Header.Get("Via") == "" {
		return client, true
	}
	if client.Addr().IsLoopback() {
		entries := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
		last := strings.TrimSpace(entries[len(entries)-1])
		if host, _, err := net.SplitHostPort(last); err == nil {
			last = host
		}
		if addr, err := netip.ParseAddr(strings.Trim(last, "[]")); err == nil {
			return netip.AddrPortFrom(addr.Unmap(), 0), false
		}
	}
	return client, false
}
