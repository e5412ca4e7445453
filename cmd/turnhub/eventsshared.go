package main

import (
	"context"
	"encoding/json"
	"slices"
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

// A call by name is its caller's node's, which tells of it as a whole. The node of the other
// side tells of its own person joining and leaving, and tells the first one what that has had
// of the call; where that word does not come soon, its node is dead.

// tookPatience is for how long the end of a call waits for the word of another node.
const tookPatience = 3 * time.Second

func tellTook(took func([]byte), p *events.Person) {
	if text, err := json.Marshal(p); err == nil {
		took(text)
	}
}

// tookThere is told what somebody on another node has had of a call.
func (r *recorder) tookThere(call string, data []byte) {
	run := r.calls[call]
	var p events.Person
	if run == nil || len(run.took) > 0 || json.Unmarshal(data, &p) != nil { // a call by name has two sides
		return
	}
	run.took = append(run.took, p)
	if run.ended != nil && len(run.took) >= run.await {
		r.finish(call, run)
	}
}

// endLate tells of the calls whose other nodes have said nothing.
func (r *recorder) endLate(now time.Time) {
	for call, run := range r.calls {
		if run.ended != nil && now.After(run.until) {
			r.finish(call, run)
		}
	}
}

func (r *recorder) finish(call string, run *running) {
	delete(r.calls, call)
	run.addTook()
	r.journal.Emit(events.CallEnded, *run.ended)
}

// hardest are the paths of media, the easiest first.
var hardest = []string{"", "direct", "relay-udp", "relay-tcp", "relay-tls", "websocket"}

// addTook adds what people on other nodes have had of a call that has ended.
func (run *running) addTook() {
	for _, p := range run.took {
		run.ended.People = append(run.ended.People, p)
		run.ended.Bytes += p.Bytes
		run.ended.Relayed += p.Relayed
		if slices.Index(hardest, p.Path) > slices.Index(hardest, run.ended.Path) {
			run.ended.Path = p.Path
		}
	}
}
