package signaling

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

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
		open := func(user string) *carried {
			c := carry(h)
			c.Say([]byte(`{"type":"hello","user":"`+user+`","userSecret":"12345678"}`), now)
			c.Say([]byte(`{"type":"join","room":"r"}`), now)
			return c
		}
		bob, ann := open("bob"), open("ann")
		for line := range bytes.Lines(b) {
			text := strings.ReplaceAll(string(line), "PEER", bob.id())
			ann.Say([]byte(text), now)
			pullFrames(t, ann)
			for _, f := range pullFrames(t, bob) {
				if f.str("type") == "" {
					t.Fatalf("%q became %v", line, f)
				}
			}
			now = now.Add(time.Second)
			h.timers.Run(now)
		}
		for _, c := range []*carried{ann, bob} {
			c.end()
		}
		d := h.directory
		if len(d.users) != 0 || len(d.byCall) != 0 || d.rooms.Len() != 0 || h.timers.Len() != 0 {
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
		c := carry(h)
		c.Say(b, time.Now())
		if c.open() {
			if w := pullFrames(t, c); w[0].str("type") != "welcome" {
				t.Fatalf("%q is welcomed with %v", b, w)
			}
		} else if c.Code() == 0 {
			t.Fatalf("%q is neither welcomed nor refused", b)
		}
	})
}
