package core

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/pion/stun/v2"

	"turnhub/turnsrv/internal/turntest"
	"turnhub/turnsrv/internal/wire"
)

// FuzzRequests runs sequences of whole requests and packets against the state
// machine. The input's bytes choose what to send, who sends it and how it is
// mangled; afterwards the tables must agree with each other.
func FuzzRequests(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7})
	f.Add([]byte("\x00\x00\x10\x03\x05\x06\x07\x20\x01\x02"))
	f.Add(bytes.Repeat([]byte{0, 8, 16, 24, 32, 5, 14, 22}, 8))
	cfg := deskConfig(f)
	cfg.PortMax = cfg.PortMin + 7
	cfg.Limits = Limits{AllocationsPerUser: 3, AllocationsTotal: 6, PermissionsPerAllocation: 4, BandwidthPerAllocation: 10_000}
	f.Fuzz(func(t *testing.T, script []byte) {
		d := newDesk(t, cfg)
		users := []*user{d.user("alice", 1), d.user("alice", 2), d.user("bob", 3), d.user("carol", 4)}
		tokens := []string{"12345678"}
		peers := []string{far, "198.51.100.7:1", "[2001:db8::1]:7", "127.0.0.1:11100", "127.0.0.1:11101", "mapped"}
		for len(script) > 2 && len(d.io.toClients) < 500 {
			op, x, y := script[0], script[1], script[2]
			script = script[3:]
			u := users[int(op>>5)%len(users)]
			peer := turntest.Peer(peers[int(x)%len(peers)])
			udp := turntest.Transport(wire.ProtocolUDP)
			var b []byte
			switch op % 16 {
			case 0, 1:
				b = u.Signed(stun.MethodAllocate, udp, turntest.Lifetime(uint32(x)*20)).Raw
			case 2:
				b = u.Signed(stun.MethodAllocate, udp, turntest.With(stun.AttrEvenPort, []byte{x})).Raw
			case 3:
				b = u.Signed(stun.MethodAllocate, udp, turntest.With(stun.AttrReservationToken, []byte(tokens[int(x)%len(tokens)]))).Raw
			case 4:
				b = u.Signed(stun.MethodAllocate, udp, turntest.Additional(x%3)).Raw
			case 5:
				b = u.Signed(stun.MethodRefresh, turntest.Lifetime(uint32(x)*20), turntest.Family(y%4)).Raw
			case 6:
				b = u.Signed(stun.MethodRefresh, turntest.Lifetime(uint32(x)*20)).Raw
			case 7:
				b = u.Signed(stun.MethodCreatePermission, peer, turntest.Peer(peers[int(y)%len(peers)])).Raw
			case 8, 9:
				b = u.Signed(stun.MethodChannelBind, peer, turntest.ChannelNumber(wire.ChannelMin+uint16(y%4))).Raw
			case 10:
				b = turntest.ChannelData(wire.ChannelMin+uint16(y%4), make([]byte, int(x)*8), x&1 == 0)
			case 11:
				b = turntest.Send(peers[int(x)%len(peers)], make([]byte, int(y)*8))
			case 12:
				d.wait(time.Duration(x) * 10 * time.Second)
				for _, u := range users {
					nonce := d.nonces.Make(d.second, u.c.Addr)
					u.Nonce = string(nonce[:])
				}
				d.shared.reservations.sweep(d.second)
			case 13:
				if u.c.alloc != nil {
					for _, r := range u.c.alloc.relays {
						if r != nil {
							d.FromPeer(r, farPeer, wire.Copied(make([]byte, int(x))))
							break
						}
					}
				}
			case 14:
				n := min(int(x), len(script))
				b, script = script[:n], script[n:]
			case 15:
				if u.c.alloc != nil {
					d.recheck(u.c.alloc)
				}
			}
			if y >= 0xF0 && len(b) > 0 { // mangle it
				b[int(x)%len(b)] ^= y << 4
				if x&1 != 0 {
					b = b[:int(x)%len(b)]
				}
			}
			if b != nil {
				answers := len(d.io.toClients)
				u.input(b)
				for _, raw := range d.io.toClients[answers:] {
					m := new(stun.Message)
					if stun.IsMessage(raw) {
						if err := stun.Decode(raw, m); err != nil || len(raw) != wire.HeaderSize+int(m.Length) {
							t.Fatalf("an answer that is no STUN message: %x: %v", raw, err)
						}
						if token, err := m.Get(stun.AttrReservationToken); err == nil {
							tokens = append(tokens, string(token))
						}
					} else if len(raw) != wire.ChannelHeaderSize+int(binary.BigEndian.Uint16(raw[2:])) {
						t.Fatalf("ChannelData of the wrong length: %x", raw)
					}
				}
			}
			d.check(t)
		}
	})
}

// check compares the tables of a desk with each other.
func (d *desk) check(t *testing.T) {
	t.Helper()
	relays := 0
	for a := range d.allocs {
		if a.dead || a.client.alloc != a || d.clients[a.client.Key] != a.client || a.slot < 0 {
			t.Fatalf("an allocation that is not whole: %+v", a)
		}
		if len(a.perms) > 4 || len(a.chans) > 4 {
			t.Fatalf("%d permissions, %d channels", len(a.perms), len(a.chans))
		}
		one := false
		for _, r := range a.relays {
			if r == nil {
				continue
			}
			one = true
			relays++
			if r.alloc != a {
				t.Fatal("a relay of another allocation")
			}
			if target, _ := d.shared.spaces().lookup(r.addr); target != r {
				t.Fatal("a relay that cannot be found")
			}
		}
		if !one {
			t.Fatal("an allocation without relayed address")
		}
		for i, c := range a.chans {
			for _, other := range a.chans[:i] {
				if other.number == c.number || other.peer == c.peer {
					t.Fatal("a channel twice")
				}
			}
		}
	}
	n := len(d.allocs)
	reserved := len(d.shared.reservations.byToken)
	if len(d.clients) != n || d.wheel.count != n || d.shared.directory.counts.Total() != n+reserved || n+reserved > 6 {
		t.Fatalf("%d allocations, %d reserved ports, %d clients, %d timers, %d counted", n, reserved, len(d.clients), d.wheel.count, d.shared.directory.counts.Total())
	}
	used := 0
	for _, s := range d.shared.spaces().all {
		used += int(s.used.Load())
	}
	if used != relays+reserved {
		t.Fatalf("%d ports in use for %d relays and %d reservations", used, relays, reserved)
	}
}
