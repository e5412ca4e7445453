package attack

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/pion/stun/v2"
)

// TestSecretsAreNeverPrinted does what makes a server talk, right and wrong, at
// the chattiest level, and then looks for every secret in all that it printed
// and answered to others.
func TestSecretsAreNeverPrinted(t *testing.T) {
	if !inOwnNetwork(t) {
		return
	}
	const turnSecret, oldSecret, tokenSecret = "turn-secret-GZ4kq", "old-secret-P0xvW", "token-secret-0123456789abcdef0123456789-Jq8s"
	dir := t.TempDir()
	tokenFile := filepath.Join(dir, "token-secret")
	if err := os.WriteFile(tokenFile, []byte(tokenSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, fmt.Sprintf(`
relay: {external_ip: 203.0.113.1}
credentials: {secrets: [%s, %s]}
access: {mode: token, token_secret_file: %s}
log: {level: debug}
`, turnSecret, oldSecret, tokenFile))
	binary, err := filepath.Abs("../../bin/turnhub")
	if err != nil {
		t.Fatal(err)
	}
	token := strings.TrimSpace(run(t, binary, "token", "--config", w.config, "--user", "alice"))
	secrets := map[string]string{"the TURN secret": turnSecret, "an old TURN secret": oldSecret, "the token secret": tokenSecret, "an access token": token}
	var said strings.Builder
	note := func(r *http.Response, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	base := "http://" + serverIP + ":8080"

	// What others get, right and wrong.
	for _, path := range []string{"/config", "/config?token=wrong", "/config?token=" + token + "x", "/turn?service=turn&token=x",
		"/healthz", "/readyz", "/nothing?token=" + token, "/config/?token=" + token, "/ws?token=" + token} {
		said.WriteString(note(http.Get(base + path)))
	}
	mine := note(http.Get(base + "/config?token=" + token))
	if !strings.Contains(mine, "credential") {
		t.Fatalf("a good token gets %q", mine)
	}
	for label, secret := range secrets {
		if strings.Contains(mine, secret) {
			t.Errorf("/config holds %s", label)
		}
	}

	// A session: its resume token and its TURN password are secrets too.
	dialer := websocket.Dialer{Subprotocols: []string{"turnhub.v1"}}
	ws, _, err := dialer.Dial("ws://"+serverIP+":8080/ws?token="+token, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	var welcome struct {
		Session string
		Resume  struct{ Token string }
		Config  struct {
			IceServers []struct{ Username, Credential string }
		}
	}
	if err := ws.WriteJSON(map[string]any{"type": "hello"}); err != nil {
		t.Fatal(err)
	}
	if err := ws.ReadJSON(&welcome); err != nil {
		t.Fatal(err)
	}
	ice := welcome.Config.IceServers[len(welcome.Config.IceServers)-1]
	if welcome.Resume.Token == "" || ice.Credential == "" {
		t.Fatalf("welcome %+v", welcome)
	}
	secrets["a resume token"], secrets["a TURN password"] = welcome.Resume.Token, ice.Credential
	if err := ws.WriteMessage(websocket.TextMessage, []byte(`{"type":"nonsense","token":"`+token+`"}`)); err != nil {
		t.Fatal(err)
	}
	var refusal any
	if err := ws.ReadJSON(&refusal); err != nil {
		t.Fatal(err)
	}

	// The relay, with the right password and a wrong one.
	good := dialTURN(t, attackerIP, serverIP+":3478", ice.Username, ice.Credential)
	good.key = stun.NewLongTermIntegrity(ice.Username, good.realm, "wrong")
	if c := code(good.ask(stun.MethodRefresh)); c != 401 {
		t.Errorf("a wrong password gets %d", c)
	}

	// The operator: the console, the metrics, a reload, a broken configuration.
	for _, path := range []string{"/metrics", "/state", "/readyz", "/debug/pprof/goroutine?debug=2"} {
		said.WriteString(w.adminGet(path))
	}
	said.WriteString(run(t, binary, "config", "--config", w.config))
	text, err := os.ReadFile(w.config)
	if err != nil {
		t.Fatal(err)
	}
	broken := strings.Replace(string(text), "secrets:", "secrettts:", 1)
	if err := os.WriteFile(w.config, []byte(broken), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(w.pid, syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	good.settle()
	said.WriteString(w.end())
	if !strings.Contains(said.String(), "secrettts") {
		t.Error("the reload of a broken file was not reported: this test looks at the wrong output")
	}
	for label, secret := range secrets {
		if at := strings.Index(said.String(), secret); at >= 0 {
			t.Errorf("%s was printed: …%.200s", label, said.String()[max(0, at-120):])
		}
	}
}
