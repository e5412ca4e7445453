package turnsrv

import (
	"bytes"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v2"

	"turnhub/internal/netaddr"
	"turnhub/turnsrv/credentials"
	"turnhub/turnsrv/policy"
)

// deskConfig relays on loopback, IPv4 and IPv6, to anybody.
func deskConfig(t testing.TB) coreConfig {
	t.Helper()
	secrets, err := credentials.New([]string{"secret", "old secret"})
	if err != nil {
		t.Fatal(err)
	}
	four, six := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")
	return coreConfig{
		Realm: testRealm, Software: "turnhub", Credentials: secrets,
		Relay:   []netaddr.RelayAddress{{Bind: four, Advertise: four}, {Bind: six, Advertise: six}},
		PortMin: 11100, PortMax: 11899,
		Policy: policy.New(policy.Config{Mode: policy.ModeAny}),
		Logger: slog.New(slog.DiscardHandler),
	}
}

// recorder is a driver that sends nothing and remembers everything.
type recorder struct {
	shard     *shard
	toClients [][]byte
	toPeers   []sentToPeer
	quiet     bool // forget at once
	sent      int
}

type sentToPeer struct {
	from, to endpoint
	payload  []byte
	df       bool
}

func (r *recorder) BindRelay(*relay, uint16) error { return nil }
func (r *recorder) CloseRelay(*relay)              {}
func (r *recorder) CloseClient(*client)            {}
func (r *recorder) LocalIP(*client) endpoint       { return endpoint{} }
func (r *recorder) Flush()                         {}
func (r *recorder) Wake()                          {}
func (r *recorder) Post(f func(*shard))            { f(r.shard) }

func (r *recorder) ToPeer(from *relay, peer endpoint, g segment, df bool) {
	r.sent++
	if !r.quiet {
		r.toPeers = append(r.toPeers, sentToPeer{from.addr, peer, bytes.Clone(g.bytes()), df})
	}
}

func (r *recorder) ToClient(_ *client, g segment, _ bool) {
	r.sent++
	if !r.quiet {
		r.toClients = append(r.toClients, bytes.Clone(g.bytes()))
	}
}

// desk is one shard without sockets, whose clock the test sets.
type desk struct {
	t testing.TB
	*shard
	io          *recorder
	revokedUser string // for Config.Revoked, where a test sets it
}

func newDesk(t testing.TB, cfg coreConfig) *desk {
	t.Helper()
	d := &desk{t: t, shard: newShard(newShared(cfg)), io: new(recorder)}
	d.io.shard = d.shard
	d.Attach(d.io, true)
	return d
}

// wait lets time go by.
func (d *desk) wait(by time.Duration) { d.tick(d.now + int64(by)) }

// user is a client of a desk.
type user struct {
	*rawClient
	d *desk
	c *client
}

func (d *desk) user(name string, port uint16) *user {
	u := &user{rawClient: &rawClient{t: d.t, realm: testRealm}, d: d}
	u.username, u.password = mint(d.shared.cfg.Credentials, name)
	key := fiveTuple{client: endpointFrom(netip.MustParseAddrPort("192.0.2.1:0"))}
	key.client.port = port
	u.c = &client{Transport: TransportUDP, Addr: key.client, Key: key}
	nonce := d.nonces.make(d.second, key.client)
	u.nonce = string(nonce[:])
	return u
}

func (u *user) input(b []byte) {
	u.d.Reclaim()
	u.d.FromClient(u.c, copied(b))
	if u.c.alloc != nil {
		u.c = u.c.alloc.client
	}
}

// ask sends an authenticated request and returns the answer.
func (u *user) ask(method stun.Method, attrs ...attr) *stun.Message {
	u.d.t.Helper()
	n := len(u.d.io.toClients)
	u.input(u.signed(method, attrs...).Raw)
	if len(u.d.io.toClients) != n+1 {
		u.d.t.Fatalf("%d answers to %v", len(u.d.io.toClients)-n, method)
	}
	res := new(stun.Message)
	if err := stun.Decode(u.d.io.toClients[n], res); err != nil {
		u.d.t.Fatal(err)
	}
	return res
}

func (u *user) must(method stun.Method, attrs ...attr) *stun.Message {
	u.d.t.Helper()
	res := u.ask(method, attrs...)
	if code := codeOf(res); code != 0 {
		u.d.t.Fatalf("%v: %d", method, code)
	}
	return res
}

// relayed allocates and returns the relay.
func (u *user) relayed() *relay {
	u.d.t.Helper()
	u.must(stun.MethodAllocate, transport(protocolUDP))
	return u.c.alloc.relays[IPv4]
}

const far = "198.51.100.7:4000"

var farPeer = endpointFrom(netip.MustParseAddrPort(far))
