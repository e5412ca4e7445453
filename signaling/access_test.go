package signaling

import (
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"turnhub/internal/access"
	"turnhub/signaling/internal/wire"
)

func TestAccessTokens(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("0123456789abcdef0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	verifier, err := access.NewVerifier(access.Config{SecretFile: file})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var revoked []string
	h, url := newServer(t, Config{Access: verifier, OnRevoke: func(session string) {
		mu.Lock()
		defer mu.Unlock()
		revoked = append(revoked, session)
	}})
	mint := func(user string, rooms ...string) string {
		token, err := access.Mint(file, user, rooms, time.Now().Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		return url + "?token=" + token
	}
	refused := func(url string) {
		t.Helper()
		ws, resp, err := websocket.DefaultDialer.Dial(url, nil)
		if err == nil {
			ws.Close()
		}
		if resp == nil || resp.StatusCode != http.StatusUnauthorized {
			t.Fatalf("got %v, want 401", resp)
		}
	}
	refused(url)
	refused(url + "?token=nonsense")

	vasya := mint("vasya", "blue")
	a := openClient(t, vasya, `{"type":"hello"}`)
	b := openClient(t, vasya, `{"type":"hello","user":"vasya"}`) // another device
	p := openClient(t, mint("petya"), `{"type":"hello"}`)
	x := dial(t, vasya)
	x.send(`{"type":"hello","user":"petya","userSecret":"12345678"}`)
	x.expectError(wire.CodeForbidden)
	x.expectClose(wire.CloseRefused)
	// A session is resumed with the same user's token only.
	x = dial(t, mint("masha"))
	x.send(`{"type":"hello","resume":{"session":"` + a.id + `","token":"` + a.token + `","seq":0}}`)
	if w := x.welcome(); w["resumed"] != false || w.str("user") != "masha" {
		t.Fatalf("welcome %v", w)
	}

	a.join("blue")
	a.say(`{"type":"join","room":"red","id":2`)
	a.expectError(wire.CodeForbidden)
	p.join("blue")
	a.expect("peer-joined")
	p.join("red")

	if n, err := h.Revoke("vasya"); n != 2 || err != nil {
		t.Fatalf("%d were revoked, want 2", n)
	}
	a.expectClose(wire.CloseRevoked)
	b.expectClose(wire.CloseRevoked)
	if left := p.expect("peer-left"); left.str("reason") != "revoked" || left.str("peer") != a.id {
		t.Fatalf("heard %v", left)
	}
	if h.Together(a.id, p.id) || len(revoked) != 2 {
		t.Fatalf("revoked %q", revoked)
	}
	refused(vasya)
	if n, err := h.Revoke(p.id); n != 1 || err != nil {
		t.Fatalf("%d were revoked, want 1", n)
	}
	p.expectClose(wire.CloseRevoked)
	for _, nobody := range []string{"nobody", "", "s_nobody"} {
		if n, err := h.Revoke(nobody); n != 0 || err != nil {
			t.Fatalf("%q: %d were revoked, %v", nobody, n, err)
		}
	}
}

// A session whose token expires is told before, goes on with a new token of the
// same user, and ends after a grace without one.
func TestTokenExpiry(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("0123456789abcdef0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	verifier, err := access.NewVerifier(access.Config{SecretFile: file})
	if err != nil {
		t.Fatal(err)
	}
	s := newStill(t, Config{Access: verifier, Timing: Timing{Heartbeat: 1000 * time.Hour}})
	s.at = time.Now().Truncate(time.Second)
	mint := func(user string, ttl time.Duration) string {
		token, err := access.Mint(file, user, nil, s.at.Add(ttl))
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	open := func(user string, ttl time.Duration) *carried {
		claims, err := verifier.Check(mint(user, ttl))
		if err != nil {
			t.Fatal(err)
		}
		c := carryFrom(s.hub, "", "", claims)
		c.Say([]byte(`{"type":"hello"}`), s.at)
		s.say(c, `{"type":"join","room":"r"}`)
		return c
	}
	a, b := open("vasya", time.Hour), open("petya", 24*time.Hour)
	pullFrames(t, a)
	pullFrames(t, b)
	s.pass(time.Hour - time.Minute - time.Second)
	s.expect(a)
	s.pass(time.Second)
	if f := pullFrames(t, a); len(f) != 1 || f[0].str("type") != "token" || f[0].num("after") != 60_000 || f[0].num("seq") == 0 {
		t.Fatalf("told %v", f)
	}
	for _, bad := range []string{`"nonsense"`, `7`, `"` + mint("petya", 2*time.Hour) + `"`} {
		s.say(a, `{"type":"token","id":1,"token":`+bad+`}`)
		s.expect(a, "error")
	}
	s.say(a, `{"type":"token","id":1,"token":"`+mint("vasya", time.Hour)+`"}`)
	s.expect(a, "ok")
	s.pass(time.Hour - time.Second)
	s.expect(a, "token")
	s.pass(30 * time.Second)
	s.expect(a)
	s.expect(b)
	s.pass(time.Second)
	if f := pullFrames(t, a); len(f) != 1 || f[0].str("code") != string(wire.CodeForbidden) || a.Code() != wire.CloseRefused {
		t.Fatalf("at the end: %v, close %v", f, a.Code())
	}
	if f := pullFrames(t, b); len(f) != 1 || f[0].str("type") != "peer-left" || f[0].str("reason") != "lost" {
		t.Fatalf("the other heard %v", f)
	}
	if s.hub.directory.members.Get(a.id()) != nil {
		t.Fatal("the session lives on")
	}
}
