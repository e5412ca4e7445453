package main

import (
	"context"
	"net/netip"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"turnhub/cluster"
	"turnhub/events"
	"turnhub/internal/config"
	"turnhub/internal/netaddr"
	"turnhub/internal/probe"
	"turnhub/signaling"
	"turnhub/turnsrv"
)

// recorder makes events of what the hub and the relay say. Both tell it under their locks
// or on their workers, so it takes a note and goes on; what must be asked is asked in a
// goroutine of its own.
type recorder struct {
	journal *events.Journal
	relayed func(users ...string) []uint64 // of the allocations that there are
	notes   chan func()                    // in their order
	store   atomic.Pointer[events.Store]   // while this process has the office
	changed chan struct{}                  // the configuration, or a secret, may have
	leases  *cluster.Shelf                 // where there are several nodes, see eventsshared.go

	past  past
	turns refusals

	// Of the goroutine alone.
	calls map[string]*running
	users map[string]string // user name by session, of those who have been in a call
	order []string          // of these sessions, the oldest first
}

const (
	maxNotes    = 4096
	maxRunning  = 20_000 // calls whose relayed bytes are counted
	maxSessions = 65_536 // whose user is remembered after the call, for allocations that end later
)

// newRecorder returns nil where nothing is made of events.
func newRecorder(n *node) (*recorder, error) {
	if !n.cfg.Events.On() {
		if err := events.Forget(eventsDir(n.cfg)); err != nil {
			n.log.Warn("what was remembered of calls cannot be removed", "error", err, "remedy", "remove "+eventsDir(n.cfg))
		}
		return nil, nil
	}
	if _, err := eventsConfig(n.cfg, true); err != nil {
		return nil, err
	}
	r := &recorder{
		journal: events.NewJournal(eventsDir(n.cfg), n.cfg.Cluster.Node, n.log),
		notes:   make(chan func(), maxNotes),
		changed: make(chan struct{}, 1),
		relayed: func(users ...string) []uint64 { return n.turn.Relayed(users...) },
		calls:   make(map[string]*running), users: make(map[string]string),
	}
	r.turns.start = time.Now()
	return r, nil
}

// onCall is for signaling.Config.
func (r *recorder) onCall() func(signaling.CallStep) {
	if r == nil {
		return nil
	}
	return r.called
}

// begin serves until what it returns is called, which waits for the end: after the end of
// those who tell it something, and before that of the relay, which it asks.
func (r *recorder) begin(ctx context.Context) (end func()) {
	if r == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var group sync.WaitGroup
	group.Go(func() { r.serve(ctx) })
	return func() {
		cancel()
		group.Wait()
	}
}

func eventsDir(cfg *config.Config) string { return filepath.Join(cfg.StateDir, "events") }

// note has something done by the goroutine, or drops it.
func (r *recorder) note(f func()) {
	select {
	case r.notes <- f:
	default:
		r.journal.Busy()
	}
}

// serve works until ctx ends, and then does what has been noted until then.
func (r *recorder) serve(ctx context.Context) {
	writing, written := context.WithCancel(context.WithoutCancel(ctx))
	var journal sync.WaitGroup
	journal.Go(func() { r.journal.Serve(writing) })
	defer journal.Wait()
	defer written()
	tick := time.NewTicker(refusalsEvery / 4)
	defer tick.Stop()
	late := time.NewTicker(time.Second)
	defer late.Stop()
	for {
		select {
		case f := <-r.notes:
			f()
		case <-tick.C:
			r.turns.flush(r.refused)
		case <-late.C:
			r.endLate(time.Now())
		case <-ctx.Done():
			for {
				select {
				case f := <-r.notes:
					f()
				default:
					r.endLate(time.Now().Add(2 * tookPatience))
					return
				}
			}
		}
	}
}

// running is what is known of a call while it goes on.
type running struct {
	began map[string]uint64 // what had been relayed for a session when it joined
	left  []uint64          // relayed for those who have left, in their order
	sum   uint64

	took  []events.Person // on other nodes, see eventsshared.go
	ended *events.Data    // while words of other nodes are awaited
	await int
	until time.Time
}

func (r *recorder) called(step signaling.CallStep) {
	if step.Step != signaling.CallTook && !r.journal.Admit(step.Address) {
		return
	}
	r.note(func() { r.call(step) })
}

func (r *recorder) call(step signaling.CallStep) {
	data := events.Data{
		Call:   &events.Call{ID: step.Call, Kind: step.Kind, Room: step.Room},
		Reason: step.Reason, Seconds: seconds(step.Lasted), Path: step.Path, Bytes: step.Bytes, Others: step.Others,
	}
	run := r.calls[step.Call]
	switch step.Step {
	case signaling.CallBegan:
		if len(r.calls) < maxRunning {
			r.calls[step.Call] = &running{began: make(map[string]uint64)}
		}
		if step.Took == nil && !step.Again {
			r.journal.Emit(events.CallBegan, data)
		}
	case signaling.CallJoined:
		first := r.remember(step.Person)
		if run != nil {
			// This may be looked at some time after it: before its first call, nothing is relayed
			// for a session (relay.peers: calls).
			run.began[step.Person.Session] = 0
			if !first {
				run.began[step.Person.Session] = r.sum(step.Person.Session)
			}
		}
		if !step.Again {
			data.Person = person(*step.Person, 0)
			r.journal.Emit(events.CallJoined, data)
		}
	case signaling.CallLeft:
		relayed := uint64(0)
		if run != nil {
			if began, known := run.began[step.Person.Session]; known {
				relayed = max(r.sum(step.Person.Session), began) - began
				delete(run.began, step.Person.Session)
			}
			run.left = append(run.left, relayed)
			run.sum += relayed
		}
		data.Person = person(*step.Person, relayed)
		r.journal.Emit(events.CallLeft, data)
		if step.Took != nil {
			tellTook(step.Took, data.Person)
		}
	case signaling.CallEnded:
		for i, p := range step.People {
			relayed := uint64(0)
			if run != nil && i < len(run.left) {
				relayed = run.left[i]
			}
			data.People = append(data.People, *person(p, relayed))
		}
		if run != nil {
			data.Relayed = run.sum
			if run.ended = &data; step.Took == nil && step.Awaits > len(run.took) {
				run.await, run.until = step.Awaits, time.Now().Add(tookPatience)
				return
			}
			delete(r.calls, step.Call)
			run.addTook()
		}
		if step.Took == nil {
			r.journal.Emit(events.CallEnded, data)
		}
	case signaling.CallTook:
		r.tookThere(step.Call, step.Data)
	case signaling.CallMissed:
		data.From, data.To = person(*step.Person, 0), step.To
		r.journal.Emit(events.CallMissed, data)
	}
}

func seconds(d time.Duration) float64 { return d.Round(time.Millisecond).Seconds() }

func person(p signaling.Participant, relayed uint64) *events.Person {
	said := &events.Person{
		Session: p.Session, User: p.User, Name: p.Name, Seconds: seconds(p.Lasted), Reason: p.Reason, Path: p.Path, Bytes: p.Bytes, Relayed: relayed,
	}
	if q := p.Report; q != nil {
		said.Quality = &events.Quality{RTT: q.RTT, Loss: q.Loss, Bitrate: q.Bitrate, FirstFrame: q.FirstFrame, Line: q.Line}
	}
	return said
}

// remember keeps the user of a session: its allocations may end after it. It reports
// whether the session was not known.
func (r *recorder) remember(p *signaling.Participant) bool {
	if _, known := r.users[p.Session]; known {
		return false
	}
	if len(r.order) >= maxSessions {
		for _, old := range r.order[:maxSessions/8] {
			delete(r.users, old)
		}
		r.order = append([]string(nil), r.order[maxSessions/8:]...)
	}
	r.users[p.Session] = p.User
	r.order = append(r.order, p.Session)
	return true
}

// sum is what has been relayed for a session so far.
func (r *recorder) sum(session string) uint64 {
	now := r.relayed(session)[0] // first: what ends in between is counted below
	return now + r.past.of(session)
}

// userOf is whose allocation one is: a session's user, or the name in credentials that
// were given out without a session.
func (r *recorder) userOf(name string) (user, session string) {
	if user, known := r.users[name]; known {
		return user, name
	}
	if len(name) > 2 && name[:2] == signaling.SessionPrefix {
		return "", name
	}
	return name, ""
}

// ended implements turnsrv.Config.Ended.
func (r *recorder) ended(a turnsrv.AllocationInfo) {
	if a.User == probe.User {
		return
	}
	r.past.add(a.User, a.ToPeer.Bytes+a.ToClient.Bytes)
	r.note(func() {
		user, session := r.userOf(a.User)
		r.journal.Emit(events.AllocationEnded, events.Data{
			Seconds: float64(a.AgeSeconds),
			Relay: &events.Relaying{
				User: user, Session: session, Transport: a.Transport.String(), ToPeer: a.ToPeer.Bytes, ToClient: a.ToClient.Bytes,
			},
		})
	})
}

// noRoom implements turnsrv.Config.NoRoom.
func (r *recorder) noRoom(user string, client netip.Addr, transport turnsrv.Transport, quota string) {
	r.turns.add(refusal{netaddr.Household(client), quota}, refused{user, client, transport.String(), 0}, r.refused)
}

// wrong is told of credentials that are not right; no name of theirs is to be believed.
func (r *recorder) wrong(client netip.Addr, transport turnsrv.Transport, why turnsrv.AuthResult) {
	r.turns.add(refusal{netaddr.Household(client), why.String()}, refused{"", client, transport.String(), 0}, r.refused)
}

func (r *recorder) refused(why refusal, who refused) {
	r.note(func() {
		user, session := r.userOf(who.user)
		r.journal.Emit(events.AllocationRefused, events.Data{
			Reason: why.reason,
			Relay:  &events.Relaying{User: user, Session: session, Address: who.client.Unmap().String(), Transport: who.transport, Times: who.times},
		})
	})
}

// past is what the allocations of sessions have relayed that have ended. It forgets the
// oldest.
type past struct {
	mu    sync.Mutex
	bytes map[string]uint64
	order []string
}

const maxPast = 16_384

func (p *past) add(user string, bytes uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bytes == nil {
		p.bytes = make(map[string]uint64)
	}
	if _, known := p.bytes[user]; !known {
		if len(p.order) >= maxPast {
			for _, old := range p.order[:maxPast/8] {
				delete(p.bytes, old)
			}
			p.order = append([]string(nil), p.order[maxPast/8:]...)
		}
		p.order = append(p.order, user)
	}
	p.bytes[user] += bytes
}

func (p *past) of(user string) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bytes[user]
}

// refusals are counted by household and reason, so that a flood of them is one event a
// minute.
type refusals struct {
	start time.Time
	mu    sync.Mutex
	seen  map[refusal]*refusedLately
}

type refusal struct {
	household netip.Prefix
	reason    string
}

type refused struct {
	user      string // of the last one
	client    netip.Addr
	transport string
	times     int
}

type refusedLately struct {
	last refused
	told time.Duration // since the start
}

const (
	refusalsEvery = time.Minute
	maxRefusals   = 4096
)

func (t *refusals) add(why refusal, who refused, tell func(refusal, refused)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Since(t.start)
	if t.seen == nil {
		t.seen = make(map[refusal]*refusedLately)
	}
	one := t.seen[why]
	switch {
	case one != nil:
		who.times = one.last.times + 1
		one.last = who
		return // flush tells of it
	case len(t.seen) >= maxRefusals:
		return
	}
	t.seen[why] = &refusedLately{told: now}
	who.times = 1
	tell(why, who)
}

// flush tells of those that have come since a minute, and forgets the others.
func (t *refusals) flush(tell func(refusal, refused)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Since(t.start)
	for why, one := range t.seen {
		switch {
		case now-one.told < refusalsEvery:
		case one.last.times == 0:
			delete(t.seen, why)
		default:
			tell(why, one.last)
			one.last, one.told = refused{}, now
		}
	}
}

// eventStats are the counters of this process.
func (n *node) eventStats() events.Stats {
	if n.recorder == nil {
		return events.Stats{}
	}
	stats := n.recorder.journal.Stats()
	if store := n.recorder.store.Load(); store != nil {
		kept := store.Stats()
		stats.Deliveries, stats.Waiting = kept.Deliveries, kept.Waiting
		for reason, n := range kept.Dropped {
			stats.Dropped[reason] += n
		}
	}
	return stats
}

// reopen has the store opened again, as the configuration says now.
func (r *recorder) reopen() {
	if r != nil {
		select {
		case r.changed <- struct{}{}:
		default:
		}
	}
}

// serveEvents has the store while this process has the office.
func (n *node) serveEvents(ctx context.Context) {
	for ctx.Err() == nil {
		now, reopen := context.WithCancel(ctx)
		var watch sync.WaitGroup
		watch.Go(func() {
			defer reopen()
			select {
			case <-now.Done():
			case <-n.recorder.changed:
			}
		})
		if !n.serveStore(now) {
			<-now.Done() // until the next reload
		}
		reopen()
		watch.Wait()
	}
}

// serveStore serves until ctx ends; false where it cannot.
func (n *node) serveStore(ctx context.Context) bool {
	cfg, err := eventsConfig(n.settings(), true)
	if err != nil {
		n.log.Error("events: the secret of a webhook cannot be used; there is no history, and nothing is sent", "error", err)
		return false
	}
	cfg.Logger = n.log
	var end func()
	cfg.Shared, end = n.sharedEvents(ctx, cfg.Webhooks)
	defer end()
	store, err := events.Open(ctx, cfg)
	if err != nil {
		if ctx.Err() == nil {
			n.log.Error("events: there is no history, and nothing is sent to webhooks", "error", err, "remedy", "see to it that "+cfg.Dir+" can be written, and reload")
		}
		return false
	}
	n.recorder.store.Store(store)
	defer n.recorder.store.Store(nil)
	store.Serve(ctx, n.recorder.journal.Wrote())
	return true
}

// eventsConfig reads the secrets of the webhooks, and with create makes that of the state
// directory.
func eventsConfig(cfg *config.Config, create bool) (events.Config, error) {
	made := events.Config{Dir: eventsDir(cfg), History: cfg.Events.History, File: cfg.Events.File, Allow: cfg.Events.Allow}
	for _, w := range cfg.Events.Webhooks {
		secrets, err := events.ReadSecrets(cfg.WebhookSecretPath(w), create && w.SecretFile == "")
		if err != nil {
			return made, err
		}
		made.Webhooks = append(made.Webhooks, events.Webhook{URL: w.URL, Secrets: secrets, Types: w.Types})
	}
	return made, nil
}
