package hub

import (
	"fmt"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
)

// A Tally counts the messages that reach NATS or leave a stream of it, by what they are
// about. Beats, one for each node and second whatever happens, are not among them.
type Tally struct {
	Links   int     `json:"links"`   // what nodes say to each other about sessions, and that they have it
	Rooms   int     `json:"rooms"`   // which node has which room: the store's, and whether that node lives
	History int     `json:"history"` // of calls, which every node keeps: to the stream, and from it to each
	Others  int     `json:"others"`
	Seconds float64 `json:"seconds"` // for which it was counted
}

func (t Tally) all() int { return t.Links + t.Rooms + t.History + t.Others }

func (t *Tally) add(o Tally) {
	t.Links, t.Rooms, t.History, t.Others = t.Links+o.Links, t.Rooms+o.Rooms, t.History+o.History, t.Others+o.Others
}

// counter hears all messages of a NATS server.
type counter struct {
	conn    *nats.Conn
	mu      sync.Mutex
	now     Tally
	answers map[string]*int // what the answers to a question count as
}

func count(url string) (*counter, error) {
	conn, err := nats.Connect(url)
	if err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	c := &counter{conn: conn, answers: make(map[string]*int)}
	if _, err = conn.Subscribe(">", c.hear); err == nil {
		err = conn.Flush()
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("hear all of NATS: %w", err)
	}
	return c, nil
}

func (c *counter) hear(m *nats.Msg) {
	c.mu.Lock()
	defer c.mu.Unlock()
	kind, known := c.answers[m.Subject]
	switch s := m.Subject; {
	case known:
	case strings.HasPrefix(s, "turnhub.beat."), strings.HasPrefix(s, "$JS.EVENT."): // the latter is said to who listens alone
		return
	case strings.HasPrefix(s, "turnhub.link."):
		kind = &c.now.Links
	case strings.Contains(s, "turnhub-rooms"), strings.HasPrefix(s, "turnhub.ask."):
		kind = &c.now.Rooms
	case strings.Contains(s, "turnhub-events"), s == "turnhub.events":
		kind = &c.now.History
	default:
		kind = &c.now.Others
	}
	*kind++
	if strings.HasPrefix(m.Reply, "_INBOX.") {
		c.answers[m.Reply] = kind
	}
}

// take returns what was counted since the last time.
func (c *counter) take() Tally {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.now
	c.now = Tally{}
	return t
}
