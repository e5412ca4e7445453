package netaddr

import (
	"net/netip"
	"slices"
	"sync"
)

// GatewayShare is how many times as wide a limit by address is for a Gateway: a small
// company behind one address, and still a limit.
const GatewayShare = 64

// Gateway is the default gateway of a container. A container's host may pass connections
// on from there (Docker's userland proxy, Docker Desktop, rootless modes): then everybody
// comes from that one address, and nobody is there. A nil Gateway is nobody's address. It
// is safe for concurrent use.
type Gateway struct {
	addrs []netip.Addr
	tell  func(netip.Addr)
	once  sync.Once
}

// NewGateway returns the gateway at these addresses, of either family. tell is called once,
// when the first client comes from one.
func NewGateway(addrs []netip.Addr, tell func(netip.Addr)) *Gateway {
	g := &Gateway{tell: tell}
	for _, a := range addrs {
		g.addrs = append(g.addrs, Plain(a))
	}
	return g
}

// Is reports whether an address is the gateway's.
func (g *Gateway) Is(addr netip.Addr) bool {
	return g != nil && len(g.addrs) > 0 && slices.Contains(g.addrs, Plain(addr))
}

// Times is by how much a limit by address is multiplied for a client at an address:
// GatewayShare for the gateway, else 1.
func (g *Gateway) Times(addr netip.Addr) int {
	if !g.Is(addr) {
		return 1
	}
	g.once.Do(func() { g.tell(Plain(addr)) })
	return GatewayShare
}
