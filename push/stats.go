package push

import (
	"maps"
	"sync"
)

// What came of a message. Each is a label of a metric.
const (
	sentOK       = "ok"
	sentGone     = "gone"     // 404 or 410: the subscription is deleted
	sentRefused  = "refused"  // another 4xx: it will not be taken
	sentBusy     = "busy"     // 429 or 5xx: tried again
	sentRedirect = "redirect" // none is followed
	// and those of outbound.Failure
)

// Why a message was dropped before it was taken.
const (
	dropQueue   = "queue"   // the queue is full
	dropLate    = "late"    // its time was over before a service took it
	dropSettled = "settled" // the call was answered, or had ended, before
	dropLimit   = "limit"   // somebody calls too often, or is called too often
)

// Why a subscription was deleted, other than by its owner.
const (
	deletedGone    = "gone"
	deletedRefused = "refused" // its service has refused it too often
	deletedUnused  = "unused"
)

// Why a subscription was not taken.
const (
	refusedForm    = "form"    // it is none, or not at https
	refusedService = "service" // it is at no push service that the operator has named
	refusedRate    = "rate"
	refusedFull    = "full"
)

// Stats are the counters of a store, and how full it is.
type Stats struct {
	Users, Subscriptions, Waiting int
	Unshared                      int               // users whose records the other nodes may not have
	Sent                          map[string]uint64 // by what came of it
	Dropped                       map[string]uint64
	Deleted                       map[string]uint64
	Refused                       map[string]uint64 // subscriptions that were not taken
}

type stats struct{ sent, dropped, deleted, refused counts }

// Stats returns a snapshot.
func (s *Store) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{
		Users: len(s.users), Subscriptions: len(s.owner), Waiting: s.queue.count, Unshared: len(s.share.behind),
		Sent: s.stats.sent.copy(), Dropped: s.stats.dropped.copy(), Deleted: s.stats.deleted.copy(), Refused: s.stats.refused.copy(),
	}
}

// counts are counters by name. Safe for concurrent use.
type counts struct {
	mu sync.Mutex
	m  map[string]uint64
}

func (c *counts) add(key string, n uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m == nil {
		c.m = make(map[string]uint64)
	}
	c.m[key] += n
}

// copy is never nil.
func (c *counts) copy() map[string]uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m == nil {
		return map[string]uint64{}
	}
	return maps.Clone(c.m)
}
