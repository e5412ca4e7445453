package signaling

// The nodes of the model, and the streams between them.

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
	frozen     bool
	deaf       bool
	voids      [modelNodes]bool // streams to be given up
	queues     [modelNodes][]modelFrame
	generation [modelNodes]uint64       // of the streams; 0: there is none
	waits      [modelNodes][]modelFrame // of a frozen one: what others have sent
}

func (n *modelNode) Send(node string, generation uint64, frames ...[]byte) bool {
	to := int(node[0] - 'a')
	if n.generation[to] != generation {
		return false
	}
	for _, f := range frames {
		n.queues[to] = append(n.queues[to], modelFrame{generation, f})
	}
	return true
}

func (n *modelNode) Roomy(string) bool { return !n.m.narrow }

func (n *modelNode) Void(node string) { n.voids[node[0]-'a'] = true }

func (n *modelNode) Deaf() bool { return n.deaf }

func (n *modelNode) Suspect(node string) NodeState {
	if n.m.nodes[node[0]-'a'].dead || n.m.nodes[node[0]-'a'].frozen {
		return NodeUnsure
	}
	return NodeLives
}

func (n *modelNode) name() string { return string(rune('a' + n.at)) }

// keeps has what was sent to a frozen node wait until that goes on.
func (n *modelNode) keeps(to *modelNode) {
	if to.frozen {
		to.waits[n.at] = append(to.waits[n.at], n.queues[to.at]...)
	}
}

// up begins a stream at one end; the other one follows when it hears of it.
func (m *nodesModel) up(n, to *modelNode) {
	m.runs++
	n.keeps(to)
	n.queues[to.at] = nil
	if n.generation[to.at] != 0 {
		n.generation[to.at] = 0
		n.hub.NodeLost(to.name(), Void)
	}
	n.generation[to.at] = m.runs
	n.hub.NodeUp(to.name(), m.runs)
}

// deliver hands over some frames from one node to another.
func (m *nodesModel) deliver(from, to *modelNode, most int) {
	queue := from.queues[to.at]
	if len(queue) == 0 || to.dead || from.dead || to.frozen || from.frozen {
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
		m.log("  %s to %s: %.400q", from.name(), to.name(), x)
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
		n.hub.NodeLost(other.name(), Void)
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
		if c.node == n && m.seconds != nil && c.live() {
			c.drop()
		} else if c.node == n {
			c.over = true
		}
	}
}

// bury has the others notice.
func (m *nodesModel) bury(n *modelNode) {
	for _, o := range m.nodes {
		if o != n && !o.dead && !o.frozen && o.generation[n.at] != 0 {
			o.keeps(n)
			o.queues[n.at] = nil
			o.generation[n.at] = 0
			how := Ended
			if n.frozen {
				how = Silent
			}
			o.hub.NodeLost(n.name(), how)
		}
	}
}
