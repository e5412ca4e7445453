package e2e

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// hearer is a receiver of docs/events.md, as it stands there.
type hearer struct {
	url    string
	secret string
	lines  chan string
	start  func()
}

// receiver runs the example of docs/events.md in the given language.
func receiver(t *testing.T, language string, secretFile string) *hearer {
	t.Helper()
	text, err := os.ReadFile("../docs/events.md")
	if err != nil {
		t.Fatal(err)
	}
	source := ""
	for _, m := range fence.FindAllStringSubmatch(string(text), -1) {
		if m[2] == language {
			source += m[3]
		}
	}
	name, interpreter := "receive.mjs", "node"
	if language == "python" {
		name, interpreter = "receive.py", "python3"
	}
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(source), 0o600); err != nil || source == "" {
		t.Fatal(err, source)
	}
	port := freePort(t)
	p := &hearer{url: fmt.Sprintf("http://127.0.0.1:%d/turnhub", port), secret: secretFile, lines: make(chan string, 1000)}
	p.start = func() {
		command := exec.Command(interpreter, file, secretFile, strconv.Itoa(port))
		out, err := command.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		command.Stderr = os.Stderr
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		read := make(chan struct{})
		t.Cleanup(func() {
			_ = command.Process.Kill()
			<-read
			_ = command.Wait()
		})
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 1<<20)
		if !lines.Scan() || lines.Text() != "ready" {
			t.Fatalf("%s says %q", name, lines.Text())
		}
		go func() {
			defer close(read)
			for lines.Scan() {
				p.lines <- lines.Text()
			}
		}()
	}
	return p
}

// until reads what a receiver prints until an event of a type comes, and returns the types
// so far and its data.
func (p *hearer) until(t *testing.T, typ string) (types []string, data map[string]any) {
	t.Helper()
	late := time.After(40 * time.Second)
	for {
		select {
		case line := <-p.lines:
			got, text, _ := strings.Cut(line, " ")
			types = append(types, got)
			if got == typ {
				if err := json.Unmarshal([]byte(text), &data); err != nil {
					t.Fatal(line, err)
				}
				return types, data
			}
		case <-late:
			t.Fatalf("no %s; there were %v", typ, types)
		}
	}
}

// visitor is somebody with a session.
type visitor struct {
	socket             *websocket.Conn
	session            string
	username, password string
}

func (s *server) enter(t *testing.T, user, room string) *visitor {
	t.Helper()
	g := s.greet(t, user)
	g.say(t, fmt.Sprintf(`{"type":"join","room":%q,"id":1,"seq":1}`, room))
	g.hear(t, "joined")
	return g
}

// hubSocket opens a socket of the hub, on which nothing has been said.
func (s *server) hubSocket(t *testing.T) *visitor {
	t.Helper()
	dialer := websocket.Dialer{
		NetDial:         func(string, string) (net.Conn, error) { return s.connect("127.0.0.1") },
		TLSClientConfig: &tls.Config{RootCAs: s.roots, ServerName: "localhost"}, Subprotocols: []string{"turnhub.v1"},
	}
	socket, _, err := dialer.Dial("wss://localhost/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	return &visitor{socket: socket}
}

// greet begins a session of a user in no room.
func (s *server) greet(t *testing.T, user string) *visitor {
	t.Helper()
	g := s.hubSocket(t)
	g.say(t, fmt.Sprintf(`{"type":"hello","user":%q,"userSecret":"12345678","name":"=%s"}`, user, user))
	var welcome struct {
		Session string
		Config  struct {
			ICEServers []struct{ Username, Credential string }
		}
	}
	if err := json.Unmarshal(g.hear(t, "welcome"), &welcome); err != nil {
		t.Fatal(err)
	}
	g.session = welcome.Session
	for _, one := range welcome.Config.ICEServers {
		if one.Username != "" {
			g.username, g.password = one.Username, one.Credential
		}
	}
	return g
}

func (g *visitor) say(t *testing.T, text string) {
	t.Helper()
	if err := g.socket.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

// hear reads until a message of a type comes.
func (g *visitor) hear(t *testing.T, typ string) []byte {
	t.Helper()
	_ = g.socket.SetReadDeadline(time.Now().Add(30 * time.Second))
	for {
		_, text, err := g.socket.ReadMessage()
		if err != nil {
			t.Fatalf("no %s: %v", typ, err)
		}
		var message struct{ Type string }
		if json.Unmarshal(text, &message) == nil && message.Type == typ {
			return text
		}
	}
}

// ask is a request to the API, or to the console's part of the listener.
func (s *server) ask(t *testing.T, method, path, body string) (int, []byte) {
	t.Helper()
	r, err := http.NewRequest(method, s.admin+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, text
}

// TestWebhooks has a call that is relayed told to the programs of docs/events.md, in its
// order and with what the relay has passed; they refuse what is forged or too old. The
// history, the usage and the file say the same.
func TestWebhooks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	secretFile := filepath.Join(dir, "webhook-secret")
	if err := os.WriteFile(secretFile, []byte("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\nwhsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	programs := map[string]*hearer{"js": receiver(t, "js", secretFile), "python": receiver(t, "python", secretFile)}
	var hooks []map[string]any
	for _, p := range programs {
		p.start()
		hooks = append(hooks, map[string]any{"url": p.url, "secret_file": secretFile})
	}
	file := filepath.Join(dir, "events.jsonl")
	s := start(t, map[string]map[string]any{"events": {"webhooks": hooks, "file": file}})

	anna, boris := s.enter(t, "anna", "blue-fox"), s.enter(t, "boris", "blue-fox")
	var ends []*allocation
	for _, g := range []*visitor{anna, boris} {
		client := s.dial(t, "udp", g.username, g.password)
		relay, err := client.Allocate()
		if err != nil {
			t.Fatal(err)
		}
		ends = append(ends, &allocation{client, relay})
	}
	permit(t, ends[0], ends[1])
	permit(t, ends[1], ends[0])
	for range 10 {
		exchange(t, ends[0], ends[1], 1000)
	}
	if err := ends[1].relay.Close(); err != nil { // as a page does that hangs up
		t.Fatal(err)
	}
	anna.say(t, fmt.Sprintf(`{"type":"report","peer":%q,"room":"blue-fox","path":"relay-udp","rtt":0.05,"loss":0.01,"bitrate":800000,"id":2,"seq":2}`, boris.session))
	anna.hear(t, "ok")
	boris.say(t, `{"type":"leave","room":"blue-fox","id":2,"seq":2}`)
	boris.hear(t, "ok")
	anna.say(t, `{"type":"invite","user":"nobody","id":3,"seq":3}`)

	for language, p := range programs {
		types, ended := p.until(t, "call.ended")
		types = slices.DeleteFunc(types, func(typ string) bool { return strings.HasPrefix(typ, "allocation.") })
		if want := []string{"call.began", "call.joined", "call.joined", "call.left", "call.left", "call.ended"}; !slices.Equal(types, want) {
			t.Errorf("%s: %v", language, types)
		}
		people, _ := ended["people"].([]any)
		if len(people) != 2 || ended["path"] != "relay-udp" || ended["call"].(map[string]any)["room"] != "blue-fox" {
			t.Fatalf("%s: %v", language, ended)
		}
		// 10,000 bytes came to each allocation's count, of Anna to the peer and of Boris to the client.
		for i, want := range []string{"boris", "anna"} {
			who := people[i].(map[string]any)
			if relayed, _ := who["relayed"].(float64); who["user"] != want || relayed < 10_000 || relayed > 11_000 {
				t.Errorf("%s: %v", language, who)
			}
		}
		if q, _ := people[1].(map[string]any)["quality"].(map[string]any); q["rtt"] != 0.05 {
			t.Errorf("%s: %v", language, people[1])
		}
		if _, missed := p.until(t, "call.missed"); missed["to"] != "nobody" || missed["reason"] != "unavailable" {
			t.Errorf("%s: %v", language, missed)
		}
		refusesForgeries(t, language, p)
	}

	status, text := s.ask(t, "GET", "/api/v1/history?text=blue-FOX", "")
	var page struct{ Rows []struct{ Type string } }
	if err := json.Unmarshal(text, &page); err != nil || status != 200 || len(page.Rows) != 1 || page.Rows[0].Type != "call.ended" {
		t.Errorf("%d %s", status, text)
	}
	if status, text := s.ask(t, "GET", "/history.csv", ""); status != 200 || strings.Count(string(text), "\r\n") != 3 || !strings.Contains(string(text), "blue-fox,anna; boris") && !strings.Contains(string(text), "blue-fox,boris; anna") {
		t.Errorf("%d %s", status, text)
	}
	if status, text := s.ask(t, "GET", "/api/v1/usage?user=anna", ""); status != 200 || !strings.Contains(string(text), `"calls":1`) {
		t.Errorf("%d %s", status, text)
	}
	if status, text := s.ask(t, "POST", "/api/v1/credentials", `{"user":"door","ttl":"2h"}`); status != 200 || !strings.Contains(string(text), `:door"`) || !strings.Contains(string(text), `"ttl":7200`) {
		t.Errorf("%d %s", status, text)
	}
	lines, err := os.ReadFile(file)
	if err != nil || bytes.Count(lines, []byte(`"type":"call.`)) != 7 {
		t.Errorf("%v %s", err, lines)
	}

	// `turnhub check` has a row for each; one that does not answer is named with what to do.
	output, _ := runTurnhub(t, []string{"SSL_CERT_FILE=" + s.caFile, "SSL_CERT_DIR=/nonexistent"}, "check", "--config", s.file)
	if strings.Count(output, "it has taken a signed event") != 2 {
		t.Errorf("check says\n%s", output)
	}
	broken := strings.ReplaceAll(string(must(os.ReadFile(s.file))), programs["js"].url, fmt.Sprintf("http://127.0.0.1:%d/secret-path", freePort(t)))
	other := filepath.Join(dir, "broken.yaml")
	if err := os.WriteFile(other, []byte(broken), 0o600); err != nil {
		t.Fatal(err)
	}
	output, _ = runTurnhub(t, []string{"SSL_CERT_FILE=" + s.caFile, "SSL_CERT_DIR=/nonexistent"}, "check", "--config", other)
	if strings.Count(output, "it has taken a signed event") != 1 || !strings.Contains(output, "See that it runs, and that this host reaches it.") || strings.Contains(output, "secret-path") {
		t.Errorf("check says\n%s", output)
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// refusesForgeries sends a receiver what nobody has signed, and what was signed long ago.
func refusesForgeries(t *testing.T, language string, p *hearer) {
	t.Helper()
	for what, headers := range map[string]map[string]string{
		"nothing": {},
		"forged":  {"webhook-id": "evt_1", "webhook-timestamp": fmt.Sprint(time.Now().Unix()), "webhook-signature": "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= v1, x"},
		// Signed rightly, for the body below, in 2021.
		"old":      {"webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp": "1614265330", "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="},
		"no time":  {"webhook-id": "evt_1", "webhook-timestamp": "NaN", "webhook-signature": "v1,g0hM9SsE"},
		"nonsense": {"webhook-id": "é", "webhook-timestamp": "٣", "webhook-signature": "é"},
	} {
		r, err := http.NewRequest("POST", p.url, strings.NewReader(`{"test": 2432232314}`))
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range headers {
			r.Header.Set(name, value)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatalf("%s, %s: %v", language, what, err)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s takes %s: %d", language, what, answer.StatusCode)
		}
	}
}

// TestEventsOutliveKill: what happened while the receiver was down, and the server was
// then killed, is told when both run again.
func TestEventsOutliveKill(t *testing.T) {
	t.Parallel()
	secretFile := filepath.Join(t.TempDir(), "webhook-secret")
	if err := os.WriteFile(secretFile, []byte("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := receiver(t, "js", secretFile)
	s := start(t, map[string]map[string]any{"events": {"webhooks": []map[string]any{{"url": p.url, "secret_file": secretFile, "types": "call.began+call.ended"}}}})
	s.enter(t, "anna", "blue")
	boris := s.enter(t, "boris", "blue")
	boris.say(t, `{"type":"leave","room":"blue","id":2,"seq":2}`)
	boris.hear(t, "ok")
	waiting := func() int {
		_, text := s.ask(t, "GET", "/api/v1/webhooks", "")
		var all struct{ Webhooks []struct{ Waiting int } }
		if json.Unmarshal(text, &all) != nil || len(all.Webhooks) != 1 {
			return 0
		}
		return all.Webhooks[0].Waiting
	}
	until(t, "two events wait", func() bool { return waiting() == 2 })
	boris.say(t, `{"type":"join","room":"blue","id":3,"seq":3}`)
	boris.hear(t, "joined") // the server may be killed before or after this is read from its journal
	until(t, "it is written down", func() bool {
		files, _ := filepath.Glob(filepath.Join(s.directory(t), "state", "events", "journal-*"))
		for _, f := range files {
			if text, _ := os.ReadFile(f); bytes.Count(text, []byte("call.began")) == 2 {
				return true
			}
		}
		return waiting() == 3
	})
	if err := s.process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-s.ended
	s.run(t)
	p.start()
	// One that was tried before waits for its next attempt, and the others do not wait for it.
	got := map[string]int{}
	for n := 0; n < 3; n++ {
		select {
		case line := <-p.lines:
			typ, _, _ := strings.Cut(line, " ")
			got[typ]++
		case <-time.After(time.Minute):
			t.Fatalf("only %v", got)
		}
	}
	if got["call.began"] != 2 || got["call.ended"] != 1 {
		t.Error(got)
	}
}

// TestReloadedWebhooks: a webhook that is added gets its events from the reload on; one
// whose secret cannot be used changes nothing.
func TestReloadedWebhooks(t *testing.T) {
	t.Parallel()
	secretFile := filepath.Join(t.TempDir(), "webhook-secret")
	if err := os.WriteFile(secretFile, []byte("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := receiver(t, "js", secretFile)
	p.start()
	s := start(t, map[string]map[string]any{"events": {"webhooks": []map[string]any{}}})
	plain := must(os.ReadFile(s.file))
	reload := func(hooks, says string) {
		t.Helper()
		text := bytes.Replace(plain, []byte(`"webhooks":[]`), []byte(`"webhooks":[`+hooks+`]`), 1)
		if err := os.WriteFile(s.file, text, 0o600); err != nil || bytes.Equal(text, plain) {
			t.Fatal(err)
		}
		before := strings.Count(s.log.String(), says)
		if err := s.process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		until(t, says, func() bool { return strings.Count(s.log.String(), says) > before })
	}
	miss := func(g *visitor, seq int) {
		t.Helper()
		g.say(t, fmt.Sprintf(`{"type":"invite","user":"nobody","id":%d,"seq":%d}`, seq, seq))
		g.hear(t, "calling")
	}
	remembered := func(n int) {
		t.Helper()
		until(t, fmt.Sprint(n, " missed calls"), func() bool {
			_, text := s.ask(t, "GET", "/api/v1/history?type=call.missed", "")
			return strings.Count(string(text), "call.missed") == n
		})
	}
	anna := s.enter(t, "anna", "blue")
	miss(anna, 2) // nobody is told
	remembered(1)
	good := fmt.Sprintf(`{"url":%q,"secret_file":%q,"types":"call.missed"}`, p.url, secretFile)
	reload(good, "msg=reloaded changed=[events.webhooks]")
	until(t, "the store is open again", func() bool { status, _ := s.ask(t, "GET", "/api/v1/webhooks", ""); return status == 200 })
	miss(anna, 3)
	p.until(t, "call.missed")
	reload(fmt.Sprintf(`{"url":%q,"secret_file":"/nowhere"}`, p.url), "the secret of a webhook cannot be used")
	miss(anna, 4)
	p.until(t, "call.missed")
	remembered(3)
}

// TestEventsOfAnUpgrade: what happens in the old process is told by the new one, which has
// the history, and what the old one had told is still there.
func TestEventsOfAnUpgrade(t *testing.T) {
	t.Parallel()
	f := startFamily(t, "relay: {external_ip: 127.0.0.1}\n")
	call := f.call("anna", "boris")
	old, young := f.upgrade()
	call.goesOn("after the upgrade")
	until(t, "the call in the old process has ended", func() bool {
		status, text, err := f.get("/api/v1/history?type=call.ended")
		return err == nil && status == 200 && strings.Contains(text, `"reason":"restart"`) && strings.Contains(text, `"anna"`)
	})
	// Its allocations end with it, or with their clients: they are told of by the new one.
	for _, end := range call.ends {
		_ = end.Close()
	}
	until(t, "the old process's allocations are told of", func() bool {
		_, text, err := f.get("/api/v1/usage")
		var usage struct{ Rows []struct{ Allocations int } }
		n := 0
		if err == nil && json.Unmarshal([]byte(text), &usage) == nil {
			for _, row := range usage.Rows {
				n += row.Allocations
			}
		}
		return n >= 2
	})
	if old == young {
		t.Error("there was no upgrade")
	}
}
