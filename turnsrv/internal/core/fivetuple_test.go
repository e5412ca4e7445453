package core

import (
	"testing"
	"time"

	"github.com/pion/stun/v2"

	"turnhub/turnsrv/credentials"
	"turnhub/turnsrv/internal/turntest"
	"turnhub/turnsrv/internal/wire"
)

// TestFiveTuples is the table of every request that needs credentials against
// every state of the five-tuple over which it comes (RFC 8489 section 9.2.4, RFC
// 8656 sections 5, 7.2, 8.2, 10.2 and 12.2). The order matters to clients:
// credentials that do not hold get 401 or 438 first, whatever the five-tuple
// holds; then an Allocate on one that is taken gets 437 whoever has it, which
// clients take as "try another port", and only the other requests get 441.
func TestFiveTuples(t *testing.T) {
	methods := []struct {
		method stun.Method
		attrs  []turntest.Attr
	}{
		{stun.MethodAllocate, []turntest.Attr{turntest.Transport(wire.ProtocolUDP)}},
		{stun.MethodRefresh, []turntest.Attr{turntest.Lifetime(900)}},
		{stun.MethodRefresh, []turntest.Attr{turntest.Lifetime(0)}},
		{stun.MethodCreatePermission, []turntest.Attr{turntest.Peer(far)}},
		{stun.MethodChannelBind, []turntest.Attr{turntest.Peer(far), turntest.ChannelNumber(0x4000)}},
	}
	const (
		none  = iota // no allocation on the five-tuple
		anna         // an allocation of <early>:anna
		ended        // one that has just been ended by Refresh with LIFETIME 0
	)
	now := time.Now()
	credential := func(name string, expires time.Time) func(*user) {
		return func(u *user) {
			c, _ := credentials.New([]string{"secret"})
			u.Username, u.Password = c.Mint(name, expires)
		}
	}
	early, late := now.Add(time.Hour), now.Add(2*time.Hour)
	same := credential("anna", early)
	both := func(f ...func(*user)) func(*user) {
		return func(u *user) {
			for _, f := range f {
				f(u)
			}
		}
	}
	staleNonce := func(u *user) {
		nonce := u.d.nonces.Make(u.d.second-2*3600, u.c.Addr)
		u.Nonce = string(nonce[:])
	}
	wrongPassword := func(u *user) { u.Password += "x" }
	revoke := func(u *user) { u.d.revokedUser = "anna" }
	for _, row := range []struct {
		name  string
		state int
		as    func(*user)
		// Allocate, Refresh, Refresh to 0, CreatePermission, ChannelBind.
		want [5]int
	}{
		{"no allocation", none, same, [5]int{0, 437, 437, 437, 437}},
		{"no allocation, stale nonce", none, both(same, staleNonce), [5]int{438, 438, 438, 438, 438}},
		{"no allocation, wrong password", none, both(same, wrongPassword), [5]int{401, 401, 401, 401, 401}},
		{"no allocation, expired credential", none, credential("anna", now.Add(-time.Hour)), [5]int{401, 437, 437, 437, 437}},
		{"no allocation, revoked user", none, both(same, revoke), [5]int{401, 437, 437, 437, 437}},

		{"the same credential", anna, same, [5]int{437, 0, 0, 0, 0}},
		{"the same user, later expiry", anna, credential("anna", late), [5]int{437, 441, 441, 441, 441}},
		{"the same user, expired credential", anna, credential("anna", now.Add(-time.Hour)), [5]int{401, 441, 441, 441, 441}},
		{"another user", anna, credential("boris", early), [5]int{437, 441, 441, 441, 441}},
		{"another user, expired credential", anna, credential("boris", now.Add(-time.Hour)), [5]int{401, 441, 441, 441, 441}},
		{"another user, wrong password", anna, both(credential("boris", early), wrongPassword), [5]int{401, 401, 401, 401, 401}},
		{"another user, stale nonce", anna, both(credential("boris", early), staleNonce), [5]int{438, 438, 438, 438, 438}},
		{"another user, revoked", anna, both(func(u *user) { u.d.revokedUser = "boris" }, credential("boris", early)), [5]int{401, 441, 441, 441, 441}},
		{"the same credential, wrong password", anna, both(same, wrongPassword), [5]int{401, 401, 401, 401, 401}},
		{"the same credential, stale nonce", anna, both(same, staleNonce), [5]int{438, 438, 438, 438, 438}},
		// Revoking ends allocations (Server.Revoke); one that it has missed ends with
		// its next request.
		{"the same credential, revoked", anna, both(same, revoke), [5]int{401, 437, 437, 437, 437}},

		{"just ended", ended, same, [5]int{0, 437, 437, 437, 437}},
		{"just ended, later expiry", ended, credential("anna", late), [5]int{0, 437, 437, 437, 437}},
		{"just ended, another user", ended, credential("boris", early), [5]int{0, 437, 437, 437, 437}},
		{"just ended, revoked", ended, both(same, revoke), [5]int{401, 437, 437, 437, 437}},
	} {
		for i, m := range methods {
			cfg := deskConfig(t)
			var d *desk
			cfg.Revoked = func(user string, _ time.Time) bool { return user == d.revokedUser }
			d = newDesk(t, cfg)
			u := d.user("", 1000)
			same(u)
			if row.state != none {
				u.must(stun.MethodAllocate, turntest.Transport(wire.ProtocolUDP))
			}
			if row.state == ended {
				u.must(stun.MethodRefresh, turntest.Lifetime(0))
				fresh := wire.FiveTuple{Client: u.c.Addr}
				u.c = &Client{Transport: wire.UDP, Addr: fresh.Client, Key: fresh}
			}
			held := u.c.alloc
			row.as(u)
			if got := turntest.CodeOf(u.ask(m.method, m.attrs...)); got != row.want[i] {
				t.Errorf("%s: %v %v: %d, want %d", row.name, m.method, m.attrs[0].V, got, row.want[i])
			}
			ends := row.state == anna && m.method == stun.MethodRefresh && row.want[i] == 0 && i == 2 ||
				d.revokedUser == "anna"
			if held != nil && held.dead != ends {
				t.Errorf("%s: %v %v: the allocation ended: %v, want %v", row.name, m.method, m.attrs[0].V, held.dead, ends)
			}
		}
	}
}

// TestRetransmissions sends requests a second time with the same bytes, as a
// client does whose answer was lost, and the transaction id of somebody else.
func TestRetransmissions(t *testing.T) {
	d := newDesk(t, deskConfig(t))
	u := d.user("anna", 1000)
	answer := func(u *user, raw []byte) *stun.Message {
		t.Helper()
		n := len(d.io.toClients)
		u.input(raw)
		if len(d.io.toClients) != n+1 {
			t.Fatalf("%d answers", len(d.io.toClients)-n)
		}
		m := new(stun.Message)
		if err := stun.Decode(d.io.toClients[n], m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	allocate := u.Signed(stun.MethodAllocate, turntest.Transport(wire.ProtocolUDP)).Raw
	first := answer(u, allocate)
	for range 2 {
		if again := answer(u, allocate); string(again.Raw) != string(first.Raw) {
			t.Errorf("Allocate again: %v, first %v", again, first)
		}
	}
	// The same transaction id under another name is no retransmission: its answer
	// would tell one user what another has.
	other := *u
	other.Client = &turntest.Client{T: t, Realm: turntest.Realm, Nonce: u.Nonce}
	other.Username, other.Password = turntest.Mint(d.shared.cfg.Credentials, "boris")
	m := other.Signed(stun.MethodAllocate, turntest.Transport(wire.ProtocolUDP))
	forged := new(stun.Message)
	forged.Type, forged.TransactionID = m.Type, first.TransactionID
	forged.WriteHeader()
	forged.Add(stun.AttrRequestedTransport, turntest.Transport(wire.ProtocolUDP).V)
	for _, a := range other.CredentialAttrs() {
		forged.Add(a.T, a.V)
	}
	if err := stun.MessageIntegrity(other.Key()).AddTo(forged); err != nil {
		t.Fatal(err)
	}
	if code := turntest.CodeOf(answer(u, forged.Raw)); code != 437 {
		t.Errorf("another user's Allocate with the same transaction id: %d, want 437", code)
	}
	end := u.Signed(stun.MethodRefresh, turntest.Lifetime(0)).Raw
	for i := range 3 {
		if code := turntest.CodeOf(answer(u, end)); code != 0 {
			t.Errorf("Refresh to 0, time %d: %d", i+1, code)
		}
		u.c = &Client{Transport: wire.UDP, Addr: u.c.Addr, Key: u.c.Key}
	}
	if code := turntest.CodeOf(u.ask(stun.MethodRefresh, turntest.Lifetime(0))); code != 437 {
		t.Errorf("Refresh to 0 under a new transaction id: %d, want 437", code)
	}
}

// TestRevokedWhileAllocating has a user revoked between the check of the credentials
// and the moment at which Revoke can find the allocation: it must not stay.
func TestRevokedWhileAllocating(t *testing.T) {
	cfg := deskConfig(t)
	asked := 0
	cfg.Revoked = func(string, time.Time) bool { asked++; return asked > 1 }
	d := newDesk(t, cfg)
	u := d.user("mallory", 1000)
	if got := turntest.CodeOf(u.ask(stun.MethodAllocate, turntest.Transport(wire.ProtocolUDP))); got != 401 {
		t.Errorf("Allocate: %d, want 401", got)
	}
	if len(d.allocs) != 0 || len(d.shared.directory.of("mallory")) != 0 || len(d.shared.directory.byUser) != 0 || d.count.revoked != 1 {
		t.Errorf("left: %d allocations, %v, %d counted as revoked", len(d.allocs), d.shared.directory.byUser, d.count.revoked)
	}
}
