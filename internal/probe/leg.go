package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/logging"
	"github.com/pion/stun/v2"
	"github.com/pion/transport/v4"
	"github.com/pion/turn/v4"
)

// A leg is one client of the server under test: a connection, and what
// pion/turn's client makes of it.
type leg struct {
	conn   *tap
	client *turn.Client
	relay  net.PacketConn // nil before allocate
	pumped chan struct{}  // closed when the reading goroutine has ended
	stop   func() bool

	connect, handshake time.Duration
	chain              []*x509.Certificate
}

// open connects. The leg's life ends with ctx; close must be called in any case.
func open(ctx context.Context, s Server, address netip.AddrPort, username, password string, roots *x509.CertPool) (*leg, *Failure) {
	l := &leg{pumped: make(chan struct{})}
	network := "tcp"
	if s.Transport == "udp" {
		network = "udp"
	}
	begin := time.Now()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, address.String())
	if err != nil {
		return nil, connectFailure(s, err)
	}
	l.connect = time.Since(begin)
	if s.Transport == "tls" {
		begin = time.Now()
		secure := tls.Client(conn, &tls.Config{ServerName: s.Host, RootCAs: roots, MinVersion: tls.VersionTLS12})
		if err := secure.HandshakeContext(ctx); err != nil {
			conn.Close()
			return nil, tlsFailure(s, err)
		}
		l.handshake = time.Since(begin)
		l.chain = secure.ConnectionState().PeerCertificates
		conn = secure
	}
	if s.Transport == "udp" {
		l.conn = &tap{PacketConn: datagrams{conn}}
	} else {
		l.conn = &tap{PacketConn: turn.NewSTUNConn(conn)}
	}
	l.client, err = turn.NewClient(&turn.ClientConfig{
		STUNServerAddr: address.String(),
		TURNServerAddr: address.String(),
		Username:       username,
		Password:       password,
		Conn:           l.conn,
		Net:            resolved{},
		LoggerFactory:  silent{},
	})
	if err != nil {
		conn.Close()
		return nil, &Failure{Stage: StageConnect, Err: err, Remedy: "this is a defect of the probe: report it"}
	}
	l.stop = context.AfterFunc(ctx, l.interrupt)
	go l.pump()
	return l, nil
}

// pump feeds the client. It ends when the connection does.
func (l *leg) pump() {
	defer close(l.pumped)
	buffer := make([]byte, 64<<10)
	for {
		n, from, err := l.conn.ReadFrom(buffer)
		if err != nil {
			l.conn.fail(err)
			l.client.Close() // whoever waits for an answer waits no more
			return
		}
		// What the client cannot read it drops, as it would from the network.
		_, _ = l.client.HandleInbound(buffer[:n], from)
	}
}

func (l *leg) interrupt() {
	l.client.Close()
	l.conn.Close()
}

// close gives the allocation back and ends everything that open has begun.
func (l *leg) close() {
	l.stop()
	if l.relay != nil {
		_ = l.relay.Close() // sends Refresh with lifetime 0 and does not wait
	}
	l.interrupt()
	<-l.pumped
}

// A tap is the connection with a look at the STUN answers that pass.
type tap struct {
	net.PacketConn
	mutex  sync.Mutex
	code   int
	reason string
	mapped netip.AddrPort
	err    error
}

func (t *tap) WriteTo(payload []byte, to net.Addr) (int, error) {
	if isRequest(payload) {
		t.mutex.Lock()
		t.code, t.reason = 0, ""
		t.mutex.Unlock()
	}
	return t.PacketConn.WriteTo(payload, to)
}

func (t *tap) ReadFrom(payload []byte) (int, net.Addr, error) {
	n, from, err := t.PacketConn.ReadFrom(payload)
	if err == nil {
		t.look(payload[:n])
	}
	return n, from, err
}

// look notes what an answer says. Channel data and indications say nothing here.
func (t *tap) look(packet []byte) {
	if !stun.IsMessage(packet) {
		return
	}
	message := &stun.Message{Raw: append([]byte(nil), packet...)}
	if message.Decode() != nil {
		return
	}
	t.mutex.Lock()
	defer t.mutex.Unlock()
	switch message.Type.Class {
	case stun.ClassErrorResponse:
		var code stun.ErrorCodeAttribute
		if code.GetFrom(message) == nil {
			t.code, t.reason = int(code.Code), string(code.Reason)
		}
	case stun.ClassSuccessResponse:
		var mapped stun.XORMappedAddress
		if mapped.GetFrom(message) == nil {
			if addr, ok := netip.AddrFromSlice(mapped.IP); ok {
				t.mapped = netip.AddrPortFrom(addr.Unmap(), uint16(mapped.Port))
			}
		}
	}
}

// fail notes why reading ended; the first reason stays.
func (t *tap) fail(err error) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if t.err == nil {
		t.err = err
	}
}

func (t *tap) seen() (code int, reason string, mapped netip.AddrPort, err error) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	return t.code, t.reason, t.mapped, t.err
}

// isRequest: the two class bits of RFC 8489 section 5 are zero.
func isRequest(packet []byte) bool {
	return stun.IsMessage(packet) && packet[0]&0x01 == 0 && packet[1]&0x10 == 0
}

// datagrams is a connected UDP socket in the form that pion's client takes:
// unlike an unconnected one it reports an ICMP "port unreachable".
type datagrams struct{ net.Conn }

func (d datagrams) ReadFrom(payload []byte) (int, net.Addr, error) {
	n, err := d.Conn.Read(payload)
	return n, d.Conn.RemoteAddr(), err
}

func (d datagrams) WriteTo(payload []byte, _ net.Addr) (int, error) { return d.Conn.Write(payload) }

// resolved spares the client a look at all interfaces, and lets it take IPv6: all
// that it asks of the network is to read an address that is one already.
type resolved struct{ transport.Net }

func (resolved) ResolveUDPAddr(_, address string) (*net.UDPAddr, error) {
	addr, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	return net.UDPAddrFromAddrPort(addr), nil
}

// silent keeps pion's client from writing to stderr.
type silent struct{}

func (silent) NewLogger(scope string) logging.LeveledLogger {
	return logging.NewDefaultLeveledLoggerForScope(scope, logging.LogLevelDisabled, io.Discard)
}
