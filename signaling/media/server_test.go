package media

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"turnhub/signaling"
	"turnhub/signaling/internal/wire"
	"turnhub/signaling/internal/wstest"
)

// TestFramesPass: what one end sends the other gets, as it is, both ways, of every kind
// and size, served in every way.
func TestFramesPass(t *testing.T) {
	for name, listen := range wstest.Ways {
		t.Run(name, func(t *testing.T) {
			w := serve(t, signaling.Config{}, Config{}, listen)
			_, _, x, y := w.pair()
			w.clock.Stop()
			for _, way := range [][2]*end{{x, y}, {y, x}} {
				for i, kind := range []Kind{Key, Sound, Picture, Piece, Message, Report} {
					for _, size := range []int{leastFrame, 126, 5000, 66_000, FrameSize} {
						if kind == Sound && size > soundBytes {
							continue
						}
						frame := numbered(kind, i, size)
						way[0].send(frame)
						if _, got := way[1].next(); !bytes.Equal(got, frame) {
							t.Fatalf("%s of %d bytes came as %d", kindNames[kind], size, len(got))
						}
					}
				}
			}
			x.text(`{"type":"ping"}`)
			x.want(`{"type":"pong"}`)
			if st := w.media.Stats(); st.Sockets != 2 || st.Paths != 1 || st.Frames["key"] != 10 || st.Bytes["report"] == 0 {
				t.Errorf("%+v", st)
			}
			y.ws.Close()
			x.want(`{"type":"peer","here":false}`)
			x.send(numbered(Sound, 1, 100))
			wstest.Until(t, "it is counted", func() bool { return w.media.Stats().Dropped["sound"]["alone"] == 1 })
		})
	}
}

// TestWelcomeNamesIt: a client learns from the hub where media sockets are, and that there
// are none.
func TestWelcomeNamesIt(t *testing.T) {
	w := start(t, signaling.Config{}, Config{})
	if m, _ := w.person().welcome["media"].(map[string]any); m["path"] != "media" || m["frame"] != float64(FrameSize) {
		t.Errorf("%v", m)
	}
	w.media.SetOn(false)
	if m, there := w.person().welcome["media"]; there {
		t.Errorf("%v", m)
	}
	response, err := wstest.Client.Get("http" + w.url[2:] + "/media")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusNotFound {
		t.Errorf("status %d", response.StatusCode)
	}
}

// TestWhoMay goes through who opens a socket and who does not.
func TestWhoMay(t *testing.T) {
	w := start(t, signaling.Config{}, Config{})
	a, b := w.person("room"), w.person("room")
	stranger, other := w.person(), w.person("elsewhere")
	guest := w.person()
	guest.say(`{"type":"lobby","room":"room","first":{}}`)
	guest.hear("lobby")
	for name, c := range map[string]struct {
		first string
		code  wire.CloseCode
		why   wire.ErrorCode
	}{
		"no JSON":                        {`hello`, wire.CloseBadHello, wire.CodeBadMessage},
		"something else":                 {`{"type":"ping"}`, wire.CloseBadHello, wire.CodeBadMessage},
		"no peer":                        {fmt.Sprintf(`{"type":"hello","session":%q,"token":%q}`, a.id, a.token), wire.CloseBadHello, wire.CodeBadMessage},
		"of a wrong type":                {`{"type":"hello","session":1,"token":2,"peer":3}`, wire.CloseBadHello, wire.CodeBadMessage},
		"another one's token":            {fmt.Sprintf(`{"type":"hello","session":%q,"token":%q,"peer":%q}`, a.id, b.token, b.id), wire.CloseRefused, wire.CodeForbidden},
		"a part of the token":            {fmt.Sprintf(`{"type":"hello","session":%q,"token":%q,"peer":%q}`, a.id, a.token[:8], b.id), wire.CloseRefused, wire.CodeForbidden},
		"a session that is not there":    {fmt.Sprintf(`{"type":"hello","session":"s_none","token":%q,"peer":%q}`, a.token, b.id), wire.CloseRefused, wire.CodeForbidden},
		"a peer that is not there":       {fmt.Sprintf(`{"type":"hello","session":%q,"token":%q,"peer":"s_none"}`, a.id, a.token), wire.CloseRefused, wire.CodeNotInRoom},
		"oneself":                        {fmt.Sprintf(`{"type":"hello","session":%q,"token":%q,"peer":%q}`, a.id, a.token, a.id), wire.CloseRefused, wire.CodeNotInRoom},
		"somebody in no room":            {fmt.Sprintf(`{"type":"hello","session":%q,"token":%q,"peer":%q}`, stranger.id, stranger.token, a.id), wire.CloseRefused, wire.CodeNotInRoom},
		"somebody in another room":       {fmt.Sprintf(`{"type":"hello","session":%q,"token":%q,"peer":%q}`, other.id, other.token, a.id), wire.CloseRefused, wire.CodeNotInRoom},
		"somebody in the lobby":          {fmt.Sprintf(`{"type":"hello","session":%q,"token":%q,"peer":%q}`, guest.id, guest.token, a.id), wire.CloseRefused, wire.CodeNotInRoom},
		"a member to one of its lobby":   {fmt.Sprintf(`{"type":"hello","session":%q,"token":%q,"peer":%q}`, a.id, a.token, guest.id), wire.CloseRefused, wire.CodeNotInRoom},
		"a first frame of two kilobytes": {fmt.Sprintf(`{"type":"hello","padding":%q}`, bytes.Repeat([]byte{'x'}, 2000)), wire.CloseTooBig, ""},
	} {
		e := w.end()
		e.text(c.first)
		if why := e.closed(c.code); why != string(c.why) {
			t.Errorf("%s: error %q, want %q", name, why, c.why)
		}
	}
	binary := w.end()
	binary.send(numbered(Sound, 1, 100))
	if why := binary.closed(wire.CloseBadHello); why != string(wire.CodeBadMessage) {
		t.Errorf("binary first: error %q", why)
	}
	if st := w.media.Stats(); st.Paths != 0 {
		t.Errorf("%d paths", st.Paths)
	}
	// One who has lost its own socket may, as long as it may come back.
	a.ws.Close()
	a.open(b).want(`{"type":"ready","here":false}`)
}

// TestUpgradeIsRefused by Origin, subprotocol and method, as that of /ws is.
func TestUpgradeIsRefused(t *testing.T) {
	w := start(t, signaling.Config{AllowedOrigins: []string{"https://good.example"}}, Config{})
	for name, c := range map[string]struct {
		header http.Header
		sub    []string
		status int
	}{
		"another page":        {http.Header{"Origin": {"https://evil.example"}}, nil, http.StatusForbidden},
		"another subprotocol": {http.Header{"Origin": {"https://good.example"}}, []string{"turnhub.v1"}, http.StatusBadRequest},
		"ours":                {http.Header{"Origin": {"https://good.example"}}, []string{"x", Subprotocol}, http.StatusSwitchingProtocols},
	} {
		dialer := *websocket.DefaultDialer
		dialer.Subprotocols = c.sub
		ws, response, err := dialer.Dial(w.url+"/media", c.header)
		if response == nil || response.StatusCode != c.status {
			t.Errorf("%s: %v, %v", name, response, err)
		}
		if ws != nil {
			if ws.Subprotocol() != Subprotocol {
				t.Errorf("subprotocol %q", ws.Subprotocol())
			}
			ws.Close()
		}
	}
	response, err := wstest.Client.Get("http" + w.url[2:] + "/media")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusUpgradeRequired {
		t.Errorf("status %d", response.StatusCode)
	}
}

// TestReplaced: a second socket to the same peer takes the first one's place, and the
// other end is told and goes on with it, from a key picture on.
func TestReplaced(t *testing.T) {
	w := start(t, signaling.Config{}, Config{})
	a, b, x, y := w.pair()
	w.clock.Stop()
	y.send(numbered(Key, 1, 100))
	x.next()
	again := a.open(b)
	again.want(`{"type":"ready","here":true}`)
	x.closed(wire.CloseReplaced)
	y.want(`{"type":"peer","here":true}`)
	y.send(numbered(Picture, 2, 100))
	y.want(`{"type":"key"}`)
	y.send(numbered(Key, 3, 100))
	if _, frame := again.next(); Kind(frame[0]) != Key {
		t.Errorf("kind %d came first", frame[0])
	}
	again.send(numbered(Sound, 4, 100))
	if _, frame := y.next(); Kind(frame[0]) != Sound {
		t.Errorf("kind %d", frame[0])
	}
	if st := w.media.Stats(); st.Paths != 1 {
		t.Errorf("%d paths", st.Paths)
	}
}

// TestSixSockets: a session has so many, whoever they are to.
func TestSixSockets(t *testing.T) {
	w := start(t, signaling.Config{}, Config{})
	a := w.person("room")
	var first *person
	var open *end
	for i := range maxSockets + 1 {
		p := w.person("room")
		e := a.open(p)
		if i == maxSockets {
			if why := e.closed(wire.CloseFull); why != string(wire.CodeTooMany) {
				t.Errorf("error %q", why)
			}
			p.open(a).want(`{"type":"ready","here":false}`) // it is not the other's fault
			continue
		}
		e.want(`{"type":"ready","here":false}`)
		if first == nil {
			first, open = p, e
		}
	}
	// One that is replaced is not one more, and one that ends makes room.
	a.open(first).want(`{"type":"ready","here":false}`)
	open.closed(wire.CloseReplaced)
}

// TestApart: sockets end when the two have nothing in common any more, however that came.
func TestApart(t *testing.T) {
	t.Run("leave", func(t *testing.T) {
		w := start(t, signaling.Config{}, Config{})
		a, _, x, y := w.pair()
		a.say(`{"type":"leave","room":"room"}`)
		for _, e := range []*end{x, y} {
			if why := e.closed(wire.CloseRefused); why != string(wire.CodeNotInRoom) {
				t.Errorf("error %q", why)
			}
		}
	})
	t.Run("bye", func(t *testing.T) {
		w := start(t, signaling.Config{}, Config{})
		a, _, x, y := w.pair()
		a.say(`{"type":"bye"}`)
		x.closed(wire.CloseRefused)
		y.closed(wire.CloseRefused)
	})
	t.Run("two rooms", func(t *testing.T) {
		w := start(t, signaling.Config{}, Config{})
		a, b, x, y := w.pair()
		for _, p := range []*person{a, b} {
			p.say(`{"type":"join","room":"second"}`)
			p.hear("joined")
		}
		a.say(`{"type":"leave","room":"room","id":9}`)
		a.hear("ok")
		w.clock.Stop()
		x.send(numbered(Sound, 1, 100))
		if _, frame := y.next(); frame == nil {
			t.Error("ended although they share another room")
		}
		a.say(`{"type":"leave","room":"second"}`)
		x.closed(wire.CloseRefused)
		y.closed(wire.CloseRefused)
	})
	t.Run("hangup", func(t *testing.T) {
		w := start(t, signaling.Config{}, Config{})
		named := func(name string) *person {
			p := &person{w: w, ws: w.dial("/ws", signaling.Subprotocol)}
			p.say(`{"type":"hello","user":"` + name + `","userSecret":"12345678"}`)
			welcome := p.hear("welcome")
			p.id, p.token = welcome["session"].(string), welcome["resume"].(map[string]any)["token"].(string)
			return p
		}
		a, b := named("anna"), named("boris")
		a.say(`{"type":"invite","user":"boris","id":1}`)
		call := a.hear("calling")["call"].(string)
		b.hear("call")
		if why := a.open(b).closed(wire.CloseRefused); why != string(wire.CodeNotInRoom) {
			t.Errorf("while it rings: error %q", why)
		}
		b.say(`{"type":"accept","call":"` + call + `","id":2}`)
		b.hear("ok")
		x := a.open(b)
		x.want(`{"type":"ready","here":false}`)
		y := b.open(a)
		y.want(`{"type":"ready","here":true}`)
		b.say(`{"type":"hangup","call":"` + call + `"}`)
		x.closed(wire.CloseRefused)
		y.closed(wire.CloseRefused)
	})
	t.Run("revoked", func(t *testing.T) {
		w := start(t, signaling.Config{}, Config{})
		a, _, x, y := w.pair()
		if n, err := w.hub.Revoke(a.id); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		x.closed(wire.CloseRevoked)
		y.closed(wire.CloseRefused)
	})
	t.Run("removed by the host", func(t *testing.T) {
		const secret = "Vn3pXq0c6TgkQmW1r8YhZA"
		sum := sha256.Sum256([]byte("fox~host." + secret))
		room := "fox~host." + base64.RawURLEncoding.EncodeToString(sum[:])
		w := start(t, signaling.Config{}, Config{})
		host, guest := w.person(), w.person()
		host.say(fmt.Sprintf(`{"type":"join","room":%q,"host":%q,"id":1}`, room, secret))
		host.hear("joined")
		guest.say(fmt.Sprintf(`{"type":"join","room":%q,"id":1}`, room))
		guest.hear("error") // knocking
		if why := guest.open(host).closed(wire.CloseRefused); why != string(wire.CodeNotInRoom) {
			t.Errorf("at the door: error %q", why)
		}
		host.say(fmt.Sprintf(`{"type":"host","room":%q,"action":"admit","peer":%q,"id":2}`, room, guest.id))
		guest.hear("admitted")
		guest.say(fmt.Sprintf(`{"type":"join","room":%q,"id":2}`, room))
		guest.hear("joined")
		x := host.open(guest)
		x.want(`{"type":"ready","here":false}`)
		y := guest.open(host)
		y.want(`{"type":"ready","here":true}`)
		host.say(fmt.Sprintf(`{"type":"host","room":%q,"action":"remove","peer":%q,"id":3}`, room, guest.id))
		x.closed(wire.CloseRefused)
		y.closed(wire.CloseRefused)
	})
	t.Run("lost", func(t *testing.T) {
		w := start(t, signaling.Config{Timing: signaling.Timing{Window: time.Millisecond}}, Config{})
		a, _, x, y := w.pair()
		a.ws.Close()
		x.closed(wire.CloseRefused)
		y.closed(wire.CloseRefused)
	})
}

// TestRestart: clients are told when to come back, go on meanwhile, and nobody new comes;
// then the sockets end.
func TestRestart(t *testing.T) {
	w := start(t, signaling.Config{}, Config{})
	_, _, x, y := w.pair()
	half := w.end()
	wstest.Until(t, "it is there", func() bool { return w.media.Len() == 3 })
	w.hub.Restart(time.Second)
	w.media.Restart(time.Second)
	half.closed(wire.CloseRestart)
	for _, e := range []*end{x, y} {
		if text, _ := e.next(); !strings.HasPrefix(text, `{"type":"restart","after":`) {
			t.Errorf("told %q", text)
		}
	}
	w.clock.Stop()
	x.send(numbered(Sound, 1, 100))
	if _, frame := y.next(); frame == nil {
		t.Error("nothing passes until they have come back")
	}
	_, response, err := websocket.DefaultDialer.Dial(w.url+"/media", nil)
	if err == nil || response == nil || response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("let in: %v, %v", response, err)
	}
	w.media.mu.Lock()
	w.media.closeAll() // as after Grace
	w.media.mu.Unlock()
	x.closed(wire.CloseRestart)
	y.closed(wire.CloseRestart)
	w.hub.Reopen()
	w.media.Reopen()
	w.pair()
}

// TestSilent: who says no hello, or then nothing at all, not even by its browser, is gone.
func TestSilent(t *testing.T) {
	w := start(t, signaling.Config{}, Config{Timing: Timing{Hello: time.Millisecond}})
	if why := w.end().closed(wire.CloseBadHello); why != string(wire.CodeBadMessage) {
		t.Errorf("no hello: error %q", why)
	}
	w = start(t, signaling.Config{}, Config{Timing: Timing{Ping: time.Hour}})
	a, b := w.person("room"), w.person("room")
	x := a.open(b)
	x.want(`{"type":"ready","here":false}`)
	w.media.mu.Lock()
	var k *socket
	for k = range w.media.sockets {
	}
	w.media.mu.Unlock()
	pinged := false
	x.ws.SetPingHandler(func(string) error {
		pinged = true
		return nil
	})
	k.tick()
	k.heard.Add(-int64(2*time.Hour + time.Second))
	k.tick()
	if x.closed(wire.CloseSilent); !pinged {
		t.Error("closed without a ping")
	}
}
