package signaling

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"testing"
	"time"

	"turnhub/signaling/internal/wire"
)

// The model of calls by name over many nodes: people with devices on whichever of three hubs
// invite, accept, decline and hang up while streams are slow or given up and nodes die. Seen
// are what clients are told: every call goes through its states once and forward, one device
// at most gets it, every request has one answer; and in the end both sides of every call
// agree, presence is true, a name has one secret, whoever is called rings on all devices,
// and nobody keeps anything.

// callPerson is a client of it.
type callPerson struct {
	modelSession
	m            *callsModel
	user, secret string
	taken        bool
	request      int
	asked        map[int]string // what has no answer yet, by id
	invited      map[int]string // whom it has called, by id
	invitedAt    map[int]time.Time
	calls        map[string]*callSeen
	presence     map[string]string
	told         map[string][]string // what it has heard of that, since somebody looked
	heard        map[string]bool
	said         bool // that it takes a call, or declines it
}

// callSeen is a call as a client sees it.
type callSeen struct {
	state  string
	mine   bool
	peer   string
	lost   bool
	reason string
	user   string    // who is called, where it is mine
	since  time.Time // when it was heard of first
}

// rings reports whether it has not been taken, nor has ended.
func (s *callSeen) rings() bool {
	return s.state == "calling" || s.state == "ringing" || s.state == "incoming"
}

type callsModel struct {
	*nodesModel
	people   []*callPerson
	accepted map[string]string    // the device that has a call
	begun    map[string]time.Time // when a user last began anew with a device that had a session
	steady   bool                 // what rings is not lost, for a while
	rang     int
	talked   int
	rangOn   int // calls that rang, at each for whom they had to, after a death
	taken    int // and were taken then
	watched  int // words about presence after a death
}

var endsCall = regexp.MustCompile(`"(?:hangup|decline)","call":"([^"]+)"`)

var invites = regexp.MustCompile(`"invite","user":"([^"]+)"`)

var unsubscribes = regexp.MustCompile(`"unsubscribe","users":\["([^"]+)"`)

var callNames = []string{"ann", "ann", "bob", "bob", "cat", "", "eve", "eve", "eve"}

func newCallsModel(t *testing.T, seed uint64) *callsModel { return newCallsModelWith(t, seed, false) }

func newCallsModelWith(t *testing.T, seed uint64, seconds bool) *callsModel {
	m := &callsModel{accepted: make(map[string]string), begun: make(map[string]time.Time)}
	m.nodesModel = newNodesModelWith(t, seed, seconds)
	m.clients = nil
	for i, user := range callNames {
		m.people = append(m.people, &callPerson{m: m, modelSession: modelSession{of: m.nodesModel, name: fmt.Sprint("p", i)}, user: user})
	}
	return m
}

func (c *callPerson) begin(n *modelNode) {
	secret := "the secret of it"
	if c.user == "eve" && c.m.seconds == nil && c.m.rng.IntN(2) == 0 {
		secret = "another secret"
	}
	c.beginWith(n, secret)
}

func (c *callPerson) beginWith(n *modelNode, secret string) {
	if c.id != "" {
		c.m.begun[c.user] = c.m.now
	}
	*c = callPerson{
		modelSession: modelSession{of: c.of, name: c.name}, m: c.m, user: c.user, secret: secret, asked: make(map[int]string), invited: make(map[int]string), invitedAt: make(map[int]time.Time),
		calls: make(map[string]*callSeen), presence: make(map[string]string), told: make(map[string][]string), heard: make(map[string]bool),
	}
	hello := fmt.Sprintf(`{"type":"hello","name":%q`, c.name)
	if c.user != "" {
		hello += fmt.Sprintf(`,"user":%q,"userSecret":%q`, c.user, c.secret)
	}
	c.opens(n, hello+"}")
	if c.id == "" {
		if c.user != "eve" || c.socket.Code() != wire.CloseRefused {
			c.m.fail("%s is not welcome: %v", c.name, c.socket.Code())
		}
		c.over = true
		return
	}
	c.read()
}

func (c *callPerson) say(text string, args ...any) {
	c.seq++
	c.request++
	text = fmt.Sprintf(text, args...)
	c.asked[c.request] = text
	if user := invites.FindStringSubmatch(text); user != nil {
		c.invited[c.request], c.invitedAt[c.request] = user[1], c.m.now
	}
	text = fmt.Sprintf(`{%s,"id":%d,"seq":%d}`, text, c.request, c.seq)
	c.m.log("  %s says %s", c.name, text)
	c.outbox = append(c.outbox, text)
	if !c.lost {
		c.socket.Say([]byte(text), c.m.now)
		c.read()
	}
}

func (c *callPerson) read() {
	if c.lost {
		return
	}
	for _, f := range pullFrames(c.m.t, c.socket) {
		c.take(f)
	}
	if c.socket.Code() != 0 && !c.over {
		c.m.log("%s is closed with %v", c.name, c.socket.Code())
		if c.m.seconds != nil && !c.taken {
			c.sent = true
			c.drop()
			return
		}
		if !c.taken {
			c.m.fail("%s is closed with %v", c.name, c.socket.Code())
		}
		c.over = true
	}
	if c.id != "" && !c.over {
		c.acks()
	}
}

func (c *callPerson) take(f frame) {
	m := c.m
	c.numbered(f)
	if id := int(f.num("id")); id > 0 {
		// Who calls somebody that calls him is answered before he has the call, and says it again
		// where his node is lost meanwhile.
		twice := m.seconds != nil && f.str("type") == "calling"
		if _, waits := c.asked[id]; !waits && !twice {
			m.fail("%s: %v answers nothing", c.name, f)
		}
		text := c.asked[id]
		delete(c.asked, id)
		// Whoever ends a call is not told that it has ended.
		if call := endsCall.FindStringSubmatch(text); call != nil && f.str("type") == "ok" {
			c.calls[call[1]].state = "ended"
		}
		if user := unsubscribes.FindStringSubmatch(text); user != nil { // presence of before may have come late
			delete(c.presence, user[1])
		}
	}
	switch f.str("type") {
	case "calling":
		if c.calls[f.str("call")] == nil {
			c.calls[f.str("call")] = &callSeen{state: "calling", mine: true, user: c.invited[int(f.num("id"))], since: c.invitedAt[int(f.num("id"))]}
		}
	case "call":
		c.takeCall(f)
	case "presence":
		for user, state := range f["users"].(map[string]any) {
			c.presence[user] = state.(string)
			c.told[user] = append(c.told[user], state.(string))
		}
	case "signal":
		c.heard[f.str("from")+" "+f.str("data")] = true
	case "error":
		switch f.str("code") {
		case "user-taken":
			if c.user != "eve" {
				m.fail("%s is told %v", c.name, f)
			}
			c.taken = true
		case "no-such-call", "not-in-room", "too-many", "rate": // what was said to a stream that is over may have come
		default:
			m.fail("%s is told %v", c.name, f)
		}
	}
}

func (c *callPerson) takeCall(f frame) {
	m, id, state := c.m, f.str("call"), f.str("state")
	s := c.calls[id]
	if state == "incoming" && (s == nil || s.lost) { // it rings again after its node was lost for a moment
		c.calls[id] = &callSeen{state: state, peer: f.str("from"), since: m.now}
		m.rang++
		return
	}
	var may bool
	switch {
	case s == nil:
	case state == "ringing":
		may = s.mine && s.state == "calling"
	case state == "accepted":
		may = s.state == "ringing" || s.state == "calling" || s.state == "incoming"
	case state == "ended":
		may = s.state != "ended"
	}
	if !may {
		m.fail("%s is told %q of call %s, of which it knows %+v", c.name, state, id, s)
	}
	if s.mine && s.rings() && f.str("reason") == "lost" && m.seconds != nil {
		m.fail("%s has lost call %s, which rang", c.name, id) // it goes on wherever its caller does
	}
	if s.rings() && f.str("reason") == "lost" && m.steady {
		m.fail("%s hears that call %s, which rings, is lost", c.name, id)
	}
	s.reason = f.str("reason")
	s.state, s.lost = state, f.str("reason") == "lost" || f.str("reason") == "unavailable"
	if state != "accepted" {
		return
	}
	s.peer = f.str("peer")
	if f["polite"].(bool) != s.mine && !s.mine {
		m.fail("%s is polite as the one who was called", c.name)
	}
	if !s.mine {
		if had := m.accepted[id]; had != "" && had != c.id {
			m.fail("%s gets call %s, which %s has", c.name, id, had)
		}
		m.accepted[id] = c.id
		m.talked++
	}
}

func (m *callsModel) actCalls() {
	m.sometimes(time.Duration(m.rng.IntN(200)) * time.Millisecond)
	n, o := m.nodes[m.rng.IntN(modelNodes)], m.nodes[m.rng.IntN(modelNodes)]
	c := m.people[m.rng.IntN(len(m.people))]
	x := m.rng.IntN(1000)
	switch {
	case x < 450:
		m.deliver(n, o, 1+m.rng.IntN(5))
		return
	case x < 453 && n != o && !n.dead && !o.dead:
		m.log("%s gives up the stream to %s", n.name(), o.name())
		m.up(n, o)
		return
	case x < 457 && !n.dead:
		m.killPeople(n)
		return
	case x < 480 && n.dead:
		m.log("%s is noticed, and back", n.name())
		m.bury(n)
		m.start(n)
		return
	case !c.live():
		if !n.dead && !n.frozen {
			c.begin(n)
		}
		return
	case c.lost:
		c.resume()
		return
	}
	if c.read(); !c.live() || c.lost {
		return
	}
	user := []string{"ann", "bob", "cat", "nobody"}[m.rng.IntN(4)]
	id := ""
	var seen *callSeen
	for k, s := range c.calls { // any of them, but the same for the same seed
		if s.state != "ended" && (id == "" || k < id) {
			id, seen = k, s
		}
	}
	switch {
	case x < 600:
		if len(c.calls) < 20 {
			c.say(`"type":"invite","user":%q,"data":%q`, user, c.id)
		}
	case x < 640:
		c.say(`"type":"subscribe","users":[%q]`, user)
	case x < 660:
		c.say(`"type":"unsubscribe","users":[%q]`, user)
		delete(c.presence, user)
	case x < 680:
		m.log("%s leaves", c.name)
		c.end()
	case id == "":
	case x < 850:
		if seen.state == "incoming" {
			c.say(`"type":"accept","call":%q`, id)
		}
	case x < 900:
		c.say(`"type":"decline","call":%q,"reason":"later"`, id)
	case x < 960:
		c.say(`"type":"hangup","call":%q`, id)
	default:
		if seen.state == "accepted" {
			c.say(`"type":"signal","to":%q,"data":"x"`, seen.peer)
		}
	}
}

func (c *callPerson) end() {
	c.goodbye()
	c.over = true
}

// killPeople ends a node at once.
func (m *callsModel) killPeople(n *modelNode) {
	m.kill(n)
	for _, c := range m.people {
		if c.node == n && m.seconds != nil && c.live() {
			c.drop()
		} else if c.node == n {
			c.over = true
		}
	}
}

// TestNameKept: who has a name on one node keeps it on the others, whatever the order in which
// these hear of him and of somebody with another secret.
func TestNameKept(t *testing.T) {
	for seed := range uint64(300) {
		m := newCallsModel(t, seed)
		owner, device, thief := m.people[6], m.people[7], m.people[8]
		at := m.rng.Perm(modelNodes)
		owner.beginWith(m.nodes[at[0]], "the secret of it")
		m.rest(5)
		thief.beginWith(m.nodes[at[1]], "another secret")
		m.step(time.Millisecond)
		device.beginWith(m.nodes[at[2]], "the secret of it")
		for range m.rng.IntN(30) {
			m.deliver(m.nodes[m.rng.IntN(modelNodes)], m.nodes[m.rng.IntN(modelNodes)], 1)
		}
		m.rest(5)
		if !owner.live() || !device.live() || thief.live() {
			m.fail("seed %d: owner %v, device %v, thief %v", seed, owner.live(), device.live(), thief.live())
		}
	}
}

// TestCallsAcrossNodes plays random schedules, each of which it can repeat from its seed.
func TestCallsAcrossNodes(t *testing.T) {
	schedules, first := plays(t, 300, 100_000)
	rang, talked := 0, 0
	for i := range schedules {
		m := newCallsModel(t, first+uint64(i))
		m.rng = rand.New(rand.NewPCG(first+uint64(i), 4))
		for range 100 + m.rng.IntN(300) {
			m.actCalls()
		}
		m.finish()
		rang += m.rang
		talked += m.talked
	}
	t.Logf("%d schedules: %d times a device rang, %d calls were taken", schedules, rang, talked)
	if talked < 5*schedules {
		t.Errorf("only %d calls were taken", talked)
	}
}
