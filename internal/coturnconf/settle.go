package coturnconf

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// external is one external-ip.
type external struct {
	setting
	public, private netip.Addr // private is invalid for none
}

// settle judges what only all lines together can show, so that what comes out can
// be loaded and every line without effect has its note.
func (c *conversion) settle(usable func(cert, key string) error) {
	c.settleTLS(usable)
	c.settleAddresses()
	c.settleListeners()
	if low, high := number(c.portMin, 49152), number(c.portMax, 65535); low > high {
		for _, name := range []string{"min-port", "max-port"} {
			if s, ok := c.given[name]; ok {
				c.note(s, fmt.Sprintf("%d to %d is not a range; the default stays, 49152 to 65535", low, high))
			}
		}
		c.portMin, c.portMax = "", ""
	}
	if s, ok := c.given["use-auth-secret"]; ok && len(c.secrets) == 0 {
		c.note(s, "no static-auth-secret is carried over: turnhub makes a secret of its own, <state_dir>/turn-secrets; write yours in credentials.secrets")
	}
}

func number(text string, otherwise int) int {
	if n, err := strconv.Atoi(text); err == nil {
		return n
	}
	return otherwise
}

// settleTLS keeps certificate and key when both are there and can be served:
// coturn starts without TLS otherwise, turnhub would not start.
func (c *conversion) settleTLS(usable func(cert, key string) error) {
	cert, key := c.given["cert"], c.given["pkey"]
	both := func(text string) {
		for _, s := range []setting{cert, key} {
			if s.line > 0 {
				c.note(s, text)
			}
		}
	}
	switch {
	case cert.line == 0 && key.line == 0:
	case c.noTLS:
		both("has no effect beside no-tls")
		c.cert = ""
	case c.cert == "" || c.key == "":
		both("TLS needs cert and pkey, so there are no turns: URLs; write tls.mode: files with both, or tls.mode: acme")
		c.cert = ""
	case usable != nil:
		if err := usable(c.cert, c.key); err != nil {
			both(fmt.Sprintf("cannot be served from here, so TLS stays off (%s); when it can, write tls: {mode: files, cert_file: %s, key_file: %s}", printable(err.Error()), quote(c.cert), quote(c.key)))
			c.cert = ""
		}
	}
	if s, ok := c.given["tls-listening-port"]; ok && c.cert == "" {
		c.note(s, "has no effect without TLS")
	}
	if s, ok := c.given["no-tls"]; ok && c.noTLS && cert.line == 0 && key.line == 0 {
		c.nothing(s, "TLS is off without a certificate")
	}
}

// settleAddresses keeps one relay address of each family, and of external ones what
// can stand side by side.
func (c *conversion) settleAddresses() {
	var relay []setting
	have := make(map[bool]string) // by Is4
	for _, s := range c.relay {
		addr, _ := netip.ParseAddr(s.value)
		if first := have[addr.Is4()]; first != "" && first != s.value {
			c.note(s, "only one address of each family is relayed from, "+first)
			continue
		} else if first == "" {
			relay = append(relay, s)
		}
		have[addr.Is4()] = s.value
	}
	c.relay = relay

	var kept []external
	for i, e := range c.external {
		later := c.external[i+1:]
		switch {
		case !e.private.IsValid() && slices.ContainsFunc(later, func(o external) bool { return !o.private.IsValid() && o.public.Is4() == e.public.Is4() }):
			c.note(e.setting, "another external-ip of this family follows, which counts")
		case !e.private.IsValid() && slices.ContainsFunc(c.external, func(o external) bool { return o.private.IsValid() && o.public == e.public }):
			c.nothing(e.setting, "the pair with this address says it")
		case e.private.IsValid() && slices.ContainsFunc(later, func(o external) bool { return o.private == e.private }):
			c.note(e.setting, "another external-ip for this private address follows, which counts")
		default:
			kept = append(kept, e)
		}
	}
	c.external = kept
	c.keepFamilies()
}

// keepFamilies adds the relay's own address of a family that no external-ip names:
// relay.external_ip names all that is relayed, coturn's only what is mapped.
func (c *conversion) keepFamilies() {
	if len(c.external) == 0 {
		return
	}
	relays := c.relay
	if len(relays) == 0 {
		relays = c.addresses // coturn relays from where it listens
	}
	for _, s := range relays {
		addr, err := netip.ParseAddr(s.value)
		named := slices.ContainsFunc(c.external, func(e external) bool { return e.public.Is4() == addr.Is4() })
		switch {
		case err != nil || named || addr.IsLoopback() || addr.IsLinkLocalUnicast():
		case addr.IsUnspecified():
			c.note(s, "external-ip names no address of this family, so that it is not relayed; add this host's to relay.external_ip")
		default:
			c.external = append(c.external, external{setting: s, public: addr})
		}
	}
}

func (c *conversion) externalIPs() []string {
	all := make([]string, len(c.external))
	for i, e := range c.external {
		all[i] = e.public.String()
		if e.private.IsValid() {
			all[i] = e.private.String() + "=" + all[i]
		}
	}
	return all
}

// settleListeners sees that something is left to listen on.
func (c *conversion) settleListeners() {
	if len(c.listenTCP(c.cert != ""))+len(c.listenUDP()) > 0 {
		return
	}
	for _, name := range []string{"no-udp", "no-tcp"} {
		if s, ok := c.given[name]; ok {
			c.note(s, "nothing would be left to listen on, so the port stays")
		}
	}
	c.noUDP, c.noTCP = false, false
}

// listenTCP is every universal TCP port: coturn's plain and TLS ports, any of
// which here takes TLS, TURN and HTTP.
func (c *conversion) listenTCP(tls bool) []string {
	var all []string
	if !c.noTCP {
		all = append(c.at(c.port), values(c.more)...)
	}
	if tls {
		all = append(all, c.at(c.tlsPort)...)
	}
	return distinct(all)
}

func (c *conversion) listenUDP() []string {
	if c.noUDP {
		return nil
	}
	return distinct(append(c.at(c.port), values(c.more)...))
}

// at joins every listening address with a port.
func (c *conversion) at(port string) []string {
	if len(c.addresses) == 0 {
		return []string{":" + port}
	}
	var all []string
	for _, s := range c.addresses {
		all = append(all, join(s.value, port))
	}
	return all
}

func join(address, port string) string {
	if strings.Contains(address, ":") {
		address = "[" + address + "]"
	}
	return address + ":" + port
}

// distinct leaves out what stands twice, and addresses on whose port every address
// of their family is listened on anyway.
func distinct(all []string) []string {
	slices.Sort(all)
	all = slices.Compact(all)
	return slices.DeleteFunc(slices.Clone(all), func(address string) bool {
		at := strings.LastIndexByte(address, ':')
		host, port := address[:at], address[at:]
		wildcard := "0.0.0.0"
		if strings.HasPrefix(host, "[") {
			wildcard = "[::]"
		}
		return host != "" && (slices.Contains(all, port) || host != wildcard && slices.Contains(all, wildcard+port))
	})
}

// admin is where the console goes when its own port is taken; empty: it is not.
func (c *conversion) admin(tls bool) string {
	taken := func(port int) bool {
		return slices.ContainsFunc(c.listenTCP(tls), func(address string) bool { return strings.HasSuffix(address, ":"+strconv.Itoa(port)) })
	}
	port := 9478
	for taken(port) {
		port++
	}
	if port == 9478 {
		return ""
	}
	return "127.0.0.1:" + strconv.Itoa(port)
}
