package e2e

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"turnhub/cluster/natstest"
)

// survivor is a client whose session goes on whatever happens to its node: it keeps what was
// not acknowledged, and resumes on whichever node lets it. All of them are in one room, and
// what each says all others must hear, once and in order.
type survivor struct {
	name string
	urls []string

	mu       sync.Mutex
	at       int
	session  string
	token    string
	got      int
	seq      int
	acked    int
	outbox   map[int]string
	peers    map[string]bool
	number   int
	heard    map[string]int // by sender, the highest
	moved    int            // how often it has resumed on another node
	longest  time.Duration
	lostAt   time.Time
	quiet    bool
	faults   []string
	socket   *websocket.Conn
	answered int
	patience time.Duration // after so long without a word its node is lost to it; 0: never
}

func (s *survivor) fault(format string, args ...any) {
	if len(s.faults) < 5 {
		s.faults = append(s.faults, s.name+": "+fmt.Sprintf(format, args...))
	}
}

// say says a numbered message. mu is held.
func (s *survivor) say(text string, args ...any) {
	s.seq++
	text = fmt.Sprintf(text, args...)
	s.outbox[s.seq] = text
	s.send(s.seq)
}

func (s *survivor) send(seq int) {
	if s.socket != nil {
		_ = s.socket.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, `{%s,"seq":%d,"ack":%d}`, s.outbox[seq], seq, s.got))
	}
}

func (s *survivor) live(ctx context.Context) {
	for ctx.Err() == nil {
		s.visit(ctx)
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// visit is one socket.
func (s *survivor) visit(ctx context.Context) {
	s.mu.Lock()
	at, session, hello := s.at, s.session, fmt.Sprintf(`{"type":"hello","name":%q}`, s.name)
	if session != "" {
		hello = fmt.Sprintf(`{"type":"hello","name":%q,"resume":{"session":%q,"token":%q,"seq":%d}}`, s.name, session, s.token, s.got)
	}
	s.mu.Unlock()
	next := func() {
		s.mu.Lock()
		s.at = (s.at + 1) % len(s.urls)
		s.mu.Unlock()
	}
	dialer := websocket.Dialer{Subprotocols: []string{"turnhub.v1"}, HandshakeTimeout: cmp.Or(s.patience, 5*time.Second)}
	socket, _, err := dialer.DialContext(ctx, s.urls[at], nil)
	if err != nil {
		next()
		return
	}
	defer socket.Close()
	ended := context.AfterFunc(ctx, func() { _ = socket.SetReadDeadline(time.Now()) })
	defer ended()
	_ = socket.WriteMessage(websocket.TextMessage, []byte(hello))
	welcome := false
	for {
		if s.patience > 0 && ctx.Err() == nil {
			_ = socket.SetReadDeadline(time.Now().Add(s.patience))
		}
		_, b, err := socket.ReadMessage()
		s.mu.Lock()
		if err != nil {
			s.socket = nil
			if welcome {
				s.lostAt = time.Now()
			}
			s.mu.Unlock()
			if !welcome {
				next()
			}
			return
		}
		var m struct {
			Type, Room, Peer, Code, Session, From string
			Resumed                               bool
			Resume                                struct{ Token string }
			ID, Seq, Ack                          int
			Data                                  json.RawMessage
			Peers                                 []struct{ Peer string }
		}
		_ = json.Unmarshal(b, &m)
		if m.Seq > 0 {
			if m.Seq != s.got+1 {
				s.fault("number %d after %d", m.Seq, s.got)
			}
			s.got = m.Seq
			if s.got%32 == 0 { // who speaks nothing itself is held against the others else
				_ = socket.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, `{"type":"ack","ack":%d}`, s.got))
			}
		}
		for s.acked < m.Ack {
			s.acked++
			delete(s.outbox, s.acked)
		}
		switch m.Type {
		case "welcome":
			welcome = true
			if session != "" && !m.Resumed && ctx.Err() == nil {
				s.fault("a fresh session after the loss of %s", s.urls[at])
			}
			if session != "" && !s.lostAt.IsZero() {
				s.longest = max(s.longest, time.Since(s.lostAt))
				s.lostAt = time.Time{}
				s.moved++
			}
			s.session, s.token, s.socket = m.Session, m.Resume.Token, socket
			if session == "" {
				s.say(`"type":"join","room":"blue"`)
			} else {
				for seq := s.acked + 1; seq <= s.seq; seq++ {
					s.send(seq)
				}
			}
		case "joined":
			for _, p := range m.Peers {
				s.peers[p.Peer] = true
			}
		case "peer-joined":
			if s.peers[m.Peer] {
				s.fault("%s has joined twice", m.Peer)
			}
			s.peers[m.Peer] = true
		case "peer-left":
			if ctx.Err() == nil {
				s.fault("%s has left: %s", m.Peer, b)
			}
			delete(s.peers, m.Peer)
		case "error":
			s.fault("%s", b)
		case "ok":
			s.answered++
		case "message":
			var number int
			_ = json.Unmarshal(m.Data, &number)
			if number != s.heard[m.From]+1 {
				s.fault("%d of %s after %d", number, m.From, s.heard[m.From])
			}
			s.heard[m.From] = number
		}
		s.mu.Unlock()
	}
}

func (s *survivor) talk(ctx context.Context, among int) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s.mu.Lock()
		if !s.quiet && len(s.peers) == among-1 && len(s.outbox) < 100 {
			s.number++
			s.say(`"type":"message","room":"blue","data":%d,"id":%d`, s.number, s.number)
		}
		s.mu.Unlock()
	}
}

// covered reports whether another node could go on with a node's sessions.
func covered(s *server) bool {
	answer, err := http.Get(s.admin + "/metrics")
	if err != nil {
		return false
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	return strings.Contains(string(text), `turnhub_cluster_up{what="second"} 1`)
}

// TestSessionsOutliveNodes: people on three nodes talk in one room, and one node after the
// other is killed. Their sessions go on, on another node: nobody is told that anybody has
// left, everything that anybody says comes to all others, once and in order, whether or not
// it was answered before the kill.
func TestSessionsOutliveNodes(t *testing.T) {
	t.Parallel()
	outlive(t, roundsOf(3, 100), 0, func(n *server) { n.kill(t) }, func(n *server) { n.run(t) })
}

// TestSessionsOutliveFreezes: as TestSessionsOutliveNodes, but the nodes stand still, each for about
// as long as it takes to be missed: a moment sooner or later it has its sessions still, or another
// one has them.
func TestSessionsOutliveFreezes(t *testing.T) {
	t.Parallel()
	outlive(t, roundsOf(1, 30), 2*time.Second, func(n *server) {
		_ = n.process.Signal(syscall.SIGSTOP)
		time.Sleep(2*time.Second + rand.N(3*time.Second)) // the beat's limit is 3.5 s
		_ = n.process.Signal(syscall.SIGCONT)
	}, func(*server) {})
}

// roundsOf returns how many rounds a test plays: few, or many with E2E_LONG, or E2E_KILLS.
func roundsOf(few, many int) int {
	if os.Getenv("E2E_LONG") == "" {
		return few
	}
	if n, err := strconv.Atoi(os.Getenv("E2E_KILLS")); err == nil {
		return n
	}
	return many
}

// outlive has people talk who lose their nodes one after the other: strike befalls a node, and
// mend ends that. patience is that of the people.
func outlive(t *testing.T, rounds int, patience time.Duration, strike, mend func(*server)) {
	t.Helper()
	nats := natstest.Start(t, true)
	nodes := startNodes(t, nats, map[string]map[string]any{"limits": {"messages_per_second": 100_000, "connections_per_ip": 1000}})
	var urls []string
	for _, n := range nodes {
		urls = append(urls, fmt.Sprintf("ws://127.0.0.1:%d/ws", n.port))
	}
	ready := func() {
		for _, n := range nodes {
			until(t, "all nodes are known", func() bool { p, _ := n.config(t, "room=first"); return len(p.Signalings) == 3 })
			until(t, "another node could go on", func() bool { return covered(n) })
		}
	}
	ready()
	logsOf(t, nodes)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var all []*survivor
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	const people = 6
	for i := range people {
		s := &survivor{name: fmt.Sprint("s", i), patience: patience, urls: slices.Concat(urls[i%3:], urls[:i%3]), outbox: make(map[int]string), peers: make(map[string]bool), heard: make(map[string]int)}
		all = append(all, s)
		group.Go(func() { s.live(ctx) })
		group.Go(func() { s.talk(ctx, people) })
	}
	get := func(s *survivor, f func()) {
		s.mu.Lock()
		defer s.mu.Unlock()
		f()
	}
	together := func(when string) {
		t.Helper()
		for _, s := range all {
			until(t, s.name+" is with all others "+when, func() (is bool) {
				get(s, func() { is = len(s.peers) == people-1 && s.socket != nil })
				return is
			})
			get(s, func() {
				for _, f := range s.faults {
					t.Error(f)
				}
			})
		}
	}
	together("at first")
	for round := range rounds {
		n := nodes[round%3]
		time.Sleep(rand.N(200 * time.Millisecond)) // at any moment
		strike(n)
		together(fmt.Sprintf("after loss %d", round+1))
		mend(n)
		ready()
		if t.Failed() {
			return
		}
	}
	for _, s := range all {
		get(s, func() { s.quiet = true })
	}
	said, moved := 0, 0
	var longest time.Duration
	for _, s := range all {
		until(t, "all is answered", func() (is bool) { get(s, func() { is = s.answered == s.number }); return is })
		for _, o := range all {
			if o != s {
				until(t, fmt.Sprintf("%s has heard all of %s", o.name, s.name), func() (is bool) {
					var number int
					var session string
					get(s, func() { number, session = s.number, s.session })
					get(o, func() { is = o.heard[session] == number })
					return is
				})
			}
		}
		get(s, func() { said += s.number; moved += s.moved; longest = max(longest, s.longest) })
	}
	together("at the end")
	t.Logf("%d losses: %d messages, each heard by %d; sessions resumed %d times, after %v at most", rounds, said, people-1, moved, longest.Round(time.Millisecond))
	if moved < rounds && patience == 0 {
		t.Errorf("only %d sessions have come to another node", moved)
	}
}
