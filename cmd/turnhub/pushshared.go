package main

import (
	"context"
	"encoding/json"
	"errors"

	"turnhub/cluster"
	"turnhub/internal/statefile"
	"turnhub/push"
)

// Where there are several nodes, who is rung by push, what was missed and which calls ring
// stands on shelves of the cluster.

const (
	pushUsers, pushRings, pushKeys = "turnhub-push", "turnhub-rings", "turnhub-keys"

	maxPushUsers = 128 << 20 // bytes
	maxPushRings = 16 << 20
	maxPushKeys  = 1 << 20
)

// share makes the shelves, before the cluster serves.
func (p *pusher) share(c *cluster.Cluster) {
	if p == nil {
		return
	}
	told := func(f func(*push.Store)) {
		if s := p.store.Load(); s != nil {
			f(s)
		}
	}
	p.users = c.Shelf(cluster.ShelfConfig{
		Bucket: pushUsers, About: "who is rung by turnhub while no page is open", TTL: push.UsersTTL, MaxBytes: maxPushUsers,
		Begin:    func() { told(func(s *push.Store) { s.Begin() }) },
		Heard:    func(key string, value []byte) { told(func(s *push.Store) { s.HeardUser(key, value) }) },
		Complete: func() { told(func(s *push.Store) { s.Complete() }) },
	})
	p.rings = c.Shelf(cluster.ShelfConfig{
		Bucket: pushRings, About: "calls that ring by push", TTL: push.RingsTTL, MaxBytes: maxPushRings,
		Begin:    func() {},
		Heard:    func(key string, value []byte) { told(func(s *push.Store) { s.HeardRing(key, value) }) },
		Complete: func() {},
	})
	p.keys = c.Shelf(cluster.ShelfConfig{
		Bucket: pushKeys, About: "the key by which push services know turnhub", MaxBytes: maxPushKeys,
		Begin: func() { p.hasKey = false },
		Heard: func(key string, value []byte) {
			if key == pushKey {
				p.heardKey(value)
			}
		},
		Complete: p.offerKey,
	})
}

// Browsers know a server by its key: all nodes have the one that is on the shelf, which the
// first of them has put there.
const pushKey = "key"

// heardKey is told of the key on the shelf.
func (p *pusher) heardKey(text []byte) {
	key, err := push.ParseKey(text)
	if err != nil {
		return
	}
	p.hasKey = true
	if key.Public() == p.key.Load().Public() {
		return
	}
	path, log := p.node.cfg.PushKeyPath(), p.node.log
	if err := statefile.Write(path, text, 0o600); err != nil {
		log.Error("the key of the cluster by which push services know it cannot be kept", "error", err, "remedy", "see to it that "+path+" can be written")
		return
	}
	log.Warn("this node takes the cluster's key for push services in place of its own: whoever was rung by this node alone opens the page once", "file", path)
	p.key.Store(key)
	p.node.hub.SetPush(key.Public())
	select {
	case p.rekeyed <- struct{}{}:
	default:
	}
}

// offerKey puts this node's key on the shelf, where there is none. The shelf tells whose was
// the first.
func (p *pusher) offerKey() {
	if p.hasKey {
		return
	}
	text, err := p.key.Load().PEM()
	if err == nil {
		err = p.keys.Change(context.Background(), pushKey, func(old []byte) []byte {
			if old != nil {
				return old
			}
			return text
		})
	}
	if err != nil {
		p.node.log.Warn("the key for push services cannot be put into the cluster's store", "error", err)
	}
}

// shared is for push.Config; nil where this server is alone.
func (p *pusher) shared() *push.Shared {
	if p.users == nil {
		return nil
	}
	c := p.node.cluster
	node, run := c.Name()
	return &push.Shared{Users: p.users, Rings: p.rings, Node: node, Run: run, Lives: c.Lives}
}

// hear has a store that has just been opened told everything.
func (p *pusher) hear() {
	if p.users != nil {
		p.users.Again()
		p.rings.Again()
	}
}

// askDecline is what one node asks another.
const askDecline = "decline"

// declinesAt has the node of a call decline it. text is what the browser has sent.
func (p *pusher) declinesAt(ctx context.Context, call string, text []byte) bool {
	if p == nil || p.users == nil {
		return false
	}
	s := p.store.Load()
	own, _ := p.node.cluster.Name()
	if s == nil {
		return false
	}
	node := s.RingsAt(call)
	if node == "" || node == own {
		return false
	}
	_, err := p.node.cluster.Ask(ctx, node, askDecline, text)
	return err == nil
}

// answerNode answers what another node asks.
func (n *node) answerNode(what string, body []byte) ([]byte, error) {
	switch what {
	case askDecline:
		var said struct{ Call, Decline, Endpoint string }
		if json.Unmarshal(body, &said) == nil && n.hub.Decline(said.Call, said.Decline, said.Endpoint) {
			return nil, nil
		}
		return nil, errors.New("this call does not ring any more")
	}
	return nil, errors.New("this node does not know that question")
}
