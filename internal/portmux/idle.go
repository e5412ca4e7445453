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
	if _, counted := m.conns[c]; counted && state == http.StateIdle {
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
	m.uncount(made)
	return m.clients.Add(addr, 1, share), made
}

// relays counts a connection as one to the relay, or says why it is refused. A quarter of
// what a household may have is left for its pages: browsers open a relay's connections
// for each person in a call, to have them if nothing better is found, and six people of
// one office would keep the next one from even loading the page.
func (m *Mux) relays(c *Conn) (reason string) {
	share := m.share(c.addr)
	share.Household -= share.Household / 4
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, counted := m.conns[c]; !counted {
		return "" // closed already
	}
	over := m.relaying.Add(c.addr, 1, share)
	c.relays = over == netaddr.Within
	return string(over)
}

// uncount ends the counting of a connection, once. Call it under mu.
func (m *Mux) uncount(c *Conn) {
	if _, counted := m.conns[c]; !counted {
		return
	}
	delete(m.conns, c)
	m.idle.remove(c)
	m.clients.Remove(c.addr, 1)
	if c.relays {
		m.relaying.Remove(c.addr, 1)
	}
}
