package portmux

import (
	"net"
	"strings"
)

// serverNameCode is the extension server_name, RFC 6066 section 3.
const serverNameCode = 0

// glance returns where a connection is passed on to whose ClientHello comes in one record,
// as nearly all do: crypto/tls would read it with a dozen allocations, and hold more while
// it waits for the rest. nil: to this server, or it takes more than a glance. What was read
// is read again.
func (m *Mux) glance(c *Conn) *Forward {
	forwards := m.forwards.Load()
	if len(forwards.list) == 0 {
		return nil
	}
	for {
		if have := len(c.first); have >= recordHeader {
			whole := recordHeader + int(c.first[3])<<8 + int(c.first[4])
			switch {
			case whole > usualHello:
				return nil
			case have >= whole:
				name, ok := serverName(c.first)
				if !ok {
					return nil
				}
				return forwards.find(name)
			case cap(c.first) < whole:
				c.first = append(make([]byte, 0, whole), c.first...)
			}
		}
		have := len(c.first)
		c.silent.Store(int64(m.clock()))
		n, err := c.Conn.Read(c.first[have:cap(c.first)])
		c.silent.Store(0)
		if c.first = c.first[:have+n]; n == 0 && err != nil {
			return nil // as the next Read says
		}
	}
}

// serverName is the name in a ClientHello that is whole and in one record; false where
// anything about it is unusual.
func serverName(records []byte) (name string, ok bool) {
	extensions, whole := extensionsOf(records)
	if !whole {
		return "", false
	}
	for len(extensions) > 0 {
		code := extensions.number(2)
		body := extensions.vector(2)
		if code != serverNameCode {
			continue
		}
		if ok { // a second one
			return "", false
		}
		names := body.vector(2)
		if names.number(1) != 0 { // host_name
			return "", false
		}
		name = string(names.vector(2))
		if ok = name != "" && len(names) == 0 && len(body) == 0 && !strings.HasSuffix(name, ".") && net.ParseIP(name) == nil; !ok {
			return "", false
		}
	}
	return name, ok
}
