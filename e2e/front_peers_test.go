package e2e

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/pion/turn/v4"

	"turnhub/internal/proxyheader"
)

// behind dials the server as a proxy for TCP on this host does, for a client elsewhere.
func (s *server) behind(t *testing.T, client, version string) func(context.Context, string, string) (net.Conn, error) {
	header := proxyheader.Append(nil, version, proxyheader.Header{
		Client: netip.AddrPortFrom(netip.MustParseAddr(client), 5000), Server: netip.MustParseAddrPort("127.0.0.1:443"),
	})
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		conn, err := as("127.0.0.1").DialContext(ctx, network, fmt.Sprintf("127.0.0.1:%d", s.port))
		if err == nil {
			_, err = conn.Write(header)
		}
		return conn, err
	}
}

// TestProxyHeaderAtRelay holds that a client whom a proxy for TCP names is there for the
// relay and in the log: whoever is in his room may send to his address, and nobody else;
// in STUN he is told that address.
func TestProxyHeaderAtRelay(t *testing.T) {
	t.Parallel()
	s := start(t, map[string]map[string]any{"listen": {"trusted_proxies": []string{"127.0.0.1/32"}}})
	person := func(client, version, room string) *atHub {
		p := &atHub{server: s, port: s.port, dial: s.behind(t, client, version)}
		p.open(t)
		p.say(t, map[string]any{"type": "join", "room": room})
		p.hear(t, "joined", nil)
		return p
	}
	one := person("9.9.9.9", proxyheader.V1, "together")
	other := person("8.8.4.4", proxyheader.V2, "together")
	person("1.1.1.1", proxyheader.V2, "elsewhere")

	relay := s.relayBy(t, "127.0.0.9", s.port, false, one.username, one.password)
	for peer, may := range map[string]bool{"8.8.4.4": true, "1.1.1.1": false, "127.0.0.1": false} {
		err := relay.client.CreatePermission(&net.UDPAddr{IP: net.ParseIP(peer), Port: 4000})
		if may != (err == nil) {
			t.Errorf("sending to %s: %v", peer, err)
		}
	}

	for version, client := range map[string]string{proxyheader.V1: "9.9.9.9", proxyheader.V2: "8.8.4.4"} {
		raw, err := s.behind(t, client, version)(t.Context(), "tcp4", "")
		if err != nil {
			t.Fatal(err)
		}
		top := tls.Client(raw, &tls.Config{RootCAs: s.roots, ServerName: "localhost"})
		turnClient, err := turn.NewClient(&turn.ClientConfig{STUNServerAddr: raw.RemoteAddr().String(), TURNServerAddr: raw.RemoteAddr().String(),
			Conn: turn.NewSTUNConn(top), Username: other.username, Password: "wrong", Realm: "turnhub"})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { turnClient.Close(); top.Close() }()
		if err := turnClient.Listen(); err != nil {
			t.Fatal(err)
		}
		if mapped, err := turnClient.SendBindingRequest(); err != nil || mapped.String() != client+":5000" {
			t.Errorf("STUN says that %s is %v, %v", client, mapped, err)
		}
		if _, err := turnClient.Allocate(); err == nil {
			t.Error("a wrong password is taken")
		}
		until(t, "the log names "+client, func() bool { return strings.Contains(s.log.String(), "client="+client) })
	}
}
