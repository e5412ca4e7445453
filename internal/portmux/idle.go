package portmux

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"slices"

	"turnhub/internal/netaddr"
)

// Browsers keep connections open for the next request, six a page, of which nobody waits
// for anything: they are no reason to refuse the next visitor of the same household. The
// one that has been idle longest makes room, as it would for want of use a little later;
// browsers know that this happens (RFC 9112, 9.5), and ask again on a new one.

// idle are the connections on which the next request is waited for, by household, the
// longest idle first. Under Mux.mu.
type idle map[netip.Prefix][]*Conn

// follow implements http.Server.ConnState.
func (m *Mux) follow(nc net.Conn, state http.ConnState) {
	c, _ := nc.(*Conn)
	if c == nil {
		return
	}
	if secure, ok := c.Conn.(*tls.Conn); ok {
		if c, ok = secure.NetConn().(*Conn); !ok {
			return
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if state == http.StateIdle {
		m.idle.add(c)
	} else {
		m.idle.remove(c)
	}
}

func (i idle) add(c *Conn) {
	i.remove(c)
	household := netaddr.Household(c.addr)
	i[household] = append(i[household], c)
}

func (i idle) remove(c *Conn) {
	household := netaddr.Household(c.addr)
	list := slices.DeleteFunc(i[household], func(o *Conn) bool { return o == c })
	if len(list) == 0 {
		delete(i, household)
	} else {
		i[household] = list
	}
}

// count counts a connection of an address, or says why it is refused. made is one that
// has to be closed, without mu: it has made room, and is counted no more. Call it under
// mu.
func (m *Mux) count(addr netip.Addr, share netaddr.Share) (over netaddr.Bound, made *Conn) {
	over = m.clients.Add(addr, 1, share)
	if over != netaddr.OverHousehold {
		return over, nil
	}
	list := m.idle[netaddr.Household(addr)]
	if len(list) == 0 {
		return over, nil
	}
	made = list[0]
	m.idle.remove(made)
	m.uncount(made)
	return m.clients.Add(addr, 1, share), made
}

// uncount ends the counting of a connection, once. Call it under mu.
func (m *Mux) uncount(c *Conn) {
	if _, counted := m.conns[c]; counted {
		delete(m.conns, c)
		m.clients.Remove(c.addr, 1)
	}
}
