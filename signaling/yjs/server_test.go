package yjs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"turnhub/internal/access"
	"turnhub/signaling"
	"turnhub/signaling/internal/wire"
	"turnhub/signaling/internal/wstest"
)

// start runs a server and returns the URL of its WebSockets.
func start(t *testing.T, cfg signaling.Config) (string, *Server) {
	t.Helper()
	hub := signaling.NewHub(cfg)
	s := New(Config{Hub: hub})
	server := wstest.NewServer(s)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
		server.Close()
		hub.Close()
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.topics) > 0 || s.sockets.Len() > 0 {
			t.Errorf("left behind: %d topics, %d sockets", len(s.topics), s.sockets.Len())
		}
	})
	return "ws" + strings.TrimPrefix(server.URL, "http") + Path, s
}

func dial(t *testing.T, url string) *websocket.Conn {
	t.Helper()
	ws, response, err := websocket.DefaultDialer.Dial(url, http.Header{"Origin": {"null"}})
	if err != nil {
		t.Fatalf("%s: %v (%v)", url, err, response)
	}
	t.Cleanup(func() { ws.Close() })
	return ws
}

func say(t *testing.T, ws *websocket.Conn, text string) {
	t.Helper()
	if err := ws.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

// settle waits until everything that a socket said before has been done.
func settle(t *testing.T, ws *websocket.Conn) {
	t.Helper()
	say(t, ws, `{"type":"ping"}`)
	if got := hear(t, ws); got["type"] != "pong" {
		t.Fatalf("got %v, want a pong", got)
	}
}

func hear(t *testing.T, ws *websocket.Conn) map[string]any {
	t.Helper()
	kind, text, err := wstest.Read(ws)
	if err != nil || kind != websocket.TextMessage {
		t.Fatalf("kind %d, %.100q, %v", kind, text, err)
	}
	var message map[string]any
	if err := json.Unmarshal(text, &message); err != nil {
		t.Fatal(err)
	}
	return message
}

// ends waits for a Close and returns its reason.
func ends(t *testing.T, ws *websocket.Conn, code wire.CloseCode) string {
	t.Helper()
	for {
		_, got, err := wstest.Read(ws)
		var closed *websocket.CloseError
		if errors.As(err, &closed) && closed.Code == int(code) {
			return closed.Text
		}
		if err != nil {
			t.Fatalf("got %v, want close code %d", err, code)
		}
		t.Logf("before the Close: %.60q", got)
	}
}

// TestPublish: everybody in the topic hears it, its sender too, with how many they are, and
// every member as it came; nobody else does; who has left it hears no more.
func TestPublish(t *testing.T) {
	url, _ := start(t, signaling.Config{})
	a, b, other := dial(t, url), dial(t, url), dial(t, url)
	for ws, topics := range map[*websocket.Conn]string{a: `["one","two"]`, b: `["one"]`, other: `["three"]`} {
		say(t, ws, `{"type":"subscribe","topics":`+topics+`}`)
		settle(t, ws)
	}
	const data = `{"from":"a","signal":{"sdp":"v=0\r\n<&>"},"n":12345678901234567890,"€":[null,1.0]}`
	say(t, a, `{"type":"publish","topic":"one","clients":99,"data":`+data+`,"more":true}`)
	for _, ws := range []*websocket.Conn{a, b} {
		_, text, err := wstest.Read(ws)
		if err != nil || !strings.Contains(string(text), `"data":`+data) || !strings.Contains(string(text), `"clients":2`) || !strings.Contains(string(text), `"more":true`) {
			t.Fatalf("%s, %v", text, err)
		}
	}
	say(t, b, `{"type":"unsubscribe","topics":["one","never"]}`)
	settle(t, b)
	say(t, other, `{"type":"publish","topic":"one","data":1}`) // from outside: as with the npm package's server
	if got := hear(t, a); !maps.Equal(got, map[string]any{"type": "publish", "topic": "one", "data": 1.0, "clients": 1.0}) {
		t.Fatal(got)
	}
	for _, silent := range []string{`{"type":"publish","topic":"nobody","data":1}`, `{"type":"publish"}`, `{"type":"subscribe"}`, `{"type":"unheard"}`, `{}`} {
		say(t, other, silent)
	}
	for _, ws := range []*websocket.Conn{b, other} {
		settle(t, ws) // and nothing before it
	}
}

// TestWrong: what cannot be done ends the socket, with a reason, and nobody else's.
func TestWrong(t *testing.T) {
	url, _ := start(t, signaling.Config{Limits: signaling.Limits{MessageSize: 4096}})
	witness := dial(t, url)
	say(t, witness, `{"type":"subscribe","topics":["w"]}`)
	settle(t, witness)
	var many []string
	for i := range maxTopics + 1 {
		many = append(many, fmt.Sprintf("%q", fmt.Sprint(i)))
	}
	for text, want := range map[string]struct {
		code   wire.CloseCode
		reason string
	}{
		`{`:    {wire.CloseBadHello, "JSON object"},
		`null`: {wire.CloseBadHello, "JSON object"},
		`[1]`:  {wire.CloseBadHello, "JSON object"},
		"{\"type\":\"publish\",\"topic\":\"w\",\"x\":\"\xff\"}":                    {wire.CloseBadHello, "JSON object"},
		`{"type":"subscribe","topics":7}`:                                          {wire.CloseBadHello, "list of names"},
		`{"type":"subscribe","topics":["a",{}]}`:                                   {wire.CloseBadHello, "list of names"},
		`{"type":"subscribe","topics":[""]}`:                                       {wire.CloseBadHello, "1 to 256 bytes"},
		`{"type":"publish","topic":{}}`:                                            {wire.CloseBadHello, "name of a topic"},
		`{"type":"publish","topic":"` + strings.Repeat("x", maxTopicName+1) + `"}`: {wire.CloseBadHello, "1 to 256 bytes"},
		`{"type":"subscribe","topics":[` + strings.Join(many, ",") + `]}`:          {wire.CloseFull, "64 topics"},
		`{"x":"` + strings.Repeat("x", 4096) + `"}`:                                {wire.CloseTooBig, ""},
	} {
		ws := dial(t, url)
		if err := ws.WriteMessage(websocket.BinaryMessage, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if reason := ends(t, ws, want.code); !strings.Contains(reason, want.reason) {
			t.Errorf("%.60s: %q, want %q in it", text, reason, want.reason)
		}
	}
	settle(t, witness)
	response, err := http.Get("http" + strings.TrimPrefix(url, "ws"))
	if err != nil || response.StatusCode != http.StatusUpgradeRequired {
		t.Errorf("without an upgrade: %v, %v", response, err)
	}
}

// TestTokens: a token opens its rooms, which are the topics, and no others.
func TestTokens(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(strings.Repeat("s", 40)), 0o600); err != nil {
		t.Fatal(err)
	}
	verifier, err := access.NewVerifier(access.Config{SecretFile: file})
	if err != nil {
		t.Fatal(err)
	}
	token, err := access.Mint(file, "vasya", []string{"blue"}, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	url, _ := start(t, signaling.Config{Access: verifier})
	if _, response, _ := websocket.DefaultDialer.Dial(url, nil); response == nil || response.StatusCode != http.StatusUnauthorized {
		t.Fatalf("without a token: %v", response)
	}
	for _, forbidden := range []string{`{"type":"subscribe","topics":["red"]}`, `{"type":"publish","topic":"red"}`} {
		ws := dial(t, url+"?token="+token)
		say(t, ws, `{"type":"subscribe","topics":["blue"]}`)
		settle(t, ws)
		say(t, ws, forbidden)
		ends(t, ws, wire.CloseRefused)
	}
}

// TestFullTopic: the last place is the last place, and one that leaves makes room.
func TestFullTopic(t *testing.T) {
	url, _ := start(t, signaling.Config{Limits: signaling.Limits{ConnectionsPerIP: maxSockets + 2}})
	var all []*websocket.Conn
	for range maxSockets {
		ws := dial(t, url)
		say(t, ws, `{"type":"subscribe","topics":["full"]}`)
		settle(t, ws)
		all = append(all, ws)
	}
	late := dial(t, url)
	say(t, late, `{"type":"subscribe","topics":["full"]}`)
	ends(t, late, wire.CloseFull)
	say(t, all[0], `{"type":"unsubscribe","topics":["full"]}`)
	settle(t, all[0])
	again := dial(t, url)
	say(t, again, `{"type":"subscribe","topics":["full"]}`)
	settle(t, again)
}

// TestModel: random schedules against a map of sets. Each socket hears what the model says,
// in the order in which it was published.
func TestModel(t *testing.T) {
	url, _ := start(t, signaling.Config{Limits: signaling.Limits{MessagesPerSecond: 1e6}})
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	const sockets, topics, steps = 6, 4, 1000
	type reader struct {
		ws    *websocket.Conn
		in    map[string]bool
		hears []string
	}
	all := make([]*reader, sockets)
	for i := range all {
		all[i] = &reader{ws: dial(t, url), in: map[string]bool{}}
	}
	for step := range steps {
		who, name := all[random.IntN(sockets)], fmt.Sprint("t", random.IntN(topics))
		switch random.IntN(4) {
		case 0:
			say(t, who.ws, `{"type":"subscribe","topics":["`+name+`"]}`)
			who.in[name] = true
		case 1:
			say(t, who.ws, `{"type":"unsubscribe","topics":["`+name+`"]}`)
			delete(who.in, name)
		default:
			say(t, who.ws, fmt.Sprintf(`{"type":"publish","topic":%q,"data":%d}`, name, step))
			clients := 0
			for _, each := range all {
				if each.in[name] {
					clients++
				}
			}
			for _, each := range all {
				if each.in[name] {
					each.hears = append(each.hears, fmt.Sprintf("%s %d %d", name, step, clients))
				}
			}
		}
		say(t, who.ws, `{"type":"ping"}`) // the next step begins when this one is done
		who.hears = append(who.hears, "pong")
		for len(who.hears) > 0 {
			got, want := hear(t, who.ws), who.hears[0]
			who.hears = who.hears[1:]
			text := "pong"
			if got["type"] == "publish" {
				text = fmt.Sprintf("%s %.0f %.0f", got["topic"], got["data"], got["clients"])
			}
			if text != want {
				t.Fatalf("seed %d, step %d: %s, want %s", seed, step, text, want)
			}
		}
	}
}
