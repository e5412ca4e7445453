package signaling

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"turnhub/signaling/internal/wire"
)

// The model of calls by name: people with several devices invite, accept,
// decline and hang up at random over links that lose what is on its way, break,
// come back within the window or too late. Beside the hub runs a reference that
// knows no sockets, no numbers and no queues. Every device must have been told
// exactly what the reference says, in that order, once; and in the end nobody
// rings.

// modelUsers says whose each device is.
var modelUsers = []string{"ann", "ann", "bob", "bob", "cat"}

// modelDevice is a client over a link that fails.
type modelDevice struct {
	*refDevice // what it must be told in this session

	id, token string
	sent      uint64
	outbox    map[uint64]string
	handled   uint64
	conn      *carried // the server's end of the newest socket
	up        []string // on the way to the server
	down      []frame  // on the way to the client
	broken    bool     // the socket is dead, and the client knows
	got       []string
	calls     map[string]string
}

type model struct {
	t       *testing.T
	rng     *rand.Rand
	hub     *Hub
	dir     *directory
	now     time.Time
	ref     *reference
	devices []*modelDevice
	trace   []string
}

func newModel(t *testing.T, seed uint64) *model {
	m := &model{t: t, rng: rand.New(rand.NewPCG(seed, 1)), now: time.Unix(1e9, 0)}
	m.hub = NewHub(Config{Timing: Timing{Heartbeat: 1000 * time.Hour}, Limits: Limits{ConnectionsPerIP: 1 << 20, MessagesPerSecond: 1 << 20}})
	m.hub.now = func() time.Time { return m.now }
	made := 0
	m.hub.callID = func() string { made++; return fmt.Sprintf("c_%d", made) }
	m.dir = m.hub.directory
	m.ref = &reference{now: m.now, missed: map[string]time.Time{}}
	for _, user := range modelUsers {
		d := &refDevice{user: user}
		m.ref.devices = append(m.ref.devices, d)
		m.devices = append(m.devices, &modelDevice{refDevice: d, broken: true})
	}
	return m
}

func (m *model) log(format string, args ...any) {
	m.trace = append(m.trace, fmt.Sprintf(format, args...))
}

func (m *model) fail(format string, args ...any) {
	m.t.Helper()
	m.t.Fatalf("%s\nafter:\n%s", fmt.Sprintf(format, args...), strings.Join(m.trace, "\n"))
}

// step lets a little or much time pass.
func (m *model) step(d time.Duration) {
	to := m.now.Add(d)
	for {
		// Timers fire at their own time, not all at the end of the step.
		next := m.hub.timers.Run(m.now)
		if next.IsZero() || next.After(to) {
			break
		}
		m.now = next
	}
	m.now = to
	m.ref.advance(to)
}

// connect gives a device a new socket.
func (m *model) connect(i int) {
	d := m.devices[i]
	c := carry(m.hub)
	hello := fmt.Sprintf(`{"type":"hello","user":%q,"userSecret":"a secret of it"`, d.user)
	if d.id != "" {
		hello += fmt.Sprintf(`,"resume":{"session":%q,"token":%q,"seq":%d}`, d.id, d.token, d.handled)
	}
	alive := d.alive
	c.Say([]byte(hello+"}"), m.now)
	if !c.open() {
		m.fail("hello of device %d is refused with %v", i, c.Code())
	}
	d.conn, d.broken, d.up, d.down = c, false, nil, nil
	m.pull(d)
	w := d.down[0]
	d.down = d.down[1:]
	if w.str("type") != "welcome" || w["resumed"] != alive {
		m.fail("device %d: welcome %v, its session is alive: %v", i, w, alive)
	}
	if !alive {
		// The old session's stream has ended: what came of it must be right.
		m.prefix(i)
		d.id, d.token = w.str("session"), w["resume"].(map[string]any)["token"].(string)
		d.sent, d.handled, d.outbox = 0, 0, map[uint64]string{}
		d.got, d.told, d.calls = nil, nil, map[string]string{}
		m.ref.arrive(d.refDevice)
		return
	}
	m.ref.connect(d.refDevice)
	for n := range d.outbox {
		if n <= uint64(w.num("ack")) {
			delete(d.outbox, n)
		}
	}
	for n := uint64(w.num("ack")) + 1; n <= d.sent; n++ {
		d.up = append(d.up, d.outbox[n])
	}
}

// cut loses a device's socket with all that is on its way.
func (m *model) cut(d *modelDevice) { d.up, d.down, d.broken = nil, nil, true }

// notice lets the server see that a socket is dead.
func (m *model) notice(d *modelDevice) {
	if !d.conn.Current() {
		return
	}
	d.conn.Lost(false)
	if d.alive {
		d.online = false
		d.end = m.now.Add(time.Minute)
	}
}

// send sends a numbered message.
func (m *model) send(d *modelDevice, text string) {
	d.sent++
	text += fmt.Sprintf(`,"seq":%d,"ack":%d}`, d.sent, d.handled)
	d.outbox[d.sent] = text
	if !d.broken {
		d.up = append(d.up, text)
	}
}

// deliver lets the server handle the oldest message that is on its way.
func (m *model) deliver(d *modelDevice) {
	if len(d.up) == 0 {
		return
	}
	text := d.up[0]
	d.up = d.up[1:]
	before := d.conn.Handled()
	d.conn.Say([]byte(text), m.now)
	if d.conn.Handled() == before {
		return // it had been handled before
	}
	var msg wire.Message
	msg.Parse([]byte(text))
	switch kind, _ := text2(msg.Type); kind {
	case "invite":
		user, _ := text2(msg.User)
		m.ref.invite(d.refDevice, user)
	case "bye":
		m.ref.tell(d.refDevice, "ok")
		m.ref.gone(d.refDevice, "leave")
		m.cut(d)
	default:
		id, _ := text2(msg.Call)
		m.ref.request(d.refDevice, kind, id)
	}
}

func text2(raw []byte) (string, bool) {
	b, ok := wire.Text(raw)
	return string(b), ok
}

// pull takes what the server has to send onto the way.
func (m *model) pull(d *modelDevice) {
	d.down = append(d.down, pullFrames(m.t, d.conn)...)
}

// take lets the client handle the oldest message that is on its way to it.
func (m *model) take(i int) {
	d := m.devices[i]
	if len(d.down) == 0 {
		return
	}
	f := d.down[0]
	d.down = d.down[1:]
	if f["ack"] != nil {
		for n := range d.outbox {
			if n <= uint64(f.num("ack")) {
				delete(d.outbox, n)
			}
		}
	}
	n := uint64(f.num("seq"))
	if n == 0 {
		return
	}
	if n != d.handled+1 {
		m.fail("device %d: number %d after %d", i, n, d.handled)
	}
	d.handled = n
	id := f.str("call")
	switch f.str("type") {
	case "ok", "error":
		d.got = append(d.got, f.str("type"))
	case "calling":
		d.got = append(d.got, "calling "+id)
		if d.calls[id] == "" {
			d.calls[id] = "ringing"
		}
	case "call":
		d.calls[id] = f.str("state")
		d.got = append(d.got, strings.TrimSpace(f.str("state")+" "+id+" "+f.str("reason")))
	case "missed":
		d.got = append(d.got, "missed "+f.str("user"))
	case "peer-away", "peer-back":
	default:
		m.fail("device %d got %v", i, f)
	}
}

// prefix checks that a device was told what it should, as far as it got.
func (m *model) prefix(i int) {
	d := m.devices[i]
	if len(d.got) > len(d.told) || !slices.Equal(d.got, d.told[:len(d.got)]) {
		m.fail("device %d was told %q, want %q", i, d.got, d.told)
	}
}

// act does one random thing.
func (m *model) act() {
	i := m.rng.IntN(len(m.devices))
	d := m.devices[i]
	m.step(time.Duration(1 + m.rng.IntN(1000))) // no two things at one instant
	if d.conn == nil || d.broken && m.rng.IntN(4) == 0 {
		m.log("%d connects", i)
		m.connect(i)
		return
	}
	known := func() string {
		if len(d.calls) == 0 || m.rng.IntN(10) == 0 {
			return fmt.Sprintf("c_%d", 1+m.rng.IntN(m.ref.made+1))
		}
		ids := make([]string, 0, len(d.calls))
		for id := range d.calls {
			ids = append(ids, id)
		}
		slices.Sort(ids)
		return ids[m.rng.IntN(len(ids))]
	}
	switch x := m.rng.IntN(100); {
	case x < 35:
		m.log("%d → server", i)
		m.deliver(d)
	case x < 60:
		m.log("server → %d", i)
		if !d.broken {
			m.pull(d)
		}
		m.take(i)
	case x < 70:
		to := modelUsers[m.rng.IntN(len(modelUsers))]
		m.log("%d invites %s", i, to)
		m.send(d, fmt.Sprintf(`{"type":"invite","user":%q,"id":1`, to))
	case x < 83:
		what, id := []string{"accept", "accept", "decline", "hangup"}[m.rng.IntN(4)], known()
		m.log("%d: %s %s", i, what, id)
		m.send(d, fmt.Sprintf(`{"type":%q,"call":%q,"id":1`, what, id))
	case x < 89:
		m.log("%d is cut", i)
		m.cut(d)
	case x < 94:
		m.log("the server sees that %d is cut", i)
		if d.broken {
			m.notice(d)
		}
	case x < 95:
		m.log("%d says bye", i)
		m.send(d, `{"type":"bye","id":1`)
	default:
		pause := time.Duration(m.rng.IntN(30_000)) * time.Millisecond
		m.log("%v pass", pause)
		m.step(pause)
	}
}

// settle mends all links, lets everything arrive, and waits until nothing can
// ring any more.
func (m *model) settle() {
	drain := func() {
		for moved := true; moved; {
			moved = false
			for i, d := range m.devices {
				if d.conn == nil || d.broken {
					m.connect(i)
					moved = true
				}
				if len(d.up) > 0 {
					m.step(1)
					m.deliver(d)
					moved = true
				}
				if !d.broken {
					m.pull(d)
				}
				for len(d.down) > 0 {
					m.take(i)
					moved = true
				}
			}
		}
	}
	drain()
	m.step(46 * time.Second)
	drain()
	accepted := map[string][]int{}
	for i, d := range m.devices {
		if !slices.Equal(d.got, d.told) {
			m.fail("device %d was told %q, want %q", i, d.got, d.told)
		}
		for id, state := range d.calls {
			switch state {
			case "ringing", "incoming":
				if c := m.ref.find(id); c == nil || c.peer == nil {
					// The device that declined or hung up has its ok instead.
					if !slices.Contains(d.got, "ok") {
						m.fail("device %d: %s for ever %s", i, id, state)
					}
				}
			case "accepted":
				accepted[id] = append(accepted[id], i)
			}
		}
	}
	live := 0
	for id, c := range m.dir.byCall {
		if c.peer == nil {
			m.fail("%s rings for ever", id)
		}
		if len(accepted[id]) != 2 {
			m.fail("%s is held by devices %v, not by two", id, accepted[id])
		}
		live++
	}
	if live != len(m.ref.calls) {
		m.fail("%d calls, want %d", live, len(m.ref.calls))
	}
}

// leave ends every session and looks for what is left over.
func (m *model) leave() {
	for _, d := range m.devices {
		if d.conn != nil && d.alive {
			d.conn.end()
		}
	}
	if len(m.dir.users) != 0 || len(m.dir.byCall) != 0 || m.hub.timers.Len() != 0 || len(m.hub.directory.members.All()) != 0 {
		m.fail("left over: %d users, %d calls, %d timers, %d sessions",
			len(m.dir.users), len(m.dir.byCall), m.hub.timers.Len(), len(m.hub.directory.members.All()))
	}
	if n := m.hub.Stats().Sessions; n != 0 {
		m.fail("left over: %d people", n)
	}
}

func TestCallModel(t *testing.T) {
	sequences, parts := modelSequences, 4
	if testing.Short() {
		sequences = 1000
	}
	for part := range parts {
		t.Run(fmt.Sprint(part), func(t *testing.T) {
			t.Parallel()
			for seed := part; seed < sequences; seed += parts {
				m := newModel(t, uint64(seed))
				m.log("seed %d", seed)
				for range 40 + m.rng.IntN(120) {
					m.act()
				}
				m.settle()
				m.leave()
			}
		})
	}
}
