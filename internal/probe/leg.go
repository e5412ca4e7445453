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

	"turnhub/internal/netaddr"
)

// A leg is one client of the server under test: a connection, and what
// pion/turn's client makes of it.
type leg struct {
	conn               *tap
	client             *turn.Client
	username, password string
	relay              net.PacketConn // nil before allocate; written under mutex
	mutex              sync.Mutex
	pumped             chan struct{} // closed when the reading goroutine has ended
	released           bool          // release has looked at relay; under mutex
	stop               func() bool
	once               sync.Once // of end

	local              netip.Addr // our own end
	connect, handshake time.Duration
	chain              []*x509.Certificate
}

// open connects. The leg's life ends with ctx; close must be called in any case.
func open(ctx context.Context, s Server, address netip.AddrPort, username, password string, roots *x509.CertPool) (*leg, *Failure) {
	l := &leg{username: username, password: password, pumped: make(chan struct{})}
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
	if local, err := netip.ParseAddrPort(conn.LocalAddr().String()); err == nil {
		l.local = netaddr.Plain(local.Addr())
	}
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
	l.stop = context.AfterFunc(ctx, l.end)
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

// allocate makes the leg's allocation.
func (l *leg) allocate() error {
	relay, err := l.client.Allocate()
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.relay = relay; relay != nil && l.released {
		_ = relay.Close() // its timers have nobody else to end them
	}
	return err
}

// close gives the allocation back and ends everything that open has begun.
func (l *leg) close() {
	l.stop()
	l.end()
	<-l.pumped
}

// end is close without the wait, for when the context ends.
func (l *leg) end() {
	l.once.Do(func() {
		l.release()
		l.client.Close()
		l.conn.Close()
	})
}

const (
	releaseTries = 3
	releaseAfter = 150 * time.Millisecond // is tried again
)

// release gives the allocation back, with a Refresh of lifetime 0 (RFC 8656
// section 7.3) that is sent again until it is answered: over UDP one that gets
// lost would leave the allocation for ten minutes. One that was asked for and not
// answered yet is given back too.
func (l *leg) release() {
	l.mutex.Lock()
	relay := l.relay
	l.released = true
	l.mutex.Unlock()
	if relay != nil {
		defer relay.Close() // whose own Refresh finds nothing any more
	}
	request := l.refresh()
	if request == nil {
		return
	}
	answered := l.conn.expect(request.TransactionID)
	for range releaseTries {
		if _, err := l.conn.WriteTo(request.Raw, l.client.TURNServerAddr()); err != nil {
			return
		}
		select {
		case <-answered:
			return
		case <-l.pumped: // the connection is gone, and with it the allocation
			return
		case <-time.After(releaseAfter):
		}
	}
}

// refresh is a Refresh of lifetime 0 with the server's last nonce; nil when no
// allocation can have been made.
func (l *leg) refresh() *stun.Message {
	realm, nonce, asked := l.conn.challenge()
	if !asked {
		return nil
	}
	request, err := stun.Build(stun.TransactionID, stun.NewType(stun.MethodRefresh, stun.ClassRequest),
		stun.RawAttribute{Type: stun.AttrLifetime, Value: make([]byte, 4)},
		stun.NewUsername(l.username), realm, nonce,
		stun.NewLongTermIntegrity(l.username, realm.String(), l.password), stun.Fingerprint)
	if err != nil {
		return nil
	}
	return request
}

// A tap is the connection with a look at the STUN answers that pass.
type tap struct {
	net.PacketConn
	mutex  sync.Mutex
	code   int
	reason string
	mapped netip.AddrPort
	err    error

	realm    stun.Realm // of the last challenge
	nonce    stun.Nonce
	asked    bool // an Allocate with credentials has been sent
	expected [stun.TransactionIDSize]byte
	answered chan struct{} // closed at the answer to expected
}

func (t *tap) WriteTo(payload []byte, to net.Addr) (int, error) {
	if isRequest(payload) {
		t.mutex.Lock()
		t.code, t.reason = 0, ""
		if payload[0] == 0 && payload[1] == byte(stun.MethodAllocate) && len(t.nonce) > 0 {
			t.asked = true
		}
		t.mutex.Unlock()
	}
	return t.PacketConn.WriteTo(payload, to)
}

// expect returns a channel that is closed when the request with this id is
// answered.
func (t *tap) expect(id [stun.TransactionIDSize]byte) <-chan struct{} {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.expected, t.answered = id, make(chan struct{})
	return t.answered
}

// challenge returns what the server has last asked for, and whether an allocation
// may have been made with it.
func (t *tap) challenge() (realm stun.Realm, nonce stun.Nonce, asked bool) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	return t.realm, t.nonce, t.asked
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
	if t.answered != nil && message.TransactionID == t.expected {
		close(t.answered)
		t.answered = nil
	}
	switch message.Type.Class {
	case stun.ClassErrorResponse:
		var realm stun.Realm
		var nonce stun.Nonce
		if realm.GetFrom(message) == nil && nonce.GetFrom(message) == nil {
			t.realm, t.nonce = realm, nonce
		}
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
