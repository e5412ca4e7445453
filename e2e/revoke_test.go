package e2e

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"turnhub/internal/access"
)

// TestRevokedUserStaysOut has a client that waits for its revocation keep sockets on which
// it has said nothing, over TCP and TLS, and say hello on them, and open more, as soon as
// its session ends. It never gets in again.
func TestRevokedUserStaysOut(t *testing.T) {
	t.Parallel()
	secretFile := filepath.Join(t.TempDir(), "token-secret")
	if err := os.WriteFile(secretFile, []byte(strings.Repeat("s", 40)), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, map[string]map[string]any{"access": {"mode": "token", "token_secret_file": secretFile}})
	token, err := access.Mint(secretFile, "mallory", nil, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	dial := func(scheme string) (*websocket.Conn, int) {
		dialer := websocket.Dialer{NetDial: func(string, string) (net.Conn, error) { return s.connect("127.0.0.1") }, TLSClientConfig: &tls.Config{RootCAs: s.roots, ServerName: "localhost"}}
		socket, response, err := dialer.Dial(fmt.Sprintf("%s://localhost/ws?token=%s", scheme, token), nil)
		if err != nil {
			if response == nil {
				t.Fatal(err)
			}
			return nil, response.StatusCode
		}
		t.Cleanup(func() { socket.Close() })
		_ = socket.SetReadDeadline(time.Now().Add(time.Minute))
		return socket, response.StatusCode
	}
	code := func(socket *websocket.Conn) int {
		for {
			_, text, err := socket.ReadMessage()
			var closed *websocket.CloseError
			switch {
			case errors.As(err, &closed):
				return closed.Code
			case err != nil:
				t.Fatal(err)
			case strings.Contains(string(text), `"welcome"`):
				t.Fatalf("the revoked user is welcome: %s", text)
			}
		}
	}
	main, _ := dial("wss")
	if kind := hello(t, main); kind != "welcome" {
		t.Fatal(kind)
	}
	var spares []*websocket.Conn
	for i := range 10 {
		socket, status := dial([]string{"ws", "wss"}[i%2])
		if socket == nil {
			t.Fatal(status)
		}
		spares = append(spares, socket)
	}
	response, err := http.Post(s.admin+"/revoke", "application/json", strings.NewReader(`{"user":"mallory"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, _ := io.ReadAll(response.Body); response.StatusCode != http.StatusOK || !strings.Contains(string(body), `"sessions":1`) {
		t.Fatalf("%d %s", response.StatusCode, body)
	}
	if got := code(main); got != 4004 {
		t.Errorf("the session ends with %d, want 4004", got)
	}
	for _, socket := range spares {
		_ = socket.WriteMessage(websocket.TextMessage, []byte(`{"type":"hello"}`)) // it may have ended
		if got := code(socket); got != 4004 {
			t.Errorf("a socket without hello ends with %d, want 4004", got)
		}
		if _, status := dial("ws"); status != http.StatusUnauthorized {
			t.Errorf("another socket: %d", status)
		}
	}
}
