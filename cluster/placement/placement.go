// Package placement chooses the node of a room: a function of what is known of the
// nodes, without a clock, a network or chance, so that a simulator can run the same
// code over a thousand of them.
//
// Each room has an order of all nodes that follows from its name alone (rendezvous
// hashing): a node that comes or goes moves no room but its own. Of the first two
// that may take it, the one with less to do does. Two choices are enough for rooms to
// spread evenly, where the emptiest of all would get everything that is placed until
// its load is heard of.
package placement

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"
)

// Node is what placement knows of one node.
type Node struct {
	Name   string
	Region string
	// Load is how much there is to do for each processor of the node, in any unit that
	// is the same for all.
	Load float64
	// Full nodes get a room only where no other is left.
	Full bool
}

// order is where a node stands for a room: the highest comes first.
func order(room, node string) uint64 {
	sum := sha256.Sum256([]byte(room + "\x00" + node)) // neither holds a zero
	return binary.BigEndian.Uint64(sum[:])
}

// Order returns the nodes in the order in which they may have a room whose first
// person has come to region: first those of that region that are not full, then others
// that are not, then the full ones; among equals, of the two first by the room's name
// the one with less load, and then the rest by the name.
func Order(nodes []Node, room, region string) []Node {
	rank := func(n Node) int {
		switch {
		case n.Full:
			return 2
		case n.Region != region:
			return 1
		}
		return 0
	}
	keys := make(map[string]uint64, len(nodes))
	for _, n := range nodes {
		keys[n.Name] = order(room, n.Name)
	}
	list := slices.Clone(nodes)
	slices.SortFunc(list, func(a, b Node) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(keys[b.Name], keys[a.Name]), cmp.Compare(a.Name, b.Name))
	})
	if len(list) > 1 && rank(list[0]) == rank(list[1]) && list[1].Load < list[0].Load {
		list[0], list[1] = list[1], list[0]
	}
	return list
}
