// Package attack is the threat model as tests: people with valid credentials
// who try to get out of the relay what is not theirs, against the real binary
// in a network of its own.
package attack

import (
	"net/netip"
	"testing"
)

const defaults = `
relay: {external_ip: 203.0.113.1}
log: {level: info}
`

// opened takes the namespace's addresses off the deny list, as if they were
// public ones: then nothing but relay.peers protects them.
const opened = `
relay: {external_ip: 203.0.113.1, allow_peers: [203.0.113.0/24]}
`

// TestAccomplicesReachNothing gives an attacker valid credentials and two
// accomplices in a room of their own, who claim any candidates they like.
func TestAccomplicesReachNothing(t *testing.T) {
	if !inOwnNetwork(t) {
		return
	}
	for name, config := range map[string]string{"as installed": defaults, "with allow_peers": opened} {
		t.Run(name, func(t *testing.T) { reachNothing(t, config) })
	}
}

func reachNothing(t *testing.T, config string) {
	defer run(t, "sh", "-c", "ip link del cable 2>/dev/null || true")
	w := newWorld(t, config)
	public, metadata, aliceHost := w.listen(bystander), w.listen(metadataIP), w.listen(aliceIP)
	// Services of the server's host: on loopback, on its address, and one whose
	// port happens to lie in the relay's range.
	loopback, service, inRange := w.listenInServer("127.0.0.1:9"), w.listenInServer(serverIP+":53"), w.listenInServer(serverIP+":65001")

	alice, bob := w.person(aliceIP), w.person(bobIP)
	alice.join("private")
	bob.join("private")
	aliceTURN, bobTURN := alice.allocate(aliceIP), bob.allocate(bobIP)
	// Alice and Bob are in a call: their permissions stand open to each other.
	for _, pair := range [][2]*turnClient{{aliceTURN, bobTURN}, {bobTURN, aliceTURN}} {
		if c := pair[0].permit(pair[1].relayed.Addr()); c != 0 {
			t.Fatalf("two people in a room: %d", c)
		}
	}

	mallory, helper, friend := w.person(attackerIP), w.person(helperIP), w.person(friendIP)
	for _, p := range []*person{mallory, helper, friend} {
		p.join("evil")
	}
	targets := map[string]netip.AddrPort{
		"a public host":                public.addr,
		"the cloud's metadata":         metadata.addr,
		"alice, who is elsewhere":      aliceHost.addr,
		"loopback":                     loopback.addr,
		"a service of the host":        service.addr,
		"a service in the relay range": inRange.addr,
		"the admin port":               netip.MustParseAddrPort("127.0.0.1:9478"),
		"the server's own UDP port":    netip.MustParseAddrPort(serverIP + ":3478"),
		"the server's own web port":    netip.MustParseAddrPort(serverIP + ":8080"),
		"the unspecified address":      netip.MustParseAddrPort("0.0.0.0:9478"),
		"IPv4-mapped loopback":         netip.MustParseAddrPort("[::ffff:127.0.0.1]:9"),
		"IPv4-mapped public host":      netip.AddrPortFrom(netip.AddrFrom16(public.addr.Addr().As16()), public.addr.Port()),
		"NAT64 loopback":               netip.MustParseAddrPort("[64:ff9b::7f00:1]:9478"),
		"IPv6 loopback":                netip.MustParseAddrPort("[::1]:9478"),
		"broadcast":                    netip.MustParseAddrPort("255.255.255.255:9"),
		"multicast":                    netip.MustParseAddrPort("224.0.0.251:5353"),
		"another room's relayed port":  aliceTURN.relayed,
		"another room's relayed port2": bobTURN.relayed,
		"the relay port next to it":    netip.AddrPortFrom(aliceTURN.relayed.Addr(), aliceTURN.relayed.Port()+1),
	}
	for _, accomplice := range []*person{helper, friend} {
		for _, target := range targets {
			candidate := "candidate:1 1 udp 2122260223 " + target.Addr().String() + " 9 typ host"
			accomplice.write(map[string]any{"type": "signal", "to": mallory.session, "data": map[string]any{"candidate": candidate}})
		}
	}

	attackTURN := mallory.allocate(attackerIP)
	helperTURN := helper.allocate(helperIP)
	// Every request and every way of sending, whatever the answer was.
	var channel uint16 = 0x4000
	for name, target := range targets {
		// A permission has no port, and on the relay's own address the port is
		// what counts: there each packet is judged by whose port it is.
		ours := target.Addr() == aliceTURN.relayed.Addr()
		if c := attackTURN.permit(target.Addr()); !ours && c != 403 && c != 443 && c != 400 {
			t.Errorf("%s: CreatePermission says %d", name, c)
		}
		nobody := ours && target != aliceTURN.relayed && target != bobTURN.relayed && target.Port() >= 49152
		if c := attackTURN.bind(channel, target); !nobody && c != 403 && c != 443 && c != 400 {
			t.Errorf("%s: ChannelBind says %d", name, c)
		}
		attackTURN.send(target, "stolen "+name)
		attackTURN.sendChannel(channel, "stolen "+name)
		channel++
	}
	attackTURN.settle()

	// The control: the attacker's own friends are reached, by relay and where they were seen.
	friendHost := w.listen(helperIP)
	if c := attackTURN.permit(helperTURN.relayed.Addr()); c != 0 {
		t.Fatalf("an accomplice's relayed address: %d", c)
	}
	if c := helperTURN.permit(attackTURN.relayed.Addr()); c != 0 {
		t.Fatalf("an accomplice's permission: %d", c)
	}
	attackTURN.send(helperTURN.relayed, "hello")
	if got := string(<-helperTURN.data); got != "hello" {
		t.Fatalf("the accomplice got %q", got)
	}
	if config == opened {
		if c := attackTURN.permit(friendHost.addr.Addr()); c != 0 {
			t.Fatalf("an accomplice's own host, where it was seen: %d", c)
		}
		w.until("a packet reaches the accomplice's host", func() bool {
			attackTURN.send(friendHost.addr, "hello")
			return friendHost.hits.Load() > 0
		})
	}

	// Nothing that was sent before the control has arrived anywhere.
	for name, g := range map[string]*target{"the public host": public, "the metadata service": metadata, "alice's host": aliceHost,
		"loopback": loopback, "the host's service": service, "the service in the relay range": inRange} {
		if n := g.hits.Load(); n != 0 {
			t.Errorf("%s got %d packets", name, n)
		}
	}
	for _, c := range []*turnClient{aliceTURN, bobTURN} {
		c.settle()
		select {
		case got := <-c.data:
			t.Errorf("%v got %q", c, got)
		default:
		}
	}
}

// TestLeavingEndsTheRelay shows that who leaves a room is out of reach at once,
// on the data path too, by permission and by channel.
func TestLeavingEndsTheRelay(t *testing.T) {
	if !inOwnNetwork(t) {
		return
	}
	w := newWorld(t, opened)
	alice, bob := w.person(aliceIP), w.person(bobIP)
	alice.join("room")
	bob.join("room")
	a, b := alice.allocate(aliceIP), bob.allocate(bobIP)
	bobHost := w.listen(bobIP)
	for _, step := range []int{a.permit(b.relayed.Addr()), b.permit(a.relayed.Addr()), a.bind(0x4001, b.relayed), a.permit(bobHost.addr.Addr())} {
		if step != 0 {
			t.Fatalf("a call's permission was refused: %d", step)
		}
	}
	a.sendChannel(0x4001, "before")
	if got := string(<-b.data); got != "before" {
		t.Fatalf("got %q", got)
	}
	a.send(bobHost.addr, "before")
	w.until("a packet at bob's host", func() bool { return bobHost.hits.Load() == 1 })

	bob.ask(map[string]any{"type": "leave", "room": "room", "id": bob.seq + 1}, "ok")
	alice.wait("peer-left")
	// The relay is told after the hub; from the first refusal on, nothing passes.
	w.until("permissions are gone", func() bool { return a.permit(bobHost.addr.Addr()) == 403 })
	a.settle()
	b.settle()
	drain(b)
	hits := bobHost.hits.Load()
	for range 20 {
		a.sendChannel(0x4001, "after")
		a.send(b.relayed, "after")
		a.send(bobHost.addr, "after")
	}
	a.settle()
	b.settle()
	select {
	case got := <-b.data:
		t.Errorf("after leaving, bob got %q", got)
	default:
	}
	if n := bobHost.hits.Load(); n != hits {
		t.Errorf("after leaving, bob's host got %d packets", n-hits)
	}
	if c := a.bind(0x4001, b.relayed); c != 403 {
		t.Errorf("a new channel to who left: %d", c)
	}
}

// TestCredentialsOfSessionsAreNotForSale shows that nobody can mint credentials
// in another session's name.
func TestCredentialsOfSessionsAreNotForSale(t *testing.T) {
	if !inOwnNetwork(t) {
		return
	}
	w := newWorld(t, defaults)
	alice := w.person(aliceIP)
	for _, path := range []string{"/config?user=" + alice.session, "/turn?service=turn&username=" + alice.session} {
		if status := get(t, "http://"+serverIP+":8080"+path); status != 400 {
			t.Errorf("%s answers %d", path, status)
		}
	}
	for _, path := range []string{"/config?user=mallory", "/turn?service=turn&username=mallory"} {
		if status := get(t, "http://"+serverIP+":8080"+path); status != 200 {
			t.Errorf("%s answers %d", path, status)
		}
	}
}

func drain(c *turnClient) {
	for {
		select {
		case <-c.data:
		default:
			return
		}
	}
}
