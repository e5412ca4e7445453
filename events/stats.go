package events

import (
	"maps"
	"sync"
)

// Stats are the counters of one process, and of its webhooks while it has the store.
type Stats struct {
	Emitted    map[string]uint64 // events by type
	Dropped    map[string]uint64 // by reason, see the reasons below
	Deliveries map[string]uint64 // requests to webhooks by what came of them
	Waiting    int               // events in the queues of webhooks
	Unshared   int               // words that the other nodes are to be told
}

// Why an event is lost. Each is a label of a metric.
const (
	dropBusy      = "busy"      // the queue to the journal is full: the disk is slower than the events come
	dropHousehold = "household" // one household makes more of them than people can
	dropJournals  = "journals"  // the journals are full: no process reads them
	dropDisk      = "disk"      // it could not be written
	dropSize      = "size"      // it is too large
	dropForm      = "form"      // a journal holds something else
	dropQueue     = "queue"     // a webhook's queue is full: its oldest event
	dropExpired   = "expired"   // a webhook has not taken it in all its attempts
	dropRefused   = "refused"   // a webhook has said that it will never take it
	dropUnnamed   = "unnamed"   // its webhook is not in the configuration any more
	dropShared    = "shared"    // the other nodes cannot be told, and too much waits: its oldest
)

// What came of a request.
const (
	sentOK       = "ok"
	sentStatus   = "status"   // an answer that is no success
	sentRedirect = "redirect" // to another server
	// and those of outbound.Failure
)

// counts are counters by name. Safe for concurrent use.
type counts struct {
	mu sync.Mutex
	m  map[string]uint64
}

func (c *counts) add(key string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m == nil {
		c.m = make(map[string]uint64)
	}
	c.m[key] += uint64(n)
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
