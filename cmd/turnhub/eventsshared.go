package main

import (
	"context"
	"sync"
	"time"

	"turnhub/cluster"
	"turnhub/events"
	"turnhub/internal/config"
)

// Where there are several nodes, the events of all are in a stream, by which each has the
// history of all, and of those that have a webhook one sends.

const (
	eventsStream   = "events"
	eventsMaxAge   = 30 * 24 * time.Hour
	eventsMaxBytes = 256 << 20
	eventsMost     = 200_000
	leasesBucket   = "turnhub-leases"
	leasesMaxBytes = 1 << 20
)

// share makes the shelf of leases, before the cluster serves.
func (r *recorder) share(c *cluster.Cluster) {
	if r != nil {
		r.leases = c.Shelf(cluster.ShelfConfig{
			Bucket: leasesBucket, About: "which turnhub node does what one of them does", MaxBytes: leasesMaxBytes,
			Begin: func() {}, Heard: func(string, []byte) {}, Complete: func() {},
		})
	}
}

// sharedEvents is for events.Config; nil where this server is alone. It competes for the
// webhooks until end is called.
func (n *node) sharedEvents(ctx context.Context, hooks []events.Webhook) (shared *events.Shared, end func()) {
	if n.cluster == nil {
		return nil, func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	held := make(map[string]*cluster.Lease, len(hooks))
	for _, hook := range hooks {
		lease := n.recorder.leases.Lease("webhook " + hook.Key())
		held[hook.Key()] = lease
		group.Go(func() { lease.Hold(ctx) })
	}
	return &events.Shared{
			Stream: n.cluster.Stream(cluster.StreamConfig{
				Name: eventsStream, About: "what turnhub nodes tell of calls", MaxAge: eventsMaxAge, MaxBytes: eventsMaxBytes, Most: eventsMost,
			}),
			Leads: func(hook string) bool { return held[hook] != nil && held[hook].Held() },
			Alone: n.cluster.Alone,
		}, func() {
			cancel()
			group.Wait()
		}
}

// webhooksOf is what of the webhooks all nodes have alike: whichever sends, its receiver must
// know the secret.
func webhooksOf(cfg *config.Config) (list []any) {
	list = append(list, "webhooks")
	for _, w := range cfg.Events.Webhooks {
		list = append(list, w.URL, w.Types, fileDigest(cfg.WebhookSecretPath(w)))
	}
	return list
}
