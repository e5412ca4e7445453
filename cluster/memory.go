package cluster

import "sync"

// recent knows ids for as long as what has them may count as fresh, so that none is heard twice.
type recent struct {
	mu       sync.Mutex
	new, old map[string]bool
	turned   int64 // milliseconds of the day's time, see wall
}

// freshTime is how long that is at most: the clock of who asks may be ahead as far as it may be
// off, and be set back as far behind.
const freshTime = 2 * (maxApart + maxQuestionAge)

// maxRecent bounds each half; with more, questions are refused: from thirty in a second on.
const maxRecent = 40_000

func newRecent() *recent { return &recent{new: make(map[string]bool), old: make(map[string]bool)} }

// take reports whether an id is new. wall goes by the clock that says which messages are
// too old, so that none is forgotten before it is.
func (r *recent) take(id string, wall int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if apart(wall, r.turned) > freshTime {
		r.old, r.new, r.turned = r.new, make(map[string]bool), wall
	}
	if r.new[id] || r.old[id] || len(r.new) >= maxRecent {
		return false
	}
	r.new[id] = true
	return true
}

// memory knows which node had a room, of the last ones that were asked for.
type memory struct {
	mu       sync.Mutex
	new, old map[string]string
}

const maxMemory = 8192 // rooms in each half

func newMemory() *memory { return &memory{new: make(map[string]string)} }

func (m *memory) put(room, node string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.new) >= maxMemory {
		m.old, m.new = m.new, make(map[string]string)
	}
	m.new[room] = node
}

func (m *memory) get(room string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if node, ok := m.new[room]; ok {
		return node
	}
	return m.old[room]
}
