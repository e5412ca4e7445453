package turnsrv

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pion/stun/v2"

	"turnhub/turnsrv/credentials"
	"turnhub/turnsrv/internal/core"
	"turnhub/turnsrv/internal/turntest"
	"turnhub/turnsrv/internal/wire"
	"turnhub/turnsrv/policy"
)

// TestCodes is the table of RFC 8489 and RFC 8656: a request in, a code out.
func TestCodes(t *testing.T) {
	const peer = "127.0.0.1:9"
	type step struct {
		name  string
		fresh bool // by a client of its own, else by one with an allocation
		do    func(c *turntest.Client) *stun.Message
		want  int
	}
	ask := func(method stun.Method, attrs ...turntest.Attr) func(*turntest.Client) *stun.Message {
		return func(c *turntest.Client) *stun.Message { return c.Do(method, attrs...) }
	}
	udp := turntest.Transport(wire.ProtocolUDP)
	unknown := turntest.With(0x7FFF, []byte{1, 2, 3, 4})
	steps := []step{
		// RFC 8489 section 9.2.4
		{"no credentials", true, func(c *turntest.Client) *stun.Message {
			return c.RoundTrip(turntest.Build(turntest.Request(stun.MethodAllocate), nil, udp))
		}, 401},
		{"no username", true, func(c *turntest.Client) *stun.Message {
			c.Challenge()
			return c.RoundTrip(turntest.Build(turntest.Request(stun.MethodAllocate), c.Key(), append(c.CredentialAttrs()[1:], udp)...))
		}, 400},
		{"no realm", true, func(c *turntest.Client) *stun.Message {
			c.Challenge()
			a := c.CredentialAttrs()
			return c.RoundTrip(turntest.Build(turntest.Request(stun.MethodAllocate), c.Key(), a[0], a[2], udp))
		}, 400},
		{"no nonce", true, func(c *turntest.Client) *stun.Message {
			return c.RoundTrip(turntest.Build(turntest.Request(stun.MethodAllocate), c.Key(), append(c.CredentialAttrs()[:2], udp)...))
		}, 400},
		{"made-up nonce", true, func(c *turntest.Client) *stun.Message {
			c.Nonce = "AAAAAAAAAAAA"
			return c.RoundTrip(c.Signed(stun.MethodAllocate, udp))
		}, 438},
		{"wrong password", true, func(c *turntest.Client) *stun.Message {
			c.Password += "x"
			return c.Do(stun.MethodAllocate, udp)
		}, 401},
		{"username that says no expiry", true, func(c *turntest.Client) *stun.Message {
			c.Username = "alice"
			return c.Do(stun.MethodAllocate, udp)
		}, 401},
		{"expired credential", true, func(c *turntest.Client) *stun.Message {
			secrets, _ := credentials.New([]string{"secret"})
			c.Username, c.Password = secrets.Mint("alice", time.Now().Add(-time.Second))
			return c.Do(stun.MethodAllocate, udp)
		}, 401},
		{"another secret of the list", true, func(c *turntest.Client) *stun.Message {
			secrets, _ := credentials.New([]string{"old secret"})
			c.Username, c.Password = secrets.Mint("alice", time.Now().Add(time.Hour))
			return c.Do(stun.MethodAllocate, udp)
		}, 0},
		{"a secret not in the list", true, func(c *turntest.Client) *stun.Message {
			secrets, _ := credentials.New([]string{"stolen"})
			c.Username, c.Password = secrets.Mint("alice", time.Now().Add(time.Hour))
			return c.Do(stun.MethodAllocate, udp)
		}, 401},
		{"wrong realm", true, func(c *turntest.Client) *stun.Message {
			c.Challenge()
			c.Realm = "elsewhere"
			return c.Do(stun.MethodAllocate, udp)
		}, 401},
		{"other credentials for an allocation", false, func(c *turntest.Client) *stun.Message {
			secrets, _ := credentials.New([]string{"secret"})
			other := *c
			other.Username, other.Password = secrets.Mint("mallory", time.Now().Add(time.Hour))
			return other.Do(stun.MethodRefresh)
		}, 441},
		// RFC 8489 section 6.3.1
		{"unknown attribute in Binding", true, func(c *turntest.Client) *stun.Message {
			return c.RoundTrip(turntest.Build(turntest.Request(stun.MethodBinding), nil, unknown))
		}, 420},
		{"unknown attribute in Allocate", true, ask(stun.MethodAllocate, udp, unknown), 420},
		{"unknown attribute in Refresh", false, ask(stun.MethodRefresh, unknown), 420},
		{"unknown attribute in CreatePermission", false, ask(stun.MethodCreatePermission, turntest.Peer(peer), unknown), 420},
		{"unknown attribute in ChannelBind", false, ask(stun.MethodChannelBind, turntest.Peer(peer), turntest.ChannelNumber(0x4000), unknown), 420},
		{"Connect of RFC 6062", false, ask(stun.MethodConnect, turntest.Peer(peer)), 400},
		{"unknown optional attribute", true, ask(stun.MethodAllocate, udp, turntest.With(0xFFF0, []byte{1})), 0},
		// RFC 8656 section 7.2
		{"Allocate", true, ask(stun.MethodAllocate, udp), 0},
		{"Allocate on a five-tuple in use", false, ask(stun.MethodAllocate, udp), 437},
		{"no REQUESTED-TRANSPORT", true, ask(stun.MethodAllocate), 400},
		{"short REQUESTED-TRANSPORT", true, ask(stun.MethodAllocate, turntest.With(stun.AttrRequestedTransport, []byte{17})), 400},
		{"REQUESTED-TRANSPORT TCP", true, ask(stun.MethodAllocate, turntest.Transport(wire.ProtocolTCP)), 442},
		{"REQUESTED-TRANSPORT 255", true, ask(stun.MethodAllocate, turntest.Transport(255)), 442},
		{"DONT-FRAGMENT", true, ask(stun.MethodAllocate, udp, turntest.With(stun.AttrDontFragment, nil)), 0},
		{"RESERVATION-TOKEN with EVEN-PORT", true, ask(stun.MethodAllocate, udp, turntest.With(stun.AttrReservationToken, make([]byte, 8)), turntest.With(stun.AttrEvenPort, []byte{0})), 400},
		{"RESERVATION-TOKEN with REQUESTED-ADDRESS-FAMILY", true, ask(stun.MethodAllocate, udp, turntest.With(stun.AttrReservationToken, make([]byte, 8)), turntest.Family(wire.FamilyIPv4)), 400},
		{"RESERVATION-TOKEN with ADDITIONAL-ADDRESS-FAMILY", true, ask(stun.MethodAllocate, udp, turntest.With(stun.AttrReservationToken, make([]byte, 8)), turntest.Additional(wire.FamilyIPv6)), 400},
		{"short RESERVATION-TOKEN", true, ask(stun.MethodAllocate, udp, turntest.With(stun.AttrReservationToken, make([]byte, 7))), 400},
		{"unknown RESERVATION-TOKEN", true, ask(stun.MethodAllocate, udp, turntest.With(stun.AttrReservationToken, make([]byte, 8))), 508},
		{"REQUESTED-ADDRESS-FAMILY 3", true, ask(stun.MethodAllocate, udp, turntest.Family(3)), 440},
		{"REQUESTED-ADDRESS-FAMILY IPv4", true, ask(stun.MethodAllocate, udp, turntest.Family(wire.FamilyIPv4)), 0},
		{"REQUESTED-ADDRESS-FAMILY IPv6", true, ask(stun.MethodAllocate, udp, turntest.Family(wire.FamilyIPv6)), 0},
		{"short REQUESTED-ADDRESS-FAMILY", true, ask(stun.MethodAllocate, udp, turntest.With(stun.AttrRequestedAddressFamily, []byte{1})), 400},
		{"ADDITIONAL-ADDRESS-FAMILY IPv4", true, ask(stun.MethodAllocate, udp, turntest.Additional(wire.FamilyIPv4)), 400},
		{"ADDITIONAL-ADDRESS-FAMILY IPv6", true, ask(stun.MethodAllocate, udp, turntest.Additional(wire.FamilyIPv6)), 0},
		{"both family attributes", true, ask(stun.MethodAllocate, udp, turntest.Family(wire.FamilyIPv4), turntest.Additional(wire.FamilyIPv6)), 400},
		{"EVEN-PORT", true, ask(stun.MethodAllocate, udp, turntest.With(stun.AttrEvenPort, []byte{0})), 0},
		{"EVEN-PORT with R", true, ask(stun.MethodAllocate, udp, turntest.With(stun.AttrEvenPort, []byte{0x80})), 0},
		{"EVEN-PORT with R and ADDITIONAL-ADDRESS-FAMILY", true, ask(stun.MethodAllocate, udp, turntest.With(stun.AttrEvenPort, []byte{0x80}), turntest.Additional(wire.FamilyIPv6)), 400},
		{"short EVEN-PORT", true, ask(stun.MethodAllocate, udp, turntest.With(stun.AttrEvenPort, nil)), 400},
		{"short LIFETIME", true, ask(stun.MethodAllocate, udp, turntest.With(stun.AttrLifetime, []byte{0, 1})), 400},
		// sections 5, 8, 10 and 12: without allocation
		{"Refresh without allocation", true, ask(stun.MethodRefresh), 437},
		{"CreatePermission without allocation", true, ask(stun.MethodCreatePermission, turntest.Peer(peer)), 437},
		{"ChannelBind without allocation", true, ask(stun.MethodChannelBind, turntest.Peer(peer), turntest.ChannelNumber(0x4000)), 437},
		// section 8.2
		{"Refresh", false, ask(stun.MethodRefresh, turntest.Lifetime(1200)), 0},
		{"Refresh of the wrong family", false, ask(stun.MethodRefresh, turntest.Family(wire.FamilyIPv6)), 443},
		{"Refresh of the right family", false, ask(stun.MethodRefresh, turntest.Family(wire.FamilyIPv4)), 0},
		{"Refresh of family 3", false, ask(stun.MethodRefresh, turntest.Family(3)), 400},
		{"Refresh with short LIFETIME", false, ask(stun.MethodRefresh, turntest.With(stun.AttrLifetime, []byte{1})), 400},
		// section 10.2
		{"CreatePermission", false, ask(stun.MethodCreatePermission, turntest.Peer(peer)), 0},
		{"CreatePermission for two", false, ask(stun.MethodCreatePermission, turntest.Peer(peer), turntest.Peer("127.0.0.2:1")), 0},
		{"CreatePermission without peer", false, ask(stun.MethodCreatePermission), 400},
		{"CreatePermission with a short peer", false, ask(stun.MethodCreatePermission, turntest.With(stun.AttrXORPeerAddress, []byte{0, 1})), 400},
		{"CreatePermission for an empty peer", false, ask(stun.MethodCreatePermission, turntest.With(stun.AttrXORPeerAddress, nil)), 400},
		{"CreatePermission for IPv6", false, ask(stun.MethodCreatePermission, turntest.Peer("[::1]:9")), 443},
		{"CreatePermission for a denied peer", false, ask(stun.MethodCreatePermission, turntest.Peer("192.0.2.66:9")), 403},
		{"CreatePermission for a mapped peer", false, ask(stun.MethodCreatePermission, turntest.Peer("mapped")), 403},
		// section 12.2
		{"ChannelBind", false, ask(stun.MethodChannelBind, turntest.Peer(peer), turntest.ChannelNumber(0x4000)), 0},
		{"ChannelBind again", false, ask(stun.MethodChannelBind, turntest.Peer(peer), turntest.ChannelNumber(0x4000)), 0},
		{"ChannelBind of a number in use", false, ask(stun.MethodChannelBind, turntest.Peer("127.0.0.1:10"), turntest.ChannelNumber(0x4000)), 400},
		{"ChannelBind of a peer in use", false, ask(stun.MethodChannelBind, turntest.Peer(peer), turntest.ChannelNumber(0x4001)), 400},
		{"ChannelBind 0x4FFF", false, ask(stun.MethodChannelBind, turntest.Peer("127.0.0.1:10"), turntest.ChannelNumber(0x4FFF)), 0},
		{"ChannelBind 0x3FFF", false, ask(stun.MethodChannelBind, turntest.Peer("127.0.0.1:11"), turntest.ChannelNumber(0x3FFF)), 400},
		{"ChannelBind 0x5000", false, ask(stun.MethodChannelBind, turntest.Peer("127.0.0.1:11"), turntest.ChannelNumber(0x5000)), 400},
		{"ChannelBind 0x7FFF", false, ask(stun.MethodChannelBind, turntest.Peer("127.0.0.1:11"), turntest.ChannelNumber(0x7FFF)), 400},
		{"ChannelBind 0x8000", false, ask(stun.MethodChannelBind, turntest.Peer("127.0.0.1:13"), turntest.ChannelNumber(0x8000)), 400},
		{"ChannelBind without number", false, ask(stun.MethodChannelBind, turntest.Peer(peer)), 400},
		{"ChannelBind without peer", false, ask(stun.MethodChannelBind, turntest.ChannelNumber(0x4002)), 400},
		{"ChannelBind to IPv6", false, ask(stun.MethodChannelBind, turntest.Peer("[::1]:9"), turntest.ChannelNumber(0x4002)), 443},
		{"ChannelBind to a denied peer", false, ask(stun.MethodChannelBind, turntest.Peer("192.0.2.66:9"), turntest.ChannelNumber(0x4002)), 403},
		{"Refresh to 0", false, ask(stun.MethodRefresh, turntest.Lifetime(0)), 0},
		{"Refresh after it", false, ask(stun.MethodRefresh, turntest.Lifetime(0)), 437},
	}
	eachDriver(t, func(t *testing.T, cfg Config) {
		cfg.Policy = policy.New(policy.Config{Mode: policy.ModeAny, Deny: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
		ts := startServer(t, cfg)
		for _, via := range []string{"udp", "tcp"} {
			t.Run(via, func(t *testing.T) {
				// Open until all is over: another client with the port of one that has gone would
				// have its allocation.
				dial := func() *turntest.Client {
					if via == "udp" {
						return dialRaw(t, ts, "alice")
					}
					addr := ts.listenStreams(t, wire.TCP, func(c net.Conn) net.Conn { return c })
					conn, err := net.Dial("tcp", addr)
					if err != nil {
						t.Fatal(err)
					}
					return newRaw(t, ts, conn, "alice", true)
				}
				allocated := dial()
				allocated.Allocate()
				for _, step := range steps {
					t.Run(step.name, func(t *testing.T) {
						c := allocated
						if step.fresh {
							c = dial()
						}
						c.T = t
						want := step.want
						if cfg.Driver == DriverPortable && step.name == "DONT-FRAGMENT" {
							want = 420
						}
						if got := turntest.CodeOf(step.do(c)); got != want {
							t.Errorf("code %d, want %d", got, want)
						}
					})
				}
			})
		}
	})
}

// freePorts returns the first of n UDP ports that no program holds now.
func freePorts(t *testing.T, n uint16) uint16 {
	t.Helper()
search:
	for first := uint16(11900); first+n <= 12000; first += n {
		for port := first; port < first+n; port++ {
			conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(port)})
			if err != nil {
				continue search
			}
			conn.Close()
		}
		return first
	}
	t.Fatal("no free ports")
	return 0
}

// TestQuotaCodes checks 486 and 508.
func TestQuotaCodes(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg Config) {
		cfg.Limits = core.Limits{AllocationsPerUser: 2, AllocationsPerIP: 4, AllocationsTotal: 5, PermissionsPerAllocation: 2}
		cfg.PortMin = freePorts(t, 6)
		cfg.PortMax = cfg.PortMin + 5
		var mu sync.Mutex
		var told []string
		note := func(text string) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, text)
		}
		cfg.Ended = func(a AllocationInfo) { note(fmt.Sprintf("%s ended, %d relayed", a.User, len(a.Relayed))) }
		cfg.NoRoom = func(user string, client netip.Addr, transport Transport, quota string) {
			note(fmt.Sprintf("%s at %s over %s: %s", user, client.Unmap(), transport, quota))
		}
		ts := startServer(t, cfg)
		alice := dialRaw(t, ts, "alice")
		alice.Allocate()
		dialRaw(t, ts, "alice").Allocate()
		check := func(c *turntest.Client, want int, attrs ...turntest.Attr) {
			t.Helper()
			if got := turntest.CodeOf(c.Do(stun.MethodAllocate, append(attrs, turntest.Transport(wire.ProtocolUDP))...)); got != want {
				t.Errorf("code %d, want %d", got, want)
			}
		}
		check(dialRaw(t, ts, "alice"), 486) // per user
		check(dialRaw(t, ts, "bob"), 0)
		check(dialRaw(t, ts, "bob"), 0)
		check(dialRaw(t, ts, "carol"), 486) // per address
		ts.SetLimits(core.Limits{AllocationsTotal: 4, PermissionsPerAllocation: 2})
		check(dialRaw(t, ts, "carol"), 486) // in total
		ts.SetLimits(core.Limits{PermissionsPerAllocation: 2})
		check(dialRaw(t, ts, "carol"), 0)
		check(dialRaw(t, ts, "carol"), 0)
		check(dialRaw(t, ts, "carol"), 508) // no port left
		if got := turntest.CodeOf(alice.Do(stun.MethodRefresh, turntest.Lifetime(0))); got != 0 {
			t.Fatal(got)
		}
		check(dialRaw(t, ts, "carol"), 0) // and one again
		ts.Drain()
		check(dialRaw(t, ts, "dave"), 508, turntest.Family(wire.FamilyIPv6))
		s := ts.Stats()
		if s.Quota["user"] != 1 || s.Quota["address"] != 1 || s.Quota["total"] != 1 || s.Quota["draining"] != 1 {
			t.Errorf("quota refusals: %v", s.Quota)
		}
		mu.Lock()
		defer mu.Unlock()
		const at = " at 127.0.0.1 over udp: "
		want := []string{"alice" + at + "user", "carol" + at + "address", "carol" + at + "total", "alice ended, 1 relayed", "dave" + at + "draining"}
		if !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
	})
}

// TestPermissionLimit checks that permissions and channels are bounded, with 508.
func TestPermissionLimit(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg Config) {
		cfg.Limits.PermissionsPerAllocation = 2
		c := dialRaw(t, startServer(t, cfg), "alice")
		c.Allocate()
		for _, step := range []struct {
			peers []string
			want  int
		}{
			{[]string{"127.0.0.1:1", "127.0.0.2:1", "127.0.0.3:1"}, 508}, // all or nothing
			{[]string{"127.0.0.1:1", "127.0.0.1:2", "127.0.0.2:1"}, 0},
			{[]string{"127.0.0.3:1"}, 508},
			{[]string{"127.0.0.2:7"}, 0},
		} {
			var attrs []turntest.Attr
			for _, p := range step.peers {
				attrs = append(attrs, turntest.Peer(p))
			}
			if got := turntest.CodeOf(c.Do(stun.MethodCreatePermission, attrs...)); got != step.want {
				t.Errorf("CreatePermission %v: %d, want %d", step.peers, got, step.want)
			}
		}
		for i, want := range []int{0, 0, 508} {
			attrs := []turntest.Attr{turntest.Peer(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(10+i)).String()), turntest.ChannelNumber(0x4000 + uint16(i))}
			if got := turntest.CodeOf(c.Do(stun.MethodChannelBind, attrs...)); got != want {
				t.Errorf("ChannelBind %d: %d, want %d", i, got, want)
			}
		}
	})
}

// TestAllocateAnswers looks into the answers.
func TestAllocateAnswers(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg Config) {
		ts := startServer(t, cfg)
		t.Run("both families", func(t *testing.T) {
			got := dialRaw(t, ts, "u").Allocate(turntest.Additional(wire.FamilyIPv6))
			if len(got) != 2 || !got[0].Addr().Is4() || !got[1].Addr().Is6() {
				t.Errorf("relayed addresses %v", got)
			}
		})
		t.Run("even port", func(t *testing.T) {
			if got := dialRaw(t, ts, "u").Allocate(turntest.With(stun.AttrEvenPort, []byte{0})); got[0].Port()%2 != 0 {
				t.Errorf("relayed address %v", got)
			}
		})
		t.Run("reservation", func(t *testing.T) {
			res := dialRaw(t, ts, "u").Do(stun.MethodAllocate, turntest.Transport(wire.ProtocolUDP), turntest.With(stun.AttrEvenPort, []byte{0x80}))
			token, err := res.Get(stun.AttrReservationToken)
			if err != nil {
				t.Fatal(err)
			}
			thief := dialRaw(t, ts, "thief")
			if got := turntest.CodeOf(thief.Do(stun.MethodAllocate, turntest.Transport(wire.ProtocolUDP), turntest.With(stun.AttrReservationToken, token))); got != 508 {
				t.Errorf("another user took the reservation: %d", got)
			}
			even := turntest.RelayedOf(res)[0]
			odd := dialRaw(t, ts, "u").Allocate(turntest.With(stun.AttrReservationToken, slices.Clone(token)))[0]
			if odd.Port() != even.Port()+1 {
				t.Errorf("reserved %v behind %v", odd, even)
			}
		})
		t.Run("lifetime", func(t *testing.T) {
			c := dialRaw(t, ts, "u")
			for _, step := range []struct{ ask, want uint32 }{{1, 600}, {1200, 1200}, {1 << 31, 3600}} {
				method, attrs := stun.MethodRefresh, []turntest.Attr{turntest.Lifetime(step.ask)}
				if step.ask == 1 {
					method, attrs = stun.MethodAllocate, append(attrs, turntest.Transport(wire.ProtocolUDP))
				}
				res := c.Do(method, attrs...)
				v, err := res.Get(stun.AttrLifetime)
				if err != nil || len(v) != 4 || uint32(v[0])<<24|uint32(v[1])<<16|uint32(v[2])<<8|uint32(v[3]) != step.want {
					t.Errorf("lifetime %v for %d, want %d", v, step.ask, step.want)
				}
			}
		})
		t.Run("retransmission", func(t *testing.T) {
			c := dialRaw(t, ts, "u")
			m := c.Signed(stun.MethodAllocate, turntest.Transport(wire.ProtocolUDP))
			first, again := c.RoundTrip(m), c.RoundTrip(m)
			if string(first.Raw) != string(again.Raw) || turntest.CodeOf(first) != 0 {
				t.Errorf("the retransmission got another answer:\n%v\n%v", first, again)
			}
			m = c.Signed(stun.MethodRefresh, turntest.Lifetime(0))
			first, again = c.RoundTrip(m), c.RoundTrip(m)
			if string(first.Raw) != string(again.Raw) || turntest.CodeOf(first) != 0 {
				t.Errorf("the retransmission got another answer:\n%v\n%v", first, again)
			}
		})
		t.Run("fingerprint", func(t *testing.T) {
			c := dialRaw(t, ts, "u")
			m := turntest.Build(turntest.Request(stun.MethodBinding), nil)
			if err := stun.Fingerprint.AddTo(m); err != nil {
				t.Fatal(err)
			}
			res := c.RoundTrip(m)
			if err := stun.Fingerprint.Check(res); err != nil {
				t.Error(err)
			}
			m.Raw[len(m.Raw)-1]++
			c.Send(m.Raw)
			c.Nothing()
		})
	})
	t.Run("no IPv4", func(t *testing.T) {
		cfg := testConfig(t)
		cfg.Relay = cfg.Relay[1:]
		res := dialRaw(t, startServer(t, cfg), "u").Do(stun.MethodAllocate, turntest.Transport(wire.ProtocolUDP), turntest.Additional(wire.FamilyIPv6))
		v, err := res.Get(wire.AttrAddressErrorCode)
		if got := turntest.RelayedOf(res); err != nil || len(got) != 1 || !got[0].Addr().Is6() || v[0] != wire.FamilyIPv4 || v[2] != 4 || v[3] != 40 {
			t.Errorf("relayed %v, ADDRESS-ERROR-CODE %v, %v", got, v, err)
		}
	})
	t.Run("no IPv6", func(t *testing.T) {
		cfg := testConfig(t)
		cfg.Relay = cfg.Relay[:1]
		ts := startServer(t, cfg)
		res := dialRaw(t, ts, "u").Do(stun.MethodAllocate, turntest.Transport(wire.ProtocolUDP), turntest.Additional(wire.FamilyIPv6))
		v, err := res.Get(wire.AttrAddressErrorCode)
		if err != nil || len(turntest.RelayedOf(res)) != 1 || v[0] != wire.FamilyIPv6 || v[2] != 4 || v[3] != 40 {
			t.Errorf("ADDRESS-ERROR-CODE %v, %v", v, err)
		}
		if got := turntest.CodeOf(dialRaw(t, ts, "u").Do(stun.MethodAllocate, turntest.Transport(wire.ProtocolUDP), turntest.Family(wire.FamilyIPv6))); got != 440 {
			t.Errorf("code %d, want 440", got)
		}
	})
}
