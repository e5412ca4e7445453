package signaling

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"turnhub/signaling/internal/wire"
)

// TestDeparture: everybody is sent away together with those who hear them, to where their
// rooms go; nobody new comes, but who has lost the socket may come back until then.
func TestDeparture(t *testing.T) {
	h, url := newServer(t, Config{})
	hello := func(user string) *client {
		return openClient(t, url, fmt.Sprintf(`{"type":"hello","user":%q,"userSecret":"12345678"}`, user))
	}
	a, b, c, d, alone := hello("a"), hello("b"), hello("c"), hello("d"), hello("alone")
	a.join("blue")
	b.join("blue")
	b.join("green")
	c.say(`{"type":"lobby","room":"green","first":{},"id":2`)
	c.expect("lobby")
	d.say(`{"type":"invite","user":"c","id":3`)
	d.expect("calling")
	d.expectState("ringing")
	leaving := h.Depart()
	late := dial(t, url)
	late.send(`{"type":"hello"}`)
	late.expectClose(wire.CloseRestart)
	a.ws.Close()
	back := dial(t, url)
	back.send(fmt.Sprintf(`{"type":"hello","resume":{"session":%q,"token":%q,"seq":1}}`, a.id, a.token))
	back.got = 1
	if w := back.expect("welcome"); w["resumed"] != true {
		t.Errorf("who was here is let in as %v", w)
	}
	var groups [][]string
	for leaving.Next(time.Second, func(rooms, _ []string, _ string) []string {
		groups = append(groups, rooms)
		if len(rooms) == 0 {
			return nil
		}
		return []string{"wss://b.example.org/ws"}
	}) {
	}
	if gone, all := leaving.Done(); gone != 5 || all != 5 {
		t.Errorf("%d of %d have gone", gone, all)
	}
	slices.SortFunc(groups, func(a, b []string) int { return len(a) - len(b) })
	if fmt.Sprint(groups) != "[[] [blue green]]" {
		t.Errorf("the groups were in %v", groups)
	}
	for _, x := range []*client{back, b, c, d} {
		var m frame
		for m.str("type") != "restart" {
			m = x.read()
		}
		if m.num("after") != 0 || fmt.Sprint(m["signalings"]) != "[wss://b.example.org/ws]" {
			t.Errorf("told %v", m)
		}
		x.expectClose(wire.CloseRestart)
	}
	if m := alone.expect("restart"); m.num("after") != 1000 || m["signalings"] != nil {
		t.Errorf("who has nowhere to go is told %v", m)
	}
	gone := dial(t, url)
	gone.send(fmt.Sprintf(`{"type":"hello","resume":{"session":%q,"token":%q,"seq":1}}`, b.id, b.token))
	gone.expectClose(wire.CloseRestart)
}

// TestDepartureLosesNothing: while people talk in rooms that are sent away one after the
// other, each message that is answered is heard by all who are in the room.
func TestDepartureLosesNothing(t *testing.T) {
	const rooms, people = 8, 4
	h, url := newServer(t, Config{Limits: Limits{MessagesPerSecond: 1 << 20}})
	type talker struct {
		*client
		room     int
		answered []string
		heard    map[string]bool
	}
	var all []*talker
	for r := range rooms {
		for range people {
			x := &talker{client: openClient(t, url, `{"type":"hello"}`), room: r, heard: make(map[string]bool)}
			x.join(fmt.Sprint("room-", r))
			all = append(all, x)
		}
	}
	var group sync.WaitGroup
	talking := make(chan struct{}, len(all))
	for i, x := range all {
		var got atomic.Int64
		waiting, ended := make(chan struct{}, 16), make(chan struct{})
		group.Go(func() {
			for n := 1; ; n++ {
				select {
				case waiting <- struct{}{}: // no more at a time than others can read
				case <-ended:
					return
				}
				text := fmt.Sprintf(`{"type":"message","room":"room-%d","data":"%d/%d","id":%d,"seq":%d,"ack":%d}`, x.room, i, n, n+1, n+1, max(1, got.Load()))
				if x.ws.WriteMessage(websocket.TextMessage, []byte(text)) != nil {
					return
				}
				if n == 60 {
					talking <- struct{}{}
				}
			}
		})
		group.Go(func() {
			defer close(ended)
			defer x.ws.Close()
			_ = x.ws.SetReadDeadline(time.Now().Add(patience))
			for {
				_, b, err := x.ws.ReadMessage()
				if err != nil {
					if !websocket.IsCloseError(err, int(wire.CloseRestart)) {
						t.Errorf("%d ended with %v", i, err)
					}
					return
				}
				var m frame
				_ = json.Unmarshal(b, &m)
				got.Store(max(got.Load(), int64(m.num("seq"))))
				switch m.str("type") {
				case "error":
					<-waiting
				case "ok":
					<-waiting
					x.answered = append(x.answered, fmt.Sprintf("%d/%d", i, m.num("id")-1))
				case "message":
					x.heard[m.str("data")] = true
				}
			}
		})
	}
	for range all {
		<-talking
	}
	leaving := h.Depart()
	for leaving.Next(0, func(_, _ []string, _ string) []string { return []string{"wss://b.example.org/ws"} }) {
	}
	group.Wait()
	answered := 0
	for _, x := range all {
		answered += len(x.answered)
		for _, o := range all {
			if o == x || o.room != x.room {
				continue
			}
			for _, m := range x.answered {
				if !o.heard[m] {
					t.Fatalf("%s was answered and not heard by one in the room", m)
				}
			}
		}
	}
	if answered < 5*len(all) {
		t.Errorf("only %d messages were answered", answered)
	}
}
