package signaling

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// The model of many nodes: three hubs, streams between them that are slow and are given up
// at random, nodes that die and come back, and people on all of them who join the same rooms,
// talk, lose their sockets and resume. Seen are what clients are told: nobody hears
// anybody of whom it has not been told, nothing comes twice or out of order, everything that
// was answered or acknowledged has come to all who were there, and in the end all see the
// same people, of any two of whom one is the newcomer to the other.

const modelNodes = 3

type modelFrame struct {
	generation uint64
	text       []byte
}

// modelNode is one node and what goes from it to the others.
type modelNode struct {
	m          *nodesModel
	at         int
	hub        *Hub
	dead       bool
	queues     [modelNodes][]modelFrame
	generation [modelNodes]uint64 // of the streams; 0: there is none
}

func (n *modelNode) Send(node string, generation uint64, frame []byte) bool {
	to := int(node[0] - 'a')
	if n.generation[to] != generation {
		return false
	}
	n.queues[to] = append(n.queues[to], modelFrame{generation, frame})
	return true
}

func (n *modelNode) Roomy(string) bool { return !n.m.narrow }

func (n *modelNode) name() string { return string(rune('a' + n.at)) }

// modelRoom is what a client knows of a room that it is in.
type modelRoom struct {
	polite map[string]bool // of the others: what we are to them
	gone   map[string]bool // have been there and left, under this membership
}

type modelClient struct {
	m      *nodesModel
	name   string
	node   *modelNode
	socket *carried
	id     string
	token  string
	lost   bool
	since  time.Time // since when it is lost
	over   bool      // the session is gone with its node
	seq    int
	got    int
	acked  int
	outbox []string
	rooms  map[string]*modelRoom
	said   map[int]*modelSaid // by seq
	heard  map[string]int     // the highest number of each sender, and all below in heardAll
	all    map[string]bool
	next   int
}

// modelSaid is one message and who has to hear it.
type modelSaid struct {
	text    string
	owed    map[string]bool // sessions
	room    string
	settled bool
	id      int
}

type nodesModel struct {
	t       *testing.T
	rng     *rand.Rand
	now     time.Time
	nodes   [modelNodes]*modelNode
	clients []*modelClient
	homes   map[string]int
	runs    uint64
	tight   bool // streams may be full; then all messages want an answer, or their sender may miss that one was refused
	narrow  bool
	trace   []string
	owed    int
}

func (m *nodesModel) log(format string, args ...any) {
	m.trace = append(m.trace, fmt.Sprintf(format, args...))
}

func (m *nodesModel) fail(format string, args ...any) {
	m.t.Helper()
	m.t.Fatalf("%s\nafter:\n%s", fmt.Sprintf(format, args...), strings.Join(m.trace, "\n"))
}

func newNodesModel(t *testing.T, seed uint64) *nodesModel {
	m := &nodesModel{t: t, rng: rand.New(rand.NewPCG(seed, 3)), now: time.Unix(1e9, 0), homes: make(map[string]int)}
	m.log("seed %d", seed)
	m.tight = m.rng.IntN(3) == 0
	for i := range m.nodes {
		m.nodes[i] = &modelNode{m: m, at: i}
		m.start(m.nodes[i])
	}
	for i := range 5 {
		m.clients = append(m.clients, &modelClient{m: m, name: fmt.Sprint("p", i)})
	}
	return m
}

func (m *nodesModel) start(n *modelNode) {
	n.hub = NewHub(Config{
		Nodes: n, Timing: Timing{Heartbeat: 1000 * time.Hour}, Limits: Limits{MessagesPerSecond: 1 << 20},
	})
	n.hub.now = func() time.Time { return m.now }
	n.hub.day = n.hub.now
	n.dead = false
	for _, o := range m.nodes {
		if o != nil && o != n && !o.dead {
			m.up(n, o)
			m.up(o, n)
		}
	}
}

// up begins a stream at one end; the other one follows when it hears of it.
func (m *nodesModel) up(n, to *modelNode) {
	m.runs++
	n.queues[to.at] = nil
	if n.generation[to.at] != 0 {
		n.generation[to.at] = 0
		n.hub.NodeLost(to.name())
	}
	n.generation[to.at] = m.runs
	n.hub.NodeUp(to.name(), m.runs)
}

// deliver hands over some frames from one node to another.
func (m *nodesModel) deliver(from, to *modelNode, most int) {
	queue := from.queues[to.at]
	if len(queue) == 0 || to.dead || from.dead {
		return
	}
	var frames [][]byte
	for len(queue) > 0 && len(frames) < most {
		f := queue[0]
		queue = queue[1:]
		switch g := to.generation[from.at]; {
		case f.generation < g:
			// The other end hears of the higher one, as an empty packet tells it.
			from.queues[to.at] = queue
			m.follow(from, to, g)
			return
		case f.generation > g:
			from.queues[to.at] = queue
			m.follow(to, from, f.generation)
		}
		frames = append(frames, f.text)
	}
	from.queues[to.at] = queue
	for _, x := range frames {
		m.log("  %s to %s: %.150q", from.name(), to.name(), x)
	}
	to.hub.FromNode(from.name(), frames)
}

func (m *nodesModel) follow(n, other *modelNode, generation uint64) {
	if n.generation[other.at] >= generation {
		return
	}
	n.queues[other.at] = nil
	if n.generation[other.at] != 0 {
		n.generation[other.at] = 0
		n.hub.NodeLost(other.name())
	}
	n.generation[other.at] = generation
	n.hub.NodeUp(other.name(), generation)
}

// kill ends a node at once, with its sessions.
func (m *nodesModel) kill(n *modelNode) {
	m.log("%s dies", n.name())
	n.dead = true
	n.queues, n.generation = [modelNodes][]modelFrame{}, [modelNodes]uint64{}
	for _, c := range m.clients {
		if c.node == n {
			c.over = true
		}
	}
}

// bury has the others notice.
func (m *nodesModel) bury(n *modelNode) {
	for _, o := range m.nodes {
		if o != n && !o.dead && o.generation[n.at] != 0 {
			o.queues[n.at] = nil
			o.generation[n.at] = 0
			o.hub.NodeLost(n.name())
		}
	}
}

func (m *nodesModel) step(d time.Duration) {
	m.now = m.now.Add(d)
	for _, n := range m.nodes {
		if !n.dead {
			n.hub.timers.Run(m.now)
		}
	}
}

// begin opens a fresh session.
func (c *modelClient) begin(n *modelNode) {
	*c = modelClient{
		m: c.m, name: c.name, node: n, rooms: make(map[string]*modelRoom), said: make(map[int]*modelSaid),
		heard: make(map[string]int), all: make(map[string]bool), socket: carry(n.hub),
	}
	c.socket.Say(fmt.Appendf(nil, `{"type":"hello","name":%q}`, c.name), c.m.now)
	c.id, c.token = c.socket.Session()
	c.m.log("%s is %s on %s", c.name, c.id, n.name())
	c.read(1000)
}

func (c *modelClient) live() bool { return c.node != nil && !c.over }

func (c *modelClient) say(text string) {
	c.seq++
	text = fmt.Sprintf(`{%s,"seq":%d}`, text, c.seq)
	c.outbox = append(c.outbox, text)
	c.m.log("  %s says %s", c.name, text)
	if !c.lost {
		c.socket.Say([]byte(text), c.m.now)
	}
}

// resume comes back with another socket.
func (c *modelClient) resume() {
	c.socket = carry(c.node.hub)
	c.lost = false
	c.socket.Say(fmt.Appendf(nil, `{"type":"hello","resume":{"session":%q,"token":%q,"seq":%d}}`, c.id, c.token, c.got), c.m.now)
	frames := pullFrames(c.m.t, c.socket)
	if len(frames) == 0 {
		c.m.fail("%s is not welcome", c.name)
	}
	if frames[0]["resumed"] != true { // too late: the others have been told that it is lost
		if c.m.now.Sub(c.since) < time.Minute {
			c.m.fail("%s has not resumed: %v", c.name, frames)
		}
		c.socket.Say([]byte(`{"type":"bye"}`), c.m.now)
		c.over = true
		return
	}
	from := int(frames[0].num("ack"))
	c.settle(from)
	for _, f := range frames[1:] {
		c.take(f)
	}
	for _, text := range c.outbox[from:] {
		c.socket.Say([]byte(text), c.m.now)
	}
}

func (c *modelClient) read(most int) {
	if c.lost {
		return
	}
	for _, f := range pullFrames(c.m.t, c.socket) {
		c.take(f)
	}
}

// settle is told that everything up to a number is acknowledged.
func (c *modelClient) settle(ack int) {
	if ack < c.acked || ack > c.seq {
		c.m.fail("%s: acknowledged is %d after %d, of %d", c.name, ack, c.acked, c.seq)
	}
	for ; c.acked < ack; c.acked++ {
		if s := c.said[c.acked+1]; s != nil {
			s.settled = true
		}
	}
}

func (c *modelClient) take(f frame) {
	m := c.m
	m.log("  %s hears %v", c.name, f)
	if ack, ok := f["ack"].(float64); ok && f.str("type") != "welcome" {
		c.settle(int(ack))
	}
	if seq := int(f.num("seq")); seq > 0 {
		if seq != c.got+1 {
			m.fail("%s: number %d after %d", c.name, seq, c.got)
		}
		c.got = seq
	}
	name := f.str("room")
	r, peer := c.rooms[name], f.str("peer")
	switch f.str("type") {
	case "joined":
		r = &modelRoom{polite: make(map[string]bool), gone: make(map[string]bool)}
		c.rooms[name] = r
		for _, x := range f["peers"].([]any) {
			p := frame(x.(map[string]any))
			r.polite[p.str("peer")] = p["polite"].(bool)
		}
	case "peer-joined":
		if r == nil {
			m.fail("%s is told of %s in %s, where it is not", c.name, peer, name)
		}
		if _, known := r.polite[peer]; known {
			m.fail("%s is told of %s twice", c.name, peer)
		}
		r.polite[peer] = f["polite"].(bool)
	case "peer-left":
		if r == nil {
			m.fail("%s is told that %s leaves %s, where it is not itself", c.name, peer, name)
		}
		if _, known := r.polite[peer]; !known {
			m.fail("%s is told that %s leaves, of whom it has not heard", c.name, peer)
		}
		delete(r.polite, peer)
		r.gone[peer] = true
		for _, s := range c.said {
			delete(s.owed, peer) // what was not answered before may not have reached it
		}
	case "message":
		c.hear(f)
	case "ok":
		for _, s := range c.said {
			if s.id == int(f.num("id")) {
				s.settled = true
			}
		}
	case "error":
		switch f.str("code") {
		case "rate", "not-in-room":
			for seq, s := range c.said {
				if f.num("id") == 0 || s.id == int(f.num("id")) {
					delete(c.said, seq) // whoever has heard it has, but nobody has to
				}
			}
		default:
			m.fail("%s is told %v", c.name, f)
		}
	}
}

func (c *modelClient) hear(f frame) {
	from, text := f.str("from"), f.str("data")
	known := false
	for name, r := range c.rooms {
		if _, is := r.polite[from]; is && (f.str("room") == "" || f.str("room") == name) {
			known = true
		}
	}
	if !known {
		c.m.fail("%s hears %q of %s, who is not there", c.name, text, from)
	}
	var number int
	_, _ = fmt.Sscanf(text[strings.IndexByte(text, ' ')+1:], "%d", &number)
	if c.all[text] || number <= c.heard[from] {
		c.m.fail("%s hears %q after %d", c.name, text, c.heard[from])
	}
	c.all[text] = true
	c.heard[from] = number
}

// act does one random thing.
func (m *nodesModel) act() {
	m.step(time.Duration(m.rng.IntN(300)) * time.Millisecond)
	n, o := m.nodes[m.rng.IntN(modelNodes)], m.nodes[m.rng.IntN(modelNodes)]
	c := m.clients[m.rng.IntN(len(m.clients))]
	room := []string{"blue", "green"}[m.rng.IntN(2)]
	x := m.rng.IntN(1000)
	if x < 300 {
		m.deliver(n, o, 1+m.rng.IntN(5))
		return
	}
	if x < 305 && n != o && !n.dead && !o.dead {
		m.log("%s gives up the stream to %s", n.name(), o.name())
		m.up(n, o)
		return
	}
	if x < 310 && !n.dead {
		m.kill(n)
		return
	}
	if x < 330 && n.dead {
		m.log("%s is noticed, and back", n.name())
		m.bury(n)
		m.start(n)
		return
	}
	if x < 400 {
		m.settleHomes(n)
		return
	}
	if x < 405 {
		m.narrow = m.tight && !m.narrow
		return
	}
	if !c.live() {
		if !n.dead {
			c.begin(n)
		}
		return
	}
	switch in := c.rooms[room]; {
	case x < 500:
		if in == nil {
			m.log("%s joins %s", c.name, room)
			c.say(fmt.Sprintf(`"type":"join","room":%q,"id":%d`, room, c.seq+1))
			c.read(1000)
		}
	case x < 520:
		if in != nil {
			m.log("%s leaves %s", c.name, room)
			for _, o := range m.clients {
				for _, s := range o.said {
					delete(s.owed, c.id) // it may not get what is on its way, of somebody who has left as well
				}
			}
			for _, s := range c.said {
				if !s.settled {
					s.owed = nil // it does not hear of others that leave any more
				}
			}
			c.read(1000)
			c.say(fmt.Sprintf(`"type":"leave","room":%q`, room))
			c.read(1000)
			if !c.lost {
				delete(c.rooms, room)
			} else {
				c.resume()
				delete(c.rooms, room)
			}
		}
	case x < 750:
		if in != nil && len(c.outbox)-c.acked < 200 {
			c.next++
			s := &modelSaid{text: fmt.Sprintf("%s %d", c.id, c.next), owed: make(map[string]bool), room: room}
			id := ""
			if m.tight || m.rng.IntN(2) == 0 {
				s.id = c.seq + 1
				id = fmt.Sprintf(`,"id":%d`, s.id)
			}
			if to := slices.Sorted(maps.Keys(in.polite)); len(to) > 0 && m.rng.IntN(2) == 0 {
				peer := to[m.rng.IntN(len(to))]
				s.owed[peer] = true
				c.said[c.seq+1] = s
				c.say(fmt.Sprintf(`"type":"message","to":%q,"data":%q%s`, peer, s.text, id))
			} else {
				for peer := range in.polite {
					s.owed[peer] = true
				}
				c.said[c.seq+1] = s
				c.say(fmt.Sprintf(`"type":"message","room":%q,"data":%q%s`, room, s.text, id))
			}
		}
	case x < 900:
		c.read(1000)
		if !c.lost {
			c.socket.Say(fmt.Appendf(nil, `{"type":"ack","ack":%d}`, c.got), m.now)
		}
	case x < 930:
		if !c.lost {
			m.log("%s loses its socket", c.name)
			c.socket.Lost(false)
			c.lost, c.since = true, m.now
		}
	default:
		if c.lost {
			m.log("%s resumes", c.name)
			c.resume()
		}
	}
}

// settleHomes tells a node which of its rooms are another's.
func (m *nodesModel) settleHomes(n *modelNode) {
	if n.dead {
		return
	}
	for _, room := range n.hub.Rooms() {
		home, has := m.homes[room]
		if !has || m.nodes[home].dead {
			home = n.at
			m.homes[room] = home
		}
		if home != n.at {
			n.hub.Elsewhere(room, m.nodes[home].name(), []string{"wss://" + m.nodes[home].name() + ".example.org/ws"})
		}
	}
}

// settle lets everything arrive, and sees that all see the same.
func (m *nodesModel) settle() {
	m.narrow = false
	for _, n := range m.nodes {
		if n.dead {
			m.bury(n)
		}
	}
	for round := range 60 {
		m.step(200 * time.Millisecond)
		for _, n := range m.nodes {
			if round%10 == 0 {
				m.settleHomes(n)
			}
			for _, o := range m.nodes {
				m.deliver(n, o, 1000)
			}
		}
		for _, c := range m.clients {
			if c.live() {
				if c.lost {
					if c.resume(); c.over {
						continue
					}
				}
				c.read(1000)
				c.socket.Say(fmt.Appendf(nil, `{"type":"ack","ack":%d}`, c.got), m.now)
			}
		}
	}
	by := make(map[string]*modelClient)
	for _, c := range m.clients {
		if c.live() {
			by[c.id] = c
		}
	}
	for _, c := range by {
		for name, r := range c.rooms {
			var want []string
			for _, o := range by {
				if o != c && o.rooms[name] != nil {
					want = append(want, o.id)
				}
			}
			slices.Sort(want)
			if got := slices.Sorted(maps.Keys(r.polite)); !slices.Equal(got, want) {
				m.fail("%s (%s on %s) sees %v in %s, not %v", c.name, c.id, c.node.name(), got, name, want)
			}
			for id, polite := range r.polite {
				if by[id].rooms[name].polite[c.id] == polite {
					m.fail("%s and %s are both polite in %s: %v", c.id, id, name, polite)
				}
			}
		}
		if c.acked != c.seq {
			m.fail("%s has said %d, and %d are acknowledged", c.name, c.seq, c.acked)
		}
		for _, s := range c.said {
			for id := range s.owed {
				o := by[id]
				if o == nil || !s.settled {
					continue
				}
				m.owed++
				if !o.all[s.text] {
					m.fail("%q was answered or acknowledged, and %s has not heard it", s.text, o.name)
				}
			}
		}
	}
	for _, c := range by {
		c.end()
	}
	for range 5 {
		for _, n := range m.nodes {
			for _, o := range m.nodes {
				m.deliver(n, o, 1000)
			}
		}
	}
	for _, n := range m.nodes {
		if n.dead {
			continue
		}
		d := n.hub.directory
		if d.rooms.Len() != 0 || d.members.Len() != 0 || len(d.nodes.met) != 0 {
			m.fail("%s keeps %d rooms, %d members, %d meetings", n.name(), d.rooms.Len(), d.members.Len(), len(d.nodes.met))
		}
		for _, p := range d.nodes.by {
			if len(p.members) != 0 || len(p.pending) != 0 {
				m.fail("%s keeps %d members and %d messages of %s", n.name(), len(p.members), len(p.pending), p.name)
			}
		}
	}
}

func (c *modelClient) end() {
	c.socket.Say(fmt.Appendf(nil, `{"type":"bye","seq":%d}`, c.seq+1), c.m.now)
}

// TestNodes plays random schedules, each of which it can repeat from its seed.
func TestNodes(t *testing.T) {
	schedules := 300
	if os.Getenv("E2E_LONG") != "" {
		schedules = 30_000
	}
	first := uint64(time.Now().UnixNano())
	if text := os.Getenv("SEED"); text != "" {
		_ = json.Unmarshal([]byte(text), &first)
		schedules = 1
	}
	t.Logf("seeds from %d", first)
	owed := 0
	for i := range schedules {
		m := newNodesModel(t, first+uint64(i))
		for range 200 + m.rng.IntN(300) {
			m.act()
		}
		m.settle()
		owed += m.owed
	}
	t.Logf("%d schedules, %d messages that had to come to somebody", schedules, owed)
	if owed < 10*schedules {
		t.Errorf("only %d messages had to come to somebody", owed)
	}
}
