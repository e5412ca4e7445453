package portmux

import (
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"strings"
	"time"
)

// A Forward passes on what comes for the names of another server.
type Forward struct {
	// Host is a name in lower case, or "*.example.org" for all below it.
	Host string
	// To is where TLS connections for it go, host:port, not ended here.
	To string
	// HTTP is where plain HTTP requests for it go; empty: they are sent to https.
	HTTP string
	// ProxyProtocol is the version of the PROXY header before what goes to To;
	// empty: none.
	ProxyProtocol string
}

func (f *Forward) matches(name string) bool {
	if below, wildcard := strings.CutPrefix(f.Host, "*"); wildcard {
		return len(name) > len(below) && strings.HasSuffix(name, below)
	}
	return name == f.Host
}

// forwards is what Config.Forward and SetForwards hold.
type forwards struct {
	own  string // the name of this server, which is never passed on
	list []Forward
}

// SetForwards replaces whose connections are passed on. Those that are being passed
// on stay. own is the name of this server itself, whichever pattern fits it.
func (m *Mux) SetForwards(own string, list []Forward) {
	m.forwards.Store(&forwards{strings.ToLower(own), slices.Clone(list)})
	m.mu.Lock()
	defer m.mu.Unlock()
	for d := range m.doors {
		d.look()
	}
	for _, ln := range m.serving {
		if tcp, ok := ln.(*net.TCPListener); ok && len(list) > 0 {
			tcp.SetDeadline(time.Now()) // from now on a door accepts
		}
	}
}

// find returns where a name leads; nil: to this server. A name that is written in
// full goes before a pattern, else the first fits.
func (f *forwards) find(name string) *Forward {
	if f == nil || len(f.list) == 0 || name == "" {
		return nil
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if name == f.own {
		return nil
	}
	if i := slices.IndexFunc(f.list, func(x Forward) bool { return x.Host == name }); i >= 0 {
		return &f.list[i]
	}
	if i := slices.IndexFunc(f.list, func(x Forward) bool { return x.matches(name) }); i >= 0 {
		return &f.list[i]
	}
	return nil
}

var (
	errPassedOn = errors.New("the name is another server's")
	errNoTLS    = errors.New("TLS is off")
	errLong     = errors.New("the ClientHello is too long")
)

// maxHello is how many bytes are kept of a ClientHello, in as many records as it
// likes; browsers send about 2,000.
const (
	maxHello     = 64 << 10
	usualHello   = 4 << 10 // for which there is room at once
	recordHeader = 5       // its last two bytes are the length, RFC 8446 section 5.1
)

// route is asked by crypto/tls as soon as it has read a ClientHello, in however many
// segments and records it came: whether its name (with Encrypted ClientHello the outer
// one) is another server's. Then nothing has been answered, and nothing will be. Ours it
// tells how to shake hands with a client that comes with a ticket.
func (m *Mux) route(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	c, ok := hello.Conn.(*Conn)
	if !ok || !c.keeping {
		return nil, nil
	}
	if c.to = m.forwards.Load().find(hello.ServerName); c.to != nil {
		c.mute = true
		return nil, errPassedOn
	}
	kept := c.kept
	c.keeping, c.kept = false, nil
	if m.cfg.TLS == nil {
		c.mute = true // an alert of ours says it better
		return nil, errNoTLS
	}
	if marked(m.cfg.TLS, kept) {
		return m.resuming, nil
	}
	return nil, nil
}

// keep notes what a client has said, for another server to hear it too.
func (c *Conn) keep(b []byte) error {
	if len(c.kept)+len(b) > maxHello {
		return errLong
	}
	before := len(c.kept)
	c.kept = append(c.kept, b...)
	if k := c.kept; before < recordHeader && len(k) >= recordHeader { // now it is known how much comes
		c.kept = append(make([]byte, 0, max(len(k), min(recordHeader+int(k[3])<<8+int(k[4]), usualHello))), k...)
	}
	return nil
}
