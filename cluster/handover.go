package cluster

import (
	"context"
	"errors"
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	"turnhub/cluster/placement"
)

func (c *Cluster) isDraining() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.draining
}

// HandOver gives rooms whose people leave this node together another one, the same for
// all of them, and returns the URLs of the sockets of the nodes, the best first; nil:
// there is no other node. Where there are no rooms they go to one of nodes, which have others
// with whom they are, and else name spreads them over all. This node must be draining.
func (c *Cluster) HandOver(ctx context.Context, rooms, nodes []string, name string) []string {
	ctx, cancel := context.WithTimeout(ctx, 2*storePatience)
	defer cancel()
	all := c.Members()
	to := ""
	for i, room := range rooms {
		node := c.nodeOf(ctx, all, room, false)
		switch {
		case i == 0:
			name, to = room, node
		case node != to:
			c.assign(ctx, room, to)
		}
	}
	all = c.Members() // some may have been found dead
	if to == "" || to == c.cfg.Node {
		to = ""
		list, alone := candidates(all), c.connection() == nil
		if alone {
			list = silent(all)
		}
		order := placement.Order(list, name, c.cfg.Region)
		slices.SortStableFunc(order, func(a, b placement.Node) int { return rank(a, nodes) - rank(b, nodes) })
		for _, n := range order {
			if n.Name == c.cfg.Node {
				continue
			}
			if m, _ := find(all, n.Name); alone || c.alive(ctx, m) {
				to = n.Name
				break
			}
		}
	}
	if to == "" {
		return nil
	}
	return c.placement(all, name, to).Signalings
}

// rank puts those of nodes that have room before all others.
func rank(n placement.Node, nodes []string) int {
	if !n.Full && slices.Contains(nodes, n.Name) {
		return 0
	}
	return 1
}

// silent are the nodes that were there a short while ago, for when NATS is away and nobody
// is heard: most of them will be there still, and clients go on to the next one where not.
func silent(all []Member) (list []placement.Node) {
	for _, m := range all {
		if !m.Leaving && !m.Draining && m.Silent < roomTime {
			list = append(list, placement.Node{Name: m.Node, Region: m.Region, Load: m.Load.PerProcessor(), Full: m.Load.full()})
		}
	}
	return list
}

// assign writes into the store that a room is another node's, whoever has it now. Where
// that fails, whoever comes first there settles it.
func (c *Cluster) assign(ctx context.Context, room, node string) {
	s := c.store.Load()
	if s == nil {
		return
	}
	key := keyOf(room)
	for range triesOfStore {
		e, err := s.rooms.Get(ctx, key)
		revision := uint64(0)
		switch {
		case err == nil:
			revision = e.Revision()
		case !errors.Is(err, jetstream.ErrKeyNotFound):
			return
		}
		if err := c.writeRoom(ctx, s, key, node, revision); err == nil {
			c.placedAt.put(room, node)
			return
		} else if !quicker(err) {
			return
		}
	}
}
