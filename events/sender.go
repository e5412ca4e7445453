package events

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
)

// Webhook is where events are sent.
type Webhook struct {
	URL     string
	Secrets Secrets
	Types   []string // empty: all
}

// host names a webhook in the log: the rest of its URL may be a secret.
func (w *Webhook) host() string {
	if u, err := url.Parse(w.URL); err == nil {
		return u.Host
	}
	return "?"
}

// key names its queue; the same URL finds it again after a restart.
func (w *Webhook) key() []byte {
	sum := sha256.Sum256([]byte(w.URL))
	return []byte(hex.EncodeToString(sum[:8]))
}

// sender empties the queue of one webhook, what is due longest first: new events in their
// order, and one that was not taken behind those that have come before its next attempt, so
// that it holds nobody up. A webhook that has failed rests, whichever event it was.
type sender struct {
	store   *Store
	hook    Webhook
	key     []byte
	client  *http.Client
	wake    chan struct{}
	waiting atomic.Int64 // events in the queue
	bytes   int          // of them, under a write transaction
	leading bool         // of the goroutine: this node sends, when it has heard
	until   uint64       // everything up to this, see share.go

	mu     sync.Mutex
	status Status
}

// Status is how a webhook does.
type Status struct {
	Host     string     `json:"host"`
	Waiting  int        `json:"waiting"`
	Sent     uint64     `json:"sent"`     // since this process has the store
	Failures int        `json:"failures"` // since the last success
	Failure  string     `json:"failure,omitempty"`
	Since    *time.Time `json:"since,omitempty"` // of the first of these failures
}

// item is an event in a queue: when it is due (8 bytes, milliseconds), its attempts
// (4 bytes), and its line.
const itemHead = 12

func item(due time.Time, attempts int, body []byte) []byte {
	v := binary.BigEndian.AppendUint64(nil, uint64(due.UnixMilli()))
	return append(binary.BigEndian.AppendUint32(v, uint32(attempts)), body...)
}

func readItem(v []byte) (due time.Time, attempts int, body []byte) {
	return time.UnixMilli(int64(binary.BigEndian.Uint64(v))), int(binary.BigEndian.Uint32(v[8:])), v[itemHead:]
}

// makeSenders makes one for each webhook, and drops the queues of those that are no
// longer configured.
func (s *Store) makeSenders(tx *bbolt.Tx) error {
	queues := tx.Bucket(bucketQueues)
	for _, hook := range s.cfg.Webhooks {
		o := &sender{store: s, hook: hook, key: hook.key(), client: newClient(hook.URL, s.cfg.Allow, s.cfg.tune.timeout), wake: make(chan struct{}, 1)}
		o.status.Host = hook.host()
		b, err := queues.CreateBucketIfNotExists(o.key)
		if err != nil {
			return err
		}
		o.recount(b)
		s.senders = append(s.senders, o)
	}
	unnamed := [][]byte{}
	_ = queues.ForEach(func(name, _ []byte) error {
		if !slices.ContainsFunc(s.senders, func(o *sender) bool { return string(o.key) == string(name) }) {
			unnamed = append(unnamed, slices.Clone(name))
		}
		return nil
	})
	for _, name := range unnamed {
		s.dropped.add(dropUnnamed, queues.Bucket(name).Stats().KeyN)
		if err := queues.DeleteBucket(name); err != nil {
			return err
		}
	}
	return nil
}

// recount looks how full the queue is. A transaction that failed has counted what it has
// not done.
func (o *sender) recount(b *bbolt.Bucket) {
	o.bytes = 0
	n := int64(0)
	_ = b.ForEach(func(_, v []byte) error {
		n++
		o.bytes += len(v)
		return nil
	})
	o.waiting.Store(n)
}

// recount is sender.recount for all, and for the history.
func (s *Store) recount() {
	_ = s.update(func(tx *bbolt.Tx) error {
		s.rows = tx.Bucket(bucketHistory).Stats().KeyN
		s.outbox.Store(int64(tx.Bucket(bucketOutbox).Stats().KeyN))
		for _, o := range s.senders {
			o.recount(o.bucket(tx))
		}
		return nil
	})
}

func (o *sender) wants(typ string) bool {
	return len(o.hook.Types) == 0 || slices.Contains(o.hook.Types, typ)
}

func (o *sender) poke() { poke(o.wake) }

func (o *sender) bucket(tx *bbolt.Tx) *bbolt.Bucket { return tx.Bucket(bucketQueues).Bucket(o.key) }

// put queues a line; the oldest make room for it.
func (o *sender) put(tx *bbolt.Tx, line []byte) error {
	b := o.bucket(tx)
	for {
		if n := int(o.waiting.Load()); n < o.store.cfg.tune.queue && (n == 0 || o.bytes+len(line) <= o.store.cfg.tune.queued) {
			break
		}
		k, v := b.Cursor().First()
		if k == nil {
			o.waiting.Store(0)
			o.bytes = 0
			break
		}
		if err := o.remove(b, k, v); err != nil {
			return err
		}
		o.store.dropped.add(dropQueue, 1)
	}
	number, err := b.NextSequence()
	if err != nil {
		return err
	}
	v := item(time.Now(), 0, line[:len(line)-1])
	o.waiting.Add(1)
	o.bytes += len(v)
	return b.Put(binary.BigEndian.AppendUint64(nil, number), v)
}

func (o *sender) remove(b *bbolt.Bucket, k, v []byte) error {
	o.waiting.Add(-1)
	o.bytes -= len(v)
	return b.Delete(k)
}

// due is an event whose time has come.
type due struct {
	key      []byte
	attempts int
	body     []byte
	err      error // of this attempt
}

// dueAtOnce is how many events are sent before what came of them is written down: after
// a crash in between so many are sent again.
const dueAtOnce = 16

// leadEvery is how often a node looks whether it is the one that sends.
const leadEvery = time.Second

// next returns the events that are due longest, or when the next one is; the zero time:
// the queue is empty.
func (o *sender) next(now time.Time) (list []due, at time.Time, err error) {
	// Later than any pause ends only what was queued before the clock was set back.
	latest := now.Add(slices.Max(o.store.cfg.tune.schedule) * 5 / 4)
	err = o.store.view(func(tx *bbolt.Tx) error {
		type one struct {
			key, value []byte
			due        time.Time
		}
		var first []one
		c := o.bucket(tx).Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			if len(v) < itemHead {
				continue
			}
			when, attempts, _ := readItem(v)
			if attempts > 0 && when.After(now) && !when.After(latest) {
				if at.IsZero() || when.Before(at) {
					at = when
				}
				continue
			}
			if len(first) == dueAtOnce && !when.Before(first[dueAtOnce-1].due) {
				continue
			}
			place, _ := slices.BinarySearchFunc(first, when, func(a one, t time.Time) int {
				if a.due.After(t) {
					return 1
				}
				return -1 // behind those of the same time
			})
			first = slices.Insert(first[:min(len(first), dueAtOnce-1)], min(place, dueAtOnce-1), one{k, v, when})
		}
		for _, f := range first {
			_, attempts, body := readItem(f.value)
			list = append(list, due{key: slices.Clone(f.key), attempts: attempts, body: slices.Clone(body)})
		}
		return nil
	})
	return list, at, err
}

// serve sends until ctx ends.
func (o *sender) serve(ctx context.Context) {
	defer o.client.CloseIdleConnections()
	failures := 0
	for ctx.Err() == nil {
		if !o.leads(ctx) {
			o.wait(ctx, time.Now().Add(leadEvery))
			continue
		}
		list, at, err := o.next(time.Now())
		if err != nil {
			o.store.tell("the queue of a webhook cannot be read", err)
			at = time.Now().Add(time.Minute)
		}
		if len(list) == 0 {
			o.wait(ctx, at)
			continue
		}
		tried := 0
		for i := range list {
			e := &list[i]
			if !o.leads(ctx) {
				break // another node does
			}
			if e.err = o.send(ctx, e.body); ctx.Err() != nil {
				break // its attempt does not count
			}
			tried++
			o.note(e.err)
			if e.err != nil {
				break
			}
			failures = 0
		}
		if err := o.settle(list[:tried]); err != nil {
			// What was sent will be sent again: a receiver knows it by its id.
			o.store.tell("what came of webhooks cannot be written down", err)
			o.rest(ctx, o.store.cfg.tune.longest)
			continue
		}
		if tried > 0 && list[tried-1].err != nil {
			o.rest(ctx, min(o.store.cfg.tune.rest<<min(failures, 16), o.store.cfg.tune.longest))
			failures++
		}
	}
}

// wait returns when something has been queued, or at the given time.
func (o *sender) wait(ctx context.Context, at time.Time) {
	var timer <-chan time.Time
	if !at.IsZero() {
		timer = time.After(max(time.Until(at), time.Millisecond))
	}
	select {
	case <-ctx.Done():
	case <-o.wake:
	case <-timer:
	}
}

// rest waits for about so long: a receiver that was down is not met by all at once.
func (o *sender) rest(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d*3/4 + rand.N(d/2+1)):
	}
}

// settle writes down what came of some attempts.
func (o *sender) settle(list []due) error {
	if len(list) == 0 {
		return nil
	}
	err := o.store.update(func(tx *bbolt.Tx) error {
		b := o.bucket(tx)
		var done []string
		for _, e := range list {
			v := b.Get(e.key)
			if v == nil {
				continue // it has made room meanwhile
			}
			schedule := o.store.cfg.tune.schedule
			final := errors.Is(e.err, errGone)
			switch {
			case e.err != nil && !final && e.attempts < len(schedule):
				pause := schedule[e.attempts]
				next := item(time.Now().Add(pause*3/4+rand.N(pause/2+1)), e.attempts+1, e.body)
				if err := b.Put(e.key, next); err != nil {
					return err
				}
				continue
			case final:
				o.store.dropped.add(dropRefused, 1)
			case e.err != nil:
				o.store.dropped.add(dropExpired, 1)
			}
			if err := o.remove(b, e.key, v); err != nil {
				return err
			}
			if event, ok := decode(e.body); ok {
				done = append(done, event.ID)
			}
		}
		if len(done) == 0 {
			return nil
		}
		return o.store.tellOthers(tx, told{Hook: string(o.key), Done: done})
	})
	if err != nil {
		o.store.recount()
	}
	poke(o.store.untold)
	return err
}

// note counts what came of an attempt, and has the log say when that changes.
func (o *sender) note(err error) {
	o.store.sent.add(outcome(err), 1)
	o.mu.Lock()
	defer o.mu.Unlock()
	log := o.store.log.With(slog.String("host", o.status.Host))
	if err == nil {
		if o.status.Failures > 0 {
			log.Info("a webhook answers again", "failures", o.status.Failures)
		}
		o.status.Sent++
		o.status.Failures, o.status.Failure, o.status.Since = 0, "", nil
		return
	}
	o.status.Failures++
	o.status.Failure = err.Error()
	if o.status.Failures == 1 {
		now := time.Now().UTC()
		o.status.Since = &now
		log.Warn("a webhook does not take an event; it is tried again for two days", "error", err, "remedy", Remedy(err))
	}
}

// Webhooks says how each does, in the order of the configuration.
func (s *Store) Webhooks() []Status {
	all := make([]Status, len(s.senders))
	for i, o := range s.senders {
		o.mu.Lock()
		all[i] = o.status
		o.mu.Unlock()
		all[i].Waiting = int(o.waiting.Load())
	}
	return all
}
