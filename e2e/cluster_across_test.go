package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"turnhub/cluster/natstest"
)

// stayer is a client that stays on the node that it has come to, whichever that is, joins
// its rooms there and talks all the time. When its node dies it goes to the next one. It
// writes down what was answered, and which sessions had to hear it.
type stayer struct {
	name  string
	rooms []string

	mu       sync.Mutex
	quiet    bool
	session  string
	waiting  map[int]*said                // by id
	peers    map[string]map[string]string // names by session, by room
	answered []*said
	heard    map[string]bool // session and text
	last     map[string]int  // by our session and the sender's: the highest number heard
	dead     map[string]bool // sessions of ours that have ended
	left     int             // how often somebody has left
	checked  int             // of answered, after the last kill
	faults   []string
}

// said is one message, and whom it has to reach.
type said struct {
	text string
	room string
	to   map[string]bool // sessions
}

func (s *stayer) get(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *stayer) fault(format string, args ...any) {
	if len(s.faults) < 5 {
		s.faults = append(s.faults, s.name+": "+fmt.Sprintf(format, args...))
	}
}

func (s *stayer) live(ctx context.Context, urls []string) {
	for at, number := 0, 0; ctx.Err() == nil; at++ {
		s.visit(ctx, urls[at%len(urls)], &number)
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// visit is one session.
func (s *stayer) visit(ctx context.Context, url string, number *int) {
	dialer := websocket.Dialer{Subprotocols: []string{"turnhub.v1"}, HandshakeTimeout: 5 * time.Second}
	socket, _, err := dialer.DialContext(ctx, url, nil)
	if err != nil {
		return
	}
	defer socket.Close()
	ended := context.AfterFunc(ctx, func() { _ = socket.SetReadDeadline(time.Now()) })
	defer ended()
	_ = socket.SetReadDeadline(time.Now().Add(5 * time.Minute))
	var write sync.Mutex
	seq, got := 0, 0
	say := func(text string, args ...any) {
		write.Lock()
		defer write.Unlock()
		seq++
		_ = socket.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, `{%s,"seq":%d,"ack":%d}`, fmt.Sprintf(text, args...), seq, got))
	}
	_ = socket.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, `{"type":"hello","name":%q}`, s.name))
	s.get(func() {
		s.session, s.waiting, s.peers = "", make(map[int]*said), make(map[string]map[string]string)
	})
	for _, room := range s.rooms {
		say(`"type":"join","room":%q`, room)
	}
	over := make(chan struct{})
	var group sync.WaitGroup
	defer group.Wait()
	defer close(over)
	group.Go(func() {
		talk := time.NewTicker(10 * time.Millisecond)
		defer talk.Stop()
		for {
			select {
			case <-over:
				return
			case <-talk.C:
			}
			var m *said
			id := 0
			direct := false
			s.get(func() {
				room := s.rooms[rand.N(len(s.rooms))]
				if s.quiet || s.peers[room] == nil || len(s.waiting) > 100 {
					return
				}
				*number++
				id = *number + 1000
				m = &said{text: fmt.Sprintf("%s %d", s.session, *number), room: room, to: make(map[string]bool)}
				for peer := range s.peers[room] {
					if direct = rand.N(3) == 0; direct {
						m.to = map[string]bool{peer: true}
						break
					}
					m.to[peer] = true
				}
				s.waiting[id] = m
			})
			switch {
			case m == nil:
			case direct:
				for peer := range m.to {
					say(`"type":"message","to":%q,"data":%q,"id":%d`, peer, m.text, id)
				}
			default:
				say(`"type":"message","room":%q,"data":%q,"id":%d`, m.room, m.text, id)
			}
		}
	})
	for {
		_, b, err := socket.ReadMessage()
		if err != nil {
			s.get(func() { s.dead[s.session], s.peers = true, nil })
			return
		}
		var m struct {
			Type, Room, Peer, Name, Code, Session, From string
			ID, Seq                                     int
			Data                                        json.RawMessage
			Peers                                       []struct{ Peer, Name string }
		}
		_ = json.Unmarshal(b, &m)
		write.Lock()
		got = max(got, m.Seq)
		write.Unlock()
		s.get(func() {
			if m.Session != "" && m.Type == "welcome" {
				s.session = m.Session
			}
			s.take(m.Type, m.Room, m.Peer, m.Name, m.Code, m.From, m.ID, m.Data, b)
			if m.Type == "joined" {
				s.peers[m.Room] = make(map[string]string)
				for _, p := range m.Peers {
					s.peers[m.Room][p.Peer] = p.Name
				}
			}
		})
	}
}

func (s *stayer) take(kind, room, peer, name, code, from string, id int, data json.RawMessage, b []byte) {
	switch kind {
	case "peer-joined":
		if _, twice := s.peers[room][peer]; twice {
			s.fault("%s has joined %s twice", peer, room)
		}
		s.peers[room][peer] = name
	case "peer-left":
		s.left++
		delete(s.peers[room], peer)
		for _, m := range s.waiting {
			if m.room == room {
				delete(m.to, peer)
			}
		}
	case "ok":
		if m := s.waiting[id]; m != nil {
			delete(s.waiting, id)
			s.answered = append(s.answered, m)
		}
	case "error":
		if m := s.waiting[id]; m == nil || code != "rate" && code != "not-in-room" {
			s.fault("%s", b)
		}
		delete(s.waiting, id)
	case "message":
		var text string
		var number int
		_ = json.Unmarshal(data, &text)
		_, _ = fmt.Sscanf(text, from+" %d", &number)
		key := s.session + " " + from
		if s.heard[s.session+" "+text] || number <= s.last[key] {
			s.fault("%q after %d", text, s.last[key])
		}
		s.heard[s.session+" "+text], s.last[key] = true, number
		if s.peers[room][from] == "" && room != "" {
			s.fault("%q of somebody who is not in %s", text, room)
		}
	}
}

// allTogether waits until all see each other.
func allTogether(t *testing.T, all []*stayer, when string) {
	t.Helper()
	for _, s := range all {
		for _, room := range s.rooms {
			var want []string
			for _, o := range all {
				if o != s && slices.Contains(o.rooms, room) {
					want = append(want, o.name)
				}
			}
			slices.Sort(want)
			until(t, s.name+" is with all others in "+room+" "+when, func() (is bool) {
				s.get(func() { is = slices.Equal(slices.Compact(slices.Sorted(maps.Values(s.peers[room]))), want) }) // who has not resumed is there twice for a while
				return is
			})
		}
	}
}

// heardAll waits until whatever was answered has come to all who live now, and returns how
// much that was.
func heardAll(t *testing.T, all []*stayer) (owed int) {
	t.Helper()
	owners := make(map[string]*stayer)
	for _, s := range all {
		s.get(func() { owners[s.session] = s })
	}
	for _, s := range all {
		var answered []*said
		s.get(func() { answered, s.checked = s.answered[s.checked:], len(s.answered) })
		for _, m := range answered {
			for session := range m.to {
				if o := owners[session]; o != nil {
					owed++
					until(t, fmt.Sprintf("%q, which was answered, at %s", m.text, o.name), func() (is bool) {
						o.get(func() { is = o.heard[session+" "+m.text] || o.dead[session] })
						return is
					})
				}
			}
		}
	}
	return owed
}

// TestAcrossNodes: people who stay on the node that they have come to are together all the
// same. One of three nodes after the other is killed while they talk: nobody who lives
// misses anything that was answered, or hears it twice or out of order, and those whose node
// has died are together with the rest again on another one.
func TestAcrossNodes(t *testing.T) {
	rounds := 1
	if os.Getenv("E2E_LONG") != "" {
		rounds = 200
		if n, err := strconv.Atoi(os.Getenv("E2E_KILLS")); err == nil {
			rounds = n
		}
	}
	t.Parallel()
	nats := natstest.Start(t, true)
	nodes := startNodes(t, nats, map[string]map[string]any{"limits": {"messages_per_second": 100_000, "connections_per_ip": 1000}})
	var urls []string
	for _, n := range nodes {
		urls = append(urls, fmt.Sprintf("ws://127.0.0.1:%d/ws", n.port))
	}
	knowEachOther(t, nodes)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var all []*stayer
	var group sync.WaitGroup
	for i := range 9 {
		s := &stayer{
			name: fmt.Sprint("s", i), rooms: []string{"blue", []string{"green", "red", "pink"}[i/3]},
			heard: make(map[string]bool), last: make(map[string]int), dead: make(map[string]bool),
		}
		all = append(all, s)
		group.Go(func() { s.live(ctx, slices.Concat(urls[i%3:], urls[:i%3])) })
	}
	defer group.Wait()
	defer cancel()
	allTogether(t, all, "at first")
	kept := 0
	for round := range rounds {
		n := nodes[round%3]
		time.Sleep(rand.N(200 * time.Millisecond)) // at any moment
		n.kill(t)
		allTogether(t, all, fmt.Sprintf("after kill %d", round+1))
		kept += heardAll(t, all)
		n.run(t)
		knowEachOther(t, nodes)
		if t.Failed() {
			return
		}
	}
	// NATS is away for a while, with all that it kept in memory, and it may have died before all
	// have heard who goes on with the sessions of the node that was killed last: what is said to
	// other nodes waits, and nobody is lost to anybody.
	var before []int
	for _, s := range all {
		s.get(func() { before = append(before, s.left) })
	}
	if os.Getenv("E2E_LONG") != "" {
		nats.Kill()
		time.Sleep(3 * time.Second)
		nats.Run()
		knowEachOther(t, nodes)
	}
	for i, s := range all {
		s.get(func() { s.quiet = true })
		until(t, "all is answered", func() (is bool) { s.get(func() { is = len(s.waiting) == 0 }); return is })
		s.get(func() {
			if os.Getenv("E2E_LONG") != "" && s.left != before[i] { // else those of the killed node who came as somebody new
				t.Errorf("%s was told %d times that somebody has left while NATS was away", s.name, s.left-before[i])
			}
		})
	}
	for _, s := range all {
		until(t, "all is answered", func() (is bool) { s.get(func() { is = len(s.waiting) == 0 }); return is })
	}
	heardAll(t, all)
	cancel()
	group.Wait()
	owners := make(map[string]*stayer)
	for _, s := range all {
		owners[s.session] = s
		delete(s.dead, s.session) // it was there to the end
	}
	answered, owed := 0, 0
	for _, s := range all {
		for _, f := range s.faults {
			t.Error(f)
		}
		for _, m := range s.answered {
			answered++
			for session := range m.to {
				o := owners[session]
				if o == nil {
					continue // it has died with its node
				}
				if owed++; !o.heard[session+" "+m.text] {
					t.Errorf("%q was answered, and %s has not heard it", m.text, o.name)
				}
			}
		}
	}
	t.Logf("%d kills: %d messages were answered; %d receptions were owed to sessions that lived through a kill, and %d to those that lived to the end", rounds, answered, kept, owed)
	if owed < 200 {
		t.Errorf("only %d had to be heard", owed)
	}
}
