package signaling

import (
	"bytes"
	"testing"
	"time"

	"turnhub/signaling/internal/wire"
)

var seatSecrets = Config{Secrets: []string{"a secret of this server"}}

// seated reads up to word of how the room stands that makes ok true, and returns the seat.
func (c *client) seated(ok func(frame) bool) string {
	c.t.Helper()
	for {
		if f := c.until("hosting"); ok(f) {
			return f.str("seat")
		}
	}
}

// comeBack joins with a seat, and as host where secret says so.
func (c *client) comeBack(room, seat string, secret ...string) {
	c.t.Helper()
	more := ""
	for _, s := range secret {
		more = `,"host":"` + s + `"`
	}
	c.say(`{"type":"join","room":"` + room + `","seat":"` + seat + `"` + more + `,"id":1`)
}

func muted(n int) func(frame) bool {
	return func(f frame) bool { list, _ := f["muted"].([]any); return len(list) == n }
}

// After a restart everybody is what they were, whoever comes first; who had left or was
// removed is not in, and a seat is good once, for one room, for a while.
func TestSeats(t *testing.T) {
	_, url := newServer(t, seatSecrets)
	room := hostedRoom("fox~host.")
	enter := func(url string) *client { return openClient(t, url, `{"type":"hello"}`) }
	host, follower, loud, removed, left := enter(url), enter(url), enter(url), enter(url), enter(url)
	host.reign(room)
	for _, c := range []*client{follower, loud} {
		host.admits(room, c)
	}
	seats := make(map[*client]string)
	for _, c := range []*client{removed, left} {
		host.admit(room, c)
		seats[c] = c.expect("hosting").str("seat")
	}
	host.order(room, "remove", removed.id)
	host.until("ok")
	removed.until("out")
	left.say(`{"type":"leave","room":"` + room + `","id":1`)
	left.until("ok")
	host.order(room, "hand", follower.id)
	host.until("ok")
	follower.order(room, "mute", loud.id)
	for _, c := range []*client{host, follower, loud} {
		seats[c] = c.seated(muted(1))
	}

	_, url = newServer(t, seatSecrets)
	// Who should not be there comes first, and is in until there is a newer seat.
	back := enter(url)
	back.comeBack(room, seats[removed])
	back.expect("joined")
	quiet := enter(url)
	quiet.comeBack(room, seats[loud])
	quiet.expect("joined")
	if o := back.until("out"); o.str("reason") != "again" {
		t.Fatalf("heard %v", o)
	}
	back.knock(room)
	only(t, quiet.until("hosting"), "muted", quiet.id)
	for _, seat := range []string{seats[left], seats[loud], seats[follower][1:], "", "x"} {
		c := enter(url)
		c.comeBack(room, seat)
		c.expectError(wire.CodeKnocking)
	}
	next := enter(url)
	next.comeBack(room, seats[follower])
	next.expect("joined")
	if k := next.expect("knock"); k.str("peer") != back.id {
		t.Fatalf("heard %v", k)
	}
	only(t, next.until("hosting"), "hosts", next.id)
	// A host who has handed over has a seat of a guest, and the secret all the same.
	old := enter(url)
	old.comeBack(room, seats[host])
	old.expect("joined")
	only(t, old.until("hosting"), "hosts", next.id)
	// Whom a host puts out here has no use for a seat that was not taken.
	next.order(room, "decline", back.id)
	next.until("ok")
	next.say(`{"type":"leave","room":"` + room + `","id":1`)
	next.until("ok")
	late := enter(url)
	late.comeBack(room, seats[host])
	late.expectError(wire.CodeKnocking)
}

// admit lets a guest in, who reads the rest.
func (c *client) admit(room string, guest *client) {
	c.t.Helper()
	guest.knock(room)
	c.until("knock")
	c.order(room, "admit", guest.id)
	c.until("ok")
	guest.expect("admitted")
	guest.join(room)
}

// A locked room is locked after a restart too, and lets in who was in it.
func TestSeatOfLockedRoom(t *testing.T) {
	_, url := newServer(t, seatSecrets)
	room := hostedRoom("fox~keep.")
	host, guest := openClient(t, url, `{"type":"hello"}`), openClient(t, url, `{"type":"hello"}`)
	host.reign(room)
	host.admits(room, guest)
	host.order(room, "lock", "")
	seat := guest.seated(func(f frame) bool { return f["locked"] == true })

	_, url = newServer(t, Config{Secrets: []string{"a newer one", seatSecrets.Secrets[0]}})
	again, other := openClient(t, url, `{"type":"hello"}`), openClient(t, url, `{"type":"hello"}`)
	again.comeBack(room, seat)
	again.expect("joined")
	if f := again.expect("hosting"); f["locked"] != true {
		t.Fatalf("heard %v", f)
	}
	other.say(`{"type":"join","room":"` + room + `","id":1`)
	other.expectError(wire.CodeLocked)
}

func TestSeatSays(t *testing.T) {
	now, day := time.Unix(1000, 0), time.Unix(1_700_000_000, 0)
	ours, theirs := newSeats([]string{"secret"}, now), newSeats([]string{"new", "secret"}, now)
	said := seat{edition: 7, expires: day.Add(time.Hour).Unix(), host: true, locked: true, session: "s_abc"}
	text := []byte(ours.sign("fox", said))
	got, ok := theirs.read("fox", text, day)
	if said.issuer = ours.issuer; !ok || got != said {
		t.Fatalf("%+v, %v", got, ok)
	}
	for name, read := range map[string]func() bool{
		"another room":       func() bool { _, ok := theirs.read("box", text, day); return ok },
		"expired":            func() bool { _, ok := theirs.read("fox", text, day.Add(time.Hour)); return ok },
		"long after a start": func() bool { return theirs.fresh(now.Add(seatsFor + 1)) },
		"its own":            func() bool { _, ok := ours.read("fox", text, day); return ok },
		"another server":     func() bool { _, ok := newSeats([]string{"other"}, now).read("fox", text, day); return ok },
		"no key":             func() bool { _, ok := newSeats(nil, now).read("fox", text, day); return ok },
		"too long":           func() bool { _, ok := theirs.read("fox", bytes.Repeat(text, 9), day); return ok },
	} {
		if read() {
			t.Errorf("%s: it is good", name)
		}
	}
	for i := range text {
		changed := bytes.Clone(text)
		if changed[i]++; changed[i] == '{' || changed[i] == '[' {
			changed[i] = 'A'
		}
		if _, ok := theirs.read("fox", changed, day); ok {
			t.Fatalf("changed at %d: it is good", i)
		}
		if _, ok := theirs.read("fox", text[:i], day); ok {
			t.Fatalf("cut at %d: it is good", i)
		}
	}
	if newSeats(nil, now).sign("fox", said) != "" {
		t.Error("signed without a key")
	}
}
