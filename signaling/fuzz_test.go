package signaling

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// What the scanner takes is exactly what encoding/json takes, but for the
// stricter rules: one object, valid UTF-8, bounded depth.
func FuzzScan(f *testing.F) {
	for _, s := range []string{
		`{}`, ` { "a" : [1, -0.5e+7, "\u00e9\n", true, false, null, {}, []] } `, `{"a":01}`, `{"a":1.}`, `{"a":"\x"}`,
		`{"a":"\ud800"}`, `{"a":}`, `{"a":1,}`, `[]`, `{"type":"join"}{}`, "{\"a\":\"\x01\"}", "{\"a\":\"\xff\"}", `{"\u0061":1}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var m message
		got := scanObject(b, &m)
		trimmed := bytes.TrimLeft(b, " \t\r\n")
		want := json.Valid(b) && utf8.Valid(b) && len(trimmed) > 0 && trimmed[0] == '{'
		if got && !want {
			t.Fatalf("%q is taken", b)
		}
		// The depth counts every bracket, those in strings too: a coarse bound.
		if want && !got && bytes.Count(b, []byte{'{'})+bytes.Count(b, []byte{'['}) < maxDepth {
			t.Fatalf("%q is refused", b)
		}
		if !got {
			return
		}
		var members map[string]json.RawMessage
		if json.Unmarshal(b, &members) != nil {
			return
		}
		if data, ok := members["data"]; ok && m.data != nil && !json.Valid(m.data) || ok && m.data == nil && !bytes.Contains(b, []byte(`\`)) {
			t.Fatalf("data of %q is %q, want %q", b, m.data, data)
		}
	})
}

// Whatever a client sends, the hub stands, answers in JSON, and forwards only
// what is JSON.
func FuzzMessages(f *testing.F) {
	for _, s := range []string{
		`{"type":"join","room":"r","id":1,"seq":1}`, `{"type":"leave","room":"r"}`, `{"type":"lobby","room":"r","first":{}}`,
		`{"type":"signal","to":"PEER","data":{"a":1},"seq":2}`, `{"type":"message","room":"r","data":null}`,
		`{"type":"subscribe","users":["bob","ann"]}`, `{"type":"unsubscribe","users":["bob"]}`,
		"{\"type\":\"invite\",\"user\":\"bob\",\"data\":[]}\n{\"type\":\"hangup\",\"call\":\"c_1\"}",
		`{"type":"accept","call":"c_1"}`, `{"type":"decline","call":"c_1","reason":"later"}`,
		`{"type":"report","room":"r","peer":"PEER","path":"direct","rtt":1e-3,"loss":0,"bitrate":1,"firstFrame":2}`,
		`{"type":"config","id":9}`, `{"type":"ping","ack":1}`, `{"type":"ack","ack":2}`, `{"type":"bye"}`, `{"type":"hello"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		now := time.Unix(1e9, 0)
		h := NewHub(Config{})
		h.now = func() time.Time { return now }
		h.callID = func() string { return "c_1" }
		open := func(user string) *conn {
			c := &conn{hub: h}
			c.handle([]byte(`{"type":"hello","user":"`+user+`","userSecret":"12345678"}`), true, now)
			c.handle([]byte(`{"type":"join","room":"r"}`), true, now)
			return c
		}
		bob, ann := open("bob"), open("ann")
		for line := range bytes.Lines(b) {
			text := strings.ReplaceAll(string(line), "PEER", bob.sess.id)
			ann.handle([]byte(text), true, now)
			pullFrames(t, ann)
			for _, f := range pullFrames(t, bob) {
				if f.str("type") == "" {
					t.Fatalf("%q became %v", line, f)
				}
			}
			now = now.Add(time.Second)
			h.timers.run(now)
		}
		for _, c := range []*conn{ann, bob} {
			c.sess.end("lost", CloseRevoked)
		}
		d := h.state.(*directory)
		if len(d.users) != 0 || len(d.byCall) != 0 || d.rooms.count() != 0 || h.timers.heap.Len() != 0 {
			t.Fatalf("%q left something over", b)
		}
	})
}

// The first message too.
func FuzzHello(f *testing.F) {
	f.Add([]byte(`{"type":"hello","name":"Vasya","user":"vasya","userSecret":"12345678","resume":{"session":"s_x","token":"y","seq":3}}`))
	f.Add([]byte(`{"type":"hello"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		h := NewHub(Config{})
		c := &conn{hub: h}
		c.handle(b, true, time.Now())
		if c.sess != nil {
			if w := pullFrames(t, c); w[0].str("type") != "welcome" {
				t.Fatalf("%q is welcomed with %v", b, w)
			}
		} else if c.code == 0 {
			t.Fatalf("%q is neither welcomed nor refused", b)
		}
	})
}
