package probe

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// A Server is a parsed STUN or TURN URL (RFC 7064, RFC 7065).
type Server struct {
	Scheme    string // stun, turn or turns
	Host      string // DNS name or IP address, without brackets
	Port      uint16
	Transport string // udp, tcp or tls: what is spoken on the wire
}

// ParseURL reads a STUN or TURN URL as browsers do. turns: is always TLS over
// TCP, as in Chromium, whatever its transport says.
func ParseURL(text string) (Server, error) {
	scheme, rest, ok := strings.Cut(text, ":")
	if !ok {
		return Server{}, fmt.Errorf("%q is no STUN or TURN URL; write one such as turn:turn.example.org:3478?transport=udp here", text)
	}
	s := Server{Scheme: strings.ToLower(scheme), Transport: "udp"}
	defaultPort := uint16(3478) // RFC 7065 section 3.2
	switch s.Scheme {
	case "stun", "turn":
	case "turns":
		defaultPort, s.Transport = 5349, "tls"
	case "stuns":
		return Server{}, fmt.Errorf("%q: the scheme stuns is supported by no browser; write stun: or turns: instead", text)
	default:
		return Server{}, fmt.Errorf("%q is no STUN or TURN URL, which begins with stun:, turn: or turns: as in turn:turn.example.org:3478", text)
	}
	hostport, query, hasQuery := strings.Cut(rest, "?")
	if hasQuery {
		values, err := url.ParseQuery(query)
		if err != nil || len(values) != 1 || !values.Has("transport") {
			return Server{}, fmt.Errorf("%q: only ?transport=udp or ?transport=tcp may follow the port", text)
		}
		switch transport := values.Get("transport"); {
		case transport != "udp" && transport != "tcp":
			return Server{}, fmt.Errorf("%q: transport %q is neither udp nor tcp", text, transport)
		case s.Scheme == "stun":
			return Server{}, fmt.Errorf("%q: a stun: URL has no transport", text)
		case s.Scheme == "turn":
			s.Transport = transport
		}
	}
	s.Host, s.Port = hostport, defaultPort
	if host, port, err := net.SplitHostPort(hostport); err == nil {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return Server{}, fmt.Errorf("%q: %q is not a port", text, port)
		}
		s.Host, s.Port = host, uint16(n)
	} else if strings.Count(hostport, ":") > 0 && !strings.HasPrefix(hostport, "[") {
		return Server{}, fmt.Errorf("%q: an IPv6 address stands in brackets", text)
	}
	s.Host = strings.TrimSuffix(strings.TrimPrefix(s.Host, "["), "]")
	if s.Host == "" {
		return Server{}, fmt.Errorf("%q names no host", text)
	}
	if strings.ContainsAny(s.Host, "[]?/@ ") || strings.Contains(s.Host, ":") && net.ParseIP(s.Host) == nil {
		return Server{}, fmt.Errorf("%q: %q is not a host", text, s.Host)
	}
	return s, nil
}

// String returns the URL in its full form.
func (s Server) String() string {
	text := s.Scheme + ":" + net.JoinHostPort(s.Host, strconv.Itoa(int(s.Port)))
	switch {
	case s.Scheme == "stun":
		return text
	case s.Transport == "udp":
		return text + "?transport=udp"
	default:
		return text + "?transport=tcp"
	}
}

// port names the port as a firewall does: "TCP 443".
func (s Server) port() string {
	if s.Transport == "udp" {
		return fmt.Sprintf("UDP %d", s.Port)
	}
	return fmt.Sprintf("TCP %d", s.Port)
}
