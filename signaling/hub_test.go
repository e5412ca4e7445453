package signaling

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"turnhub/signaling/internal/wire"
)

func TestRoom(t *testing.T) {
	var by atomic.Uint32
	h, url := newServer(t, Config{IceConfig: func(session, user string, port uint16) (json.RawMessage, time.Duration) {
		by.Store(uint32(port))
		return json.RawMessage(`{"iceServers":[{"urls":"stun:x","username":"` + session + `"}]}`), time.Hour
	}})
	a := dial(t, url)
	a.send(`{"type":"hello","name":"Petya ☎"}`)
	w := a.welcome()
	if got := w["config"].(map[string]any)["iceServers"].([]any)[0].(map[string]any)["username"]; got != a.id {
		t.Fatalf("credentials for %v, want %s", got, a.id)
	}
	if !strings.Contains(url, fmt.Sprintf(":%d", by.Load())) {
		t.Errorf("came by port %d of %s", by.Load(), url)
	}
	b := openClient(t, url, `{"type":"hello","name":"Vasya"}`)
	c := openClient(t, url, `{"type":"hello"}`)

	if j := a.join("blue-fox-42"); len(j["peers"].([]any)) != 0 || j["first"] != nil || j.num("id") != 1 {
		t.Fatalf("the first found %v", j)
	}
	b.say(`{"type":"join","room":"blue-fox-42","id":7,"first":{"sdp":"x"}`)
	j := b.expect("joined")
	p := j["peers"].([]any)[0].(map[string]any)
	if p["peer"] != a.id || p["name"] != "Petya ☎" || p["polite"] != true || p["away"] != false || j.str("first") != a.id {
		t.Fatalf("the second found %v", j)
	}
	n := a.expect("peer-joined")
	if n.str("peer") != b.id || n["polite"] != false || n["first"].(map[string]any)["sdp"] != "x" {
		t.Fatalf("the first heard %v", n)
	}
	c.say(`{"type":"join","room":"blue-fox-42","id":7,"first":1`)
	c.expect("joined")
	if n := a.expect("peer-joined"); n["first"] == nil {
		t.Fatal("the longest there got no first")
	}
	if n := b.expect("peer-joined"); n["first"] != nil {
		t.Fatal("another one got first")
	}

	b.say(`{"type":"signal","to":"` + a.id + `","data":{"a":[1,"\u00e9",null]}`)
	if s := a.expect("signal"); s.str("from") != b.id || s["data"].(map[string]any)["a"].([]any)[1] != "é" {
		t.Fatalf("signal came as %v", s)
	}
	a.say(`{"type":"message","room":"blue-fox-42","data":"hi","id":3`)
	a.expect("ok")
	for _, x := range []*client{b, c} {
		if m := x.expect("message"); m.str("from") != a.id || m.str("room") != "blue-fox-42" || m.str("data") != "hi" {
			t.Fatalf("message came as %v", m)
		}
	}
	if !h.Together(a.id, b.id) || !h.Together(b.id, c.id) {
		t.Fatal("members of a room are not together")
	}
	b.say(`{"type":"leave","room":"blue-fox-42","id":4`)
	b.expect("ok")
	if m := a.expect("peer-left"); m.str("peer") != b.id || m.str("reason") != "leave" {
		t.Fatalf("heard %v", m)
	}
	if h.Together(a.id, b.id) {
		t.Fatal("still together after leave")
	}
	b.say(`{"type":"signal","to":"` + a.id + `","data":1,"id":5`)
	if e := b.expectError(wire.CodeNotInRoom); e.num("id") != 5 || e["retry"] != false {
		t.Fatalf("got %v", e)
	}
	c.send(`{"type":"bye"}`)
	c.expectClose(wire.CloseNormal)
	if m := a.expect("peer-left"); m.str("peer") != c.id || m.str("reason") != "leave" {
		t.Fatalf("heard %v", m)
	}
}

func TestCall(t *testing.T) {
	h, url := newServer(t, Config{})
	v := openClient(t, url, `{"type":"hello","name":"Vasya","user":"vasya","userSecret":"12345678"}`)
	p1 := openClient(t, url, `{"type":"hello","user":"petya","userSecret":"abcdefgh"}`)
	p2 := openClient(t, url, `{"type":"hello","user":"petya","userSecret":"abcdefgh"}`)
	thief := dial(t, url)
	thief.send(`{"type":"hello","user":"petya","userSecret":"something else"}`)
	thief.expectError(wire.CodeUserTaken)
	thief.expectClose(wire.CloseRefused)

	v.say(`{"type":"subscribe","users":["petya","masha"],"id":1`)
	if got := v.expect("presence")["users"].(map[string]any); got["petya"] != "online" || got["masha"] != "offline" {
		t.Fatalf("presence %v", got)
	}
	v.say(`{"type":"invite","user":"petya","data":{"video":true},"id":2`)
	id := v.expect("calling").str("call")
	if v.expectState("ringing").str("call") != id {
		t.Fatal("another call rings")
	}
	for _, p := range []*client{p1, p2} {
		c := p.expectState("incoming")
		if c.str("call") != id || c.str("from") != v.id || c.str("user") != "vasya" || c.str("name") != "Vasya" {
			t.Fatalf("incoming %v", c)
		}
	}
	if h.Together(v.id, p1.id) {
		t.Fatal("together before the answer")
	}
	p2.say(`{"type":"accept","call":"` + id + `","data":"yes","id":3`)
	p2.expect("ok")
	if c := p2.expectState("accepted"); c.str("peer") != v.id || c["polite"] != false {
		t.Fatalf("accepted %v", c)
	}
	if c := v.expectState("accepted"); c.str("peer") != p2.id || c["polite"] != true || c.str("data") != "yes" {
		t.Fatalf("accepted %v", c)
	}
	if c := p1.expectState("ended"); c.str("reason") != "elsewhere" {
		t.Fatalf("ended %v", c)
	}
	if got := v.expect("presence")["users"].(map[string]any); got["petya"] != "busy" {
		t.Fatalf("presence %v", got)
	}
	if !h.Together(v.id, p2.id) || h.Together(v.id, p1.id) {
		t.Fatal("the wrong ones are together")
	}
	if !h.Seen(v.id, mustAddr("203.0.113.9")) == false {
		t.Fatal("seen where nobody was")
	}
	m := openClient(t, url, `{"type":"hello"}`)
	m.say(`{"type":"invite","user":"petya","id":1`)
	m.expect("calling")
	if c := m.expectState("ended"); c.str("reason") != "busy" {
		t.Fatalf("ended %v", c)
	}
	p1.expect("missed")
	p2.expect("missed")
	m.say(`{"type":"invite","user":"nobody","id":2`)
	m.expect("calling")
	if c := m.expectState("ended"); c.str("reason") != "unavailable" {
		t.Fatalf("ended %v", c)
	}
	v.say(`{"type":"report","peer":"` + p2.id + `","path":"relay-tls","rtt":0.04,"loss":0,"bitrate":9e5,"firstFrame":420,"line":"no-picture","id":4`)
	v.expect("ok")
	if st := h.Stats(); st.Narrow["no-picture"] != 1 || len(st.Narrow) != 1 {
		t.Fatalf("narrow lines %v", st.Narrow)
	}
	for _, line := range []string{`"wide"`, "null"} {
		v.say(`{"type":"report","peer":"` + p2.id + `","path":"relay-tls","line":` + line + `,"id":7`)
		v.expect("ok")
	}
	v.say(`{"type":"report","peer":"` + p2.id + `","path":"relay-tls","line":"dark","id":8`)
	if f := v.expect("error"); f.str("code") != "bad-message" {
		t.Fatalf("a line that there is not: %v", f)
	}
	if st := h.Stats(); len(st.Narrow) != 1 {
		t.Fatalf("narrow lines %v", st.Narrow)
	}
	if c := h.Calls(); len(c) != 1 || c[0].Path != "relay-tls" || c[0].State != "accepted" {
		t.Fatalf("calls %v", c)
	}
	p2.say(`{"type":"hangup","call":"` + id + `","id":5`)
	p2.expect("ok")
	if c := v.expectState("ended"); c.str("reason") != "hangup" {
		t.Fatalf("ended %v", c)
	}
	if got := v.expect("presence")["users"].(map[string]any); got["petya"] != "online" {
		t.Fatalf("presence %v", got)
	}
}

func TestResume(t *testing.T) {
	_, url := newServer(t, Config{})
	testResume(t, url)
}

func TestResumeOverTLS(t *testing.T) {
	for _, start := range []func(testing.TB, Config) (*Hub, string){newTLSServer, newServedServer} {
		_, url := start(t, Config{})
		testResume(t, url)
	}
}

func testResume(t *testing.T, url string) {
	a := openClient(t, url, `{"type":"hello"}`)
	b := openClient(t, url, `{"type":"hello"}`)
	a.join("r")
	b.join("r")
	a.expect("peer-joined")
	a.say(`{"type":"signal","to":"` + b.id + `","data":1`)
	b.expect("signal")
	a.ws.Close()
	for i := range 5 {
		b.say(`{"type":"signal","to":"` + a.id + `","data":` + strconv.Itoa(i))
	}
	b.say(`{"type":"leave","room":"nowhere","id":9`)
	b.expectError(wire.CodeNotInRoom) // everything before it is handled

	a2 := dial(t, url)
	a2.seq, a2.got = a.seq, a.got
	a2.send(`{"type":"hello","resume":{"session":"` + a.id + `","token":"` + a.token + `","seq":` + strconv.Itoa(a.got) + `}}`)
	w := a2.welcome()
	if w["resumed"] != true || w.num("ack") != a.seq || a2.id != a.id {
		t.Fatalf("welcome %v, want ack %d", w, a.seq)
	}
	for i := range 5 {
		if s := a2.expect("signal"); s.num("data") != i {
			t.Fatalf("signal %d is %v", i, s)
		}
	}
	// A message that was handled before is not handled again.
	a2.send(`{"type":"signal","to":"` + b.id + `","data":"again","seq":2}`)
	a2.say(`{"type":"signal","to":"` + b.id + `","data":"new"`)
	if s := b.expect("signal"); s.str("data") != "new" {
		t.Fatalf("got %v", s)
	}
	// A second socket replaces the first.
	a3 := dial(t, url)
	a3.got = a2.got
	a3.send(`{"type":"hello","resume":{"session":"` + a.id + `","token":"` + a.token + `","seq":` + strconv.Itoa(a2.got) + `}}`)
	a3.welcome()
	a2.expectClose(wire.CloseReplaced)
	// A wrong token opens a fresh session.
	x := dial(t, url)
	x.send(`{"type":"hello","resume":{"session":"` + a.id + `","token":"guess","seq":0}}`)
	if w := x.welcome(); w["resumed"] != false || x.id == a.id {
		t.Fatalf("welcome %v", w)
	}
}

func TestRestart(t *testing.T) {
	h, url := newServer(t, Config{})
	a := openClient(t, url, `{"type":"hello"}`)
	b := dial(t, url) // has not said hello
	h.Restart(2 * time.Second)
	if r := a.expect("restart"); r.num("after") < 250 || r.num("after") > 2000 {
		t.Fatalf("restart %v", r)
	}
	a.expectClose(wire.CloseRestart)
	b.expectClose(wire.CloseRestart)
	h.Close()
	if n := h.Stats().Sockets; n != 0 {
		t.Fatalf("%d sockets left", n)
	}
	b.ws.Close()
}

// TestRestartLeavesNobodyBehind says hello while the hub begins to go down, as when
// its binary is replaced and the hub lives on for its calls: whoever is let in is
// told, the others are refused, and nobody stays. Then the hub opens again.
func TestRestartLeavesNobodyBehind(t *testing.T) {
	for name, start := range servers {
		t.Run(name, func(t *testing.T) {
			h, url := start(t, Config{Timing: Timing{Hello: time.Hour}})
			old := openClient(t, url, `{"type":"hello"}`)
			old.join("meet")
			const each = 20
			var silent, late [each]*client
			for i := range each {
				silent[i], late[i] = dial(t, url), dial(t, url)
			}
			var speakers sync.WaitGroup
			for _, c := range late {
				speakers.Go(func() { _ = c.ws.WriteMessage(websocket.TextMessage, []byte(`{"type":"hello"}`)) })
			}
			h.Restart(time.Second)
			speakers.Wait()
			for _, c := range append(silent[:], late[:]...) {
				c.expectRestart()
			}
			old.expectRestart()
			if _, _, err := dialer.Dial(url, nil); err == nil {
				t.Error("a new socket is let in")
			}

			h.Reopen()
			a, b := openClient(t, url, `{"type":"hello"}`), openClient(t, url, `{"type":"hello"}`)
			a.join("room")
			b.join("room")
			a.expect("peer-joined")
		})
	}
}

// expectRestart reads until the socket ends, which must be by wire.CloseRestart.
func (c *client) expectRestart() {
	c.t.Helper()
	_ = c.ws.SetReadDeadline(time.Now().Add(patience))
	for {
		_, _, err := c.ws.ReadMessage()
		if err == nil {
			continue
		}
		if !websocket.IsCloseError(err, int(wire.CloseRestart)) {
			c.t.Errorf("%v, want %d", err, wire.CloseRestart)
		}
		return
	}
}

func mustAddr(s string) netip.Addr { return netip.MustParseAddr(s) }
