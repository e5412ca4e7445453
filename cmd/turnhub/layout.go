package main

import (
	"net"
	"net/netip"
	"strconv"

	"turnhub/internal/config"
	"turnhub/internal/extaddr"
	"turnhub/internal/netaddr"
	"turnhub/internal/probe"
)

// extaddrOptions translates what the configuration says about addresses.
func extaddrOptions(cfg *config.Config) extaddr.Options {
	o := extaddr.Options{
		BindIP:      cfg.Relay.BindIP,
		STUNServers: cfg.Relay.STUNServers,
		PublicHost:  cfg.PublicHost,
		PortMin:     cfg.Relay.PortMin,
		PortMax:     cfg.Relay.PortMax,
	}
	for _, e := range cfg.Relay.ExternalIP {
		o.External = append(o.External, netaddr.RelayAddress{Bind: e.Local, Advertise: e.External})
	}
	return o
}

// configuredLayout is where a server with this configuration listens.
func configuredLayout(cfg *config.Config, relay []netaddr.RelayAddress) (probe.Layout, error) {
	l := probe.Layout{PublicHost: cfg.PublicHost, Relay: relay, TLS: cfg.TLS.Mode != config.TLSOff, Front: len(cfg.Listen.TrustedProxies) > 0}
	var err error
	udp, _ := cfg.Listen.UDPAddresses() // what auto may add is known to the running server alone
	if l.UDP, err = addrPorts(udp); err != nil {
		return l, err
	}
	l.TCP, err = addrPorts(cfg.Listen.TCP)
	return l, err
}

func addrPorts(addresses []string) ([]netip.AddrPort, error) {
	var all []netip.AddrPort
	for _, a := range addresses {
		host, port, err := net.SplitHostPort(a)
		if err != nil {
			return nil, err
		}
		number, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return nil, err
		}
		addr := netip.IPv4Unspecified()
		switch host {
		case "":
		case "localhost":
			addr = netip.AddrFrom4([4]byte{127, 0, 0, 1})
		default:
			if addr, err = netip.ParseAddr(host); err != nil {
				return nil, err
			}
		}
		all = append(all, netip.AddrPortFrom(addr, uint16(number)))
	}
	return all, nil
}

// certificateNames are the names under which clients come: the public host and
// the addresses.
func certificateNames(cfg *config.Config, relay []netaddr.RelayAddress) []string {
	var names []string
	if cfg.PublicHost != "" {
		names = append(names, cfg.PublicHost)
	}
	for _, r := range relay {
		names = append(names, r.Advertise.String())
		if r.Bind.IsValid() && !r.Bind.IsUnspecified() {
			names = append(names, r.Bind.String())
		}
	}
	return names
}
