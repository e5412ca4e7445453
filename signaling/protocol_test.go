package signaling

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"turnhub/signaling/internal/delivery"
	"turnhub/signaling/internal/wire"
)

func readProtocol(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The tables of protocol.md and of codes.go are the same.
func TestProtocolTables(t *testing.T) {
	_, after, _ := strings.Cut(readProtocol(t), "\n## Error codes\n")
	errors, closes, _ := strings.Cut(after, "\n## Close codes\n")
	var codes []wire.ErrorCode
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\|").FindAllStringSubmatch(errors, -1) {
		codes = append(codes, wire.ErrorCode(m[1]))
	}
	if !slices.Equal(codes, wire.ErrorCodes) {
		t.Errorf("protocol.md has %q, codes.go %q", codes, wire.ErrorCodes)
	}
	rows := regexp.MustCompile(`(?m)^\| (\d+) \| ([a-z-]+): .*? \| (yes|no)(.*) \|$`).FindAllStringSubmatch(closes, -1)
	if len(rows) != len(wire.CloseCodes) {
		t.Fatalf("protocol.md has %d close codes, codes.go %d", len(rows), len(wire.CloseCodes))
	}
	for i, row := range rows {
		c := wire.CloseCodes[i]
		if code, _ := strconv.Atoi(row[1]); code != int(c.Code) || row[2] != c.Name {
			t.Errorf("protocol.md has %s %s, codes.go %d %s", row[1], row[2], c.Code, c.Name)
		}
	}
	var live []string
	for _, c := range wire.CloseCodes {
		if c.Lives {
			live = append(live, fmt.Sprint(int(c.Code)))
		}
	}
	if want := "outlives its socket with " + strings.Join(live, ", "); !strings.Contains(strings.ReplaceAll(closes, " and", ","), want) {
		t.Errorf("protocol.md does not say %q", want)
	}
}

// examples returns every message of /ws that protocol.md shows, by type; a client's and
// a server's message of one type are both there. Those of media sockets are tried in their
// own package.
func examples(t *testing.T) map[string][]frame {
	found := make(map[string][]frame)
	doc, _, _ := strings.Cut(readProtocol(t), "\n## Media through a WebSocket")
	for at := 0; ; {
		i := strings.Index(doc[at:], `{"type":`)
		if i < 0 {
			return found
		}
		at += i
		depth, end := 0, at
		for end = at; end < len(doc); end++ {
			if doc[end] == '{' {
				depth++
			} else if doc[end] == '}' {
				if depth--; depth == 0 {
					break
				}
			}
		}
		raw := doc[at : end+1]
		at = end
		// What the reader understands, a JSON parser must be told.
		text := strings.NewReplacer(`{…}`, `{}`, `:…`, `:"…"`, `\|`, `|`).Replace(raw)
		var f frame
		if err := json.Unmarshal([]byte(text), &f); err != nil {
			t.Errorf("%s is no JSON: %v", raw, err)
			continue
		}
		found[f.str("type")] = append(found[f.str("type")], f)
	}
}

// Every client message that protocol.md shows is taken by the hub, and gets the
// answer that is named; every server message that it shows is one that the hub
// sends, with these members.
func TestProtocolExamples(t *testing.T) {
	shown := examples(t)
	heard := make(map[string][]frame)
	credentials := make(chan time.Time, 100)
	h, url := newServer(t, Config{
		Timing: Timing{Away: time.Millisecond, Ack: time.Millisecond},
		Absent: newAbsentees("zoya"),
		IceConfig: func(session, user string, _ uint16) (json.RawMessage, time.Duration) {
			credentials <- time.Now()
			return json.RawMessage(`{"iceServers":[],"ttl":43200,"expires":"2026-01-01T00:00:00Z"}`), time.Hour
		},
	})
	values := map[string]string{} // what "s_…", "c_…" and the like stand for
	say := func(c *client, example frame, answer string) frame {
		t.Helper()
		m := maps.Clone(example)
		for k, v := range m {
			if v, ok := v.(string); ok && strings.Contains(v, "…") {
				m[k] = values[k]
			}
			if k == "path" {
				m[k] = "relay-tls"
			}
			if k == "line" {
				m[k] = "narrow"
			}
		}
		c.seq++
		m["seq"], m["id"] = c.seq, c.seq
		b, _ := json.Marshal(m)
		c.send(string(b))
		for {
			f := c.read()
			heard[f.str("type")] = append(heard[f.str("type")], f)
			if f.num("id") == c.seq {
				if f.str("type") != answer {
					t.Fatalf("%s is answered with %v, not with %s", b, f, answer)
				}
				return f
			}
		}
	}
	pick := func(typ string, members ...string) frame {
		t.Helper()
		for _, f := range shown[typ] {
			if !slices.ContainsFunc(members, func(m string) bool { _, ok := f[m]; return !ok }) {
				return f
			}
		}
		t.Fatalf("protocol.md shows no %s with %q", typ, members)
		return nil
	}
	hello := func(user string) *client {
		c := dial(t, url)
		m := maps.Clone(pick("hello"))
		delete(m, "resume")
		m["user"], m["name"], m["userSecret"] = user, strings.ToUpper(user), "a secret"
		b, _ := json.Marshal(m)
		c.send(string(b))
		w := c.welcome()
		heard["welcome"] = append(heard["welcome"], w)
		return c
	}
	h.SetPush("BCVx")
	v, p := hello("vasya"), hello("petya")
	listen := func(c *client, typ string) frame {
		t.Helper()
		for {
			f := c.read()
			heard[f.str("type")] = append(heard[f.str("type")], f)
			if f.str("type") == typ {
				return f
			}
		}
	}

	say(p, pick("join"), "joined")
	say(v, pick("lobby", "first"), "lobby")
	listen(p, "lobby-peer")
	say(v, pick("leave"), "ok")
	listen(p, "lobby-left")
	say(v, pick("join"), "joined")
	listen(p, "peer-joined")
	values["to"], values["peer"] = p.id, p.id
	values["data"] = "anything"
	say(v, pick("signal", "to"), "ok")
	listen(p, "signal")
	say(v, pick("message", "room"), "ok")
	listen(p, "message")
	say(v, pick("report"), "ok")
	say(v, pick("config"), "config")
	say(v, pick("token", "token"), "ok")
	tokens, mint := tokens(t)
	_, elsewhere := newServer(t, Config{Access: tokens, Timing: Timing{Notice: 100 * 24 * time.Hour}})
	listen(openClient(t, elsewhere+"?token="+mint("vasya"), `{"type":"hello"}`), "token")
	say(v, pick("leave"), "ok")
	listen(p, "peer-left")
	e := say(v, pick("leave"), "error")
	if e.str("code") != string(wire.CodeNotInRoom) {
		t.Fatalf("%v", e)
	}
	say(v, pick("subscribe"), "presence")
	say(v, pick("unsubscribe"), "ok")
	for _, end := range []string{"accept", "decline"} {
		values["call"] = say(v, pick("invite"), "calling").str("call")
		for listen(p, "call").str("state") != "incoming" {
		}
		say(p, pick(end), "ok")
		if end == "accept" {
			call := values["call"]
			say(hello("masha"), pick("invite"), "calling")
			listen(p, "missed")
			values["call"] = call
			say(v, pick("hangup"), "ok")
		}
	}
	say(v, pick("push-subscribe"), "ok")
	say(v, pick("push-unsubscribe"), "ok")
	missed := maps.Clone(pick("invite"))
	missed["user"] = "zoya"
	values["call"] = say(v, missed, "calling").str("call")
	say(v, pick("hangup"), "ok")
	z := hello("zoya")
	listen(z, "missed")
	say(z, pick("seen"), "ok")
	v.send(`{"type":"ping","ack":3}`)
	listen(v, "pong")
	v.say(`{"type":"signal","to":"` + p.id + `","data":1`) // no answer: an ack
	for range delivery.AckEvery {
		v.say(`{"type":"leave","room":"nowhere"`)
	}
	listen(v, "ack")
	say(v, pick("join"), "joined")
	secret := pick("join", "host")
	values["room"] = secret.str("room")
	say(p, secret, "joined")
	listen(p, "hosting")
	values["peer"] = v.id
	knock := maps.Clone(secret)
	delete(knock, "host")
	say(v, knock, "error")
	listen(p, "knock")
	say(p, pick("host"), "ok")
	listen(v, "admitted")
	say(v, knock, "joined")
	removal := maps.Clone(pick("host"))
	removal["action"] = "remove"
	say(p, removal, "ok")
	listen(v, "out")
	masha := hello("masha")
	say(masha, knock, "error")
	masha.send(`{"type":"bye"}`)
	listen(p, "knock-left")
	h.Elsewhere(pick("join").str("room"), "b", []string{"wss://b.example.org/ws"})
	listen(v, "elsewhere")
	v.ws.Close()
	listen(p, "peer-away")
	back := dial(t, url)
	back.got = v.got
	m, _ := json.Marshal(frame{"type": "hello", "resume": frame{"session": v.id, "token": v.token, "seq": v.got}})
	back.send(string(m))
	back.welcome()
	listen(p, "peer-back")
	h.Restart(time.Second)
	listen(p, "restart")

	// What the hub said is what protocol.md shows.
	clients := []string{"hello", "join", "host", "leave", "subscribe", "unsubscribe", "invite", "accept", "decline", "hangup", "bye", "ping", "report", "push-subscribe", "push-unsubscribe", "seen"}
	for typ, list := range shown {
		if slices.Contains(clients, typ) {
			continue
		}
		if len(heard[typ]) == 0 {
			t.Errorf("protocol.md shows %s, which the hub never said", typ)
		}
		_ = list
	}
	for typ, list := range heard {
		if typ == "ok" {
			continue
		}
		known := map[string]bool{"ack": true, "seq": true, "id": true}
		for _, f := range shown[typ] {
			for k := range f {
				known[k] = true
			}
		}
		if typ == "call" {
			for _, m := range regexp.MustCompile("(?m)^\\| `(?:ringing|incoming|accepted|ended)` \\|.*$").FindAllString(readProtocol(t), -1) {
				for _, k := range regexp.MustCompile("`([a-z]+)`").FindAllStringSubmatch(m, -1) {
					known[k[1]] = true
				}
			}
		}
		for _, f := range list {
			for k := range f {
				if !known[k] {
					t.Errorf("the hub says %v, and protocol.md does not know %q there", f, k)
				}
			}
		}
	}
}
