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

// reference is calls by name, simply.
type reference struct {
	now     time.Time
	devices []*refDevice
	calls   []*refCall
	missed  map[string]time.Time // when a busy user was last told of a call
	made    int
}

type refDevice struct {
	user   string
	alive  bool
	online bool
	end    time.Time // when it is given up, if not online
	told   []string
}

type refCall struct {
	id       string
	caller   *refDevice
	callee   string
	rung     []*refDevice
	peer     *refDevice
	told     bool
	deadline time.Time
}

func (r *reference) tell(d *refDevice, format string, args ...any) {
	if d.alive {
		d.told = append(d.told, fmt.Sprintf(format, args...))
	}
}

func (r *reference) busy(user string) bool {
	return slices.ContainsFunc(r.calls, func(c *refCall) bool {
		return c.peer != nil && (c.caller.user == user || c.peer.user == user)
	})
}

func (r *reference) find(id string) *refCall {
	i := slices.IndexFunc(r.calls, func(c *refCall) bool { return c.id == id })
	if i < 0 {
		return nil
	}
	return r.calls[i]
}

func (r *reference) ring(c *refCall, d *refDevice) {
	c.rung = append(c.rung, d)
	r.tell(d, "incoming %s", c.id)
	r.reach(c, d)
}

func (r *reference) reach(c *refCall, d *refDevice) {
	if d.online && !c.told {
		c.told = true
		r.tell(c.caller, "ringing %s", c.id)
	}
}

func (r *reference) arrive(d *refDevice) {
	d.alive = true
	for _, c := range r.calls {
		if c.peer == nil && c.callee == d.user && c.caller != d {
			c.rung = append(c.rung, d)
			r.tell(d, "incoming %s", c.id)
		}
	}
	r.connect(d)
}

func (r *reference) connect(d *refDevice) {
	d.online = true
	for _, c := range r.calls {
		if c.peer == nil && slices.Contains(c.rung, d) {
			r.reach(c, d)
		}
	}
}

func (r *reference) invite(d *refDevice, user string) {
	for _, c := range r.calls {
		if c.peer == nil && c.callee == d.user && c.caller.user == user && slices.Contains(c.rung, d) {
			r.tell(d, "calling %s", c.id)
			r.answer(c, d)
			return
		}
	}
	for _, c := range r.calls {
		if c.peer == nil && c.caller == d && c.callee == user {
			r.tell(d, "calling %s", c.id)
			return
		}
	}
	r.made++
	c := &refCall{id: fmt.Sprintf("c_%d", r.made), caller: d, callee: user, deadline: r.now.Add(45 * time.Second)}
	r.tell(d, "calling %s", c.id)
	var to []*refDevice
	for _, x := range r.devices {
		if x.alive && x.user == user && x != d {
			to = append(to, x)
		}
	}
	switch {
	case len(to) == 0:
		r.tell(d, "ended %s unavailable", c.id)
	case r.busy(user):
		r.tell(d, "ended %s busy", c.id)
		// The model's calls that find the line busy may come within one second: then the first is told.
		if at, told := r.missed[user]; !told || r.now.Sub(at) >= time.Second {
			r.missed[user] = r.now
			for _, x := range to {
				r.tell(x, "missed %s", d.user)
			}
		}
	default:
		r.calls = append(r.calls, c)
		for _, x := range to {
			r.ring(c, x)
		}
	}
}

func (r *reference) answer(c *refCall, d *refDevice) {
	for _, x := range c.rung {
		if x != d {
			r.tell(x, "ended %s elsewhere", c.id)
		}
	}
	c.rung, c.peer = nil, d
	r.tell(c.caller, "accepted %s", c.id)
	r.tell(d, "accepted %s", c.id)
	for _, user := range []string{c.caller.user, d.user} {
		for _, o := range slices.Clone(r.calls) {
			if o.peer == nil && o.callee == user {
				r.end(o, "busy", nil)
			}
		}
	}
}

func (r *reference) end(c *refCall, reason string, by *refDevice) {
	r.calls = slices.DeleteFunc(r.calls, func(o *refCall) bool { return o == c })
	for _, x := range append([]*refDevice{c.caller, c.peer}, c.rung...) {
		if x == nil || x == by {
			continue
		}
		why := reason
		if reason == "declined" && x != c.caller {
			why = "elsewhere"
		}
		r.tell(x, "ended %s %s", c.id, why)
	}
}

// request is one of accept, decline and hangup.
func (r *reference) request(d *refDevice, what, id string) {
	c := r.find(id)
	rung := c != nil && slices.Contains(c.rung, d)
	switch {
	case what == "accept" && rung:
		r.tell(d, "ok")
		r.answer(c, d)
	case what == "decline" && rung, what == "hangup" && rung:
		r.tell(d, "ok")
		r.end(c, "declined", d)
	case what == "hangup" && c != nil && c.peer != nil && (c.peer == d || c.caller == d):
		r.tell(d, "ok")
		r.end(c, "hangup", d)
	case what == "hangup" && c != nil && c.peer == nil && c.caller == d:
		r.tell(d, "ok")
		r.end(c, "canceled", d)
	default:
		r.tell(d, "error")
	}
}

// gone ends a session.
func (r *reference) gone(d *refDevice, reason string) {
	d.alive, d.online = false, false
	if !slices.ContainsFunc(r.devices, func(x *refDevice) bool { return x.alive && x.user == d.user }) {
		delete(r.missed, d.user) // the hub has forgotten the user
	}
	hangup, cancel := reason, reason
	if reason == "leave" {
		hangup, cancel = "hangup", "canceled"
	}
	for _, c := range slices.Clone(r.calls) {
		if c.peer != nil && (c.peer == d || c.caller == d) {
			r.end(c, hangup, d)
		}
	}
	for _, c := range slices.Clone(r.calls) {
		if c.peer == nil && c.caller == d {
			r.end(c, cancel, d)
		}
	}
	for _, c := range slices.Clone(r.calls) {
		if i := slices.Index(c.rung, d); i >= 0 {
			c.rung = slices.Delete(c.rung, i, i+1)
			if len(c.rung) == 0 {
				r.end(c, "unavailable", nil)
			}
		}
	}
}

// advance does what time does, in its order.
func (r *reference) advance(to time.Time) {
	for {
		var at time.Time
		var do func()
		first := func(t time.Time, f func()) {
			if !t.After(to) && (do == nil || t.Before(at)) {
				at, do = t, f
			}
		}
		for _, c := range r.calls {
			if c.peer == nil {
				first(c.deadline, func() { r.end(c, "timeout", nil) })
			}
		}
		for _, d := range r.devices {
			if d.alive && !d.online {
				first(d.end, func() { r.gone(d, "lost") })
			}
		}
		if do == nil {
			r.now = to
			return
		}
		r.now = at
		do()
	}
}

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
