package signaling

import (
	"encoding/json"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"turnhub/internal/access"
	"turnhub/signaling/internal/wire"
	"turnhub/signaling/internal/wstest"
)

const year = 365 * 24 * time.Hour

// The machine's clock has been set since the hub's start, far in either direction:
// a client that says hello in time gets in, one that does not is ended when its time is over and
// not before, tokens and credentials last as long as they said.
func TestClockSetSinceTheStart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("0123456789abcdef0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	verifier, err := access.NewVerifier(access.Config{SecretFile: file})
	if err != nil {
		t.Fatal(err)
	}
	listeners := map[string]func(*testing.T, Config, func(*Hub)) string{
		"plain": func(t *testing.T, cfg Config, prepare func(*Hub)) string {
			_, url := serveHub(t, cfg, httptest.NewServer, prepare)
			return url
		},
		"TLS": func(t *testing.T, cfg Config, prepare func(*Hub)) string {
			_, url := serveHub(t, cfg, wstest.NewTLSServer, prepare)
			return url
		},
	}
	// Long enough that a client which says hello at once has said it, with ten others beside it on a busy machine.
	const hello = 2 * time.Second
	for transport, listen := range listeners {
		for name, by := range map[string]time.Duration{"as it was": 0, "hour forward": time.Hour, "hour back": -time.Hour, "years forward": 10 * year, "years back": -10 * year} {
			t.Run(transport+", "+name, func(t *testing.T) {
				t.Parallel()
				configs := make(chan struct{}, 100)
				cfg := Config{
					Access: verifier,
					Timing: Timing{Hello: hello, Close: 100 * time.Millisecond, Notice: time.Hour},
					IceConfig: func(string, string, uint16) (json.RawMessage, time.Duration) {
						configs <- struct{}{}
						return json.RawMessage(`{"iceServers":[]}`), 12 * time.Hour
					},
				}
				url := listen(t, cfg, func(h *Hub) {
					even := steady()
					h.now = func() time.Time { return even().Add(-by) }
				})
				token, err := access.Mint(file, "vasya", nil, time.Now().Add(time.Hour))
				if err != nil {
					t.Fatal(err)
				}
				begun := time.Now() // before the server's clock runs for it
				mute := dial(t, url+"?token="+token)
				a := dial(t, url+"?token="+token)
				a.send(`{"type":"hello"}`)
				a.welcome()
				mute.expectClose(wire.CloseBadHello)
				if took := time.Since(begun); took < hello-50*time.Millisecond {
					t.Errorf("a socket without hello was ended after %v of %v", took, hello)
				}
				if left := a.expect("token").num("after"); left < 3500_000 || left > 3600_000 {
					t.Errorf("a token of an hour is said to last %d ms", left)
				}
				if len(configs) != 1 {
					t.Errorf("%d configurations in the first seconds", len(configs))
				}
			})
		}
	}
}

// The machine's clock is set while sessions run: those go on, and a token that is
// handed in afterwards lasts as long as it says by the new time.
func TestClockSetUnderSessions(t *testing.T) {
	s := newStill(t, Config{Timing: Timing{Heartbeat: 1000 * time.Hour}})
	var off time.Duration
	s.hub.day = func() time.Time { return s.at.Add(off) }
	open := func(ttl time.Duration) *carried {
		c := carryFrom(s.hub, "", "", access.Claims{Expires: s.hub.day().Add(ttl)})
		c.Say([]byte(`{"type":"hello"}`), s.at)
		pullFrames(t, c)
		return c
	}
	for _, by := range []time.Duration{time.Hour, -time.Hour, 10 * year, -10 * year, 0} {
		a := open(2 * time.Hour) // before the clock is set
		off = by
		b := open(2 * time.Hour) // after
		s.pass(2*time.Hour - time.Minute - time.Second)
		s.expect(a)
		s.expect(b)
		s.pass(time.Second)
		s.expect(a, "token")
		s.expect(b, "token")
		s.pass(2 * time.Minute)
		if a.Code() != wire.CloseRefused || b.Code() != wire.CloseRefused {
			t.Errorf("set by %v: close %v and %v after the token's end", by, a.Code(), b.Code())
		}
	}
}
