package signaling

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"turnhub/signaling/internal/wire"
)

// Many clients do everything at once over real sockets that break, while the
// relay asks, the console looks and the operator revokes. Nothing may stick,
// race or be left over.
func TestStress(t *testing.T) {
	for name, start := range servers {
		t.Run(name, func(t *testing.T) { stress(t, start) })
	}
}

func stress(t *testing.T, start func(testing.TB, Config) (*Hub, string)) {
	clients, rounds := 16, 20
	if testing.Short() {
		clients, rounds = 8, 8
	}
	var hub *Hub
	h, url := start(t, Config{
		Limits: Limits{MessagesPerSecond: 1 << 20},
		Timing: Timing{Away: time.Millisecond, Window: 30 * time.Millisecond, Ack: time.Millisecond},
		OnChange: func(sessions ...string) {
			for _, s := range sessions {
				hub.Together(sessions[0], s)
				hub.Seen(s, netip.MustParseAddr("127.0.0.1"))
			}
		},
		IceConfig: func(string, string, uint16) (json.RawMessage, time.Duration) {
			return json.RawMessage(`{"iceServers":[]}`), time.Second
		},
	})
	h.ring = 20 * time.Millisecond
	hub = h
	stop := make(chan struct{})
	var watchers, workers sync.WaitGroup
	watchers.Add(1)
	go func() {
		defer watchers.Done()
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			h.Stats()
			for _, c := range h.Calls() {
				h.Together(c.From, c.Peer)
				if i%7 == 0 {
					h.EndCall(c.ID)
				}
			}
			for j, s := range h.Sessions() {
				h.Together(s.ID, "s_x")
				if (i+j)%97 == 0 {
					h.Revoke(s.ID)
				}
			}
			h.RefreshConfig()
			time.Sleep(time.Millisecond)
		}
	}()
	// Goes on until everything that it is about has happened.
	enough := func() bool {
		st := h.Stats()
		return st.Resumed > 0 && st.Closed["replaced"] > 0 && st.Closed["revoked"] > 0 && st.Ended["timeout"] > 0
	}
	deadline := time.Now().Add(3 * patience)
	for n := range clients {
		workers.Add(1)
		go func() {
			defer workers.Done()
			rng := rand.New(rand.NewPCG(uint64(n), 7))
			hello := fmt.Sprintf(`{"type":"hello","user":"u%d","userSecret":"12345678"`, n%8)
			resume := ""
			for round := 0; round < rounds || !enough() && time.Now().Before(deadline); round++ {
				ws, _, err := dialer.Dial(url, nil)
				if err != nil {
					t.Error(err)
					return
				}
				stressSocket(rng, ws, hello, &resume)
				if rng.IntN(3) > 0 {
					ws.Close()
				} else {
					// A second socket will replace it, or it is found silent.
					defer ws.Close()
				}
			}
		}()
	}
	workers.Wait()
	close(stop)
	watchers.Wait()
	h.Close()
	st := h.Stats()
	if st.Sockets != 0 {
		t.Fatalf("%d sockets are left", st.Sockets)
	}
	if !enough() {
		t.Errorf("too little has happened: %+v", st)
	}
	for _, s := range h.directory.members.All() {
		h.node.End(s.ref, "lost", wire.CloseRevoked)
	}
	// A session that its timer is ending just now is off the directory before it is off
	// the node.
	for until := time.Now().Add(patience); h.Stats().Sessions != 0 && time.Now().Before(until); {
		time.Sleep(time.Millisecond)
	}
	d := h.directory
	if len(d.users) != 0 || len(d.byCall) != 0 || d.rooms.Len() != 0 || h.Stats().Sessions != 0 {
		t.Fatalf("left over: %d users, %d calls, %d rooms, %d people", len(d.users), len(d.byCall), d.rooms.Len(), h.Stats().Sessions)
	}
}

// stressSocket uses one socket for a while.
func stressSocket(rng *rand.Rand, ws *websocket.Conn, hello string, resume *string) {
	if err := ws.WriteMessage(websocket.TextMessage, []byte(hello+*resume+"}")); err != nil {
		return
	}
	_ = ws.SetReadDeadline(time.Now().Add(patience))
	var w struct {
		Session string
		Ack     int
		Resume  struct{ Token string }
	}
	if ws.ReadJSON(&w) != nil || w.Session == "" {
		*resume = ""
		return
	}
	var mu sync.Mutex
	var peers, calls []string
	got := 0
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			var f frame
			if ws.ReadJSON(&f) != nil {
				return
			}
			mu.Lock()
			if n := f.num("seq"); n > 0 {
				got = n
			}
			if p := f.str("peer"); p != "" {
				peers = append(peers, p)
			}
			if c := f.str("call"); c != "" {
				calls = append(calls, c)
			}
			mu.Unlock()
		}
	}()
	pick := func(from *[]string) string {
		mu.Lock()
		defer mu.Unlock()
		list := *from
		if len(list) == 0 {
			return "x"
		}
		return list[rng.IntN(len(list))]
	}
	seq := w.Ack
	for range rng.IntN(20) {
		var text string
		switch rng.IntN(9) {
		case 0, 1:
			text = fmt.Sprintf(`"join","room":"r%d","first":1`, rng.IntN(4))
		case 2:
			text = fmt.Sprintf(`"leave","room":"r%d"`, rng.IntN(4))
		case 3:
			text = fmt.Sprintf(`"signal","to":%q,"data":{"n":1}`, pick(&peers))
		case 4:
			text = fmt.Sprintf(`"message","room":"r%d","data":"hi"`, rng.IntN(4))
		case 5:
			text = fmt.Sprintf(`"invite","user":"u%d"`, rng.IntN(8))
		case 6:
			text = fmt.Sprintf(`"accept","call":%q`, pick(&calls))
		case 7:
			text = fmt.Sprintf(`"hangup","call":%q`, pick(&calls))
		case 8:
			text = fmt.Sprintf(`"subscribe","users":["u%d"]`, rng.IntN(8))
		}
		seq++
		mu.Lock()
		text = fmt.Sprintf(`{"type":%s,"id":%d,"seq":%d,"ack":%d}`, text, seq, seq, got)
		mu.Unlock()
		if ws.WriteMessage(websocket.TextMessage, []byte(text)) != nil {
			break
		}
	}
	*resume = ""
	switch rng.IntN(4) {
	case 0:
		_ = ws.WriteMessage(websocket.TextMessage, []byte(`{"type":"bye"}`))
	default:
		mu.Lock()
		*resume = fmt.Sprintf(`,"resume":{"session":%q,"token":%q,"seq":%d}`, w.Session, w.Resume.Token, got)
		mu.Unlock()
	}
	_ = ws.SetReadDeadline(time.Now().Add(time.Duration(rng.IntN(5)) * time.Millisecond))
	<-done
}
