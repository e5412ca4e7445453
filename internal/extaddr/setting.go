// Package extaddr finds out under which addresses the relay is reached from
// outside: the value of relay.external_ip, or what the host, its cloud's
// metadata service and STUN servers say when that value is "auto".
//
// A relayed transport address has two faces: the local address to which the
// socket is bound, and the address that peers are told. They are the same on a
// host with a public address, and differ behind 1:1 NAT, as in most clouds.
package extaddr

import (
	"fmt"
	"net/netip"
	"strings"

	"turnhub/turnsrv"
)

// Auto is the setting that leaves everything to detection.
const Auto = "auto"

// Setting is a parsed relay.external_ip. The zero value is "auto".
type Setting struct {
	// External holds at most one IPv4 and one IPv6 address which clients are
	// told; the local side is found by a route lookup.
	External []netip.Addr
	// Pairs holds local=external pairs in the order written. Bind is the local
	// address.
	Pairs []turnsrv.RelayAddress
}

// Auto reports whether the addresses are to be detected.
func (s Setting) Auto() bool { return len(s.External) == 0 && len(s.Pairs) == 0 }

// Parse reads relay.external_ip: "auto", one IPv4 and/or one IPv6 address, or
// local=external pairs, separated by commas or blanks. An error says what to
// write.
func Parse(text string) (Setting, error) {
	fields := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })
	if len(fields) == 0 || len(fields) == 1 && strings.EqualFold(fields[0], Auto) {
		return Setting{}, nil
	}
	var s Setting
	for _, field := range fields {
		local, external, pair := strings.Cut(field, "=")
		if !pair {
			addr, err := parseAddr(field)
			if err != nil {
				return Setting{}, err
			}
			for _, other := range s.External {
				if other.Is4() == addr.Is4() {
					return Setting{}, fmt.Errorf("%s and %s are two addresses of one family; write local=external pairs, for example %q",
						other, addr, "10.0.0.5="+other.String()+", 10.0.0.6="+addr.String())
				}
			}
			s.External = append(s.External, addr)
			continue
		}
		l, err := parseAddr(local)
		if err != nil {
			return Setting{}, err
		}
		e, err := parseAddr(external)
		if err != nil {
			return Setting{}, err
		}
		if l.Is4() != e.Is4() {
			return Setting{}, fmt.Errorf("%s mixes IPv4 and IPv6; both sides of a pair are of one family", field)
		}
		for _, other := range s.Pairs {
			if other.Bind == l {
				return Setting{}, fmt.Errorf("local address %s is in two pairs; write each local address once", l)
			}
		}
		s.Pairs = append(s.Pairs, turnsrv.RelayAddress{Bind: l, Advertise: e})
	}
	if len(s.External) > 0 && len(s.Pairs) > 0 {
		return Setting{}, fmt.Errorf("%q mixes single addresses and pairs; write either, for example %q", text, "10.0.0.5=198.51.100.7, 2a00:1::5=2a00:1::5")
	}
	return s, nil
}

func parseAddr(text string) (netip.Addr, error) {
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("%q is no IP address; write auto, an address such as 198.51.100.7, or a pair local=external such as 10.0.0.5=198.51.100.7", text)
	}
	addr = addr.Unmap()
	switch {
	case addr.Zone() != "":
		return netip.Addr{}, fmt.Errorf("%s: an address with a zone is reachable on one link only; write one without", text)
	case addr.IsUnspecified(), addr.IsMulticast():
		return netip.Addr{}, fmt.Errorf("%s is not the address of one host; write the address under which clients reach this server, or auto", text)
	}
	return addr, nil
}
