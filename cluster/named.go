package cluster

import (
	"slices"
	"time"

	"turnhub/cluster/placement"
)

// A session is told of the sockets of all nodes when it opens, and comes to the others when this
// one is gone: to the second first, which has it then, so that all who were here meet there. Who
// has opened before a node was there, or while NATS was away, knows too few, or another first:
// they are told again.

// retellTime is how often at most that is.
const retellTime = 10 * time.Second

// toldOf is what everybody knows who has asked for no room.
type toldOf struct {
	urls []string      // nil: nobody has been told since
	next string        // the first but this node's; empty: not the same for all
	at   time.Duration // when all were told again; 0: never
}

// heirs returns the nodes in the order in which they are come to when this one is gone: its
// second, and then as they follow by name, as which the next second is chosen. nodes are by name.
func (c *Cluster) heirs(nodes []placement.Node) []placement.Node {
	i := max(0, slices.IndexFunc(nodes, func(n placement.Node) bool { return n.Name > c.cfg.Node }))
	order := slices.Concat(nodes[i:], nodes[:i])
	if second := c.second.Load(); second != nil {
		if i := slices.IndexFunc(order, func(n placement.Node) bool { return n.Name == *second }); i > 0 {
			order = slices.Concat(order[i:i+1], order[:i], order[i+1:])
		}
	}
	return order
}

// tells notes what somebody is told.
func (c *Cluster) tells(urls []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := &c.told; t.urls == nil {
		t.urls, t.next = slices.Clone(urls), nextOf(urls)
	} else {
		t.urls = slices.DeleteFunc(t.urls, func(url string) bool { return !slices.Contains(urls, url) })
		if t.next != nextOf(urls) {
			t.next = ""
		}
	}
}

func nextOf(urls []string) string {
	if len(urls) < 2 {
		return ""
	}
	return urls[1]
}

// retell says so where somebody knows too few.
func (c *Cluster) retell() {
	if c.cfg.Retold == nil {
		return
	}
	now, all := c.now(), c.placement(c.Members(), "", c.cfg.Node).Signalings
	c.mu.Lock()
	t := &c.told
	due := t.urls != nil && (t.at == 0 || now-t.at >= retellTime) && len(all) > 1 &&
		(t.next != all[1] || slices.ContainsFunc(all, func(url string) bool { return !slices.Contains(t.urls, url) }))
	if due {
		*t = toldOf{at: now}
	}
	c.mu.Unlock()
	if due {
		c.cfg.Retold()
	}
}
