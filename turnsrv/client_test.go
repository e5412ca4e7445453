package turnsrv

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/pion/turn/v4"

	"turnhub/turnsrv/internal/turntest"
	"turnhub/turnsrv/internal/wire"
)

// bridge is a connection whose lower layer can be exchanged, as portmux has it.
type bridge struct{ net.Conn }

func (b *bridge) Buffered() []byte      { return nil }
func (b *bridge) NetConn() net.Conn     { return b.Conn }
func (b *bridge) SetNetConn(c net.Conn) { b.Conn = c }

func testTLS(t testing.TB) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"},
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// pionClient returns the independent client over one transport.
func pionClient(t testing.TB, ts *testServer, transport string, user string) *turn.Client {
	t.Helper()
	username, password := turntest.Mint(ts.cfg.Credentials, user)
	cfg := &turn.ClientConfig{Username: username, Password: password, Realm: turntest.Realm, RTO: 2 * time.Second}
	switch transport {
	case "udp4":
		conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		cfg.Conn, cfg.TURNServerAddr = conn, ts.udp.String()
	case "tcp":
		addr := ts.listenStreams(t, wire.TCP, func(c net.Conn) net.Conn { return &bridge{c} })
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Conn, cfg.TURNServerAddr = turn.NewSTUNConn(conn), addr
	case "tls", "tls-portable":
		server := testTLS(t)
		addr := ts.listenStreams(t, wire.TLS, func(c net.Conn) net.Conn {
			if transport == "tls-portable" {
				return tls.Server(c, server)
			}
			secure := tls.Server(&bridge{c}, server)
			if err := secure.Handshake(); err != nil {
				t.Error(err)
			}
			return secure
		})
		conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		cfg.Conn, cfg.TURNServerAddr = turn.NewSTUNConn(conn), addr
	}
	client, err := turn.NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Listen(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client.Close()
		cfg.Conn.Close()
	})
	return client
}

// TestPionClient relays both ways with pion's client, first as indications and
// then over a channel, on every transport and driver.
func TestPionClient(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg Config) {
		ts := startServer(t, cfg)
		for _, transport := range []string{"udp4", "tcp", "tls", "tls-portable"} {
			t.Run(transport, func(t *testing.T) {
				client := pionClient(t, ts, transport, "alice")
				relayed, err := client.Allocate()
				if err != nil {
					t.Fatal(err)
				}
				defer relayed.Close()
				peer, err := net.ListenPacket("udp4", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				defer peer.Close()
				for i := range 20 { // pion binds a channel after the first packets
					payload := bytes.Repeat([]byte{byte(i)}, 8+i*53) // pion's stream reader waits for nine bytes
					if _, err := relayed.WriteTo(payload, peer.LocalAddr()); err != nil {
						t.Fatal(err)
					}
					exchange(t, peer, payload, relayed.LocalAddr())
					if _, err := peer.WriteTo(payload, relayed.LocalAddr()); err != nil {
						t.Fatal(err)
					}
					exchange(t, relayed, payload, peer.LocalAddr())
				}
			})
		}
	})
}

// exchange reads one datagram and compares it.
func exchange(t *testing.T, conn net.PacketConn, want []byte, from net.Addr) {
	t.Helper()
	buf := make([]byte, 2000)
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	n, addr, err := conn.ReadFrom(buf)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(buf[:n], want) || addr.String() != from.String() {
		t.Fatalf("got %d bytes from %v, want %d from %v", n, addr, len(want), from)
	}
}

// TestRelayToRelay has two clients of the server talk to each other by their
// relayed addresses, over every pair of transports.
func TestRelayToRelay(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg Config) {
		ts := startServer(t, cfg)
		for _, pair := range [][2]string{{"udp4", "udp4"}, {"udp4", "tcp"}, {"tcp", "tls"}, {"udp4", "tls-portable"}} {
			t.Run(pair[0]+" "+pair[1], func(t *testing.T) {
				alice, bob := pionClient(t, ts, pair[0], "alice"), pionClient(t, ts, pair[1], "bob")
				a, err := alice.Allocate()
				if err != nil {
					t.Fatal(err)
				}
				defer a.Close()
				b, err := bob.Allocate()
				if err != nil {
					t.Fatal(err)
				}
				defer b.Close()
				if err := alice.CreatePermission(b.LocalAddr()); err != nil {
					t.Fatal(err)
				}
				if err := bob.CreatePermission(a.LocalAddr()); err != nil {
					t.Fatal(err)
				}
				before := ts.Stats().InProcess.Packets
				for i := range 20 {
					payload := bytes.Repeat([]byte{byte(i)}, 8+i*53) // pion's stream reader waits for nine bytes
					if _, err := b.WriteTo(payload, a.LocalAddr()); err != nil {
						t.Fatal(err)
					}
					exchange(t, a, payload, b.LocalAddr())
					if _, err := a.WriteTo(payload, b.LocalAddr()); err != nil {
						t.Fatal(err)
					}
					exchange(t, b, payload, a.LocalAddr())
				}
				if n := ts.Stats().InProcess.Packets - before; n != 40 {
					t.Errorf("%d packets were carried inside the process, want 40", n)
				}
			})
		}
	})
}
