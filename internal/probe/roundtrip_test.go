package probe

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pion/turn/v4"

	"turnhub/internal/freeport"
)

const (
	user     = "s_probe"
	password = "pa55"
	realm    = "test"
)

// authority makes certificates for a test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key}
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

func (a *authority) issue(t *testing.T, notAfter time.Time, names ...string) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: notAfter.Add(-time.Hour), NotAfter: notAfter}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// turnServer is pion's server on loopback: UDP, TCP, and TLS with cert.
type turnServer struct {
	*turn.Server
	udp, tcp, tls uint16
}

func newTURNServer(t *testing.T, ip string, cert tls.Certificate) turnServer {
	t.Helper()
	udp, err := net.ListenPacket("udp", net.JoinHostPort(ip, "0"))
	if err != nil {
		t.Skipf("SKIPPED: %v", err)
	}
	tcp, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		t.Fatal(err)
	}
	secure, err := tls.Listen("tcp", net.JoinHostPort(ip, "0"), &tls.Config{Certificates: []tls.Certificate{cert}})
	if err != nil {
		t.Fatal(err)
	}
	generator := &turn.RelayAddressGeneratorStatic{RelayAddress: net.ParseIP("127.0.0.1"), Address: "127.0.0.1"}
	server, err := turn.NewServer(turn.ServerConfig{
		Realm: realm,
		AuthHandler: func(username, realm string, _ net.Addr) ([]byte, bool) {
			return turn.GenerateAuthKey(username, realm, password), username == user
		},
		PacketConnConfigs: []turn.PacketConnConfig{{PacketConn: udp, RelayAddressGenerator: generator}},
		ListenerConfigs: []turn.ListenerConfig{
			{Listener: tcp, RelayAddressGenerator: generator},
			{Listener: secure, RelayAddressGenerator: generator},
		},
		LoggerFactory: silent{},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return turnServer{
		Server: server,
		udp:    uint16(udp.LocalAddr().(*net.UDPAddr).Port),
		tcp:    uint16(tcp.Addr().(*net.TCPAddr).Port),
		tls:    uint16(secure.Addr().(*net.TCPAddr).Port),
	}
}

func TestRoundTrip(t *testing.T) {
	a := newAuthority(t)
	for _, ip := range []string{"127.0.0.1", "::1"} {
		server := newTURNServer(t, ip, a.issue(t, time.Now().Add(time.Minute), ip))
		host := ip
		if strings.Contains(ip, ":") {
			host = "[" + ip + "]"
		}
		for _, test := range []struct{ url, transport string }{
			{fmt.Sprintf("stun:%s:%d", host, server.udp), "udp"},
			{fmt.Sprintf("turn:%s:%d", host, server.udp), "udp"},
			{fmt.Sprintf("turn:%s:%d?transport=udp", host, server.udp), "udp"},
			{fmt.Sprintf("turn:%s:%d?transport=tcp", host, server.tcp), "tcp"},
			{fmt.Sprintf("turns:%s:%d?transport=tcp", host, server.tls), "tls"},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			result, err := RoundTrip(ctx, test.url, user, password, Options{Roots: a.pool()})
			if err != nil {
				t.Errorf("%s: %v", test.url, err)
				continue
			}
			if result.Transport != test.transport || result.Address.Addr().String() != ip || result.Mapped.Addr().String() != ip {
				t.Errorf("%s: %+v", test.url, result)
			}
			if strings.HasPrefix(test.url, "turn") && (!result.Relayed[0].IsValid() || result.Relayed[0] == result.Relayed[1] || result.Latency <= 0) {
				t.Errorf("%s: %+v", test.url, result)
			}
			if (test.transport == "tls") != (len(result.Chain) > 0) {
				t.Errorf("%s: chain %v", test.url, result.Chain)
			}
		}
	}
}

// Every way to fail is recognised, and its remedy names what to do.
func TestFailures(t *testing.T) {
	a, stranger := newAuthority(t), newAuthority(t)
	good := newTURNServer(t, "127.0.0.1", a.issue(t, time.Now().Add(time.Minute), "127.0.0.1"))
	named := newTURNServer(t, "127.0.0.1", a.issue(t, time.Now().Add(time.Minute), "turn.example.org"))
	expired := newTURNServer(t, "127.0.0.1", a.issue(t, time.Now().Add(-time.Minute), "127.0.0.1"))
	young := newTURNServer(t, "127.0.0.1", a.issue(t, time.Now().Add(3*time.Hour), "127.0.0.1"))

	silentUDP, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silentUDP.Close() })
	silentTCP, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silentTCP.Close() })
	closing, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closing.Close() })
	go func() {
		for {
			conn, err := closing.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	}()
	web, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{}
	go server.Serve(web)
	t.Cleanup(func() { server.Close() })
	refused := fmt.Sprint("127.0.0.1:", freeport.Any(t)) // one that the system gives to nobody meanwhile

	const patience = 400 * time.Millisecond // for those that never answer
	for _, test := range []struct {
		name, url string
		roots     *x509.CertPool
		user      string
		patience  time.Duration
		stage     Stage
		err       string
		remedy    string
	}{
		{name: "no URL", url: "https://example.org", stage: StageURL, err: "which begins with stun:"},
		{name: "TCP refused", url: "turn:" + refused + "?transport=tcp", stage: StageConnect, err: "refused", remedy: "listen.tcp"},
		{name: "UDP refused", url: "turn:" + refused + "?transport=udp", stage: StageConnect, err: "refused", remedy: "listen.udp"},
		{name: "UDP silent", url: "turn:" + silentUDP.LocalAddr().String(), patience: patience, stage: StageAllocate, err: "no answer", remedy: "firewall drops UDP"},
		{name: "STUN silent", url: "stun:" + silentUDP.LocalAddr().String(), patience: patience, stage: StageBinding, err: "no answer", remedy: "firewall drops UDP"},
		{name: "TCP silent", url: "turn:" + silentTCP.Addr().String() + "?transport=tcp", patience: patience, stage: StageAllocate, err: "no answer to a TURN request", remedy: "another program"},
		{name: "TLS silent", url: "turns:" + silentTCP.Addr().String(), patience: patience, stage: StageTLS, err: "handshake got no answer", remedy: "drops TLS"},
		{name: "cut on TURN", url: "turn:" + closing.Addr().String() + "?transport=tcp", stage: StageAllocate, err: "", remedy: "no TURN server"},
		{name: "cut on TLS", url: "turns:" + closing.Addr().String(), stage: StageTLS, err: "cut during the TLS handshake", remedy: "tls.mode is off"},
		{name: "TLS to a web server", url: "turns:" + web.Addr().String(), stage: StageTLS, err: "speaks no TLS", remedy: "switch on tls.mode"},
		{name: "unknown authority", url: fmt.Sprintf("turns:127.0.0.1:%d", good.tls), roots: stranger.pool(), stage: StageTLS, err: "do not trust", remedy: "tls.mode acme"},
		{name: "another name", url: fmt.Sprintf("turns:127.0.0.1:%d", named.tls), stage: StageTLS, err: "not for 127.0.0.1", remedy: "public_host"},
		{name: "expired", url: fmt.Sprintf("turns:127.0.0.1:%d", expired.tls), stage: StageTLS, err: "expired at", remedy: "renew"},
		{name: "not yet valid", url: fmt.Sprintf("turns:127.0.0.1:%d", young.tls), stage: StageTLS, err: "valid from", remedy: "clock"},
		{name: "wrong user", url: fmt.Sprintf("turn:127.0.0.1:%d", good.udp), user: "somebody", stage: StageAllocate, err: "error 400"}, // what pion answers
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if test.roots == nil {
				test.roots = a.pool()
			}
			if test.user == "" {
				test.user = user
			}
			if test.patience == 0 {
				test.patience = 20 * time.Second
			}
			ctx, cancel := context.WithTimeout(context.Background(), test.patience)
			defer cancel()
			_, err := RoundTrip(ctx, test.url, test.user, password, Options{Roots: test.roots})
			var f *Failure
			if !errors.As(err, &f) {
				t.Fatalf("error %v", err)
			}
			if f.Stage != test.stage || !strings.Contains(f.Err.Error(), test.err) || !strings.Contains(f.Remedy, test.remedy) {
				t.Errorf("stage %s, error %q, remedy %q", f.Stage, f.Err, f.Remedy)
			}
			if f.Remedy == "" {
				t.Error("no remedy")
			}
		})
	}
}

func TestTURNErrors(t *testing.T) {
	s := Server{Scheme: "turn", Host: "turn.example.org", Port: 3478, Transport: "udp"}
	for code, remedy := range map[int]string{401: "clocks", 403: "relay.peers", 440: "relay.external_ip", 486: "allocations_per_user", 508: "relay.port_min", 500: "log"} {
		if f := turnFailure(s, StageAllocate, errors.New("x"), code, "why"); !strings.Contains(f.Remedy, remedy) || f.Code != code {
			t.Errorf("%d: %+v", code, f)
		}
	}
	if f := dnsFailure(s, &net.DNSError{IsNotFound: true}); !strings.Contains(f.Remedy, "A record") {
		t.Errorf("%+v", f)
	}
	if f := dnsFailure(s, &net.DNSError{IsTimeout: true}); !strings.Contains(f.Remedy, "resolver") {
		t.Errorf("%+v", f)
	}
}

func TestParseURL(t *testing.T) {
	for url, want := range map[string]string{
		"turn:turn.example.org":                    "turn:turn.example.org:3478?transport=udp",
		"turn:turn.example.org?transport=tcp":      "turn:turn.example.org:3478?transport=tcp",
		"turns:turn.example.org":                   "turns:turn.example.org:5349?transport=tcp",
		"turns:turn.example.org:443?transport=udp": "turns:turn.example.org:443?transport=tcp",
		"TURN:192.0.2.1:80?transport=tcp":          "turn:192.0.2.1:80?transport=tcp",
		"turn:[2001:db8::1]:3478?transport=udp":    "turn:[2001:db8::1]:3478?transport=udp",
		"turn:[2001:db8::1]":                       "turn:[2001:db8::1]:3478?transport=udp",
		"stun:stun.example.org":                    "stun:stun.example.org:3478",
		"turn:2001:db8::1":                         "",
		"turn:":                                    "",
		"turn:h:0":                                 "",
		"turn:h:99999":                             "",
		"turn:h?transport=sctp":                    "",
		"turn:h?transport=tcp&x=y":                 "",
		"stun:h?transport=udp":                     "",
		"stuns:h":                                  "",
		"http://h":                                 "",
		"turn.example.org":                         "",
	} {
		server, err := ParseURL(url)
		switch {
		case want == "" && err == nil:
			t.Errorf("%s: %s", url, server)
		case want != "" && (err != nil || server.String() != want):
			t.Errorf("%s: %s, %v, want %s", url, server, err, want)
		}
	}
}

func FuzzParseURL(f *testing.F) {
	f.Add("turn:[2001:db8::1]:3478?transport=udp")
	f.Add("turns:turn.example.org:443")
	f.Fuzz(func(t *testing.T, url string) {
		s, err := ParseURL(url)
		if err != nil {
			return
		}
		again, err := ParseURL(s.String())
		if err != nil || again != s {
			t.Errorf("%q gave %+v, read again %+v, %v", url, s, again, err)
		}
	})
}

// The address given is connected to, and TLS still verified against the name.
func TestAddressOverride(t *testing.T) {
	a := newAuthority(t)
	server := newTURNServer(t, "127.0.0.1", a.issue(t, time.Now().Add(time.Minute), "turn.example.org"))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	address := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), server.tls)
	result, err := RoundTrip(ctx, "turns:turn.example.org:443", user, password, Options{Address: address, Roots: a.pool()})
	if err != nil || result.Address != address {
		t.Errorf("%+v, %v", result, err)
	}
}
