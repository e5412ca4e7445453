package config

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// check judges what only several options together can show, and what no server
// can be meant to do.
func (c *Config) check() (faults []fault) {
	blame := func(complaint string, keys ...string) { faults = append(faults, fault{keys: keys, text: complaint}) }
	if len(c.Listen.TCP)+len(c.Listen.UDP) == 0 {
		blame("the server listens nowhere; write an address in listen.tcp or listen.udp, such as [\":3478\"]", "listen.udp", "listen.tcp")
	}
	if c.Relay.PortMin > c.Relay.PortMax {
		blame("is above relay.port_max; write the smaller port in port_min", "relay.port_min", "relay.port_max")
	}
	if c.TLS.Mode == TLSFiles {
		if c.TLS.CertFile == "" {
			blame("tls.mode files needs it; write the path of the certificate chain in PEM", "tls.cert_file", "tls.mode")
		}
		if c.TLS.KeyFile == "" {
			blame("tls.mode files needs it; write the path of the private key in PEM", "tls.key_file", "tls.mode")
		}
	}
	c.checkACME(blame)
	if c.Access.Mode == AccessToken && c.Access.TokenSecretFile == "" && c.Access.TokenJWKSFile == "" {
		blame("access.mode token needs a key; make one with `openssl rand -base64 48 > token-secret` and write its path here, or a token_jwks_file", "access.token_secret_file", "access.mode", "access.token_jwks_file")
	}
	if c.Access.TokenSecretFile != "" && c.Access.TokenJWKSFile != "" {
		blame("stands beside token_secret_file; keep one of the two", "access.token_jwks_file", "access.token_secret_file")
	}
	c.checkAddresses(blame)
	c.checkListeners(blame)
	c.checkForward(blame)
	c.checkCluster(blame)
	c.checkEvents(blame)
	return faults
}

// checkACME finds what no certificate authority of the internet can vouch for.
func (c *Config) checkACME(blame func(complaint string, keys ...string)) {
	if c.TLS.Mode != TLSACME {
		return
	}
	switch ip, err := netip.ParseAddr(c.PublicHost); {
	case c.PublicHost == "":
		blame("tls.mode acme needs it; write the DNS name that leads to this server", "public_host", "tls.mode")
	case c.TLS.ACME.Directory != "": // an authority of one's own may know any name
	case err == nil && (!ip.IsGlobalUnicast() || ip.IsPrivate()), err != nil && !strings.Contains(c.PublicHost, "."),
		err != nil && slices.Contains([]string{"local", "localhost", "internal", "lan", "home", "test", "invalid", "arpa"}, c.PublicHost[strings.LastIndexByte(c.PublicHost, '.')+1:]):
		blame(fmt.Sprintf("no public authority can reach %q, so none gives a certificate for it; write a DNS name that leads here from the internet, tls.mode self-signed, or your own authority in tls.acme.directory", c.PublicHost), "public_host", "tls.mode", "tls.acme.directory")
	}
	switch {
	case len(c.Listen.TCP) == 0:
		blame("is empty, but tls.mode acme proves that the name is this server's on TCP port 443 or 80; write [\":443\", \":80\"]", "listen.tcp", "tls.mode")
	case !c.challengePort() && !c.inFront():
		blame("has neither port 443 nor 80, and the certificate authority comes to these alone; add \":443\", or where something forwards one of them to here, name it in listen.trusted_proxies", "listen.tcp", "tls.mode", "listen.trusted_proxies", "tls.acme.directory", "relay.external_ip")
	}
}

// challengePort reports whether an ACME authority reaches a listener by itself
// (RFC 8555 section 8.3: port 80, RFC 8737 section 3: port 443).
func (c *Config) challengePort() bool {
	return slices.ContainsFunc(c.Listen.TCP, func(address string) bool {
		_, port, _ := net.SplitHostPort(address)
		n, _ := strconv.Atoi(port)
		return n == 80 || n == 443
	})
}

// inFront reports whether the configuration says that something stands between
// clients and the listeners, which may map ports: a named proxy or an address
// translation; or that the authority is the operator's own.
func (c *Config) inFront() bool {
	return len(c.Listen.TrustedProxies) > 0 || c.TLS.ACME.Directory != "" ||
		slices.ContainsFunc(c.Relay.ExternalIP, func(e ExternalIP) bool { return e.Local.IsValid() })
}

func (c *Config) checkAddresses(blame func(complaint string, keys ...string)) {
	family := func(ips []netip.Addr, key string) {
		var v4, v6 int
		for _, ip := range ips {
			if ip.Is4() {
				v4++
			} else {
				v6++
			}
		}
		if v4 > 1 || v6 > 1 {
			blame("holds several addresses of one family; write at most one IPv4 and one IPv6 address", key)
		}
	}
	var plain []netip.Addr
	for i, e := range c.Relay.ExternalIP {
		switch same := func(o ExternalIP) bool { return o.Local.IsValid() && o.Local == e.Local || o == e }; {
		case !e.Local.IsValid():
			plain = append(plain, e.External)
		case e.Local.Is4() != e.External.Is4():
			blame(e.String()+" joins IPv4 and IPv6; write a pair of one family", "relay.external_ip")
		case slices.ContainsFunc(c.Relay.ExternalIP[:i], same):
			blame(fmt.Sprintf("%s stands before two =; write each local address once", e.Local), "relay.external_ip")
		}
	}
	family(plain, "relay.external_ip")
	family(c.Relay.BindIP, "relay.bind_ip")
	for _, p := range c.Listen.TrustedProxies {
		if p.Bits() < 8 || p.Addr().Is6() && p.Bits() < 16 {
			blame(fmt.Sprintf("%s is half the internet, and whoever is named here can pretend to be anybody; write the addresses of your proxies alone", p), "listen.trusted_proxies")
		}
	}
}

func (c *Config) checkListeners(blame func(complaint string, keys ...string)) {
	distinct := func(list []string, key string) {
		for i, address := range list {
			for _, other := range list[:i] {
				if overlap(address, other) {
					blame(fmt.Sprintf("%q and %q are the same port; write one of the two", other, address), key)
				}
			}
		}
	}
	distinct(c.Listen.TCP, "listen.tcp")
	distinct(c.Listen.UDP, "listen.udp")
	for _, address := range c.Listen.TCP {
		if overlap(address, c.Listen.Admin) {
			blame(fmt.Sprintf("%q is the port of %q in listen.tcp; write another one, such as 127.0.0.1:9478", c.Listen.Admin, address), "listen.admin", "listen.tcp")
		}
	}
	if public(c.Listen.Admin) {
		blame(fmt.Sprintf("%q can be reached from outside, and the console asks for no password; write 127.0.0.1:9478 (and `ssh -L 9478:127.0.0.1:9478` to this host), or a private address of this host for a monitoring network", c.Listen.Admin), "listen.admin")
	}
}

// sharedAddressSpace is what carriers, and overlay networks, use as private
// (RFC 6598).
var sharedAddressSpace = netip.MustParsePrefix("100.64.0.0/10")

// public reports whether a listening address takes connections from beyond
// private networks: every address of the host, or one of the internet.
func public(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil || host == "localhost" {
		return false
	}
	ip, _ := netip.ParseAddr(host)
	ip = ip.Unmap()
	return !ip.IsLoopback() && !ip.IsPrivate() && !ip.IsLinkLocalUnicast() && !sharedAddressSpace.Contains(ip)
}

// overlap reports whether two addresses cannot be listened on at once. [::] goes
// together with IPv4 addresses on its port, beside which it is IPv6 alone.
func overlap(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil || portA != portB || portA == "0" {
		return false
	}
	if hostA == "" || hostB == "" {
		return true
	}
	ipA, ipB := listenIP(hostA), listenIP(hostB)
	return ipA == ipB || ipA.Is4() == ipB.Is4() && (ipA.IsUnspecified() || ipB.IsUnspecified())
}

func listenIP(host string) netip.Addr {
	if host == "localhost" {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	ip, _ := netip.ParseAddr(host) // parseListen has taken it
	return ip.Unmap()
}

// doubts finds what works and is most likely not meant.
func (c *Config) doubts() (all []fault) {
	doubt := func(key, problem, remedy string) {
		all = append(all, fault{keys: []string{key}, text: problem, remedy: remedy})
	}
	written := func(key string) bool { return c.origins[key] != "" && c.origins[key] != handedOverOrigin }
	if c.TLS.Mode == TLSACME && !c.challengePort() {
		doubt("listen.tcp", "has neither port 443 nor 80, to which the certificate authority comes", "see that something forwards one of them to here")
	}
	if len(c.Listen.TCP) == 0 && c.TLS.Mode != TLSOff && c.TLS.Mode != TLSACME {
		doubt("tls.mode", c.TLS.Mode+" has no effect: listen.tcp is empty", "write [\":443\"] there, or tls.mode off")
	}
	for _, f := range []struct{ key, value, mode string }{
		{"tls.cert_file", c.TLS.CertFile, TLSFiles}, {"tls.key_file", c.TLS.KeyFile, TLSFiles},
		{"tls.acme.email", c.TLS.ACME.Email, TLSACME}, {"tls.acme.directory", c.TLS.ACME.Directory, TLSACME},
		{"tls.acme.ca_file", c.TLS.ACME.CAFile, TLSACME}, {"tls.acme.cache_dir", c.TLS.ACME.CacheDir, TLSACME},
	} {
		if f.value != "" && c.TLS.Mode != f.mode && written(f.key) {
			doubt(f.key, fmt.Sprintf("has no effect with tls.mode %s", c.TLS.Mode), "write tls.mode "+f.mode+", or remove it")
		}
	}
	for _, f := range []struct{ key, value string }{{"access.token_secret_file", c.Access.TokenSecretFile}, {"access.token_jwks_file", c.Access.TokenJWKSFile}} {
		if f.value != "" && c.Access.Mode == AccessOpen && written(f.key) {
			doubt(f.key, "nobody is asked for a token: access.mode is open", "write access.mode token, or remove it")
		}
	}
	c.doubtsOfCluster(doubt, written)
	c.doubtsOfEvents(doubt)
	c.doubtsOfPush(doubt, written)
	if len(c.Access.AllowedOrigins) > 1 && slices.Contains(c.Access.AllowedOrigins, "*") {
		doubt("access.allowed_origins", "\"*\" lets every page in, whatever else is listed", "remove \"*\", or all the others")
	}
	if n := int(c.Relay.PortMax) - int(c.Relay.PortMin) + 1; n < 2 {
		doubt("relay.port_min", "the range has one port, and a call that is relayed at both ends needs two", "write a wider range in port_min and port_max")
	}
	everything := func(p netip.Prefix) bool { return p.Bits() == 0 }
	if slices.ContainsFunc(c.Relay.AllowPeers, everything) {
		doubt("relay.allow_peers", "opens every address, with the host's own networks and the cloud's metadata service", "name the networks that are meant")
	}
	if slices.ContainsFunc(c.Relay.DenyPeers, everything) {
		doubt("relay.deny_peers", "denies every address, so that nobody is reached through the relay", "name the networks that are meant")
	}
	return all
}
