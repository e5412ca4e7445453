package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

func parseListen(s string) (string, error) {
	bad := fmt.Errorf("%q is not an address to listen on; write address:port or :port, such as \":3478\"", s)
	h, port, err := net.SplitHostPort(s)
	if err != nil {
		return "", bad
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || (n == 0 && port != "0") {
		return "", bad
	}
	if h != "" && h != "localhost" {
		if _, err := netip.ParseAddr(h); err != nil {
			return "", bad
		}
	}
	return s, nil
}

func hostPorts(p *[]string) value {
	return sequence(p, "list of host:port", func(s string) (string, error) {
		name, port := s, "3478"
		if h, p, err := net.SplitHostPort(s); err == nil {
			name, port = h, p
		}
		n, err := strconv.ParseUint(port, 10, 16)
		_, notIP := netip.ParseAddr(name)
		if err != nil || n == 0 || (notIP != nil && !validName(name)) {
			return "", fmt.Errorf("%q is not a server; write its name and port, such as stun.example.org:3478", s)
		}
		return s, nil
	}, same)
}

func listenAddresses(p *[]string) value {
	return sequence(p, "list of host:port", parseListen, same)
}

// listenAuto is listenAddresses, or auto alone.
func listenAuto(p *[]string) value {
	v := sequence(p, "list of host:port, or auto", func(s string) (string, error) {
		if s == listenAutoWord {
			return "", errors.New("auto stands among addresses; write auto alone, or addresses alone")
		}
		return parseListen(s)
	}, same)
	set := v.set
	v.set = func(items []string) error {
		if len(items) == 1 && items[0] == listenAutoWord {
			*p = items
			return nil
		}
		return set(items)
	}
	return v
}

func listenAddress(p *string) value {
	return scalar(p, "host:port", func(s string) (string, error) {
		if s == "" {
			return "", nil
		}
		return parseListen(s)
	}, same)
}

func parseIP(s string) (netip.Addr, error) {
	ip, err := netip.ParseAddr(s)
	if err != nil || ip.Zone() != "" {
		return netip.Addr{}, fmt.Errorf("%q is not an IP address; write one, such as 203.0.113.7 or 2001:db8::7", s)
	}
	return ip.Unmap(), nil
}

func addresses(p *[]netip.Addr) value {
	return sequence(p, "IP addresses", func(s string) (netip.Addr, error) {
		ip, err := parseIP(s)
		if err == nil && ip.IsMulticast() {
			err = fmt.Errorf("%q is a multicast address; write one of this host", s)
		}
		return ip, err
	}, netip.Addr.String)
}

func prefixes(p *[]netip.Prefix) value {
	return sequence(p, "list of CIDRs", func(s string) (netip.Prefix, error) {
		if ip, err := netip.ParseAddr(s); err == nil && ip.Zone() == "" {
			ip = ip.Unmap()
			return netip.PrefixFrom(ip, ip.BitLen()), nil
		}
		prefix, err := netip.ParsePrefix(s)
		if err != nil {
			return netip.Prefix{}, fmt.Errorf("%q is not a CIDR; write an address with its prefix length, such as 10.0.0.0/8", s)
		}
		if prefix != prefix.Masked() {
			return netip.Prefix{}, fmt.Errorf("%q has bits beyond its length; write %s, or a longer prefix", s, prefix.Masked())
		}
		return prefix, nil
	}, netip.Prefix.String)
}

func externalIPs(p *[]ExternalIP) value {
	v := sequence(p, "auto, IP addresses, or local=external pairs", func(s string) (e ExternalIP, err error) {
		local, external, pair := strings.Cut(s, "=")
		if !pair {
			external = s
		} else if e.Local, err = parseIP(strings.TrimSpace(local)); err != nil {
			return e, err
		}
		e.External, err = parseIP(strings.TrimSpace(external))
		if err == nil && (e.External.IsUnspecified() || e.External.IsMulticast()) {
			err = fmt.Errorf("%q is not an address that a client can reach; write the server's own, or auto", s)
		}
		return e, err
	}, ExternalIP.String)
	set, get := v.set, v.get
	v.set = func(items []string) error {
		if len(items) == 0 || (len(items) == 1 && items[0] == "auto") {
			*p = nil
			return nil
		}
		return set(items)
	}
	v.get = func() []string {
		if len(*p) == 0 {
			return []string{"auto"}
		}
		return get()
	}
	return v
}

func host(p *string) value {
	return scalar(p, "name or IP", func(s string) (string, error) {
		if s == "" {
			return "", nil
		}
		if ip, err := netip.ParseAddr(s); err == nil && ip.Zone() == "" {
			if ip.IsUnspecified() || ip.IsMulticast() {
				return "", fmt.Errorf("%q is not an address that a client can reach; write the server's own, or nothing for relay.external_ip", s)
			}
			return ip.Unmap().String(), nil
		}
		if !validName(s) || numeric(s) {
			return "", fmt.Errorf("%q is neither a DNS name nor an IP address; write the name alone, such as turn.example.org, without scheme, port or path", s)
		}
		return strings.ToLower(s), nil
	}, same)
}

// numeric reports whether browsers take a name for an IPv4 address, and a wrong
// one: its last label is a number (WHATWG URL, "ends in a number").
func numeric(name string) bool {
	last := name[strings.LastIndexByte(name, '.')+1:]
	if digits, hex := strings.CutPrefix(strings.ToLower(last), "0x"); hex {
		return strings.Trim(digits, "0123456789abcdef") == ""
	}
	return strings.Trim(last, "0123456789") == ""
}

// validName reports whether s is a host name (RFC 1123 section 2.1).
func validName(s string) bool {
	if len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, r := range label {
			if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-') {
				return false
			}
		}
	}
	return true
}
