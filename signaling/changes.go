package signaling

import "turnhub/signaling/internal/delivery"

// changes are what the next step of an image has to tell.
type changes struct {
	sessions map[delivery.Ref]howChanged
	order    []delivery.Ref
	ended    []delivery.Ref
	rooms    map[string]struct{}
	calls    map[string]struct{}
	hosts    map[string]struct{} // hosted rooms
	lobbies  map[string]struct{}
	had      map[heard]struct{} // what sessions have had of others, see had.go
}

// howChanged is what is to be told of a session.
type howChanged byte

const (
	stream howChanged = iota // what has come to its stream
	whole                    // and what stays of it
	taken                    // it is in the step
)

// heard is a session that has had something of another one; of nobody: of so many that
// all is told anew.
type heard struct {
	ref delivery.Ref
	of  string
}

func newChanges() *changes {
	return &changes{
		sessions: make(map[delivery.Ref]howChanged), rooms: make(map[string]struct{}),
		calls: make(map[string]struct{}), hosts: make(map[string]struct{}), lobbies: make(map[string]struct{}), had: make(map[heard]struct{}),
	}
}

// any reports whether there are any.
func (c *changes) any() bool { return c.size() > 0 }

func (c *changes) size() int {
	return len(c.order) + len(c.ended) + len(c.rooms) + len(c.calls) + len(c.hosts) + len(c.lobbies) + len(c.had)
}

func (c *changes) add(ref delivery.Ref) {
	if _, is := c.sessions[ref]; !is {
		c.sessions[ref] = stream
		c.order = append(c.order, ref)
	}
}

// mostReused is for how many changes a step's room is used again.
const mostReused = 4096

// again returns the room of changes that have been told, empty.
func (c *changes) again() *changes {
	if c == nil || c.size() > mostReused {
		return newChanges()
	}
	clear(c.sessions)
	clear(c.rooms)
	clear(c.calls)
	clear(c.hosts)
	clear(c.lobbies)
	clear(c.had)
	c.order, c.ended = c.order[:0], c.ended[:0]
	return c
}
