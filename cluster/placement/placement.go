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
	"strings"
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
	type ordered struct {
		key  uint64
		at   int // in nodes
		rank int
	}
	all := make([]ordered, len(nodes))
	text := append(append(make([]byte, 0, len(room)+65), room...), 0) // neither a room nor a node holds a zero
	for i, n := range nodes {
		sum := sha256.Sum256(append(text, n.Name...))
		all[i] = ordered{binary.BigEndian.Uint64(sum[:]), i, rank(n)}
	}
	slices.SortFunc(all, func(a, b ordered) int {
		if a.rank != b.rank {
			return a.rank - b.rank
		}
		return cmp.Or(cmp.Compare(b.key, a.key), strings.Compare(nodes[a.at].Name, nodes[b.at].Name))
	})
	list := make([]Node, len(nodes))
	for i, o := range all {
		list[i] = nodes[o.at]
	}
	if len(list) > 1 && rank(list[0]) == rank(list[1]) && list[1].Load < list[0].Load {
		list[0], list[1] = list[1], list[0]
	}
	return list
}
