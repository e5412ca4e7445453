package main

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// contained reports whether this process is in a container: Docker and Podman leave a file
// there, systemd's convention is a variable, and Kubernetes names its own service.
func contained(environ []string) bool {
	for _, file := range []string{"/.dockerenv", "/run/.containerenv"} {
		if _, err := os.Stat(file); err == nil {
			return true
		}
	}
	return slices.ContainsFunc(environ, func(entry string) bool {
		name, value, _ := strings.Cut(entry, "=")
		return value != "" && (name == "container" || name == "KUBERNETES_SERVICE_HOST")
	})
}

// defaultGateways are the addresses to which this host sends what is for the internet.
func defaultGateways() []netip.Addr {
	four, _ := os.ReadFile("/proc/net/route") // neither is there on other systems
	six, _ := os.ReadFile("/proc/net/ipv6_route")
	return append(gateways4(string(four)), gateways6(string(six))...)
}

// gateways4 reads /proc/net/route: interface, destination, gateway, flags, …, mask at 7,
// addresses as numbers in the machine's own order.
func gateways4(table string) (all []netip.Addr) {
	for row := range strings.Lines(table) {
		fields := strings.Fields(row)
		if len(fields) < 8 || fields[1] != "00000000" || fields[7] != "00000000" {
			continue
		}
		raw, err := hex.DecodeString(fields[2])
		if err != nil || len(raw) != 4 {
			continue
		}
		var b [4]byte
		binary.NativeEndian.PutUint32(b[:], binary.BigEndian.Uint32(raw))
		if addr := netip.AddrFrom4(b); !addr.IsUnspecified() {
			all = append(all, addr)
		}
	}
	return all
}

// gateways6 reads /proc/net/ipv6_route: destination, its length, source, its length, next
// hop, ….
func gateways6(table string) (all []netip.Addr) {
	for row := range strings.Lines(table) {
		fields := strings.Fields(row)
		if len(fields) < 5 || strings.Trim(fields[0], "0") != "" || fields[1] != "00" {
			continue
		}
		raw, err := hex.DecodeString(fields[4])
		if err != nil {
			continue
		}
		if addr, ok := netip.AddrFromSlice(raw); ok && !addr.IsUnspecified() {
			all = append(all, addr.Unmap())
		}
	}
	return all
}

// tellGateway says that people come in the place of the container's host.
func (n *node) tellGateway(addr netip.Addr) {
	n.log.Warn("clients come from this container's own gateway: its host hides who they are, so that they share limits (64 times as wide) and nobody is relayed to there", "gateway", addr.String(),
		"remedy", "let the host keep the clients' addresses: Docker on Linux without the userland proxy ({\"userland-proxy\": false} in daemon.json), --network host, or Podman with pasta; see docs/containers.md")
}
