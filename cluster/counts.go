package cluster

import (
	"maps"
	"sync"
)

// Stats is a snapshot. The maps' keys come from small fixed sets.
type Stats struct {
	Connected  bool // to NATS
	Store      bool // its key-value store can be used
	Second     bool // another node could go on with this one's sessions
	Beats      uint64
	Refused    map[string]uint64 // messages of the NATS side, by why they were not heard
	Placed     map[string]uint64 // rooms by how their node was found
	Questions  map[string]uint64 // to other nodes, by what came of them
	Moved      uint64            // rooms whose people were sent to another node
	Disconnect uint64            // how often NATS was lost
	Packets    uint64            // sent on streams to other nodes
	Topics     int               // that this node has open
	// Packets on topics: sent, not sent since NATS was away, and heard.
	TopicsSaid, TopicsUnsaid, TopicsHeard uint64
	// Datagrams: sent, not sent since NATS was away or did not take them, and heard.
	DatagramsSaid, DatagramsUnsaid, DatagramsHeard uint64
	Void                                           uint64 // how often such a stream was given up and begun anew
}

// counts are the live counters.
type counts struct {
	mu sync.Mutex
	s  Stats
}

func (c *counts) add(which func(*Stats) *map[string]uint64, key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := which(&c.s)
	if *m == nil {
		*m = make(map[string]uint64)
	}
	(*m)[key]++
}

func refused(s *Stats) *map[string]uint64   { return &s.Refused }
func placed(s *Stats) *map[string]uint64    { return &s.Placed }
func questions(s *Stats) *map[string]uint64 { return &s.Questions }

func (c *counts) one(which func(*Stats) *uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*which(&c.s)++
}

func (c *counts) snapshot() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.s
	s.Refused, s.Placed, s.Questions = maps.Clone(s.Refused), maps.Clone(s.Placed), maps.Clone(s.Questions)
	return s
}
