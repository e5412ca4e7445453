package core

import (
	"bytes"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v2"

	"turnhub/internal/netaddr"
	"turnhub/turnsrv/credentials"
	"turnhub/turnsrv/internal/turntest"
	"turnhub/turnsrv/internal/wire"
	"turnhub/turnsrv/policy"
)

// deskConfig relays on loopback, IPv4 and IPv6, to anybody.
func deskConfig(t testing.TB) Config {
	t.Helper()
	secrets, err := credentials.New([]string{"secret", "old secret"})
	if err != nil {
		t.Fatal(err)
	}
	four, six := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")
	return Config{
		Realm: turntest.Realm, Software: "turnhub", Credentials: secrets,
		Relay:   []netaddr.RelayAddress{{Bind: four, Advertise: four}, {Bind: six, Advertise: six}},
		PortMin: 11100, PortMax: 11899,
		Policy: policy.New(policy.Config{Mode: policy.ModeAny}),
		Logger: slog.New(slog.DiscardHandler),
	}
}

// recorder is a driver that sends nothing and remembers everything.
type recorder struct {
	shard     *Shard
	toClients [][]byte
	toPeers   []sentToPeer
	quiet     bool // forget at once
	sent      int
}

type sentToPeer struct {
	from, to wire.Endpoint
	payload  []byte
	df       bool
}

func (r *recorder) BindRelay(*Relay, uint16) error { return nil }
func (r *recorder) CloseRelay(*Relay)              {}
func (r *recorder) CloseClient(*Client)            {}
func (r *recorder) LocalIP(*Client) wire.Endpoint  { return wire.Endpoint{} }
func (r *recorder) Flush()                         {}
func (r *recorder) Wake()                          {}
func (r *recorder) Post(f func(*Shard))            { f(r.shard) }

func (r *recorder) ToPeer(from *Relay, peer wire.Endpoint, g wire.Segment, df bool) {
	r.sent++
	if !r.quiet {
		r.toPeers = append(r.toPeers, sentToPeer{from.addr, peer, bytes.Clone(g.Bytes()), df})
	}
}

func (r *recorder) ToClient(_ *Client, g wire.Segment, _ bool) {
	r.sent++
	if !r.quiet {
		r.toClients = append(r.toClients, bytes.Clone(g.Bytes()))
	}
}

// desk is one shard without sockets, whose clock the test sets.
type desk struct {
	t testing.TB
	*Shard
	io          *recorder
	revokedUser string // for Config.Revoked, where a test sets it
}

func newDesk(t testing.TB, cfg Config) *desk {
	t.Helper()
	return deskOn(t, NewShared(cfg))
}

// deskOn is one of several shards of a server.
func deskOn(t testing.TB, of *Shared) *desk {
	d := &desk{t: t, Shard: NewShard(of), io: new(recorder)}
	d.io.shard = d.Shard
	d.Attach(d.io, true)
	return d
}

// wait lets time go by.
func (d *desk) wait(by time.Duration) { d.tick(d.now + int64(by)) }

// user is a client of a desk.
type user struct {
	*turntest.Client
	d *desk
	c *Client
}

func (d *desk) user(name string, port uint16) *user {
	u := &user{Client: &turntest.Client{T: d.t, Realm: turntest.Realm}, d: d}
	u.Username, u.Password = turntest.Mint(d.shared.cfg.Credentials, name)
	key := wire.FiveTuple{Client: wire.EndpointFrom(netip.MustParseAddrPort("192.0.2.1:0"))}
	key.Client.Port = port
	u.c = &Client{Transport: wire.UDP, Addr: key.Client, Key: key}
	nonce := d.nonces.Make(d.second, key.Client)
	u.Nonce = string(nonce[:])
	return u
}

func (u *user) input(b []byte) {
	u.d.Reclaim()
	u.d.FromClient(u.c, wire.Copied(b))
	if u.c.alloc != nil {
		u.c = u.c.alloc.client
	}
}

// ask sends an authenticated request and returns the answer.
func (u *user) ask(method stun.Method, attrs ...turntest.Attr) *stun.Message {
	u.d.t.Helper()
	n := len(u.d.io.toClients)
	u.input(u.Signed(method, attrs...).Raw)
	if len(u.d.io.toClients) != n+1 {
		u.d.t.Fatalf("%d answers to %v", len(u.d.io.toClients)-n, method)
	}
	res := new(stun.Message)
	if err := stun.Decode(u.d.io.toClients[n], res); err != nil {
		u.d.t.Fatal(err)
	}
	return res
}

func (u *user) must(method stun.Method, attrs ...turntest.Attr) *stun.Message {
	u.d.t.Helper()
	res := u.ask(method, attrs...)
	if code := turntest.CodeOf(res); code != 0 {
		u.d.t.Fatalf("%v: %d", method, code)
	}
	return res
}

// relayed allocates and returns the relay.
func (u *user) relayed() *Relay {
	u.d.t.Helper()
	u.must(stun.MethodAllocate, turntest.Transport(wire.ProtocolUDP))
	return u.c.alloc.relays[wire.IPv4]
}

const far = "198.51.100.7:4000"

var farPeer = wire.EndpointFrom(netip.MustParseAddrPort(far))
