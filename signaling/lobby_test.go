package signaling

import (
	"fmt"
	"testing"

	"turnhub/signaling/internal/wire"
)

// silent fails if c hears anything but acknowledgements before its next ok.
func (c *client) silent() {
	c.t.Helper()
	c.say(`{"type":"leave","room":"nowhere","id":99`)
	if e := c.expect("error"); e.num("id") != 99 {
		c.t.Fatalf("heard %v", e)
	}
}

func TestLobby(t *testing.T) {
	h, url := newServer(t, Config{})
	a := openClient(t, url, `{"type":"hello","name":"Petya"}`)
	b := openClient(t, url, `{"type":"hello","name":"Vasya"}`)
	c := openClient(t, url, `{"type":"hello"}`)

	// Nobody is there yet: who comes gets what waits.
	b.say(`{"type":"lobby","room":"fox","first":{"n":1},"id":1`)
	if l := b.expect("lobby"); l["first"] != nil || l.str("room") != "fox" {
		t.Fatalf("heard %v", l)
	}
	a.join("fox")
	visitor := a.expect("lobby-peer")
	if visitor.str("peer") != b.id || visitor["name"] != nil || visitor["first"].(map[string]any)["n"] != 1.0 {
		t.Fatalf("heard %v", visitor)
	}
	if l := b.expect("lobby"); l.str("first") != a.id || l["id"] != nil {
		t.Fatalf("heard %v", l)
	}

	// The two reach each other, for signaling data and the relay and nothing else.
	a.say(`{"type":"signal","to":"` + b.id + `","data":1`)
	b.expect("signal")
	b.say(`{"type":"signal","to":"` + a.id + `","data":2`)
	a.expect("signal")
	if !h.Together(a.id, b.id) || !h.Together(b.id, a.id) {
		t.Fatal("a visitor and its host are not together")
	}
	for _, text := range []string{`{"type":"message","to":"` + a.id + `","data":1`, `{"type":"message","room":"fox","data":1`,
		`{"type":"report","peer":"` + a.id + `","path":"direct"`} {
		b.say(text + `,"id":2`)
		b.expectError(wire.CodeNotInRoom)
	}
	a.silent()

	// Who is there second hears nothing of the visitor, and is not its host.
	c.join("fox")
	a.expect("peer-joined")
	if h.Together(b.id, c.id) {
		t.Fatal("a visitor is together with somebody who is not its host")
	}

	// Another member becomes host by another offer only.
	a.say(`{"type":"leave","room":"fox","id":3`)
	a.expect("ok")
	if l := b.expect("lobby"); l["first"] != nil {
		t.Fatalf("heard %v", l)
	}
	if h.Together(a.id, b.id) {
		t.Fatal("together with a host who has left")
	}
	c.expect("peer-left")
	c.silent()
	b.say(`{"type":"lobby","room":"fox","first":{"n":2},"id":4`)
	if l := b.expect("lobby"); l.str("first") != c.id {
		t.Fatalf("heard %v", l)
	}
	if visitor := c.expect("lobby-peer"); visitor["first"].(map[string]any)["n"] != 2.0 {
		t.Fatalf("heard %v", visitor)
	}

	// Joining is told as ever, and first goes to the host even if another is longer there.
	b.say(`{"type":"join","room":"fox","first":{"n":3},"id":5`)
	if j := b.expect("joined"); j.str("first") != c.id {
		t.Fatalf("heard %v", j)
	}
	if n := c.expect("peer-joined"); n.str("name") != "Vasya" || n["first"].(map[string]any)["n"] != 3.0 {
		t.Fatalf("heard %v", n)
	}
	b.say(`{"type":"lobby","room":"fox","first":1,"id":6`)
	b.expectError(wire.CodeBadMessage) // is in the room itself

	// Leaving the lobby, going to another one, and going altogether.
	for i, leave := range []string{`{"type":"leave","room":"fox"`, `{"type":"lobby","room":"hen","first":1`, `{"type":"bye"`} {
		a.say(`{"type":"lobby","room":"fox","first":{},"id":7`)
		a.expect("lobby")
		c.expect("lobby-peer")
		a.say(leave + fmt.Sprintf(`,"id":%d`, 10+i))
		if l := c.expect("lobby-left"); l.str("peer") != a.id || h.Together(a.id, c.id) {
			t.Fatalf("heard %v", l)
		}
		if i < 2 {
			a.read()
		}
	}
}

// Two who wait are connected with each other, whoever of them comes first.
func TestLobbyOfAnEmptyRoom(t *testing.T) {
	h, url := newServer(t, Config{})
	var a, b, c *client
	for _, x := range []**client{&a, &b, &c} {
		*x = openClient(t, url, `{"type":"hello"}`)
	}
	enter := func(x *client) frame {
		x.say(`{"type":"lobby","room":"fox","first":{},"id":1`)
		return x.expect("lobby")
	}
	if l := enter(a); l["first"] != nil {
		t.Fatalf("heard %v", l)
	}
	for _, x := range []*client{b, c} {
		if l := enter(x); l.str("first") != a.id {
			t.Fatalf("heard %v", l)
		}
		if l := a.expect("lobby-peer"); l.str("peer") != x.id || !h.Together(a.id, x.id) {
			t.Fatalf("heard %v", l)
		}
	}
	if h.Together(b.id, c.id) {
		t.Fatal("two visitors of one host are together")
	}

	// The host comes: its visitors stay.
	a.join("fox")
	b.silent()
	b.join("fox")
	if j := a.expect("peer-joined"); j.str("peer") != b.id {
		t.Fatalf("heard %v", j)
	}
	b.say(`{"type":"leave","room":"fox","id":2`)
	b.expect("ok")
	a.say(`{"type":"leave","room":"fox","id":2`)
	a.expect("peer-left")
	a.expect("ok")
	if l := c.expect("lobby"); l["first"] != nil {
		t.Fatalf("heard %v", l)
	}

	// A visitor comes before its host: it is the host then, and nothing has to be said anew.
	enter(c)
	if l := enter(a); l.str("first") != c.id {
		t.Fatalf("heard %v", l)
	}
	c.expect("lobby-peer")
	a.join("fox")
	if l := c.expect("lobby"); l.str("first") != a.id || !h.Together(a.id, c.id) {
		t.Fatalf("heard %v", l)
	}
	a.silent()
	a.say(`{"type":"leave","room":"fox","id":3`)
	a.expect("ok")
	c.expect("lobby")

	// Somebody comes who was in no lobby: both who wait go over to that one.
	enter(c)
	if l := enter(a); l.str("first") != c.id {
		t.Fatalf("heard %v", l)
	}
	c.expect("lobby-peer")
	b.join("fox")
	if l := a.expect("lobby"); l["first"] != nil || h.Together(a.id, c.id) {
		t.Fatalf("heard %v", l)
	}
	if l := c.expect("lobby"); l.str("first") != b.id {
		t.Fatalf("heard %v", l)
	}
	c.expect("lobby-left")
	if l := enter(a); l.str("first") != b.id {
		t.Fatalf("heard %v", l)
	}
	b.expect("lobby-peer")
	b.expect("lobby-peer")

	// All go, one after the other.
	b.say(`{"type":"bye"`)
	b.expectClose(wire.CloseNormal)
	a.expect("lobby")
	c.expect("lobby")
	if l := enter(a); l.str("first") != c.id {
		t.Fatalf("heard %v", l)
	}
	c.expect("lobby-peer")
	if l := enter(c); l["first"] != nil { // another offer: its visitor stays
		t.Fatalf("heard %v", l)
	}
	if !h.Together(a.id, c.id) {
		t.Fatal("a host who makes another offer loses its visitor")
	}
	c.say(`{"type":"bye"`)
	if l := a.expect("lobby"); l["first"] != nil {
		t.Fatalf("heard %v", l)
	}
}

func TestLobbyLimits(t *testing.T) {
	h, url := newServer(t, Config{})
	var last *client
	for i := range maxLobby + 1 {
		last = openClient(t, url, `{"type":"hello"}`)
		last.say(`{"type":"lobby","room":"fox","first":{},"id":1`)
		if i < maxLobby {
			last.expect("lobby")
		}
	}
	last.expectError(wire.CodeTooMany)
	last.say(`{"type":"lobby","room":"fox","id":2`)
	last.expectError(wire.CodeBadMessage)
	last.say(`{"type":"lobby","room":"a b","first":{},"id":3`)
	last.expectError(wire.CodeBadName)
	last.say(`{"type":"join","room":"fox","id":4`) // a lobby that is full keeps nobody out
	last.expect("joined")
	last.expect("lobby-peer") // of whoever was the host of the others
	last.say(`{"type":"bye"`)
	last.expectClose(wire.CloseNormal)
	// The socket is closed before the lobby hears of it. A host who has gone is none any more.
	d := h.directory
	waitFor(t, func() bool {
		d.lobbies.mu.Lock()
		defer d.lobbies.mu.Unlock()
		for _, v := range d.lobbies.m["fox"] {
			if v.host.Load() != nil {
				return false
			}
		}
		return true
	})
}
