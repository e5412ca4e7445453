package extaddr

import (
	"bufio"
	"encoding/hex"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"turnhub/internal/netaddr"
)

// routeProbes are addresses far away, one of each family (the root server A):
// connecting a UDP socket to them sends nothing and tells the source address
// that the route to the internet has.
var routeProbes = []netip.AddrPort{
	netip.MustParseAddrPort("198.41.0.4:9"),
	netip.MustParseAddrPort("[2001:503:ba3e::2:30]:9"),
}

// host is what this machine says about its own addresses.
type host struct {
	addresses []netip.Addr // unicast, not loopback, not link-local, in the interfaces' order
	routed    []netip.Addr // the sources of the default routes, at most one of each family
	shaky     map[netip.Addr]bool
}

// lookHost reads the interfaces and routes. It sends nothing.
func lookHost() host {
	h := host{shaky: shakyIPv6()}
	interfaces, _ := net.Interfaces()
	for _, i := range interfaces {
		if i.Flags&net.FlagUp == 0 || i.Flags&net.FlagLoopback != 0 {
			continue
		}
		addresses, _ := i.Addrs()
		for _, a := range addresses {
			prefix, err := netip.ParsePrefix(a.String())
			if err != nil {
				continue
			}
			addr := prefix.Addr().Unmap()
			if addr.IsGlobalUnicast() {
				h.addresses = append(h.addresses, addr)
			}
		}
	}
	for _, probe := range routeProbes {
		conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(probe))
		if err != nil {
			continue // no route in this family
		}
		addr := conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
		conn.Close()
		if addr.IsGlobalUnicast() {
			h.routed = append(h.routed, addr.WithZone(""))
		}
	}
	return h
}

// best returns the address of one family by which this host is best reached: a
// public one if there is any, the default route's before the others; invalid if
// the family has no address at all.
func (h host) best(is4 bool) netip.Addr {
	var candidates []netip.Addr
	for _, list := range [][]netip.Addr{h.routed, h.addresses} {
		for _, addr := range list {
			if addr.Is4() == is4 {
				candidates = append(candidates, addr)
			}
		}
	}
	if len(candidates) == 0 {
		return netip.Addr{}
	}
	return slices.MinFunc(candidates, func(a, b netip.Addr) int { return h.rank(a) - h.rank(b) })
}

// rank orders addresses; MinFunc keeps the first of equals.
func (h host) rank(addr netip.Addr) int {
	rank := 0
	if reserved(addr) != "" {
		rank += 2
	}
	if h.shaky[addr] {
		rank++
	}
	return rank
}

func (h host) has(addr netip.Addr) bool {
	return addr.IsLoopback() || slices.Contains(h.addresses, addr)
}

// list is the host's addresses for an error text.
func (h host) list() string {
	if len(h.addresses) == 0 {
		return "no address but loopback"
	}
	words := make([]string, len(h.addresses))
	for i, a := range h.addresses {
		words[i] = a.String()
	}
	return strings.Join(words, ", ")
}

// reserved returns why an address cannot be reached over the internet, in the
// one word that the relay's deny list has for it, or "" for a public address.
func reserved(addr netip.Addr) string {
	if netaddr.Metadata(addr) {
		return "metadata"
	}
	return netaddr.Special(addr)
}

// Flags of an IPv6 address in /proc/net/if_inet6, from linux/if_addr.h.
const (
	flagTemporary  = 0x01 // RFC 8981: changes every day
	flagDadFailed  = 0x08
	flagDeprecated = 0x20
	flagTentative  = 0x40
)

// shakyIPv6 returns the IPv6 addresses that will soon be gone or are not usable:
// temporary, deprecated, tentative. Empty where /proc does not tell.
func shakyIPv6() map[netip.Addr]bool {
	shaky := make(map[netip.Addr]bool)
	file, err := os.Open("/proc/net/if_inet6")
	if err != nil {
		return shaky
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		// address index prefix-length scope flags name
		fields := strings.Fields(lines.Text())
		if len(fields) < 5 {
			continue
		}
		raw, err := hex.DecodeString(fields[0])
		if err != nil || len(raw) != 16 {
			continue
		}
		flags, err := strconv.ParseUint(fields[4], 16, 32)
		if err == nil && flags&(flagTemporary|flagDadFailed|flagDeprecated|flagTentative) != 0 {
			shaky[netip.AddrFrom16([16]byte(raw))] = true
		}
	}
	return shaky
}
