package extaddr

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v2"

	"turnhub/internal/netaddr"
)

// fakeHost is a host with these addresses, routed by the first of each family.
func fakeHost(addresses ...string) host {
	var h host
	for _, text := range addresses {
		addr := netip.MustParseAddr(text)
		h.addresses = append(h.addresses, addr)
		if !slices.ContainsFunc(h.routed, func(a netip.Addr) bool { return a.Is4() == addr.Is4() }) {
			h.routed = append(h.routed, addr)
		}
	}
	return h
}

func show(relay []netaddr.RelayAddress) string {
	var words []string
	for _, r := range relay {
		words = append(words, r.Bind.String()+"="+r.Advertise.String())
	}
	return strings.Join(words, " ")
}

// external is relay.external_ip as the configuration has parsed it.
func external(setting string) []netaddr.RelayAddress {
	var list []netaddr.RelayAddress
	for _, field := range strings.Fields(setting) {
		local, advertise, pair := strings.Cut(field, "=")
		r := netaddr.RelayAddress{Advertise: netip.MustParseAddr(local)}
		if pair {
			r = netaddr.RelayAddress{Bind: netip.MustParseAddr(local), Advertise: netip.MustParseAddr(advertise)}
		}
		list = append(list, r)
	}
	return list
}

func TestDetect(t *testing.T) {
	for _, test := range []struct {
		name    string
		setting string
		bind    string
		host    host
		cloud   string // provider whose metadata service is there
		stun    string // what a STUN server sees
		public  string // public_host
		quick   bool
		want    string
		warning string // part of the only warning; "" for none
		err     string
	}{
		{name: "public on the interface", host: fakeHost("8.8.4.7", "2a00::7"), cloud: "AWS", want: "8.8.4.7=8.8.4.7 2a00::7=2a00::7"},
		{name: "public beside private", host: fakeHost("10.0.0.5", "8.8.4.7"), want: "8.8.4.7=8.8.4.7"},
		{name: "1:1 NAT in a cloud", host: fakeHost("10.0.0.5"), cloud: "AWS", want: "10.0.0.5=8.8.4.7"},
		{name: "cloud on another interface", host: fakeHost("10.0.5.5", "10.0.1.6"), cloud: "AWS", want: "10.0.1.6=8.8.4.9"},
		{name: "cloud with IPv6", host: fakeHost("10.0.0.5", "2a00::7"), cloud: "Google", want: "10.0.0.5=8.8.4.7 2a00::7=2a00::7"},
		{name: "cloud wins over STUN", host: fakeHost("10.0.0.5"), cloud: "Azure", stun: "8.8.8.8", want: "10.0.0.5=8.8.4.7"},
		{name: "NAT seen by STUN", host: fakeHost("127.0.0.5"), bind: "127.0.0.5", stun: "8.8.8.8", want: "127.0.0.5=127.0.0.5", warning: "loopback"},
		{name: "LAN", host: fakeHost("192.168.1.5"), want: "192.168.1.5=192.168.1.5", warning: `write relay.external_ip: "192.168.1.5=YOUR.PUBLIC.ADDRESS"`},
		{name: "carrier NAT", host: fakeHost("100.64.3.4"), want: "100.64.3.4=100.64.3.4", warning: "shared address 100.64.3.4"},
		{name: "documentation range", host: fakeHost("192.0.2.2", "fd00::2"), want: "192.0.2.2=192.0.2.2 fd00::2=fd00::2", warning: "documentation-range address 192.0.2.2"},
		{name: "IPv6 only", host: fakeHost("2a00::7"), want: "2a00::7=2a00::7"},
		{name: "private IPv6 only", host: fakeHost("fd00::7"), want: "fd00::7=fd00::7", warning: "private address fd00::7"},
		{name: "in a container", host: fakeHost("172.17.0.2"), public: "8.8.4.7", want: "172.17.0.2=8.8.4.7", warning: `write relay.external_ip: "172.17.0.2=8.8.4.7"`},
		{name: "public_host of a cloud's front", host: fakeHost("10.0.0.5"), public: "8.8.9.9", cloud: "AWS", want: "10.0.0.5=8.8.4.7"},
		{name: "public_host of this host", host: fakeHost("10.0.0.5", "8.8.4.7"), public: "8.8.4.7", want: "8.8.4.7=8.8.4.7"},
		{name: "public_host of the other family", host: fakeHost("172.17.0.2"), public: "2a00::7", want: "172.17.0.2=172.17.0.2", warning: "only the private address"},
		{name: "public_host that is private too", host: fakeHost("10.0.0.5"), public: "10.0.0.9", want: "10.0.0.5=10.0.0.5", warning: "only the private address"},
		{name: "public_host beside a public address", host: fakeHost("8.8.4.7"), public: "8.8.9.9", want: "8.8.4.7=8.8.4.7"},
		{name: "no network", host: host{}, want: "127.0.0.1=127.0.0.1", warning: "no network"},
		{name: "bind_ip picks", host: fakeHost("8.8.4.7", "8.8.4.8", "2a00::7"), bind: "8.8.4.8", want: "8.8.4.8=8.8.4.8"},
		{name: "bind_ip of nobody", host: fakeHost("8.8.4.7"), bind: "8.8.4.9", err: "on no interface of this host (it has 8.8.4.7)"},

		{name: "configured on the interface", setting: "8.8.4.7", host: fakeHost("10.0.0.5", "8.8.4.7"), want: "8.8.4.7=8.8.4.7"},
		{name: "configured behind NAT", setting: "8.8.4.7 2a00::7", host: fakeHost("10.0.0.5", "2a00::7"), cloud: "AWS", want: "10.0.0.5=8.8.4.7 2a00::7=2a00::7"},
		{name: "configured, the cloud disagrees", setting: "8.8.9.9", host: fakeHost("10.0.0.5"), cloud: "AWS", want: "10.0.0.5=8.8.9.9", warning: `"10.0.0.5=8.8.4.7", or auto`},
		{name: "configured, not asked at start", setting: "8.8.9.9", host: fakeHost("10.0.0.5"), cloud: "AWS", quick: true, want: "10.0.0.5=8.8.9.9"},
		{name: "configured second address of the cloud", setting: "10.0.1.6=8.8.4.9", host: fakeHost("10.0.0.5", "10.0.1.6"), cloud: "AWS", want: "10.0.1.6=8.8.4.9"},
		{name: "configured private", setting: "10.0.0.5", host: fakeHost("10.0.0.5"), want: "10.0.0.5=10.0.0.5", warning: "inside that network only"},
		{name: "configured loopback", setting: "127.0.0.1", host: fakeHost("10.0.0.5"), want: "127.0.0.1=127.0.0.1", warning: "loopback"},
		{name: "configured beside a public address", setting: "8.8.9.9", host: fakeHost("8.8.4.7"), want: "8.8.4.7=8.8.9.9", warning: "on no interface, while the host has the public address 8.8.4.7"},
		{name: "configured without the family", setting: "2a00::7", host: fakeHost("8.8.4.7"), err: "no IPv6 address"},
		{name: "pairs", setting: "10.0.0.6=8.8.4.8 10.0.0.5=8.8.4.7", host: fakeHost("10.0.0.5", "10.0.0.6"), want: "10.0.0.6=8.8.4.8 10.0.0.5=8.8.4.7"},
		{name: "pair of nobody", setting: "10.0.0.9=8.8.4.8", host: fakeHost("10.0.0.5"), err: "(it has 10.0.0.5)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := httptest.NewServer(cloudServer(test.cloud))
			defer server.Close()
			opts := Options{External: external(test.setting), PortMin: 49152, PortMax: 65535, PublicHost: test.public, clouds: all(server.URL)}
			if test.bind != "" {
				opts.BindIP = []netip.Addr{netip.MustParseAddr(test.bind)}
			}
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			relay, warnings, err := detect(ctx, opts, test.host, test.quick)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Fatalf("error %v, want one with %q", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := show(relay); got != test.want {
				t.Errorf("relay %q, want %q", got, test.want)
			}
			switch {
			case test.warning == "" && len(warnings) > 0:
				t.Errorf("warned without need: %v", warnings)
			case test.warning != "" && (len(warnings) != 1 || !strings.Contains(warnings[0].String(), test.warning)):
				t.Errorf("warnings %v, want one with %q", warnings, test.warning)
			}
		})
	}
}

// TestPublicHostIsAskedForInTime has a cloud's address lead nowhere, as it does in a
// container at home, so that asking there takes all the time: public_host is known all
// the same, for both families.
func TestPublicHostIsAskedForInTime(t *testing.T) {
	nowhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer nowhere.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	relay, _, err := detect(ctx, Options{
		PublicHost: "calls.example.org", clouds: all(nowhere.URL),
		resolve: func(ctx context.Context, _, _ string) ([]netip.Addr, error) {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			return []netip.Addr{netip.MustParseAddr("8.8.4.7"), netip.MustParseAddr("2a00::7")}, nil
		},
	}, fakeHost("172.17.0.2", "fd00::2"), false)
	if got, want := show(relay), "172.17.0.2=8.8.4.7 fd00::2=2a00::7"; err != nil || got != want {
		t.Errorf("relay %q, want %q (%v)", got, want, err)
	}
}

// stunServer answers Binding requests on loopback with an address of the test's
// choosing; port 0 stands for the true port.
func stunServer(t *testing.T, mapped netip.AddrPort) string {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buffer := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buffer)
			if err != nil {
				return
			}
			request := &stun.Message{Raw: append([]byte(nil), buffer[:n]...)}
			if request.Decode() != nil {
				continue
			}
			port := int(mapped.Port())
			if port == 0 {
				port = int(from.Port())
			}
			answer, err := stun.Build(request, stun.BindingSuccess, &stun.XORMappedAddress{IP: mapped.Addr().AsSlice(), Port: port})
			if err == nil {
				conn.WriteToUDPAddrPort(answer.Raw, from)
			}
		}
	}()
	return conn.LocalAddr().String()
}

func TestSTUN(t *testing.T) {
	public := netip.MustParseAddr("8.8.4.7")
	silent, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	loopback := netip.MustParseAddr("127.0.0.1")

	good := stunServer(t, netip.AddrPortFrom(public, 0))
	seen, err := askSTUN(t.Context(), []string{silent.LocalAddr().String(), "stun:" + good}, loopback, 18100, 18199)
	if err != nil {
		t.Fatal(err)
	}
	if seen.mapped.Addr() != public || !seen.preserved() || seen.local.Port() < 18100 || seen.local.Port() > 18199 {
		t.Errorf("seen %+v", seen)
	}
	if w := (Options{PortMin: 18100, PortMax: 18199}).behindNAT(seen); len(w) != 1 || strings.Contains(w[0].Problem, "changes ports") || !strings.Contains(w[0].Remedy, "UDP 18100-18199") {
		t.Errorf("warnings %v", w)
	}

	moving := stunServer(t, netip.AddrPortFrom(public, 999))
	seen, err = askSTUN(t.Context(), []string{moving}, loopback, 0, 0)
	if err != nil || seen.preserved() {
		t.Errorf("seen %+v, %v", seen, err)
	}
	if w := (Options{}).behindNAT(seen); !strings.Contains(w[0].Problem, "changes ports") {
		t.Errorf("warnings %v", w)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if _, err := askSTUN(ctx, []string{silent.LocalAddr().String()}, loopback, 0, 0); err == nil || !strings.Contains(err.Error(), "did not answer") {
		t.Errorf("error %v", err)
	}
}

// A public address once learned outlives the silence of who told it.
func TestRoundKeeps(t *testing.T) {
	server := httptest.NewServer(cloudServer("Google"))
	opts := Options{PortMin: 49152, PortMax: 65535, clouds: all(server.URL)}
	h := fakeHost("10.0.0.5")
	changes := 0
	changed := func(relay []netaddr.RelayAddress, warnings []Warning) {
		changes++
		if show(relay) != "10.0.0.5=8.8.4.7" || len(warnings) != 0 {
			t.Errorf("changed to %s, %v", show(relay), warnings)
		}
	}
	private := []netaddr.RelayAddress{{Bind: h.addresses[0], Advertise: h.addresses[0]}}
	have, warned := round(t.Context(), opts, h, private, []Warning{{"LAN", ""}}, changed)
	if changes != 1 {
		t.Fatalf("%d changes after the cloud answered", changes)
	}
	server.Close()
	if have, warned = round(t.Context(), opts, h, have, warned, changed); changes != 1 {
		t.Fatalf("gave up the address")
	}
	if show(have) != "10.0.0.5=8.8.4.7" || len(warned) != 0 {
		t.Errorf("have %s, warned %v", show(have), warned)
	}
}
