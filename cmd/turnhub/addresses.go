package main

import (
	"net"
	"net/netip"
	"slices"
	"sync/atomic"

	"turnhub/internal/netaddr"
)

// addresses are those of the relay and of the host, as last looked at. The peer
// policy asks for them on its workers, so reading takes no lock.
type addresses struct {
	relay atomic.Pointer[[]netaddr.RelayAddress]
	own   atomic.Pointer[[]netip.Addr]
}

// set takes the relay's addresses and looks at the host's interfaces.
func (a *addresses) set(relay []netaddr.RelayAddress) {
	relay = slices.Clone(relay)
	a.relay.Store(&relay)
	var own []netip.Addr
	add := func(addr netip.Addr) {
		addr = addr.Unmap().WithZone("")
		if addr.IsValid() && !addr.IsUnspecified() && !slices.Contains(own, addr) {
			own = append(own, addr)
		}
	}
	interfaces, _ := net.InterfaceAddrs() // without them the relay's addresses remain
	for _, i := range interfaces {
		if ipnet, ok := i.(*net.IPNet); ok {
			if addr, ok := netip.AddrFromSlice(ipnet.IP); ok {
				add(addr)
			}
		}
	}
	for _, r := range relay {
		add(r.Bind)
		add(r.Advertise)
	}
	a.own.Store(&own)
}

// look reads the host's interfaces again.
func (a *addresses) look() { a.set(a.Relay()) }

// Relay returns the relay's addresses.
func (a *addresses) Relay() []netaddr.RelayAddress { return *a.relay.Load() }

// Own returns the host's own addresses.
func (a *addresses) Own() []netip.Addr { return *a.own.Load() }
