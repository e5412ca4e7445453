package signaling

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/cryptotest"
	"time"
)

// The model of many nodes: three hubs, streams between them that are slow and are given up
// at random, nodes that die and come back, and people on all of them who join the same rooms,
// talk, lose their sockets and resume. Seen are what clients are told: nobody hears
// anybody of whom it has not been told, nothing comes twice or out of order, everything that
// was answered or acknowledged has come to all who were there, and in the end all see the
// same people, of any two of whom one is the newcomer to the other.

const modelNodes = 3

type nodesModel struct {
	t        *testing.T
	rng      *rand.Rand
	now      time.Time
	nodes    [modelNodes]*modelNode
	clients  []*modelClient
	homes    map[string]int
	runs     uint64
	calls    int
	tight    bool // streams may be full; then all messages want an answer, or their sender may miss that one was refused
	narrow   bool
	trace    []string
	owed     int
	strictly int                    // of these, those that had to
	unseen   [modelNodes][]*carried // sockets that were lost while their node was frozen
	moved    int                    // how often a client has come back to another node
	seconds  *modelSeconds          // nil: nobody goes on with a dead node's sessions
}

func (m *nodesModel) log(format string, args ...any) {
	m.trace = append(m.trace, fmt.Sprintf(format, args...))
}

func (m *nodesModel) fail(format string, args ...any) {
	m.t.Helper()
	m.t.Fatalf("%s\nafter:\n%s", fmt.Sprintf(format, args...), strings.Join(m.trace, "\n"))
}

func newNodesModel(t *testing.T, seed uint64) *nodesModel { return newNodesModelWith(t, seed, false) }

func newNodesModelWith(t *testing.T, seed uint64, seconds bool) *nodesModel {
	m := &nodesModel{t: t, rng: rand.New(rand.NewPCG(seed, 3)), now: time.Unix(1e9, 0), homes: make(map[string]int)}
	cryptotest.SetGlobalRandom(t, seed) // ids are the same again
	m.log("seed %d", seed)
	if seconds {
		m.seconds = &modelSeconds{m: m, entries: make(map[string]*modelSecond)}
	}
	m.tight = m.rng.IntN(3) == 0
	for i := range m.nodes {
		m.nodes[i] = &modelNode{m: m, at: i}
		m.start(m.nodes[i])
	}
	for i := range 5 {
		m.clients = append(m.clients, &modelClient{m: m, modelSession: modelSession{of: m, name: fmt.Sprint("p", i)}})
	}
	return m
}

func (m *nodesModel) start(n *modelNode) {
	var seconds Seconds
	if m.seconds != nil {
		seconds = secondsOf{m.seconds, n}
	}
	n.hub = NewHub(Config{
		Seconds: seconds, Nodes: n, Node: n.name(), Timing: Timing{Heartbeat: 1000 * time.Hour}, Limits: Limits{MessagesPerSecond: 1 << 20},
	})
	n.hub.now = func() time.Time { return m.now }
	if n.hub.second != nil {
		n.hub.second.patience = 1000 * time.Hour
		n.hub.second.gathers = m.rng.IntN(2) == 0
	}
	n.hub.day = n.hub.now
	n.hub.callID = func() string { m.calls++; return fmt.Sprintf("c_%05d", m.calls) }
	m.unseen[n.at] = nil
	n.dead, n.frozen, n.voids, n.waits = false, false, [modelNodes]bool{}, [modelNodes][]modelFrame{}
	for _, o := range m.nodes {
		if o != nil && o != n && !o.dead {
			m.up(n, o)
			m.up(o, n)
		}
	}
}

func (m *nodesModel) step(d time.Duration) {
	m.pass(d)
	for _, n := range m.nodes {
		m.commit(n)
	}
}

func (m *nodesModel) pass(d time.Duration) {
	m.now = m.now.Add(d)
	for _, n := range m.nodes {
		if !n.dead && !n.frozen {
			n.hub.timers.Run(m.now)
		}
	}
}

// commit has a node that gathers steps send them to its second.
func (m *nodesModel) commit(n *modelNode) {
	if x := n.hub.second; x != nil && x.gathers && !n.dead && !n.frozen {
		x.Enter()
		x.commit()
	}
}

// sometimes is step, where nodes that gather go on with it now and then.
func (m *nodesModel) sometimes(d time.Duration) {
	m.pass(d)
	for _, n := range m.nodes {
		if m.seconds != nil && m.rng.IntN(2) == 0 {
			m.commit(n)
		}
	}
}

// act does one random thing.
func (m *nodesModel) act() {
	m.sometimes(time.Duration(m.rng.IntN(300)) * time.Millisecond)
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
		if !n.dead && !n.frozen {
			c.begin(n)
		}
		return
	}
	in := c.rooms[room]
	if in != nil && in.leaving != 0 {
		return
	}
	switch {
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
			if m.seconds != nil { // what was said before may come until it is answered
				in = c.rooms[room]
				in.leaving = c.seq + 1
				c.say(fmt.Sprintf(`"type":"leave","room":%q,"id":%d`, room, in.leaving))
				return
			}
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
			c.read(1000) // it knows what its node knows
			if in = c.rooms[room]; in == nil || c.lost || in.leaving != 0 {
				return
			}
			c.next++
			s := &modelSaid{text: fmt.Sprintf("%s %d", c.id, c.next), owed: make(map[string]bool), room: room}
			id := ""
			if m.tight || m.rng.IntN(2) == 0 {
				s.id = c.seq + 1
				id = fmt.Sprintf(`,"id":%d`, s.id)
			}
			if to := slices.Sorted(maps.Keys(in.polite)); len(to) > 0 && m.rng.IntN(2) == 0 {
				peer := to[m.rng.IntN(len(to))]
				if m.stays(peer, room) {
					s.owed[peer] = true
				}
				c.said[c.seq+1] = s
				c.say(fmt.Sprintf(`"type":"message","to":%q,"data":%q%s`, peer, s.text, id))
			} else {
				for peer := range in.polite {
					if m.stays(peer, room) {
						s.owed[peer] = true
					}
				}
				c.said[c.seq+1] = s
				c.say(fmt.Sprintf(`"type":"message","room":%q,"data":%q%s`, room, s.text, id))
			}
		}
	case x < 900:
		c.read(1000)
		if !c.lost {
			c.acks()
		}
	case x < 930:
		if !c.lost {
			m.log("%s loses its socket", c.name)
			c.socket.Lost(false)
			c.drop()
		}
	default:
		if c.lost {
			m.log("%s resumes", c.name)
			c.resume()
		}
	}
}

// stays reports whether a session has not left a room itself: others may not have heard of
// that yet.
func (m *nodesModel) stays(id, room string) bool {
	return !slices.ContainsFunc(m.clients, func(c *modelClient) bool { return c.id == id && c.rooms[room] == nil })
}

// settleHomes tells a node which of its rooms are another's.
func (m *nodesModel) settleHomes(n *modelNode) {
	if n.dead || n.frozen {
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
		if n.frozen {
			m.thaw(n)
		}
		if n.dead && m.seconds != nil {
			m.start(n)
		}
	}
	for round := range 60 {
		m.step(200 * time.Millisecond)
		if m.seconds != nil {
			if round > 20 && round < 40 { // sessions end whose clients have found another one
				m.step(4 * time.Second)
			}
			m.seconds.run()
			m.voids()
		}
		for _, n := range m.nodes {
			if round%10 == 0 {
				m.settleHomes(n)
			}
			m.commit(n)
			for _, o := range m.nodes {
				m.deliver(n, o, 1000)
			}
		}
		for _, c := range m.clients {
			if c.live() {
				if c.lost {
					if c.resume(); c.over || c.lost {
						continue
					}
				}
				c.read(1000)
				c.acks()
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
		c.goodbye()
	}
	if m.seconds != nil {
		m.quiet() // who leaves is gone when the image has that
	}
	for range 5 {
		for _, n := range m.nodes {
			m.commit(n)
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

// TestNodes plays random schedules, each of which it can repeat from its seed.
func TestNodes(t *testing.T) {
	schedules, first := plays(t, 300, 30_000)
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
