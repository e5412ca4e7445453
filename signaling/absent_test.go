package signaling

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"turnhub/signaling/internal/wire"
)

// absentees keeps people as package push does, in memory, and notes what it is told.
type absentees struct {
	mu      sync.Mutex
	people  map[string]*absentee
	rung    []AbsentCall
	resumed []AbsentCall
	said    []string
	refuse  error
	deaf    bool // rings nobody
}

type absentee struct {
	proof     [sha256.Size]byte
	endpoints []string
	missed    []MissedCall
}

// newAbsentees returns one in which these users have a subscription, with the secret that
// the tests use.
func newAbsentees(users ...string) *absentees {
	a := &absentees{people: make(map[string]*absentee)}
	for _, user := range users {
		a.people[user] = &absentee{proof: sha256.Sum256([]byte("a secret")), endpoints: []string{"https://push.example.org/" + user}}
	}
	return a
}

func (a *absentees) Keeper(user string) (proof [sha256.Size]byte, kept bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if p := a.people[user]; p != nil {
		return p.proof, true
	}
	return proof, false
}

func (a *absentees) Use(user string) { a.note("use " + user) }

func (a *absentees) note(text string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.said = append(a.said, text)
}

func (a *absentees) Reachable(user string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.people[user] != nil && len(a.people[user].endpoints) > 0
}

func (a *absentees) Subscribe(user string, proof [sha256.Size]byte, _ netip.Addr, subscription []byte, done func(error)) {
	a.mu.Lock()
	if a.refuse == nil {
		if a.people[user] == nil {
			a.people[user] = &absentee{proof: proof}
		}
		endpoint := strings.Trim(string(wire.Member(subscription, "endpoint")), `"`)
		a.people[user].endpoints = append(a.people[user].endpoints, endpoint)
	}
	err := a.refuse
	a.mu.Unlock()
	go done(err)
}

func (a *absentees) Unsubscribe(user, endpoint string, done func(error)) {
	a.mu.Lock()
	if p := a.people[user]; p != nil {
		p.endpoints = slices.DeleteFunc(p.endpoints, func(e string) bool { return e == endpoint })
		if len(p.endpoints) == 0 {
			delete(a.people, user)
		}
	}
	a.mu.Unlock()
	done(nil) // at once, too
}

func (a *absentees) Ring(c AbsentCall) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.deaf {
		return false
	}
	a.rung = append(a.rung, c)
	return true
}

func (a *absentees) Resume(c AbsentCall) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.resumed = append(a.resumed, c)
	return !a.deaf
}

func (a *absentees) Settle(call string, elsewhere bool, spare string) {
	a.note(fmt.Sprintf("settle %s elsewhere %v spare %q", call, elsewhere, spare))
}

func (a *absentees) Miss(user string, c MissedCall) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if p := a.people[user]; p != nil {
		p.missed = append(p.missed, c)
	}
}

func (a *absentees) Missed(user string) []MissedCall {
	a.mu.Lock()
	defer a.mu.Unlock()
	if p := a.people[user]; p != nil {
		return slices.Clone(p.missed)
	}
	return nil
}

func (a *absentees) Seen(user string, calls []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if p := a.people[user]; p != nil {
		p.missed = slices.DeleteFunc(p.missed, func(c MissedCall) bool { return slices.Contains(calls, c.Call) })
	}
}

func (a *absentees) Forget(user string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.people, user)
}

func (a *absentees) hear(well bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.deaf = !well
}

// last returns the last call that was rung, once there are n: who calls may be answered a
// moment before.
func (a *absentees) last(t *testing.T, n int) (c AbsentCall) {
	t.Helper()
	a.await(t, "calls that are rung", func() bool {
		if len(a.rung) > n {
			t.Fatalf("%d calls were rung, not %d", len(a.rung), n)
		}
		if len(a.rung) == n {
			c = a.rung[n-1]
		}
		return len(a.rung) == n
	})
	return c
}

// settled awaits what is to be said of a call.
func (a *absentees) settled(t *testing.T, call string, elsewhere bool, spare string) {
	t.Helper()
	want := fmt.Sprintf("settle %s elsewhere %v spare %q", call, elsewhere, spare)
	a.await(t, want, func() bool {
		if n := len(a.said); n == 0 || a.said[n-1] != want {
			return false
		}
		a.said = append(a.said, "")
		return true
	})
}

// await waits until something is so; is is called under mu.
func (a *absentees) await(t *testing.T, what string, is func() bool) {
	t.Helper()
	so := func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return is()
	}
	for end := time.Now().Add(10 * time.Second); !so(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never: ", what)
		}
	}
}

const helloAs = `{"type":"hello","user":"%s","name":"%[1]s","userSecret":"a secret"}`

// TestAbsentRings: who has no session is rung, and answers with one that opens meanwhile.
func TestAbsentRings(t *testing.T) {
	absent := newAbsentees("petya")
	h, url := newServer(t, Config{Absent: absent})
	v := openClient(t, url, fmt.Sprintf(helloAs, "vasya"))
	invite := func(who *client, user string) string {
		t.Helper()
		who.say(`{"type":"invite","user":"` + user + `","id":1`)
		return who.expect("calling").str("call")
	}
	call := invite(v, "petya")
	if c := absent.last(t, 1); c.Call != call || c.To != "petya" || c.User != "vasya" || c.Name != "vasya" || len(c.Decline) < 20 || c.For != ringFor || !c.From.IsValid() {
		t.Errorf("%+v", c)
	}
	h.RungAbsent(call)
	v.expectState("ringing")
	h.RungAbsent(call) // once

	p := openClient(t, url, fmt.Sprintf(helloAs, "petya"))
	p.expectState("incoming")
	p.say(`{"type":"push-subscribe","subscription":{"endpoint":"https://push.example.org/desk"},"id":2`)
	p.expect("ok")
	desk := openClient(t, url, fmt.Sprintf(helloAs, "petya"))
	desk.expectState("incoming")
	p.say(`{"type":"accept","call":"` + call + `","id":3`)
	p.expect("ok")
	p.expectState("accepted")
	v.expectState("accepted")
	if f := desk.expectState("ended"); f.str("reason") != "elsewhere" {
		t.Errorf("%v", f)
	}
	absent.settled(t, call, true, "https://push.example.org/desk")

	// Busy: nobody is rung.
	m := openClient(t, url, fmt.Sprintf(helloAs, "masha"))
	invite(m, "petya")
	if f := m.expectState("ended"); f.str("reason") != "busy" {
		t.Errorf("%v", f)
	}
	absent.last(t, 1)
	p.expect("missed")
	v.say(`{"type":"hangup","call":"` + call + `","id":4`)
	v.expect("ok")
	p.expectState("ended")

	// Declined by a device without a session.
	for _, c := range []*client{p, desk} {
		c.send(`{"type":"bye"}`)
		c.expectClose(wire.CloseNormal)
	}
	call = invite(v, "petya")
	secret := absent.last(t, 2).Decline
	if h.Decline(call, secret+"x", "") || h.Decline("c_x", secret, "") || h.Decline(call, "", "") {
		t.Error("declined by a stranger")
	}
	if !h.Decline(call, secret, "https://push.example.org/phone") || h.Decline(call, secret, "") {
		t.Error("not declined once")
	}
	if f := v.expectState("ended"); f.str("reason") != "declined" {
		t.Errorf("%v", f)
	}
	absent.settled(t, call, true, "https://push.example.org/phone")

	// No service takes it.
	call = invite(v, "petya")
	h.LostAbsent(call)
	if f := v.expectState("ended"); f.str("reason") != "unavailable" {
		t.Errorf("%v", f)
	}
	absent.settled(t, call, false, "")
	// Too often.
	absent.hear(false)
	invite(v, "petya")
	if f := v.expectState("ended"); f.str("reason") != "unavailable" {
		t.Errorf("%v", f)
	}
	// Oneself is not.
	absent.hear(true)
	p = openClient(t, url, fmt.Sprintf(helloAs, "petya"))
	p.expect("missed") // the one that no service took
	invite(p, "petya")
	if f := p.expectState("ended"); f.str("reason") != "unavailable" {
		t.Errorf("%v", f)
	}
	absent.last(t, 3)
	// A device that leaves while it rings ends nothing where others ring.
	invite(v, "petya")
	v.expectState("ringing")
	p.expectState("incoming")
	p.send(`{"type":"bye"}`)
	p.expectClose(wire.CloseNormal)
	p = openClient(t, url, fmt.Sprintf(helloAs, "petya"))
	p.expectState("incoming")
	p.expect("missed")
	v.send(`{"type":"bye"}`)
	v.expectClose(wire.CloseNormal)
	if f := p.expectState("ended"); f.str("reason") != "canceled" {
		t.Errorf("%v", f)
	}
}

// TestAbsentMisses: what no session has seen is told at each opening until one says that it
// has seen it; what one has seen is not.
func TestAbsentMisses(t *testing.T) {
	absent := newAbsentees("petya")
	_, url := serveHub(t, Config{Absent: absent}, httptest.NewServer, func(h *Hub) { h.ring = 200 * time.Millisecond })
	v := openClient(t, url, fmt.Sprintf(helloAs, "vasya"))
	v.say(`{"type":"invite","user":"petya","id":1`)
	call := v.expect("calling").str("call")
	if f := v.expectState("ended"); f.str("reason") != "timeout" {
		t.Errorf("%v", f)
	}
	absent.settled(t, call, false, "")
	for i := range 3 {
		p := openClient(t, url, fmt.Sprintf(helloAs, "petya"))
		if i < 2 {
			if f := p.expect("missed"); f.str("call") != call || f.str("user") != "vasya" || f.str("reason") != "timeout" || f["ago"] == nil || f.num("ago") > 60_000 {
				t.Errorf("%v", f)
			}
		}
		if i == 1 {
			p.say(`{"type":"seen","calls":["` + call + `"],"id":1`)
			p.expect("ok")
		}
		p.say(`{"type":"config","id":9`)
		p.expect("config")
		p.send(`{"type":"bye"}`)
		p.expectClose(wire.CloseNormal)
	}
	p := openClient(t, url, fmt.Sprintf(helloAs, "petya"))
	v.say(`{"type":"invite","user":"petya","id":2`)
	v.expect("calling")
	v.expectState("ringing")
	v.expectState("ended")
	p.expectState("incoming")
	p.expectState("ended")
	if missed := absent.Missed("petya"); len(missed) != 0 {
		t.Errorf("%+v", missed)
	}
}

// TestKeptNames: a name with a subscription is taken while nobody is there, for who does not
// know its secret, who is not to guess it either; the operator takes it away.
func TestKeptNames(t *testing.T) {
	absent := newAbsentees("petya")
	h, url := newServer(t, Config{Absent: absent})
	thief := func(secret string) frame {
		c := dial(t, url)
		c.send(`{"type":"hello","user":"petya","userSecret":"` + secret + `"}`)
		f := c.read()
		if f.str("type") == "error" {
			c.expectClose(wire.CloseRefused)
		}
		return f
	}
	for i := range 15 {
		f := thief(fmt.Sprint("another secret ", i))
		if f.str("code") != string(wire.CodeUserTaken) || strings.Contains(f.str("message"), "too many") != (i >= 10) {
			t.Errorf("%d: %v", i, f)
		}
	}
	p := openClient(t, url, fmt.Sprintf(helloAs, "petya"))
	p.send(`{"type":"bye"}`)
	p.expectClose(wire.CloseNormal)
	if _, err := h.Revoke("petya"); err != nil {
		t.Fatal(err)
	}
	if absent.Reachable("petya") {
		t.Error("rung although revoked")
	}
}

// TestWhoSubscribes: only who has proved a name that lasts.
func TestWhoSubscribes(t *testing.T) {
	const subscribe, unsubscribe = `{"type":"push-subscribe","subscription":{"endpoint":"https://push.example.org/1"},"id":1`, `{"type":"push-unsubscribe","endpoint":"https://push.example.org/1","id":2`
	absent := newAbsentees()
	h, url := newServer(t, Config{Absent: absent})
	h.SetPush("the key")
	nobody := dial(t, url)
	nobody.send(`{"type":"hello"}`)
	if w := nobody.welcome(); w["push"] != nil {
		t.Errorf("%v", w)
	}
	v := dial(t, url)
	v.send(fmt.Sprintf(helloAs, "vasya"))
	if w := v.welcome(); fmt.Sprint(w["push"]) != "map[key:the key]" {
		t.Errorf("%v", w)
	}
	for _, text := range []string{subscribe, unsubscribe} {
		nobody.say(text)
		nobody.expectError(wire.CodeForbidden)
		v.say(text)
		v.expect("ok")
	}
	for _, bad := range []string{`{"type":"push-subscribe","id":1`, `{"type":"push-subscribe","subscription":"x","id":1`, `{"type":"push-subscribe","subscription":{"endpoint":1},"id":1`, `{"type":"push-unsubscribe","id":1`, `{"type":"seen","calls":"x","id":1`} {
		v.say(bad)
		v.expectError(wire.CodeBadMessage)
	}
	for err, code := range map[error]wire.ErrorCode{
		ErrAbsentFull: wire.CodeTooMany, ErrAbsentForbidden: wire.CodeForbidden, ErrAbsentLater: wire.CodeRate, errors.New("it is none"): wire.CodeBadMessage,
	} {
		absent.mu.Lock()
		absent.refuse = fmt.Errorf("%w", err)
		absent.mu.Unlock()
		v.say(subscribe)
		v.expectError(code)
	}
	// Without an answer it is told all the same.
	v.say(strings.TrimSuffix(subscribe, `,"id":1`))
	v.expect("error")

	// Where nobody is rung, that is said.
	_, url = newServer(t, Config{})
	v = openClient(t, url, fmt.Sprintf(helloAs, "vasya"))
	v.say(subscribe)
	v.expectError(wire.CodeForbidden)
	v.say(`{"type":"seen","calls":[],"id":3`)
	v.expect("ok")

	// A guest's name ends with the invitation; a token proves a name whatever is kept.
	verifier, mint := tokens(t)
	absent = newAbsentees("petya")
	h, url = newServer(t, Config{Absent: absent, Access: verifier})
	h.SetPush("the key")
	p := dial(t, url+"?token="+mint("petya"))
	p.send(`{"type":"hello"}`)
	if w := p.welcome(); w["push"] == nil {
		t.Errorf("%v", w)
	}
	p.say(subscribe)
	p.expect("ok")
}
