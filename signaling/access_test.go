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
	x.expectError(CodeForbidden)
	x.expectClose(CloseRefused)
	// A session is resumed with the same user's token only.
	x = dial(t, mint("masha"))
	x.send(`{"type":"hello","resume":{"session":"` + a.id + `","token":"` + a.token + `","seq":0}}`)
	if w := x.welcome(); w["resumed"] != false || w.str("user") != "masha" {
		t.Fatalf("welcome %v", w)
	}

	a.join("blue")
	a.say(`{"type":"join","room":"red","id":2`)
	a.expectError(CodeForbidden)
	p.join("blue")
	a.expect("peer-joined")
	p.join("red")

	if n := h.Revoke("vasya"); n != 2 {
		t.Fatalf("%d were revoked, want 2", n)
	}
	a.expectClose(CloseRevoked)
	b.expectClose(CloseRevoked)
	if left := p.expect("peer-left"); left.str("reason") != "revoked" || left.str("peer") != a.id {
		t.Fatalf("heard %v", left)
	}
	if h.Together(a.id, p.id) || len(revoked) != 2 {
		t.Fatalf("revoked %q", revoked)
	}
	refused(vasya)
	if n := h.Revoke(p.id); n != 1 {
		t.Fatalf("%d were revoked, want 1", n)
	}
	p.expectClose(CloseRevoked)
	if h.Revoke("nobody") != 0 || h.Revoke("") != 0 {
		t.Fatal("nobody was revoked")
	}
}
