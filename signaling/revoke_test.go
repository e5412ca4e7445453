package signaling

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"turnhub/internal/access"
	"turnhub/signaling/internal/wire"
	"turnhub/signaling/internal/wstest"
)

// tokens returns a verifier, and a function that mints.
func tokens(t testing.TB) (*access.Verifier, func(user string) string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("0123456789abcdef0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	v, err := access.NewVerifier(access.Config{SecretFile: file, CredentialLife: func() time.Duration { return time.Hour }})
	if err != nil {
		t.Fatal(err)
	}
	return v, func(user string) string {
		token, err := access.Mint(file, user, nil, time.Now().Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
}

// TestRevokedBeforeHello: a revocation ends the sockets on which the user has not said
// hello yet, and no hello on one of them is welcomed, also with a resume.
func TestRevokedBeforeHello(t *testing.T) {
	for name, start := range servers {
		t.Run(name, func(t *testing.T) {
			v, mint := tokens(t)
			h, url := start(t, Config{Access: v})
			alice, bob := url+"?token="+mint("alice"), url+"?token="+mint("bob")
			main := openClient(t, alice, `{"type":"hello"}`)
			silent, racing, other := dial(t, alice), dial(t, alice), dial(t, bob)
			waitFor(t, func() bool {
				return h.Stats().Sockets == 4
			})
			if n, err := h.Revoke("alice"); n != 1 || err != nil {
				t.Fatalf("%d, %v", n, err)
			}
			_ = racing.ws.WriteMessage(1, []byte(`{"type":"hello","resume":{"session":"`+main.id+`","token":"`+main.token+`","seq":0}}`))
			for _, c := range []*client{main, silent, racing} {
				c.expectClose(wire.CloseRevoked)
			}
			other.send(`{"type":"hello"}`)
			other.welcome()
		})
	}
}

// TestRevokedDuringTheUpgrade: a socket whose user is revoked between the check of the
// token and its place on the hub's books ends at once, not when hello is due.
func TestRevokedDuringTheUpgrade(t *testing.T) {
	v, mint := tokens(t)
	var hub *Hub
	h, url := newServer(t, Config{Access: v, Timing: Timing{Hello: time.Hour}, ClientAddress: func(*http.Request) (netip.AddrPort, bool) {
		if _, err := hub.Revoke("alice"); err != nil { // asked for behind the check
			t.Error(err)
		}
		return netip.MustParseAddrPort("203.0.113.1:1000"), true
	}})
	hub = h
	dial(t, url+"?token="+mint("alice")).expectClose(wire.CloseRevoked)
}

// TestRevocationWaitsForWhoIsHalfWayIn: a hello that has been found good, and is not
// through yet, is ended by a revocation that comes in between.
func TestRevocationWaitsForWhoIsHalfWayIn(t *testing.T) {
	v, mint := tokens(t)
	halfWay, on := make(chan struct{}), make(chan struct{})
	h := NewHub(Config{Access: v, IceConfig: func(string, string, uint16) (json.RawMessage, time.Duration) {
		close(halfWay) // which is asked for behind the check
		<-on
		return json.RawMessage(`{}`), 0
	}})
	claims, err := v.Check(mint("alice"))
	if err != nil {
		t.Fatal(err)
	}
	c := carryFrom(h, "203.0.113.1", "", claims)
	in, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(in)
		c.Say([]byte(`{"type":"hello"}`), h.now())
	}()
	wstest.Wait(t, halfWay, "a hello is half way")
	go func() {
		defer close(done)
		_, _ = h.Revoke("alice")
	}()
	waitFor(t, claims.Revoked)
	select {
	case <-done:
		t.Error("the revocation has not waited")
	case <-time.After(50 * time.Millisecond): // long enough for one that does not wait
	}
	close(on)
	wstest.Wait(t, in, "the hello is handled")
	wstest.Wait(t, done, "the revocation is done")
	if !c.open() || len(h.directory.members.All()) != 0 {
		t.Errorf("%d sessions are left", len(h.directory.members.All()))
	}
}

func waitFor(t testing.TB, ready func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ready(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not come to that")
		}
	}
}

// intruder is somebody who is about to be revoked and knows it, and has everything open
// that can be open by then.
type intruder struct {
	hub    *Hub
	user   string
	token  string
	rng    *rand.Rand
	claims []access.Claims
	conns  []*carried
	old    [][2]string // ids and tokens of sessions
	others []*DialectClient
}

// step does one thing of all that may be tried. It fails softly: most must fail once the intruder
// is revoked, and what counts is who is inside then.
func (x *intruder) step() {
	pick := func(n int) int { return x.rng.IntN(max(n, 1)) }
	switch x.rng.IntN(8) {
	case 0: // a request is checked, and its answer takes long
		if c, err := x.hub.CheckToken(x.token); err == nil {
			x.claims = append(x.claims, c)
		}
	case 1, 2: // a WebSocket is upgraded
		if len(x.claims) > 0 {
			claims := x.claims[pick(len(x.claims))]
			x.conns = append(x.conns, carryFrom(x.hub, "203.0.113.1", "", claims))
		}
	case 3, 4, 5: // something is said on one
		if len(x.conns) == 0 {
			return
		}
		c := x.conns[pick(len(x.conns))]
		say := func(text string) { c.Say([]byte(text), x.hub.now()) }
		switch {
		case c.Code() != 0:
		case c.open() && x.rng.IntN(2) == 0:
			say(`{"type":"token","token":"` + x.token + `"}`)
		case c.open():
			say(`{"type":"config"}`)
		case len(x.old) > 0 && x.rng.IntN(2) == 0:
			r := x.old[pick(len(x.old))]
			say(fmt.Sprintf(`{"type":"hello","resume":{"session":%q,"token":%q,"seq":0}}`, r[0], r[1]))
		default:
			if say(`{"type":"hello"}`); c.open() {
				x.old = append(x.old, [2]string{c.id(), c.token()})
			}
		}
	case 6: // a dialect lets the intruder in
		if len(x.claims) > 0 {
			info := ClientInfo{Dialect: "relay", Remote: netip.MustParseAddrPort("203.0.113.1:1000"), Claims: x.claims[pick(len(x.claims))]}
			switch s, err := x.hub.Attach(info, func() {}); {
			case err == nil:
				x.others = append(x.others, s)
			case !errors.Is(err, access.ErrRevoked):
				panic(err)
			}
		}
	case 7: // a connection breaks
		if len(x.conns) > 0 && x.rng.IntN(2) == 0 {
			if c := x.conns[pick(len(x.conns))]; c.open() {
				c.Lost(false)
			}
		}
	}
}

// inside says what of the intruder is alive: nothing may be.
func (x *intruder) inside() error {
	for _, s := range x.hub.directory.members.All() {
		if s.user == x.user {
			return fmt.Errorf("session %s", s.id)
		}
	}
	for _, s := range x.others {
		select {
		case <-s.Done():
		default:
			return errors.New("a socket of a dialect goes on")
		}
	}
	return nil
}

// leave takes the intruder off the hub's books, whose TURN credentials are no good then.
func (x *intruder) leave() error {
	for _, c := range x.conns {
		c.Lost(false)
	}
	for _, s := range x.others {
		s.Detach()
	}
	for _, r := range x.old {
		if !x.hub.cfg.Access.VoidsCredentials(r[0], time.Now().Add(time.Hour)) {
			return fmt.Errorf("TURN credentials of %s are good", r[0])
		}
	}
	return nil
}

// TestNothingOvertakesARevocation plays 200,000 random steps of people who are revoked
// at a random moment among them, one step at a time, and then with several things at
// once. What was opened before, hello or not, must not be inside afterwards, whatever
// is tried then.
func TestNothingOvertakesARevocation(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	const steps = 200_000
	v, mint := tokens(t)
	h := NewHub(Config{Access: v, Limits: Limits{ConnectionsPerIP: 1 << 30, ConnectionsTotal: 1 << 30}})
	done, opened := 0, 0
	for round := 0; done < steps && !t.Failed(); round++ {
		rng := rand.New(rand.NewPCG(seed, uint64(round)))
		user := fmt.Sprintf("u%d", round)
		x := &intruder{hub: h, user: user, token: mint(user), rng: rng}
		before, after := rng.IntN(150), 50
		for range before {
			x.step()
		}
		if _, err := h.Revoke(user); err != nil {
			t.Fatal(err)
		}
		opened += len(x.old)
		for range after {
			x.step()
			if err := x.inside(); err != nil {
				t.Fatalf("seed %d, round %d: %v", seed, round, err)
			}
		}
		if err := x.leave(); err != nil {
			t.Fatalf("seed %d, round %d: %v", seed, round, err)
		}
		done += before + after
	}
	if opened < 1000 {
		t.Errorf("only %d sessions were open", opened)
	}
	for round := range 150 {
		user := fmt.Sprintf("c%d", round)
		token := mint(user)
		var all []*intruder
		var at sync.WaitGroup
		for i := range 4 {
			x := &intruder{hub: h, user: user, token: token, rng: rand.New(rand.NewPCG(seed, uint64(1e6+10*round+i)))}
			all = append(all, x)
			at.Go(func() {
				for range 100 {
					x.step()
				}
			})
		}
		at.Go(func() { _, _ = h.Revoke(user) })
		over := make(chan struct{})
		go func() {
			at.Wait()
			close(over)
		}()
		wstest.Wait(t, over, "all of the intruder's steps are done")
		for _, x := range all {
			if err := errors.Join(x.inside(), x.leave()); err != nil {
				t.Fatalf("seed %d, several at once, round %d: %v", seed, round, err)
			}
		}
	}
}
