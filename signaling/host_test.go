package signaling

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/netip"
	"testing"

	"turnhub/signaling/internal/delivery"
	"turnhub/signaling/internal/wire"
)

const hostSecret = "Vn3pXq0c6TgkQmW1r8YhZA"

// hostedRoom is the name that hostSecret opens.
func hostedRoom(prefix string) string {
	sum := sha256.Sum256([]byte(prefix + hostSecret))
	return prefix + base64.RawURLEncoding.EncodeToString(sum[:])
}

func (c *client) knock(room string) {
	c.t.Helper()
	c.say(`{"type":"join","room":"` + room + `","id":1`)
	c.expectError(wire.CodeKnocking)
}

// reign joins as host.
func (c *client) reign(room string) {
	c.t.Helper()
	c.say(`{"type":"join","room":"` + room + `","host":"` + hostSecret + `","id":1`)
	c.expect("joined")
}

// order says what a host wants done, and does not wait for the answer.
func (c *client) order(room, action, peer string) {
	c.t.Helper()
	c.say(fmt.Sprintf(`{"type":"host","room":%q,"action":%q,"peer":%q,"id":5`, room, action, peer))
}

// until reads up to a message of that type.
func (c *client) until(typ string) frame {
	c.t.Helper()
	for {
		if f := c.read(); f.str("type") == typ {
			return f
		}
	}
}

// admits lets a guest in.
func (c *client) admits(room string, guest *client) {
	c.t.Helper()
	guest.knock(room)
	c.until("knock")
	c.order(room, "admit", guest.id)
	c.until("ok")
	guest.expect("admitted")
	guest.join(room)
	guest.expect("hosting")
}

func only(t *testing.T, f frame, key string, ids ...string) {
	t.Helper()
	list, _ := f[key].([]any)
	if got, want := fmt.Sprint(list), fmt.Sprint(ids); got != want {
		t.Fatalf("%s are %s, want %s", key, got, want)
	}
}

func TestHostLetsIn(t *testing.T) {
	gone := make(chan []string, 100)
	h, url := newServer(t, Config{OnChange: func(ids ...string) { gone <- ids }})
	room := hostedRoom("fox~host.")
	host, guest, other := openClient(t, url, `{"type":"hello"}`), openClient(t, url, `{"type":"hello","name":"Vasya"}`), openClient(t, url, `{"type":"hello"}`)

	// Before there is a host, too, nobody comes in, nor into the lobby.
	guest.knock(room)
	guest.knock(room) // nothing new
	other.say(`{"type":"lobby","room":"` + room + `","first":{},"id":2`)
	other.expectError(wire.CodeForbidden)
	other.say(`{"type":"join","room":"` + room + `","host":"` + hostSecret + `x","id":2`)
	other.expectError(wire.CodeForbidden)
	host.reign(room)
	if k := host.expect("knock"); k.str("peer") != guest.id || k.str("name") != "Vasya" || k["again"] != false {
		t.Fatalf("heard %v", k)
	}
	only(t, host.expect("hosting"), "hosts", host.id)
	if h.Together(host.id, guest.id) {
		t.Fatal("together with somebody who knocks")
	}
	for _, text := range []string{`{"type":"signal","to":"` + host.id + `","data":1`, `{"type":"message","room":"` + room + `","data":1`} {
		guest.say(text + `,"id":3`)
		guest.expectError(wire.CodeNotInRoom)
	}
	host.order(room, "admit", guest.id)
	host.expect("knock-left")
	host.expect("ok")
	guest.expect("admitted")
	guest.join(room)
	only(t, guest.expect("hosting"), "hosts", host.id)
	host.expect("peer-joined")
	host.expect("hosting")
	if !h.Together(host.id, guest.id) {
		t.Fatal("not together with somebody admitted")
	}

	// A guest has none of a host's power.
	for _, action := range []string{"admit", "decline", "remove", "mute", "unmute", "lock", "unlock", "end", "hand"} {
		guest.order(room, action, host.id)
		guest.expectError(wire.CodeForbidden)
		other.order(room, action, host.id)
		other.expectError(wire.CodeForbidden)
	}
	host.order(room, "crown", guest.id)
	host.expectError(wire.CodeBadMessage)
	host.order(room, "remove", host.id)
	host.expectError(wire.CodeBadMessage)
	host.order(room, "mute", other.id)
	host.expectError(wire.CodeNotInRoom)

	host.order(room, "mute", guest.id)
	only(t, guest.expect("hosting"), "muted", guest.id)
	only(t, host.expect("hosting"), "muted", guest.id)
	host.expect("ok")

	other.knock(room)
	host.expect("knock")
	host.order(room, "lock", "")
	if o := other.expect("out"); o.str("reason") != "locked" {
		t.Fatalf("heard %v", o)
	}
	other.say(`{"type":"join","room":"` + room + `","id":1`)
	other.expectError(wire.CodeLocked)
	host.expect("knock-left")
	host.expect("hosting")
	host.expect("ok")
	if l := guest.expect("hosting"); l["locked"] != true {
		t.Fatalf("heard %v", l)
	}
	host.order(room, "unlock", "")
	host.until("ok")
	host.admits(room, other)

	// Who is removed is out for all, the relay too, and stays out.
	for len(gone) > 0 {
		<-gone
	}
	host.order(room, "remove", guest.id)
	if o := guest.until("out"); o.str("reason") != "removed" {
		t.Fatalf("heard %v", o)
	}
	if l := other.until("peer-left"); l.str("reason") != "removed" || l.str("peer") != guest.id {
		t.Fatalf("heard %v", l)
	}
	host.until("ok")
	if h.Together(host.id, guest.id) || h.Together(other.id, guest.id) {
		t.Fatal("together with somebody removed")
	}
	told := make(map[string]bool)
	for _, id := range <-gone {
		told[id] = true
	}
	if !told[guest.id] || !told[host.id] || !told[other.id] {
		t.Fatalf("the relay heard of %v", told)
	}
	guest.say(`{"type":"leave","room":"` + room + `","id":1`)
	guest.expectError(wire.CodeNotInRoom)
	guest.say(`{"type":"join","room":"` + room + `","id":1`)
	guest.expectError(wire.CodeForbidden)
	again := openClient(t, url, `{"type":"hello"}`)
	again.knock(room)
	if k := host.until("knock"); k["again"] != true {
		t.Fatalf("heard %v", k)
	}
	host.order(room, "decline", again.id)
	if o := again.expect("out"); o.str("reason") != "declined" {
		t.Fatalf("heard %v", o)
	}
	again.say(`{"type":"join","room":"` + room + `","id":1`)
	again.expectError(wire.CodeForbidden)

	host.until("ok")
	again.send(`{"type":"bye"}`)
	host.order(room, "end", "")
	for _, c := range []*client{host, other} {
		if o := c.until("out"); o.str("reason") != "ended" {
			t.Fatalf("heard %v", o)
		}
	}
	if h.Together(host.id, other.id) {
		t.Fatal("together after the end")
	}
	other.knock(room)
}

// A user who was removed is, whatever session he brings, and with all his devices.
func TestRemovedUser(t *testing.T) {
	_, url := newServer(t, Config{})
	room := hostedRoom("fox~keep.")
	host := openClient(t, url, `{"type":"hello"}`)
	host.reign(room)
	hello := `{"type":"hello","user":"vasya","userSecret":"a secret"}`
	phone, laptop := openClient(t, url, hello), openClient(t, url, hello)
	host.admits(room, phone)
	host.admits(room, laptop)
	host.order(room, "remove", phone.id)
	phone.until("out")
	laptop.until("out")
	tablet := openClient(t, url, hello)
	tablet.say(`{"type":"join","room":"` + room + `","id":1`)
	tablet.expectError(wire.CodeForbidden)
}

func TestHostFollows(t *testing.T) {
	for mark, follows := range map[string]bool{"fox~host.": true, "fox~keep.": false} {
		ended := make(chan string, 8)
		h, url := newServer(t, Config{OnEnd: func(session, _ string) { ended <- session }})
		room := hostedRoom(mark)
		host, a, b := openClient(t, url, `{"type":"hello"}`), openClient(t, url, `{"type":"hello"}`), openClient(t, url, `{"type":"hello"}`)
		host.reign(room)
		host.admits(room, a)
		host.admits(room, b)
		host.order(room, "hand", b.id)
		for only := a.until("hosting"); fmt.Sprint(only["hosts"]) != fmt.Sprint([]string{b.id}); only = a.until("hosting") {
		}
		host.until("ok")
		host.order(room, "lock", "")
		host.until("error")
		host.reign(room) // the secret makes one a host again
		host.say(`{"type":"leave","room":"` + room + `","id":1`)
		host.until("ok")
		b.say(`{"type":"leave","room":"` + room + `","id":1`)
		b.until("ok")
		a.order(room, "lock", "")
		for {
			f := a.read()
			if typ := f.str("type"); typ == "ok" || typ == "error" {
				if (typ == "ok") != follows {
					t.Fatalf("%s: %v", mark, f)
				}
				break
			}
		}
		a.send(`{"type":"bye"}`)
		<-ended
		// Nothing is kept of a room that is empty, and the secret is good for ever.
		if n := len(h.Rooms()); n != 0 {
			t.Fatalf("%d rooms are kept", n)
		}
		host.reign(room)
	}
}

// countingPost counts what would be sent.
type countingPost struct {
	delivery.Post
	sent int
}

func (p *countingPost) Send(delivery.Ref, delivery.Ref, wire.Object) bool {
	p.sent++
	return true
}

// Ten thousand knock, from everywhere and from one network: the host hears of some, the
// server keeps few, and somebody from elsewhere is heard.
func TestManyKnocks(t *testing.T) {
	h := NewHub(Config{})
	d := h.directory
	room := hostedRoom("fox~host.")
	deaf := &countingPost{}
	d.post = deaf
	enter := func(i int, addr netip.Addr) *member {
		s := &member{d: d, id: fmt.Sprint("s_", i), opener: addr}
		d.members.Put(s.id, s)
		return s
	}
	join := func(s *member, more string) *wire.Fault {
		var m wire.Message
		if f := m.Parse([]byte(`{"type":"join","room":"` + room + `"` + more + `}`)); f != nil {
			t.Fatal(f)
		}
		return d.join(s, &m)
	}
	host := enter(0, netip.MustParseAddr("192.0.2.1"))
	if f := join(host, `,"host":"`+hostSecret+`"`); f != nil {
		t.Fatal(f)
	}
	deaf.sent = 0
	heard := 0
	for i := 1; i <= 10_000; i++ {
		s := enter(i, netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}))
		switch f := join(s, ""); f.Code {
		case wire.CodeKnocking:
			heard++
		case wire.CodeRate:
		default:
			t.Fatal(f)
		}
		if i%3 == 0 {
			d.exit(s, "leave")
		}
	}
	if waiting := len(d.hostings.m[room].waiting); waiting > maxKnocks || waiting == 0 {
		t.Fatalf("%d wait", waiting)
	}
	// A knock and its end, each.
	if heard > 2*maxKnocks+100 || deaf.sent > 3*heard {
		t.Fatalf("%d were heard, with %d messages", heard, deaf.sent)
	}
	d.hostings.m[room].told.Charge(0, knockRate, -1000)
	if f := join(enter(10_001, netip.MustParseAddr("198.51.100.7")), ""); f.Code != wire.CodeKnocking {
		t.Fatalf("somebody from elsewhere is not heard: %v", f)
	}
	if got := d.hostings.m[room].people; len(got) > maxKnocks+1 {
		t.Fatalf("%d are kept", len(got))
	}
}
