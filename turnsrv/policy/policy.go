// Package policy decides which peer addresses the clients of a relay may reach: who
// is at an address that a client names, by what the server itself has seen, and which
// addresses are nobody's, whoever claims them. It does no I/O.
package policy

import (
	"fmt"
	"iter"
	"net/netip"
	"slices"

	"turnhub/internal/netaddr"
)

// Mode says whom clients may reach through the relay.
type Mode int

const (
	// ModeCalls admits only people in the same room or call, at addresses
	// where this server itself has seen them. The default.
	ModeCalls Mode = iota
	// ModePublic admits every address that the deny list does not name: for
	// TURN with somebody else's signaling.
	ModePublic
	// ModeAny admits every address. For tests only.
	ModeAny
)

// ParseMode reads the value of relay.peers.
func ParseMode(s string) (Mode, error) {
	for _, m := range []Mode{ModeCalls, ModePublic, ModeAny} {
		if s == m.String() {
			return m, nil
		}
	}
	return 0, fmt.Errorf("%q is not a peer policy; write calls, public or any", s)
}

func (m Mode) String() string {
	switch m {
	case ModePublic:
		return "public"
	case ModeAny:
		return "any"
	default:
		return "calls"
	}
}

// Calls knows who is in a call with whom. The relay asks it; the signaling hub
// answers. Users are the user parts of TURN usernames. Implementations must be
// safe for concurrent use and quick: they are called on the relay's workers.
type Calls interface {
	// Together reports whether a may send to what b has allocated here: both
	// are in one room or call, or a is the same user as b.
	Together(a, b string) bool
	// Seen reports whether the server itself has seen the signaling socket of
	// someone together with user arrive from addr.
	Seen(user string, addr netip.Addr) bool
}

// Verdict is the policy's answer about one peer address.
type Verdict struct {
	Allowed bool
	// Reason is why not: a short fixed word, fit to be a metric's label.
	Reason string
}

var allowed = Verdict{Allowed: true}

func denied(reason string) Verdict { return Verdict{Reason: reason} }

// Config is what a Policy is made of.
type Config struct {
	Mode  Mode
	Allow []netip.Prefix // opened although special-purpose
	Deny  []netip.Prefix // closed on top of it; stronger than Allow
	Calls Calls          // needed by ModeCalls
	// Own returns the host's own addresses, which are never peers but by the
	// relay ports on them. It is called when an address is judged, so it may
	// change; it must be quick. Nil: none.
	Own func() []netip.Addr
	// Proxy reports whether the operator has named an address as that of a reverse
	// proxy. Nobody is there, though everybody behind it seems to be. Nil: none is.
	Proxy func(netip.Addr) bool
}

// Policy decides which peer addresses a client may reach. It is immutable and
// safe for concurrent use; a reload makes a new one.
//
// This server's own relayed transport addresses are not its business: the
// engine knows whose they are and asks Together.
type Policy struct {
	cfg Config
}

// New returns a policy. In mode ModeCalls without Calls nobody is
// together with anybody but themselves.
func New(cfg Config) *Policy {
	return &Policy{cfg: cfg}
}

// Mode returns the policy's mode.
func (p *Policy) Mode() Mode { return p.cfg.Mode }

// Together reports whether user a may relay to what user b has allocated on
// this server.
func (p *Policy) Together(a, b string) bool {
	switch {
	case p.cfg.Mode != ModeCalls, a == b:
		return true
	case p.cfg.Calls == nil:
		return false
	}
	return p.cfg.Calls.Together(a, b)
}

// Address judges an address by itself: unspecified, the operator's deny list,
// the host's own addresses, cloud metadata, and the special-purpose ranges, in
// every form in which IPv6 can carry an IPv4 address. It says nothing about who
// is there.
func (p *Policy) Address(addr netip.Addr) Verdict {
	if v := p.forbidden(addr); !v.Allowed {
		return v
	}
	if p.cfg.Mode == ModeAny || p.exempt(addr) {
		return allowed
	}
	return special(addr)
}

// Admit judges a peer address for a client whose TURN user is user. clientsAt
// yields the users whose own clients this server has seen at that address.
func (p *Policy) Admit(user string, peer netip.Addr, clientsAt func(netip.Addr) iter.Seq[string]) Verdict {
	peer = peer.Unmap()
	if p.cfg.Mode != ModeCalls {
		return p.Address(peer)
	}
	if v := p.forbidden(peer); !v.Allowed {
		return v
	}
	if v := special(peer); !v.Allowed && !p.exempt(peer) && !personal(v.Reason) {
		return v
	}
	if p.met(user, peer, clientsAt) {
		return allowed
	}
	if v := p.Address(peer); !v.Allowed {
		return v
	}
	return denied("not-in-call")
}

// personal reports whether a person may sit at a special-purpose address of
// this kind. Where the server itself has seen one there, the person is in the
// operator's own network, and not a service of it. Nobody is at loopback, at link-local
// addresses (metadata), or at what is no unicast address.
func personal(reason string) bool {
	return reason == "private" || reason == "shared" || reason == "documentation" || reason == "benchmark"
}

// met reports whether the server itself has seen someone together with user at
// that address, by their signaling socket or by their TURN client.
func (p *Policy) met(user string, peer netip.Addr, clientsAt func(netip.Addr) iter.Seq[string]) bool {
	if p.cfg.Calls == nil {
		return false
	}
	if p.cfg.Calls.Seen(user, peer) {
		return true
	}
	if clientsAt == nil {
		return false
	}
	for other := range clientsAt(peer) {
		if other != user && p.Together(user, other) {
			return true
		}
	}
	return false
}

// exempt reports whether the operator took the address off the default deny
// list. A range that is opened opens just itself: an IPv6 address that embeds an
// opened IPv4 address stays what it is. In mode ModeCalls the person must still
// have been seen there.
func (p *Policy) exempt(addr netip.Addr) bool {
	return contains(p.cfg.Allow, addr.Unmap())
}

// forbidden holds what neither allow_peers nor a shared call can open. In mode
// ModeAny only the operator's own deny list counts.
func (p *Policy) forbidden(addr netip.Addr) Verdict {
	if !addr.IsValid() {
		return denied("invalid")
	}
	forms := netaddr.Forms(addr)
	for _, form := range forms {
		if contains(p.cfg.Deny, form) {
			return denied("deny-list")
		}
	}
	if p.cfg.Mode == ModeAny {
		return allowed
	}
	for _, form := range forms {
		if form.IsUnspecified() {
			return denied("this-network")
		}
		if form.IsMulticast() {
			return denied("multicast")
		}
		if netaddr.Metadata(form) {
			return denied("metadata")
		}
	}
	// The host's own addresses are closed unless the operator names them: a
	// test on loopback does.
	if !p.exempt(addr) && slices.ContainsFunc(forms, p.OwnHost) {
		return denied("own-host")
	}
	if p.cfg.Proxy != nil && p.cfg.Proxy(addr) && !p.exempt(addr) {
		return denied("proxy")
	}
	return allowed
}

// OwnHost reports whether an address is one of the host's own.
func (p *Policy) OwnHost(addr netip.Addr) bool {
	return p.cfg.Own != nil && slices.ContainsFunc(p.cfg.Own(), func(own netip.Addr) bool { return addr == own.WithZone("").Unmap() })
}

// special judges by IANA's registries.
func special(addr netip.Addr) Verdict {
	if reason := netaddr.Special(addr); reason != "" {
		return denied(reason)
	}
	return allowed
}

func contains(prefixes []netip.Prefix, addr netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}
