package forwarded

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"turnhub/internal/netaddr"
	"turnhub/internal/ratelimit"
)

// Claimed is the address that `turnhub check` claims to have in a forged header
// (of RFC 5737): nobody is there. A header that names only this address is no
// proxy's, and makes no line in the log.
var Claimed = netip.MustParseAddr("192.0.2.254")

// notices tell the operator once of each address that sends forwarding headers
// which are not believed. Anybody can send some, so the lines are bounded, and
// those about addresses of the internet apart from the others, among which the
// operator's own proxy mostly is.
type notices struct {
	log   *slog.Logger
	start time.Time

	mu      sync.Mutex
	told    map[netip.Addr]bool
	special ratelimit.Account
	public  ratelimit.Account
}

const maxTold = 256 // addresses; then all are told anew, as seldom

// noticeRate passes three lines at once, and then one each ten minutes.
var noticeRate = ratelimit.Rate{PerSecond: 1. / 600, Burst: 3}

// due reports whether there is to be a line about an address.
func (n *notices) due(addr netip.Addr) bool {
	if n.log == nil {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.told[addr] {
		return false
	}
	b := &n.public
	if netaddr.Special(addr) != "" {
		b = &n.special
	}
	if !b.Take(int64(time.Since(n.start)), noticeRate, 1) {
		return false
	}
	if n.told == nil || len(n.told) >= maxTold {
		n.told = make(map[netip.Addr]bool)
	}
	n.told[addr] = true
	return true
}

// unnamed says that an address sends forwarding headers and is not named.
func (p *Proxies) unnamed(addr netip.Addr, header string, h http.Header) {
	addr = netaddr.Plain(addr)
	if forgedByCheck(h) || !p.notices.due(addr) {
		return
	}
	p.notices.log.Warn("forwarding headers are not believed from an address that is not in listen.trusted_proxies",
		"from", addr.String(), "header", header,
		"remedy", fmt.Sprintf("if that is a reverse proxy of yours, in front of this server, write\n  listen.trusted_proxies: [%s]\n"+
			"and see docs/front.md for what it must set; until then all who come through it count as one visitor. If it is anybody else, "+
			"such as a proxy of the visitor's own network, nothing is wrong, and it must not be named: who is named is believed", p.line(addr)))
}

// UnnamedHeader says that an address has sent a header of the PROXY protocol, in which
// it names a client, and is not named.
func (p *Proxies) UnnamedHeader(sender, claimed netip.Addr) {
	sender = netaddr.Plain(sender)
	if claimed == Claimed || !p.notices.due(sender) {
		return
	}
	p.notices.log.Warn("a PROXY protocol header is not believed from an address that is not in listen.trusted_proxies, and its connection is closed",
		"from", sender.String(),
		"remedy", fmt.Sprintf("if your proxy for TCP is there, write\n  listen.trusted_proxies: [%s]\n"+
			"and see docs/front.md for what it must send. Else nothing is wrong", p.line(sender)))
}

// line is what to write for trusted_proxies: those named already and one more.
func (p *Proxies) line(addr netip.Addr) string {
	var words []string
	for _, prefix := range p.named {
		words = append(words, prefix.String())
	}
	if addr.IsLoopback() {
		words = append(words, "127.0.0.1/32", "::1/128")
	} else {
		words = append(words, netip.PrefixFrom(addr, addr.BitLen()).String())
	}
	return strings.Join(words, ", ")
}

// contradiction says that a proxy passes on a header that the client wrote.
func (p *Proxies) contradiction(addr netip.Addr) {
	if !p.notices.due(netaddr.Plain(addr)) {
		return
	}
	p.notices.log.Warn("X-Forwarded-For and Forwarded from a trusted proxy name different clients, so neither is believed",
		"from", addr.String(), "remedy", "let the proxy overwrite one of them and remove the other, so that none is passed on as the client wrote it; see docs/front.md")
}

// forgedByCheck reports whether the only address in the headers is Claimed.
func forgedByCheck(h http.Header) bool {
	hops := append(listFor(h), elementsFor(h)...)
	for _, hop := range hops {
		if addr, ok := parseNode(hop); !ok || addr != Claimed {
			return false
		}
	}
	return len(hops) > 0
}
