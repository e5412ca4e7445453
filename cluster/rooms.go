package cluster

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"turnhub/cluster/placement"
)

// Placement is where a room is.
type Placement struct {
	Node  string
	Local bool // on this node
	// URLs are the STUN and TURN URLs of that node, and Next those of the one that comes
	// after it; each node has proved its own.
	URLs, Next []string
	Range      map[string]string
	// Signalings are the URLs of the sockets of all nodes, the best first.
	Signalings []string
}

// maxSignalings bounds how many nodes a client is told of.
const maxSignalings = 16

// entryOfRoom is a value of the bucket of rooms.
type entryOfRoom struct {
	Node string `json:"node"`
	At   int64  `json:"at"` // milliseconds since 1970
}

// How the node of a room was found: labels of the metric.
const (
	placedKnown  = "known"  // it has one
	placedNew    = "new"    // it gets one now
	placedAnew   = "anew"   // its node is gone, or goes
	placedAlone  = "alone"  // NATS cannot be reached
	placedByName = "byname" // the store cannot be used
)

// Place finds the node of a room for somebody who has come to this one, and gives it one
// if it has none. An empty room is none: then this node comes first.
func (c *Cluster) Place(ctx context.Context, room string) Placement {
	ctx, cancel := context.WithTimeout(ctx, storePatience)
	defer cancel()
	all := c.Members()
	node := c.cfg.Node
	if room != "" {
		node = c.nodeOf(ctx, all, room, false)
		all = c.Members() // one of them may have been found dead
	}
	p := c.placement(all, room, node)
	if room == "" {
		c.tells(p.Signalings)
	}
	return p
}

// placement tells what clients need of a node, and who comes after it.
func (c *Cluster) placement(all []Member, room, node string) Placement {
	first, ok := find(all, node)
	if !ok {
		first, _ = find(all, c.cfg.Node)
	}
	p := Placement{Node: first.Node, Local: first.Self, URLs: first.URLs, Range: first.Range, Signalings: []string{first.Signaling()}}
	order := placement.Order(candidates(all), room, first.Region)
	if room == "" {
		order = c.heirs(candidates(all))
	}
	for _, n := range order {
		if n.Name == first.Node || len(p.Signalings) == maxSignalings {
			continue
		}
		m, _ := find(all, n.Name)
		if p.Next == nil {
			p.Next = m.URLs
		}
		p.Signalings = append(p.Signalings, m.Signaling())
	}
	return p
}

// nodeOf finds the node of a room. mine says that people are in it here, so that it is
// ours where nobody else has it.
func (c *Cluster) nodeOf(ctx context.Context, all []Member, room string, mine bool) string {
	s := c.store.Load()
	switch {
	case c.connection() == nil || !c.speaks():
		// Alone: where the room was last, if it is known, so that those who can reach that
		// node meet there; else here.
		c.counts.add(placed, placedAlone)
		if node := c.placedAt.get(room); node != "" && !mine {
			if m, ok := find(all, node); ok && !m.Leaving && m.Silent < roomTime {
				return node
			}
		}
		return c.cfg.Node
	case s == nil:
		return c.byName(all, room)
	}
	node, how, err := c.stored(ctx, s, all, room, mine)
	if err != nil {
		wake(c.reopen)
		c.once("store "+err.Error(), func() {
			c.log.Warn("the cluster's store does not do what it is asked: rooms get their nodes by their names alone while that is so", "error", err)
		})
		return c.byName(all, room)
	}
	c.counts.add(placed, how)
	c.placedAt.put(room, node)
	return node
}

// byName finds a node without the store: the same on every node that knows the same
// others, whatever they have to do.
func (c *Cluster) byName(all []Member, room string) string {
	c.counts.add(placed, placedByName)
	list := candidates(all)
	for i := range list {
		list[i].Load, list[i].Full, list[i].Region = 0, false, ""
	}
	if order := placement.Order(list, room, ""); len(order) > 0 {
		return order[0].Name
	}
	return c.cfg.Node
}

// triesOfStore bounds how often somebody else may have been quicker.
const triesOfStore = 5

// stored finds the node of a room in the store, and puts it there where it has none that
// is alive.
func (c *Cluster) stored(ctx context.Context, s *store, all []Member, room string, mine bool) (node, how string, err error) {
	key := keyOf(room)
	for range triesOfStore {
		e, err := s.rooms.Get(ctx, key)
		if err != nil && !errors.Is(err, jetstream.ErrKeyNotFound) {
			return "", "", err
		}
		how = placedNew
		if err == nil {
			var has entryOfRoom
			if c.opened(roomsBucket, e, &has) && c.recent(has) {
				how = placedAnew
				if m, ok := find(all, has.Node); ok && !m.Draining && c.alive(ctx, m) {
					if m.Self && apart(has.At, c.wall()) > refreshTime {
						c.writeRoom(ctx, s, key, has.Node, e.Revision()) // else somebody has just done it
					}
					return has.Node, placedKnown, nil
				}
			}
		}
		node = c.choose(ctx, all, room, mine)
		revision := uint64(0)
		if e != nil {
			revision = e.Revision()
		}
		switch err := c.writeRoom(ctx, s, key, node, revision); {
		case err == nil:
			return node, how, nil
		case !quicker(err):
			return "", "", err
		}
		select { // what another node has written may not be read everywhere yet
		case <-ctx.Done():
			return "", "", ctx.Err()
		case <-time.After(10*time.Millisecond + rand.N(20*time.Millisecond)):
		}
	}
	return "", "", errors.New("the store does not settle who has a room")
}

// recent reports whether a room's entry can still be in the store: an older one was taken
// down by somebody, and put there again.
func (c *Cluster) recent(e entryOfRoom) bool {
	if apart(e.At, c.wall()) <= roomTime+maxApart {
		return true
	}
	c.refuse(badClock, roomsBucket, explanations[badClock])
	return false
}

// quicker reports whether somebody else has written meanwhile.
func quicker(err error) bool {
	var api *jetstream.APIError
	return errors.Is(err, jetstream.ErrKeyExists) || errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence
}

// writeRoom says which node has a room. revision is that of the value it replaces, 0:
// there is none.
func (c *Cluster) writeRoom(ctx context.Context, s *store, key, node string, revision uint64) error {
	value, err := c.sealed(roomsBucket, key, entryOfRoom{node, c.wall()})
	if err != nil {
		return err
	}
	if revision == 0 {
		_, err = s.rooms.Create(ctx, key, value)
		return err
	}
	_, err = s.rooms.Update(ctx, key, value, revision)
	return err
}

// choose chooses a node for a room: this one where people are in it here.
func (c *Cluster) choose(ctx context.Context, all []Member, room string, mine bool) string {
	list := candidates(all)
	for _, n := range list {
		if mine && n.Name == c.cfg.Node {
			return n.Name
		}
	}
	for _, n := range placement.Order(list, room, c.cfg.Region) {
		if m, _ := find(all, n.Name); c.alive(ctx, m) {
			return n.Name
		}
	}
	return c.cfg.Node
}

// RoomOpened says that a room has its first person here. It never blocks.
func (c *Cluster) RoomOpened(room string) {
	select {
	case c.claims <- room:
	default: // settle looks at all rooms from time to time
	}
}

// settle sees that every room with people on this node is this node's, and has them sent
// to the other where it is another's.
func (c *Cluster) settle(ctx context.Context) {
	look := time.NewTicker(refreshTime / 2)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case room := <-c.claims:
			c.claim(ctx, room)
			continue
		case <-c.relook:
		case <-look.C:
		}
		if c.cfg.Rooms == nil {
			continue
		}
		for _, room := range c.cfg.Rooms() {
			if ctx.Err() != nil {
				return
			}
			c.claim(ctx, room)
		}
	}
}

// claim says that a room is this node's, unless it is another's.
func (c *Cluster) claim(ctx context.Context, room string) {
	if c.connection() == nil || !c.speaks() || c.isDraining() || c.store.Load() == nil {
		return // as long as nothing is known for certain, everybody stays
	}
	ctx, cancel := context.WithTimeout(ctx, 2*storePatience)
	defer cancel()
	all := c.Members()
	node, _, err := c.stored(ctx, c.store.Load(), all, room, true)
	if err != nil {
		if ctx.Err() == nil {
			wake(c.reopen)
			c.once("claim "+err.Error(), func() { c.log.Warn("this node cannot say in the store which rooms it has", "error", err) })
		}
		return
	}
	c.placedAt.put(room, node)
	if node == c.cfg.Node || c.cfg.Elsewhere == nil {
		return
	}
	c.counts.one(func(s *Stats) *uint64 { return &s.Moved })
	c.cfg.Elsewhere(room, node, c.placement(all, room, node).Signalings)
}
