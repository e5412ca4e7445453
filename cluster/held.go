package cluster

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"sync"
)

// Limits count over all nodes: once a beat each node says on a topic what users and addresses
// hold there of what is limited, those nearest to their limits first, as many as fit. It is
// the node's state on that topic, so that it is encrypted, heard once and only of nodes that
// live, and gone with the node (topics.go).
//
// A node that is being emptied says that nobody holds anything: its people come to the others
// before they have left it. Without NATS each node counts for itself.

// Held is how much of something that is limited somebody has on a node.
type Held struct {
	What  string       `json:"w"`           // of what
	User  string       `json:"u,omitempty"` // of a user
	At    netip.Prefix `json:"p,omitzero"`  // of a household or a wider network, or of the user from there
	N     int64        `json:"n"`
	Age   int64        `json:"a,omitempty"` // in seconds, where what is held has an end
	Share float64      `json:"-"`           // of the limit, by which those are chosen of whom is told
}

const (
	heldTopic = "turnhub limits"

	// maxHeldBytes bounds what a node says of all, some thousand people. Who is left out has
	// less of a limit than any of them.
	maxHeldBytes = 64 << 10
	maxHeldWhat  = 16
	maxHeldUser  = 600     // bytes: more than a user name of TURN has
	maxHeldN     = 1 << 60 // the most that can be configured of anything
	maxHeldAge   = 24 * 60 * 60
)

// heldBook is what this node says of that, and has heard.
type heldBook struct {
	c     *Cluster
	say   func() []Held
	heard func(byNode map[string][]Held)

	mu   sync.Mutex
	said []byte
	last map[string][]byte // what was heard last, by node
	read map[string][]Held // and what that means
}

// ShareHeld has the nodes tell each other what is held of their limits, before Serve. say is
// asked once a beat; heard gets all that is said by the other nodes that live, whenever that
// has changed, and is called by one goroutine at a time.
func (c *Cluster) ShareHeld(say func() []Held, heard func(byNode map[string][]Held)) {
	b := &heldBook{c: c, say: say, heard: heard}
	c.held = b
	c.Topics().Open(heldTopic, nil, func(string, []byte) {}, b.hear)
}

// tend says what is held here now.
func (b *heldBook) tend() {
	if b == nil {
		return
	}
	b.c.mu.Lock()
	draining := b.c.draining
	b.c.mu.Unlock()
	var state []byte
	if !draining {
		state = packHeld(b.say())
	}
	if !bytes.Equal(state, b.said) { // of this goroutine alone
		b.said = state
		b.c.topics.State(heldTopic, state)
	}
	b.hear() // NATS may be lost
}

// hear takes in what the others say, where that has changed.
func (b *heldBook) hear() {
	b.mu.Lock()
	defer b.mu.Unlock()
	var states map[string][]byte
	if x := b.c.topics; x.up.Load() && b.c.connection() != nil {
		states = x.Others(heldTopic)
	}
	read, changed := make(map[string][]Held, len(states)), len(states) != len(b.last)
	for node, state := range states {
		if before, is := b.last[node]; is && bytes.Equal(before, state) {
			read[node] = b.read[node]
			continue
		}
		changed = true
		held, err := readHeld(state)
		if err != nil {
			b.c.refuse(badForm, node, explanations[badForm])
		}
		read[node] = held
	}
	if !changed {
		return
	}
	b.last, b.read = states, read
	b.heard(read)
}

// packHeld makes the state: a JSON array that is no longer than it may be.
func packHeld(all []Held) []byte {
	if len(all) == 0 {
		return nil
	}
	slices.SortFunc(all, func(a, b Held) int {
		return cmp.Or(cmp.Compare(b.Share, a.Share), cmp.Compare(a.What, b.What), cmp.Compare(a.User, b.User), a.At.Addr().Compare(b.At.Addr()), cmp.Compare(a.At.Bits(), b.At.Bits()))
	})
	out := []byte{'['}
	for _, h := range all {
		if !h.valid() {
			continue
		}
		one, err := json.Marshal(h)
		if err != nil {
			continue // there is no such value of these types
		}
		if len(out)+len(one)+1 > maxHeldBytes {
			break
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(out, one...)
	}
	return append(out, ']')
}

// readHeld reads what another node says: all of it, or nothing where any of it cannot be.
func readHeld(state []byte) (all []Held, err error) {
	switch {
	case len(state) == 0:
		return nil, nil
	case len(state) > maxHeldBytes:
		return nil, errors.New("too long")
	}
	if err := json.Unmarshal(state, &all); err != nil {
		return nil, err
	}
	for i := range all {
		if !all[i].valid() {
			return nil, errors.New("it holds what cannot be")
		}
	}
	return all, nil
}

func (h *Held) valid() bool {
	return h.What != "" && len(h.What) <= maxHeldWhat && len(h.User) <= maxHeldUser && h.N > 0 && h.N <= maxHeldN &&
		h.Age >= 0 && h.Age < maxHeldAge && (h.At == netip.Prefix{} || h.At.IsValid() && h.At == h.At.Masked())
}
