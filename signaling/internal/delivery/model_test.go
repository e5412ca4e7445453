package delivery

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"turnhub/internal/access"
	"turnhub/signaling/internal/timers"
	"turnhub/signaling/internal/wire"
)

// The model of delivery: one client and the hub say numbered things to each other
// over sockets that lose, repeat and break at random, while a client comes back in
// time or too late, twice at once, and through a server that is going down. What a
// floor above would see is checked against lists: each side has been told exactly
// what the other has said, in that order, once, for as long as their session lived.

// heard is the floor above: it writes down what it is told, and the messages.
type heard struct {
	t        *testing.T
	post     Post
	sessions map[Ref]*heardSession
	latest   Ref
	hold     func(Ref) // what else happens with a message; nil: nothing
	again    int       // messages that were handled on another node before
}

type heardSession struct {
	id      string
	said    []string // by the client
	told    []string // to the client
	away    bool
	reached int
	ended   string
}

func (h *heard) Opened(o Opening) *wire.Fault {
	if o.Session == 0 || h.sessions[o.Session] != nil {
		h.t.Fatalf("session %d opens twice", o.Session)
	}
	h.sessions[o.Session] = &heardSession{id: o.ID}
	h.latest = o.Session
	return nil
}

func (h *heard) live(ref Ref, what string) *heardSession {
	s := h.sessions[ref]
	if s == nil || s.ended != "" {
		h.t.Fatalf("%s of session %d, which is not there: %+v", what, ref, s)
	}
	return s
}

func (h *heard) Reached(ref Ref, _ Standing) { h.live(ref, "Reached").reached++ }

func (h *heard) Message(ref Ref, m *wire.Message) *wire.Fault {
	s := h.live(ref, "Message")
	_, again := h.post.Numbered(ref)
	if again {
		h.again++
	} else {
		s.said = append(s.said, string(m.Data))
	}
	if h.hold != nil {
		h.hold(ref)
	}
	return nil
}

func (h *heard) Away(ref Ref, away bool) {
	s := h.live(ref, "Away")
	if s.away == away {
		return // it came back before this was told
	}
	s.away = away
}

func (h *heard) Ended(ref Ref, reason string) { h.live(ref, "Ended").ended = reason }

// streamModel is one client, what it knows, and what is on its way.
type streamModel struct {
	t     *testing.T
	rng   *rand.Rand
	node  *Node
	above *heard
	now   time.Time
	trace []string

	id, token string
	ref       Ref
	alive     bool      // the hub must still have the session
	end       time.Time // until when it waits for a socket; zero: it has one
	sent      uint64    // by the client
	acked     uint64    // of these, by the hub
	handled   uint64    // of the hub's, by the client
	outbox    []string  // what the client has said, from 1
	got       []string  // what it was told
	said      int       // by both, for distinct texts

	socket *Carried
	old    []*Carried // sockets that the client has left, and the hub may not have noticed
	up     []string
	down   []frameText
	open   bool // the client believes in its socket
}

type frameText struct {
	Type    string `json:"type"`
	Seq     uint64 `json:"seq"`
	Ack     uint64 `json:"ack"`
	Data    string `json:"data"`
	Resumed bool   `json:"resumed"`
}

func newStreamModel(t *testing.T, seed uint64) *streamModel {
	m := &streamModel{t: t, rng: rand.New(rand.NewPCG(seed, 2)), now: time.Unix(1e9, 0)}
	m.above = &heard{t: t, sessions: make(map[Ref]*heardSession)}
	m.node = newModelNode(m, nil)
	m.above.post = m.node
	m.log("seed %d", seed)
	return m
}

func newModelNode(m *streamModel, mirror Mirror) *Node {
	clock := func() time.Time { return m.now }
	return New(Config{
		Meaning: m.above, Timers: timers.New(), Now: clock, Day: clock, Log: slog.New(slog.DiscardHandler),
		Timing: Timing{Heartbeat: 1000 * time.Hour}, Limits: Limits{MessagesPerSecond: 1 << 20}, Mirror: mirror,
	})
}

func (m *streamModel) log(format string, args ...any) {
	m.trace = append(m.trace, fmt.Sprintf(format, args...))
}

func (m *streamModel) fail(format string, args ...any) {
	m.t.Helper()
	m.t.Fatalf("%s\nafter:\n%s", fmt.Sprintf(format, args...), strings.Join(m.trace, "\n"))
}

// step lets time pass; timers fire at their own time.
func (m *streamModel) step(d time.Duration) {
	to := m.now.Add(d)
	for {
		next := m.node.timers.Run(m.now)
		if next.IsZero() || next.After(to) {
			break
		}
		m.now = next
	}
	m.now = to
	if m.alive && !m.end.IsZero() && !m.end.After(to) {
		m.alive = false
	}
}

// connect gives the client a new socket, and its hello goes through at once.
func (m *streamModel) connect() {
	if m.socket != nil {
		m.old = append(m.old, m.socket)
	}
	m.socket = m.node.Carry(netip.Addr{}, netip.Addr{}, access.Claims{})
	hello := `{"type":"hello"`
	if m.id != "" {
		hello += fmt.Sprintf(`,"resume":{"session":%q,"token":%q,"seq":%d}`, m.id, m.token, m.handled)
	}
	m.up, m.down, m.open = nil, nil, true
	m.socket.Say([]byte(hello+"}"), m.now)
	m.pull()
	if len(m.down) == 0 || m.down[0].Type != "welcome" || m.down[0].Resumed != m.alive {
		m.fail("the session is alive: %v; welcome %+v", m.alive, m.down)
	}
	w := m.down[0]
	m.down = m.down[1:]
	m.end = time.Time{}
	if !m.alive {
		m.over()
		m.id, m.token = m.socket.Session()
		m.ref = m.above.latest
		m.alive, m.sent, m.acked, m.handled, m.outbox, m.got = true, 0, 0, 0, nil, nil
		return
	}
	m.acked = w.Ack
	m.up = append(m.up, m.outbox[w.Ack:]...)
}

// over checks a session that has ended: both have heard the beginning of what the
// other has said, without a gap.
func (m *streamModel) over() {
	if m.id == "" {
		return
	}
	s := m.above.sessions[m.ref]
	if s.ended == "" {
		m.fail("session %d has not ended", m.ref)
	}
	m.compare(s)
}

func (m *streamModel) compare(s *heardSession) {
	for i, text := range s.said {
		if i >= len(m.outbox) || !strings.Contains(m.outbox[i], text) {
			m.fail("the hub has heard %q, the client has said %q", s.said, m.outbox)
		}
	}
	if len(m.got) > len(s.told) || !slices.Equal(m.got, s.told[:len(m.got)]) {
		m.fail("the client has heard %q, the hub has said %q", m.got, s.told)
	}
}

// pull takes what the hub has to say onto the way.
func (m *streamModel) pull() {
	frames := m.socket.Take()
	for len(frames) > 0 {
		length, head := int(frames[1]), 2
		if length == 126 {
			length, head = int(frames[2])<<8|int(frames[3]), 4
		}
		if frames[0]&0xf == 1 {
			var f frameText
			if err := json.Unmarshal(frames[head:head+length], &f); err != nil {
				m.fail("%s: %v", frames[head:head+length], err)
			}
			m.down = append(m.down, f)
		}
		frames = frames[head+length:]
	}
}

// take lets the client handle what has come first.
func (m *streamModel) take() {
	if len(m.down) == 0 {
		return
	}
	f := m.down[0]
	m.down = m.down[1:]
	m.acked = max(m.acked, f.Ack)
	if m.acked > m.sent {
		m.fail("the hub acknowledges %d of %d", m.acked, m.sent)
	}
	if f.Type == "error" {
		m.fail("the client is told %+v", f)
	}
	if f.Seq == 0 {
		return
	}
	if f.Seq != m.handled+1 {
		m.fail("number %d after %d", f.Seq, m.handled)
	}
	m.handled = f.Seq
	m.got = append(m.got, f.Data)
}

// lose lets the hub see that the client's socket is gone.
func (m *streamModel) lose(goingAway bool) {
	if m.socket == nil || !m.socket.Current() {
		return
	}
	m.socket.Lost(goingAway)
	m.up, m.down, m.open = nil, nil, false
	window := m.node.timing.Window
	if goingAway {
		window = pageWindow
	}
	m.end = m.now.Add(window)
}

// act does one random thing.
func (m *streamModel) act() {
	m.step(time.Duration(1 + m.rng.IntN(1000)))
	if m.socket == nil {
		m.connect()
		return
	}
	switch x := m.rng.IntN(100); {
	case x < 22: // the client says something
		m.said++
		m.sent++
		text := fmt.Sprintf(`{"type":"x","data":"c%d","seq":%d,"ack":%d}`, m.said, m.sent, m.handled)
		m.outbox = append(m.outbox, text)
		if m.open {
			m.up = append(m.up, text)
		}
	case x < 42: // the hub does
		m.said++
		text := fmt.Sprintf("h%d", m.said)
		if s := m.above.sessions[m.ref]; s.ended == "" {
			s.told = append(s.told, text)
		}
		reached := m.node.Send(m.ref, 0, wire.Begin("y", 16).Text("data", text))
		if reached != (m.alive && m.end.IsZero()) {
			m.fail("reached: %v; alive %v, waits since %v", reached, m.alive, m.end)
		}
	case x < 62: // something arrives at the hub, perhaps once more
		if len(m.up) > 0 {
			text := m.up[0]
			m.up = m.up[1:]
			m.socket.Say([]byte(text), m.now)
			if m.rng.IntN(8) == 0 {
				m.socket.Say([]byte(text), m.now)
			}
		}
	case x < 82: // something arrives at the client
		if m.open {
			m.pull()
			m.take()
		}
	case x < 86: // what is on its way is lost, and the client knows
		m.log("lost on the way")
		m.up, m.down, m.open = nil, nil, false
	case x < 90:
		m.log("the hub sees the loss")
		m.lose(m.rng.IntN(4) == 0)
	case x < 94:
		m.log("the client connects")
		m.connect()
	case x < 95: // a socket from before is found to be gone
		if len(m.old) > 0 {
			m.old[m.rng.IntN(len(m.old))].Lost(false)
		}
	case x < 96:
		m.log("the hub ends the session")
		m.node.End(m.ref, "revoked", wire.CloseRevoked)
		m.alive = false
	case x < 97:
		m.log("ping")
		if m.open && len(m.up) == 0 {
			m.socket.Say(fmt.Appendf(nil, `{"type":"ping","ack":%d}`, m.handled), m.now)
		}
	default:
		pause := time.Duration(m.rng.IntN(50_000)) * time.Millisecond
		m.log("%v pass", pause)
		m.step(pause)
	}
}

// settle lets everything arrive: then each has heard all that the other has said.
func (m *streamModel) settle() {
	m.connect()
	for len(m.up) > 0 {
		m.socket.Say([]byte(m.up[0]), m.now)
		m.up = m.up[1:]
	}
	for m.pull(); len(m.down) > 0; m.pull() {
		for len(m.down) > 0 {
			m.take()
		}
	}
	s := m.above.live(m.ref, "the end")
	m.compare(s)
	if len(s.said) != len(m.outbox) || len(m.got) != len(s.told) {
		m.fail("the hub has heard %d of %d, the client %d of %d", len(s.said), len(m.outbox), len(m.got), len(s.told))
	}
	// An acknowledged message is not kept, and a session that ends leaves nothing.
	m.socket.Say(fmt.Appendf(nil, `{"type":"ack","ack":%d}`, m.handled), m.now)
	if online, waiting := m.node.Look(m.ref); !online || waiting != 0 {
		m.fail("online %v, %d messages wait", online, waiting)
	}
	m.node.End(m.ref, "revoked", wire.CloseRevoked)
	if n, c := m.node.timers.Len(), m.node.Counts(); n != 0 || c.Sessions != 0 || m.node.byID.Len() != 0 || m.node.session(m.ref) != nil {
		m.fail("left over: %d timers, %d sessions", n, c.Sessions)
	}
}

// TestStreams plays random schedules, each of which it can repeat from its seed.
func TestStreams(t *testing.T) {
	schedules := 2_000 // of about 150 steps
	if os.Getenv("E2E_LONG") != "" {
		schedules = 100_000
	}
	first := uint64(time.Now().UnixNano())
	t.Logf("seeds from %d", first)
	for i := range schedules {
		m := newStreamModel(t, first+uint64(i))
		m.connect()
		for range 50 + m.rng.IntN(200) {
			m.act()
		}
		m.settle()
	}
}
