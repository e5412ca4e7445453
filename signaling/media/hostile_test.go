package media

import (
	"fmt"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"turnhub/signaling"
	"turnhub/signaling/internal/wire"
	"turnhub/signaling/internal/wstest"
)

// TestGarbage: what is no frame is counted by its reason, goes to nobody, and ends the
// socket at last.
func TestGarbage(t *testing.T) {
	for name, c := range map[string]struct {
		reason string
		say    func(e *end)
	}{
		"short":               {"short", func(e *end) { e.send(numbered(Sound, 1, leastFrame)[:leastFrame-1]) }},
		"empty":               {"short", func(e *end) { e.send(nil) }},
		"kind 0":              {"kind", func(e *end) { e.send(numbered(0, 1, 100)) }},
		"kind 7":              {"kind", func(e *end) { e.send(numbered(7, 1, 100)) }},
		"kind 255":            {"kind", func(e *end) { e.send(numbered(255, 1, 100)) }},
		"a text":              {"text", func(e *end) { e.text(`{"type":"hello"}`) }},
		"a text, no JSON":     {"text", func(e *end) { e.text(`]`) }},
		"a text of 100 KiB":   {"text", func(e *end) { e.text(`{"type":"ping","x":"` + fmt.Sprintf("%0100000d", 1) + `"}`) }},
		"a text that is deep": {"text", func(e *end) { e.text(`{"type":[[[[[[[[[[[[[[]]]]]]]]]]]]]]}`) }},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, signaling.Config{}, Config{})
			_, _, x, y := w.pair()
			w.clock.Stop()
			for range maxBad - 1 {
				c.say(x)
			}
			x.send(numbered(Sound, 7, 100))
			if _, frame := y.next(); Kind(frame[0]) != Sound || frame[8] != 7 {
				t.Errorf("%x came", frame)
			}
			c.say(x)
			if why := x.closed(wire.CloseBadHello); why != string(wire.CodeBadMessage) {
				t.Errorf("error %q", why)
			}
			y.want(`{"type":"peer","here":false}`)
			if n := w.media.Stats().Dropped["unknown"][c.reason]; n != maxBad {
				t.Errorf("%d counted", n)
			}
		})
	}
}

// TestTooBig ends the sender alone.
func TestTooBig(t *testing.T) {
	w := start(t, signaling.Config{}, Config{Timing: Timing{Close: 200 * time.Millisecond}})
	_, _, x, y := w.pair()
	x.send(numbered(Key, 1, FrameSize+1))
	x.closed(wire.CloseTooBig)
	y.want(`{"type":"peer","here":false}`)
	broken := w.end()
	if _, err := broken.ws.NetConn().Write([]byte{0xC1, 0x81, 0, 0, 0, 0, 'x'}); err != nil {
		t.Fatal(err)
	}
	broken.closed(wire.CloseProtocol)
}

// TestMessageFlood: whoever has more waiting for one who does not read than it may is
// ended, and nobody else.
func TestMessageFlood(t *testing.T) {
	w := start(t, signaling.Config{}, Config{Timing: Timing{Write: time.Minute}})
	_, _, x, y := w.pair()
	go func() { // the server ends it under way
		for i := 0; x.ws.WriteMessage(websocket.BinaryMessage, numbered(Message, i, 60_000)) == nil; i++ {
		}
	}()
	if why := x.closed(wire.CloseFlood); why != string(wire.CodeRate) {
		t.Errorf("error %q", why)
	}
	for i := 0; ; i++ { // what was taken comes whole
		text, frame := y.next()
		if text == `{"type":"peer","here":false}` {
			break
		}
		if string(frame[1:9]) != string(numbered(Message, i, 60_000)[1:9]) {
			t.Fatalf("message %d came as %x", i, frame[:9])
		}
	}
}

// limit is an account that lets so many bytes through in each direction.
type limit struct {
	mu       sync.Mutex
	from, to int
	ended    int
}

func (l *limit) take(left *int, n int) (string, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if *left < n {
		return "bandwidth", false
	}
	*left -= n
	return "", true
}

func (l *limit) From(n int) (string, bool) { return l.take(&l.from, n) }
func (l *limit) To(n int) (string, bool)   { return l.take(&l.to, n) }
func (l *limit) End() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended++
}

// TestLimits: each end's account is charged; what it does not let through is dropped, a
// picture with all that build on it, and a message waits, in order.
func TestLimits(t *testing.T) {
	accounts := map[string]*limit{}
	var mu sync.Mutex
	w := start(t, signaling.Config{}, Config{Timing: Timing{Hold: time.Millisecond}, Account: func(session string, client netip.Addr) Account {
		mu.Lock()
		defer mu.Unlock()
		if !client.IsLoopback() {
			t.Errorf("client %v", client)
		}
		accounts[session] = &limit{from: 1000, to: 500}
		return accounts[session]
	}})
	a, b, x, y := w.pair()
	w.clock.Stop()
	x.send(numbered(Key, 1, 400))
	x.send(numbered(Picture, 2, 400)) // over what its receiver may get
	x.send(numbered(Picture, 3, 50))  // builds on it
	for {
		text, frame := x.next()
		if text == `{"type":"key"}` {
			break
		}
		t.Fatalf("%q, %d bytes", text, len(frame))
	}
	if _, frame := y.next(); frame[8] != 1 {
		t.Errorf("frame %d came", frame[8])
	}
	wstest.Until(t, "they are counted", func() bool {
		d := w.media.Stats().Dropped["picture"]
		return d["bandwidth"] == 1 && d["no_key"] == 1
	})
	mu.Lock()
	from, to := accounts[a.id], accounts[b.id]
	mu.Unlock()
	x.send(numbered(Message, 4, 300)) // held up: 150 may be sent, 50 received
	x.send(numbered(Message, 5, 100))
	for range 2 {
		from.mu.Lock()
		from.from += 1000
		from.mu.Unlock()
		to.mu.Lock()
		to.to += 1000
		to.mu.Unlock()
	}
	for _, n := range []byte{4, 5} {
		if _, frame := y.next(); frame[8] != n {
			t.Errorf("frame %d came", frame[8])
		}
	}
	y.ws.Close()
	x.want(`{"type":"peer","here":false}`)
	x.ws.Close()
	wstest.Until(t, "the accounts end", func() bool {
		from.mu.Lock()
		defer from.mu.Unlock()
		to.mu.Lock()
		defer to.mu.Unlock()
		return from.ended == 1 && to.ended == 1
	})
}

// TestFloodOverTheLimits: a sender that goes on far over its limits is ended.
func TestFloodOverTheLimits(t *testing.T) {
	w := start(t, signaling.Config{}, Config{Account: func(string, netip.Addr) Account { return &limit{} }})
	_, _, x, y := w.pair()
	w.clock.Stop() // a flood, however slow the machine is
	go func() {
		for i := 0; x.ws.WriteMessage(websocket.BinaryMessage, numbered(Sound, i, 30)) == nil; i++ {
		}
	}()
	x.closed(wire.CloseFlood)
	y.want(`{"type":"peer","here":false}`)
	if n := w.media.Stats().Dropped["sound"]["bandwidth"]; n < uint64(overRate.Burst)*9/10 {
		t.Errorf("ended after %d", n)
	}
}

// TestFloodToNobody: no allocation's limit holds for what goes to nobody, and a sender that
// goes on with it is ended all the same; nobody else is.
func TestFloodToNobody(t *testing.T) {
	for name, say := range map[string]func(ws *websocket.Conn, i int) error{
		"frames": func(ws *websocket.Conn, i int) error {
			return ws.WriteMessage(websocket.BinaryMessage, numbered(Sound, i, 30))
		},
		"large frames": func(ws *websocket.Conn, i int) error {
			return ws.WriteMessage(websocket.BinaryMessage, numbered(Picture, i, FrameSize))
		},
		"pings": func(ws *websocket.Conn, _ int) error {
			return ws.WriteMessage(websocket.TextMessage, []byte(`{"type":"ping"}`))
		},
		"WebSocket's pings": func(ws *websocket.Conn, _ int) error {
			return ws.WriteControl(websocket.PingMessage, nil, time.Time{})
		},
		"WebSocket's pongs": func(ws *websocket.Conn, _ int) error {
			return ws.WriteControl(websocket.PongMessage, nil, time.Time{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, signaling.Config{}, Config{})
			_, _, y, z := w.pair()
			a, b := w.person("room"), w.person("room")
			x := a.open(b)
			x.want(`{"type":"ready","here":false}`)
			w.clock.Stop() // a flood, however slow the machine is
			sent := make(chan int, 1)
			go func() {
				i := 0
				for ; say(x.ws, i) == nil; i++ {
				}
				sent <- i
			}()
			if why := x.closed(wire.CloseFlood); why != string(wire.CodeRate) {
				t.Errorf("error %q", why)
			}
			x.ws.Close()
			// What a call of two sends in ten seconds in which one of them is away is far less.
			if n := <-sent; name != "large frames" && n < 5000 {
				t.Errorf("ended after %d", n)
			}
			y.send(numbered(Sound, 1, 100))
			if _, frame := z.next(); frame == nil {
				t.Error("the others are disturbed")
			}
		})
	}
}

// TestHalfOpen: sockets without hello count against the limits of their household, who is
// over them is told by the close code, and nobody else is kept out.
func TestHalfOpen(t *testing.T) {
	const most = 50
	address := netip.MustParseAddrPort("192.0.2.1:1000")
	w := start(t, signaling.Config{
		Limits: signaling.Limits{ConnectionsPerIP: most},
		ClientAddress: func(r *http.Request) (netip.AddrPort, bool) {
			if r.Header.Get("X-From") != "" {
				return address, false
			}
			return netip.MustParseAddrPort("198.51.100.1:1000"), false
		},
	}, Config{})
	_, _, x, y := w.pair()
	for i := range most + 20 {
		ws, _, err := websocket.DefaultDialer.Dial(w.url+"/media", http.Header{"X-From": {"elsewhere"}})
		if err != nil {
			t.Fatal(err)
		}
		defer ws.Close()
		if i >= most {
			if _, _, err := wstest.Read(ws); !websocket.IsCloseError(err, int(wire.CloseFull)) {
				t.Errorf("socket %d: %v", i, err)
			}
		}
	}
	if n := w.media.Len(); n != most+2 {
		t.Errorf("%d sockets", n)
	}
	w.clock.Stop()
	x.send(numbered(Sound, 1, 100))
	if _, frame := y.next(); frame == nil {
		t.Error("the others are disturbed")
	}
}

// TestOneOfManyGarbled runs pairs beside each other while one of each sends whatever it
// likes, comes and goes: with the race detector it holds the locks.
func TestOneOfManyGarbled(t *testing.T) {
	w := start(t, signaling.Config{}, Config{Timing: Timing{Ping: 5 * time.Millisecond}})
	var people []*person
	for range 5 {
		people = append(people, w.person("room"))
	}
	var group sync.WaitGroup
	for i, a := range people {
		for j, b := range people {
			if i == j {
				continue
			}
			group.Go(func() {
				for round := range 4 {
					ws, _, err := websocket.DefaultDialer.Dial(w.url+"/media", nil)
					if err != nil {
						t.Error(err)
						return
					}
					first := fmt.Sprintf(`{"type":"hello","session":%q,"token":%q,"peer":%q}`, a.id, a.token, b.id)
					_ = ws.WriteMessage(websocket.TextMessage, []byte(first))
					read := make(chan struct{})
					go func() {
						defer close(read)
						for {
							if _, _, err := wstest.Read(ws); err != nil {
								return
							}
						}
					}()
					for n := range 60 {
						kind := Kind(n*7+round+i) % (kinds + 1)
						_ = ws.WriteMessage(websocket.BinaryMessage, numbered(kind, n, n*50))
						if n%20 == 0 {
							w.media.Recheck(a.id, b.id)
							w.media.Stats()
						}
					}
					ws.Close()
					<-read
				}
			})
		}
	}
	group.Wait()
	wstest.Until(t, "all are gone", func() bool { return w.media.Len() == 0 })
}
