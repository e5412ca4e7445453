package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// forwardFields are the members of a listen.forward, in their order.
var forwardFields = []string{"host", "to", "http", "proxy_protocol"}

// forwards is a list of mappings. As text, in an environment variable, each is
// "host=*.example.org to=127.0.0.1:8443".
func forwards(p *[]Forward) value {
	v := sequence(p, "list of {host, to, http, proxy_protocol}", parseForward, func(f Forward) string {
		item := "host=" + f.Host + " to=" + f.To
		if f.HTTP != "" {
			item += " http=" + f.HTTP
		}
		if f.ProxyProtocol != "" {
			item += " proxy_protocol=" + f.ProxyProtocol
		}
		return item
	})
	v.fields = forwardFields
	return v
}

// publicPath is a path without a slash at its end; /calls/ and calls mean the same.
func publicPath(p *string) value {
	return scalar(p, "path", func(s string) (string, error) {
		bare := strings.Trim(s, "/")
		for part := range strings.SplitSeq(bare, "/") {
			if bare != "" && (part == "" || strings.Trim(part, ".") == "" || strings.Trim(part, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~") != "") {
				return "", fmt.Errorf("%q is not a path; write letters, digits and - . _ ~ between slashes, such as /calls", s)
			}
		}
		if bare == "" {
			return "", nil
		}
		return "/" + bare, nil
	}, same)
}

func parseForward(s string) (f Forward, err error) {
	if _, err := parseMembers(s, forwardFields, &f.Host, &f.To, &f.HTTP, &f.ProxyProtocol); err != nil {
		return f, err
	}
	f.Host = strings.ToLower(f.Host)
	switch bare := strings.TrimPrefix(f.Host, "*."); {
	case f.Host == "":
		return f, errors.New("host is missing; write the name whose connections are passed on, such as www.example.org or \"*.example.org\"")
	case !validName(bare) || numeric(bare):
		return f, fmt.Errorf("host %q is not a name that a client can ask for; write one in ASCII, such as www.example.org, or \"*.example.org\" for all below it", f.Host)
	}
	if f.To == "" {
		return f, fmt.Errorf("to is missing for %s; write where its TLS connections go, such as 127.0.0.1:8443", f.Host)
	}
	for _, x := range []struct{ name, at string }{{"to", f.To}, {"http", f.HTTP}} {
		if x.at != "" && !connectable(x.at) {
			return f, fmt.Errorf("%s %q is not an address to connect to; write host:port, such as 127.0.0.1:8443", x.name, x.at)
		}
	}
	if f.ProxyProtocol != "" && f.ProxyProtocol != "v1" && f.ProxyProtocol != "v2" {
		return f, fmt.Errorf("proxy_protocol %q does not exist; write v1 or v2, or leave it out", f.ProxyProtocol)
	}
	return f, nil
}

// connectable reports whether host:port is somewhere to connect to.
func connectable(s string) bool {
	host, port, err := net.SplitHostPort(s)
	n, bad := strconv.ParseUint(port, 10, 16)
	if err != nil || bad != nil || n == 0 {
		return false
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return !ip.IsUnspecified() && !ip.IsMulticast()
	}
	return validName(host) && !numeric(host)
}

// checkForward finds names that stay here whatever is written, and connections that
// would come back.
func (c *Config) checkForward(blame func(complaint string, keys ...string)) {
	for i, f := range c.Listen.Forward {
		if f.Host == c.PublicHost && f.Host != "" {
			blame(fmt.Sprintf("%q is public_host, which is answered here; write the name of another server", f.Host), "listen.forward", "public_host")
		}
		if slices.ContainsFunc(c.Listen.Forward[:i], func(o Forward) bool { return o.Host == f.Host }) {
			blame(fmt.Sprintf("%q stands twice; remove one of the two", f.Host), "listen.forward")
		}
		for _, at := range []string{f.To, f.HTTP} {
			if host, port, err := net.SplitHostPort(at); err == nil && c.isOwnPort(host, port) {
				blame(fmt.Sprintf("%s of %q is this server's own listen.tcp, and would go round in circles; write the other server's port", at, f.Host), "listen.forward", "listen.tcp")
				break
			}
		}
	}
}

// isOwnPort reports whether a connection to host and port comes back to listen.tcp.
func (c *Config) isOwnPort(host, port string) bool {
	ip, err := netip.ParseAddr(host)
	local := host == "localhost" || host == c.PublicHost || err == nil && ip.Unmap().IsLoopback()
	return slices.ContainsFunc(c.Listen.TCP, func(address string) bool {
		own, p, _ := net.SplitHostPort(address)
		if p != port {
			return false
		}
		if own == "" || listenIP(own).IsUnspecified() {
			return local
		}
		return err == nil && ip.Unmap() == listenIP(own) || host == "localhost" && listenIP(own).IsLoopback()
	})
}
