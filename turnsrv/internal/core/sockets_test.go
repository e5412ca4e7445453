package core

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v2"

	"turnhub/internal/netaddr"
	"turnhub/turnsrv/internal/turntest"
	"turnhub/turnsrv/internal/wire"
)

// host is a driver whose machine has so many descriptors, and other programs.
type host struct {
	*recorder
	t       testing.TB
	free    int             // descriptors
	foreign map[uint16]bool // ports of other programs, in both families
	open    map[*Relay]bool
}

func (h *host) BindRelay(r *Relay, port uint16) error {
	if h.foreign[port] {
		return ErrPortInUse
	}
	if h.free == 0 {
		return fmt.Errorf("%w: as injected", ErrNoDescriptors)
	}
	h.free--
	h.open[r] = true
	return nil
}

func (h *host) CloseRelay(r *Relay) {
	if !h.open[r] {
		h.t.Error("a socket was closed that is not open")
	}
	delete(h.open, r)
	h.free++
}

func (h *host) ToPeer(r *Relay, peer wire.Endpoint, g wire.Segment, df bool) {
	if !h.open[r] {
		h.t.Error("something was sent over a socket that is not open")
	}
	h.recorder.ToPeer(r, peer, g, df)
}

// hostDesk is a desk on a host with so many descriptors.
func hostDesk(t testing.TB, cfg Config, free int) (*desk, *host) {
	d := newDesk(t, cfg)
	h := &host{recorder: d.io, t: t, free: free, foreign: make(map[uint16]bool), open: make(map[*Relay]bool)}
	d.Attach(h, true)
	return d, h
}

// meet has two users send to each other, by Send indications, with DONT-FRAGMENT too.
func meet(t *testing.T, a, b *user, ra, rb *Relay) {
	t.Helper()
	at := func(r *Relay) string { return r.addr.AddrPort().String() }
	a.must(stun.MethodCreatePermission, turntest.Peer(at(rb)))
	b.must(stun.MethodCreatePermission, turntest.Peer(at(ra)))
	for _, way := range []struct {
		from *user
		to   *Relay
	}{{a, rb}, {b, ra}} {
		before := len(a.d.io.toClients)
		way.from.input(turntest.Send(at(way.to), []byte("here"), turntest.With(stun.AttrDontFragment, nil)))
		if got := a.d.io.toClients[before:]; len(got) != 1 || !bytes.Contains(got[0], []byte("here")) {
			t.Errorf("to %s: %q arrived", at(way.to), got)
		}
	}
}

// TestWithoutSockets walks through what an allocation without a socket is: everything an
// allocation is, inside the process.
func TestWithoutSockets(t *testing.T) {
	cfg := deskConfig(t)
	cfg.Sockets = SocketsOff
	d, h := hostDesk(t, cfg, 0)
	alice, bob := d.user("alice", 1000), d.user("bob", 1001)
	ra, rb := alice.relayed(), bob.relayed()
	if ra.addr == rb.addr {
		t.Fatal("one address for two")
	}
	meet(t, alice, bob, ra, rb)
	alice.must(stun.MethodCreatePermission, turntest.Peer(far))
	alice.must(stun.MethodChannelBind, turntest.Peer(far), turntest.ChannelNumber(0x4000))
	alice.input(turntest.Send(far, []byte("out")))
	alice.input(turntest.ChannelData(0x4000, []byte("out"), false))
	stats := d.shared.Stats()
	if n := stats.Drops["no_socket"]; n != 2 || len(d.io.toPeers) != 0 || d.shared.Left() {
		t.Errorf("no_socket %d, want 2; %d left the process", n, len(d.io.toPeers))
	}
	if stats.Bare != 2 || stats.Allocations[wire.UDP][wire.IPv4] != 2 || stats.InProcess.Packets != 2 || len(d.shared.Allocations()) != 2 {
		t.Errorf("counts: %+v", stats)
	}
	// Both families, one of which ends before the other.
	carol := d.user("carol", 1002)
	carol.must(stun.MethodAllocate, turntest.Transport(wire.ProtocolUDP), turntest.With(wire.AttrAdditionalAddressFamily, []byte{wire.FamilyIPv6, 0, 0, 0}))
	if d.shared.Stats().Bare != 4 {
		t.Error("not both addresses are without socket")
	}
	carol.must(stun.MethodRefresh, turntest.Lifetime(0), turntest.Family(wire.FamilyIPv6))
	if d.shared.Stats().Bare != 3 {
		t.Error("the IPv6 address did not end alone")
	}
	// EVEN-PORT and RESERVATION-TOKEN.
	even := d.user("even", 1003)
	res := even.must(stun.MethodAllocate, turntest.Transport(wire.ProtocolUDP), turntest.With(stun.AttrEvenPort, []byte{0x80}))
	token, err := res.Get(stun.AttrReservationToken)
	if err != nil {
		t.Fatal(err)
	}
	first := even.c.alloc.relays[wire.IPv4].addr.Port
	odd := d.user("even", 1004)
	odd.must(stun.MethodAllocate, turntest.Transport(wire.ProtocolUDP), turntest.With(stun.AttrReservationToken, token))
	if second := odd.c.alloc.relays[wire.IPv4].addr.Port; first%2 != 0 || second != first+1 {
		t.Errorf("ports %d and %d", first, second)
	}
	// Those that nobody refreshes end by time, the ports are free again.
	d.wait(time.Hour)
	for _, space := range d.shared.spaces().all {
		if n := space.used.Load(); n != 0 {
			t.Errorf("%d ports of %v are used after the end", n, space.advertise)
		}
	}
	if len(h.open) != 0 || d.shared.Stats().Bare != 0 {
		t.Error("something is left")
	}
}

// TestSocketsAuto goes over to allocations without sockets where there are none, and only
// then; not when a relayed packet has left the server.
func TestSocketsAuto(t *testing.T) {
	ask := func(d *desk, i int) int {
		return turntest.CodeOf(d.user(fmt.Sprint("user", i), uint16(2000+i)).ask(stun.MethodAllocate, turntest.Transport(wire.ProtocolUDP)))
	}
	for _, x := range []struct {
		name    string
		mode    Sockets
		free    int // descriptors
		foreign int // ports of other programs, of eight
		left    bool
		want    int // allocations of eight
		bare    int
	}{
		{"auto, all there", SocketsAuto, 8, 0, false, 8, 0},
		{"auto, three descriptors", SocketsAuto, 3, 0, false, 8, 5},
		{"auto, five foreign ports", SocketsAuto, 8, 5, false, 8, 5},
		{"auto, neither", SocketsAuto, 2, 5, false, 8, 6},
		{"auto, three descriptors, packets have left", SocketsAuto, 3, 0, true, 3, 0},
		{"auto, five foreign ports, packets have left", SocketsAuto, 8, 5, true, 3, 0},
		{"on, three descriptors", SocketsOn, 3, 0, false, 3, 0},
		{"on, five foreign ports", SocketsOn, 8, 5, false, 3, 0},
		{"off", SocketsOff, 8, 5, false, 8, 8},
	} {
		t.Run(x.name, func(t *testing.T) {
			cfg := deskConfig(t)
			cfg.PortMin, cfg.PortMax = 11100, 11107
			cfg.Sockets = x.mode
			d, h := hostDesk(t, cfg, x.free)
			for i := range x.foreign {
				h.foreign[uint16(11100+i)] = true
			}
			if x.left {
				d.shared.SetLeft()
			}
			made := 0
			for i := range 8 {
				switch code := ask(d, i); code {
				case 0:
					made++
				case 508:
				default:
					t.Fatal(code)
				}
			}
			if bare := d.shared.Stats().Bare; made != x.want || bare != x.bare || len(h.open) != x.want-x.bare {
				t.Errorf("%d allocations, %d without socket, %d sockets; want %d, %d", made, bare, len(h.open), x.want, x.bare)
			}
			if code := ask(d, 9); code != 508 {
				t.Errorf("one more: %d", code)
			}
		})
	}
}

// TestLeft holds what counts as having left the server: a packet to somebody else's
// address, not one to a relay port on which nobody is.
func TestLeft(t *testing.T) {
	d, _ := hostDesk(t, deskConfig(t), 100)
	alice := d.user("alice", 1000)
	r := alice.relayed()
	nobody := r.addr
	nobody.Port = r.addr.Port ^ 1
	alice.must(stun.MethodCreatePermission, turntest.Peer(nobody.AddrPort().String()))
	alice.input(turntest.Send(nobody.AddrPort().String(), []byte("x")))
	if d.shared.Left() {
		t.Error("a packet to an own address has left the server")
	}
	alice.must(stun.MethodCreatePermission, turntest.Peer(far))
	alice.input(turntest.Send(far, []byte("x")))
	if !d.shared.Left() {
		t.Error("a packet to somebody else has not left the server")
	}
}

// TestElders holds that no port is given out that an older process has, with a socket or
// without, on an address that comes later too, and that it comes back when that says so.
func TestElders(t *testing.T) {
	for _, mode := range []Sockets{SocketsOff, SocketsAuto} {
		cfg := deskConfig(t)
		cfg.PortMin, cfg.PortMax = 11100, 11107
		cfg.Sockets = mode
		old, _ := hostDesk(t, cfg, 2) // with auto: two with a socket, one without
		for i := range 3 {
			old.user(fmt.Sprint("old", i), uint16(1000+i)).relayed()
		}
		young, _ := hostDesk(t, cfg, 2)
		young.shared.SetElders(old.shared.Ports())
		taken := make(map[uint16]bool)
		for _, a := range append(old.shared.Allocations(), old.shared.Allocations()...) {
			taken[a.Relayed[0].Port()] = true
		}
		for i := range 5 {
			port := young.user(fmt.Sprint("young", i), uint16(2000+i)).relayed().addr.Port
			if taken[port] {
				t.Fatalf("port %d was given out twice", port)
			}
			taken[port] = true
		}
		late := func() int {
			return turntest.CodeOf(young.user("late", 3000).ask(stun.MethodAllocate, turntest.Transport(wire.ProtocolUDP)))
		}
		if code := late(); code != 508 {
			t.Errorf("a ninth: %d", code)
		}
		if n := len(young.shared.Ports()); n != 4 {
			t.Errorf("a third process is told of %d address tables, want 4", n)
		}
		young.shared.SetRelay(append([]netaddr.RelayAddress{{Bind: netip.MustParseAddr("127.0.0.9"), Advertise: netip.MustParseAddr("127.0.0.9")}}, cfg.Relay...))
		if young.shared.spaces().all[0].elsewhere(11100) {
			t.Error("a port of another address is kept clear of")
		}
		young.shared.SetRelay(cfg.Relay)
		old.EndAll()
		young.shared.SetElders(old.shared.Ports())
		if code := late(); code != 0 {
			t.Errorf("after the old ones have ended: %d", code)
		}
	}
}

// modelled is an allocation as the reference knows it.
type modelled struct {
	*user
	addr    netip.AddrPort
	bare    bool
	expires int64
}

// TestSocketsAgainstReference allocates, refreshes, sends, ends and lets expire in random
// order, on hosts with few descriptors, other programs' ports and modes that change.
func TestSocketsAgainstReference(t *testing.T) {
	base := rand.Uint64()
	t.Logf("seeds from %d", base)
	for round := range uint64(40) {
		rng := rand.New(rand.NewPCG(base, round))
		cfg := deskConfig(t)
		cfg.PortMin, cfg.PortMax = 11100, 11115
		mode := Sockets(round % 3)
		cfg.Sockets = mode
		d, h := hostDesk(t, cfg, rng.IntN(12))
		for range rng.IntN(8) {
			h.foreign[uint16(11100+rng.IntN(16))] = true
		}
		living := make(map[netip.AddrPort]*modelled)
		left, next := false, uint16(1000)
		fatal := func(format string, args ...any) {
			t.Helper()
			t.Fatalf("seed %d round %d: %s", base, round, fmt.Sprintf(format, args...))
		}
		some := func() *modelled {
			for _, m := range living {
				return m
			}
			return nil
		}
		for range 200 {
			switch rng.IntN(7) {
			case 0, 1, 2:
				next++
				free, descriptors := 0, h.free
				for p := cfg.PortMin; p <= cfg.PortMax; p++ {
					if living[netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), p)] == nil && !h.foreign[p] {
						free++
					}
				}
				u := d.user(fmt.Sprint("u", next), next)
				code := turntest.CodeOf(u.ask(stun.MethodAllocate, turntest.Transport(wire.ProtocolUDP)))
				room := len(living) < 16
				socket := mode != SocketsOff && free > 0 && descriptors > 0
				without := room && (mode == SocketsOff || mode == SocketsAuto && !left)
				if (code == 0) != (socket || without) {
					fatal("mode %d: %d with %d living, %d ports and %d descriptors, left %v", mode, code, len(living), free, descriptors, left)
				}
				if code != 0 {
					continue
				}
				r := u.c.alloc.relays[wire.IPv4]
				if living[r.addr.AddrPort()] != nil {
					fatal("%v was given out twice", r.addr.AddrPort())
				}
				if r.bare == socket || r.bare == h.open[r] {
					fatal("bare %v, want %v, open %v", r.bare, !socket, h.open[r])
				}
				living[r.addr.AddrPort()] = &modelled{u, r.addr.AddrPort(), r.bare, d.second + 600}
			case 3:
				if m := some(); m != nil {
					m.must(stun.MethodRefresh, turntest.Lifetime(600))
					m.expires = d.second + 600
				}
			case 4:
				if m := some(); m != nil && rng.IntN(2) == 0 {
					m.must(stun.MethodRefresh, turntest.Lifetime(0))
					delete(living, m.addr)
				}
			case 5:
				a, b := some(), some()
				if a == nil || a == b {
					continue
				}
				a.must(stun.MethodCreatePermission, turntest.Peer(b.addr.String()))
				b.must(stun.MethodCreatePermission, turntest.Peer(a.addr.String()))
				before := len(d.io.toClients)
				payload := binary.BigEndian.AppendUint64(nil, rng.Uint64())
				a.input(turntest.Send(b.addr.String(), payload))
				if got := d.io.toClients[before:]; len(got) != 1 || !bytes.Contains(got[0], payload) {
					fatal("%d messages arrived", len(got))
				}
				if rng.IntN(8) == 0 {
					a.must(stun.MethodCreatePermission, turntest.Peer(far))
					out, dropped := len(d.io.toPeers), d.count.drops[DropNoSocket]
					a.input(turntest.Send(far, payload))
					if sent := len(d.io.toPeers) > out; sent == a.bare || (d.count.drops[DropNoSocket] > dropped) != a.bare {
						fatal("sent %v, bare %v", sent, a.bare)
					}
					left = left || !a.bare
				}
			case 6:
				d.wait(time.Duration(rng.IntN(200)) * time.Second)
				for at, m := range living {
					if m.expires <= d.second {
						delete(living, at)
					}
				}
				if rng.IntN(6) == 0 {
					mode = Sockets(rng.IntN(3))
					d.shared.SetSockets(mode)
				}
			}
			bare := 0
			for _, m := range living {
				if m.bare {
					bare++
				}
			}
			if stats := d.shared.Stats(); len(d.allocs) != len(living) || stats.Bare != bare || len(h.open) != len(living)-bare {
				fatal("%d allocations, %d without socket, %d sockets; want %d, %d", len(d.allocs), stats.Bare, len(h.open), len(living), bare)
			}
		}
	}
}

// TestGiveUpSockets gives up the sockets that were never used, and no others, where
// relayed addresses may do without; what passes inside the process goes on.
func TestGiveUpSockets(t *testing.T) {
	for _, x := range []struct {
		name string
		mode Sockets
		left bool
		want int // sockets that stay
	}{
		{"auto", SocketsAuto, false, 1},
		{"auto, and something has left", SocketsAuto, true, 3},
		{"on", SocketsOn, false, 3},
		{"off", SocketsOff, true, 1},
	} {
		t.Run(x.name, func(t *testing.T) {
			cfg := deskConfig(t)
			cfg.Sockets = SocketsOn
			d, h := hostDesk(t, cfg, 10)
			alice, bob, used := d.user("alice", 1000), d.user("bob", 1001), d.user("used", 1002)
			ra, rb := alice.relayed(), bob.relayed()
			ru := used.relayed()
			used.c.alloc.sent = true // to an address of this server, in another process
			if x.left {
				d.shared.SetLeft()
			}
			d.shared.SetSockets(x.mode)
			if gave := d.GiveUpSockets(); gave != (x.want == 1) || len(h.open) != x.want || !h.open[ru] {
				t.Errorf("gave up: %v, %d are open", gave, len(h.open))
			}
			if d.GiveUpSockets() {
				t.Error("a second time")
			}
			meet(t, alice, bob, ra, rb)
			d.wait(time.Hour)
			if len(h.open) != 0 || d.shared.Stats().Bare != 0 {
				t.Error("something is left")
			}
		})
	}
}
