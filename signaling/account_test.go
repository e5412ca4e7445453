package signaling

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// ledger takes down the steps of calls.
type ledger struct {
	mu    sync.Mutex
	steps []CallStep
	more  chan struct{}
}

func newLedger() *ledger { return &ledger{more: make(chan struct{}, 1)} }

func (l *ledger) note(s CallStep) {
	l.mu.Lock()
	l.steps = append(l.steps, s)
	l.mu.Unlock()
	select {
	case l.more <- struct{}{}:
	default:
	}
}

// until waits for so many steps, and tells them as a person would.
func (l *ledger) until(t *testing.T, n int) (told []string, steps []CallStep) {
	t.Helper()
	late := time.After(10 * time.Second)
	for {
		l.mu.Lock()
		steps = slices.Clone(l.steps)
		l.mu.Unlock()
		if len(steps) >= n {
			break
		}
		select {
		case <-l.more:
		case <-late:
			t.Fatalf("%d steps of %d: %+v", len(steps), n, steps)
		}
	}
	for _, s := range steps {
		who := []string{}
		if s.Person != nil {
			who = append(who, s.Person.User)
		}
		for _, p := range s.People {
			who = append(who, p.User+":"+p.Reason)
		}
		told = append(told, strings.Join(slices.DeleteFunc([]string{s.Step, strings.Join(who, ","), s.To, s.Reason}, func(s string) bool { return s == "" }), " "))
	}
	return told, steps
}

func named(t *testing.T, url, user string) *client {
	return openClient(t, url, `{"type":"hello","user":"`+user+`","userSecret":"12345678"}`)
}

func TestAccountOfARoom(t *testing.T) {
	l := newLedger()
	_, url := newServer(t, Config{OnCall: l.note})
	anna, boris, carla := named(t, url, "anna"), named(t, url, "boris"), named(t, url, "carla")
	anna.join("blue") // who waits alone is in no call
	boris.join("blue")
	carla.join("blue")
	anna.expect("peer-joined")
	anna.expect("peer-joined")
	boris.expect("peer-joined")
	ask := func(c *client, text string) {
		c.say(text + `,"id":9`)
		for f := c.read(); f.str("type") != "ok"; f = c.read() {
			if f.str("type") == "error" {
				t.Fatal(f)
			}
		}
	}
	ask(carla, `{"type":"leave","room":"blue"`)
	ask(boris, `{"type":"report","peer":"`+anna.id+`","room":"blue","path":"relay-tls","rtt":0.1,"loss":0.02,"bitrate":1e6`)
	ask(anna, `{"type":"report","peer":"`+boris.id+`","room":"blue","path":"direct","rtt":0.2`)
	ask(boris, `{"type":"leave","room":"blue"`)
	boris.join("blue") // another call
	told, steps := l.until(t, 11)
	want := []string{
		"began", "joined anna", "joined boris", "joined carla", "left carla leave",
		"left boris leave", "left anna ended", "ended carla:leave,boris:leave,anna:ended leave",
		"began", "joined anna", "joined boris",
	}
	if !slices.Equal(told, want) {
		t.Errorf("told %q\nwant %q", told, want)
	}
	end := steps[7]
	if end.Room != "blue" || end.Kind != "room" || end.Path != "relay-tls" || end.Lasted <= 0 || end.Call != steps[0].Call || end.Call == steps[8].Call {
		t.Errorf("%+v", end)
	}
	if r := end.People[1].Report; r == nil || r.Loss != 0.02 || end.People[1].Path != "relay-tls" || end.People[2].Path != "direct" || end.People[0].Report != nil {
		t.Errorf("%+v", end.People)
	}
}

func TestAccountOfCallsByName(t *testing.T) {
	l := newLedger()
	_, url := newServer(t, Config{OnCall: l.note})
	anna, boris := named(t, url, "anna"), named(t, url, "boris")
	invite := func(user string) string {
		anna.say(`{"type":"invite","user":"` + user + `","id":1`)
		return anna.expect("calling").str("call")
	}
	ring := func() string {
		id := invite("boris")
		anna.expectState("ringing")
		boris.expectState("incoming")
		return id
	}
	say := func(c *client, typ, call string) {
		c.say(`{"type":"` + typ + `","call":"` + call + `","id":2`)
		c.expect("ok")
	}
	invite("nobody")
	anna.expectState("ended")
	say(boris, "decline", ring())
	anna.expectState("ended")
	say(anna, "hangup", ring())
	boris.expectState("ended")
	taken := ring()
	say(boris, "accept", taken)
	boris.expectState("accepted")
	say(boris, "hangup", taken)
	told, steps := l.until(t, 9)
	want := []string{
		"missed anna nobody unavailable", "missed anna boris declined", "missed anna boris canceled",
		"began", "joined anna", "joined boris", "left boris hangup", "left anna ended", "ended boris:hangup,anna:ended hangup",
	}
	if !slices.Equal(told, want) {
		t.Errorf("told %q\nwant %q", told, want)
	}
	if steps[8].Call != taken || steps[8].Kind != "call" || steps[1].Lasted <= 0 {
		t.Errorf("%+v", steps)
	}
}

// TestAccountsEndWithTheHub: whoever is sent away has a call that ended.
func TestAccountsEndWithTheHub(t *testing.T) {
	l := newLedger()
	h, url := newServer(t, Config{OnCall: l.note})
	anna, boris := named(t, url, "anna"), named(t, url, "boris")
	anna.join("blue")
	boris.join("blue")
	anna.say(`{"type":"invite","user":"boris","id":1`)
	anna.expect("peer-joined")
	id := anna.expect("calling").str("call")
	boris.expectState("incoming")
	boris.say(`{"type":"accept","call":"` + id + `","id":1`)
	boris.expect("ok")
	h.Restart(0)
	told, _ := l.until(t, 12)
	ended := slices.DeleteFunc(told, func(s string) bool { return !strings.HasPrefix(s, "ended") })
	if want := "ended anna:ended,boris:ended restart"; !slices.Equal(ended, []string{want, want}) {
		t.Errorf("told %q", told)
	}
}

// TestAccountIsBounded: of a room in which people come and go, so many are named, and the
// others counted.
func TestAccountIsBounded(t *testing.T) {
	l := newLedger()
	h := NewHub(Config{OnCall: l.note})
	now := time.Now()
	stays := &member{id: "s_0"}
	a := h.beginCall("c", "room", "blue", now, stays, &member{id: "s_1"})
	for i := range 300 {
		s := &member{id: fmt.Sprint("s_", i+2)}
		a.join(s, now)
		a.leave(s, "leave", now)
	}
	a.end("leave", now)
	end := l.steps[len(l.steps)-1]
	if len(end.People) != toldPeople || end.Others != 302-toldPeople {
		t.Errorf("%d people, %d others", len(end.People), end.Others)
	}
}

// TestNoAccount: where nobody keeps accounts, there is none.
func TestNoAccount(t *testing.T) {
	h := NewHub(Config{})
	a := h.beginCall("c", "room", "blue", time.Now(), &member{})
	a.join(&member{}, time.Now())
	a.report(&member{}, &Report{}, 1)
	a.leave(&member{}, "", time.Now())
	a.end("", time.Now())
	if a != nil {
		t.Error(a)
	}
}
