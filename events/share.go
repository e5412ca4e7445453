package events

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"go.etcd.io/bbolt"
)

// Stream is what several nodes tell each other, in one order for all of them. See the
// cluster's of that name.
type Stream interface {
	// Publish adds something, once for each id.
	Publish(ctx context.Context, id string, body []byte) error
	// Follow hears of everything after a number until ctx ends or heard returns an error.
	Follow(ctx context.Context, after uint64, heard func(number uint64, body []byte) error) error
	// Last is the number of what was published last, and the name of the stream: one that is
	// made anew begins at 1 again, by another name.
	Last(ctx context.Context) (number uint64, name string, err error)
}

// Shared is what several nodes have together. Each enters the events of all, so that any of
// them can show the history and send what waits for webhooks; of those that have a webhook,
// one sends (Leads), and tells the others what needs not be sent any more.
//
// What a node has to tell goes through a queue on its disk (outbox): an event is told when the
// stream can be reached, by the next process where this one is killed.
type Shared struct {
	Stream Stream
	// Leads reports whether this process is the one that sends to the webhook of that key.
	// It is asked before every request.
	Leads func(webhook string) bool
	// Alone reports whether there is nothing that nodes could share by: each sends its own.
	Alone func() bool
}

// told is one word of the stream.
type told struct {
	From  string          `json:"from"`        // the run of a store
	N     uint64          `json:"n,omitempty"` // of its words, rising; what is not above those heard before is the same again
	Event json.RawMessage `json:"event,omitempty"`
	Done  []string        `json:"done,omitempty"` // ids of events that Hook does not have to be sent
	Hook  string          `json:"hook,omitempty"`
}

var (
	bucketOutbox = []byte("outbox") // what the stream does not have yet, by number
	bucketShared = []byte("shared")
	keyStore     = []byte("store")  // the name of the run
	keyHeard     = []byte("heard")  // the number of what was heard last
	keyStream    = []byte("stream") // in the stream of that name
	bucketFrom   = []byte("from")   // by run, the number of its word that was heard last
)

const (
	maxOutbox  = 10_000
	outboxOnce = 64
	maxRuns    = 4096            // of which it is known how far they have told
	streamSeen = 2 * time.Second // how often it is looked whether the stream is another one
)

// openShared names this store, and reads how far it has heard.
func (s *Store) openShared(tx *bbolt.Tx) error {
	from, err := tx.CreateBucketIfNotExists(bucketFrom)
	if err != nil {
		return err
	}
	// Each run has a name of its own. So where an older copy of a disk is put back, or runs
	// besides, what it tells is not taken for what that name has told already; and it hears
	// itself what it had told, and knows no more.
	if b, outbox := tx.Bucket(bucketShared), tx.Bucket(bucketOutbox); b != nil && outbox != nil {
		if was := slices.Clone(b.Get(keyStore)); was != nil {
			if err := noteRun(from, was, outbox.Sequence()); err != nil {
				return err
			}
		}
		if s.cfg.Shared == nil {
			if err := errors.Join(tx.DeleteBucket(bucketOutbox), tx.DeleteBucket(bucketShared)); err != nil {
				return err
			}
		}
	}
	if _, err := tx.CreateBucketIfNotExists(bucketOutbox); err != nil {
		return err
	}
	b, err := tx.CreateBucketIfNotExists(bucketShared)
	if err != nil {
		return err
	}
	s.name = fmt.Sprintf("%012x.%s", time.Now().UnixMilli(), newID())
	err = b.Put(keyStore, []byte(s.name))
	if v := b.Get(keyHeard); len(v) == 8 {
		s.heardTo.Store(binary.BigEndian.Uint64(v))
	}
	if v := b.Get(keyStream); v != nil {
		name := string(v)
		s.stream.Store(&name)
	}
	s.outbox.Store(int64(tx.Bucket(bucketOutbox).Stats().KeyN))
	return err
}

// joined tells the others what has waited for webhooks since before there were any.
func (s *Store) joined(tx *bbolt.Tx) error {
	if s.cfg.Shared == nil || tx.Bucket(bucketShared).Get(keyHeard) != nil {
		return nil
	}
	seen := make(map[string]bool)
	for _, o := range s.senders {
		err := o.bucket(tx).ForEach(func(_, v []byte) error {
			if len(v) <= itemHead {
				return nil
			}
			e, ok := decode(v[itemHead:])
			if !ok || seen[e.ID] {
				return nil
			}
			seen[e.ID] = true
			return s.tellOthers(tx, told{Event: slices.Clone(v[itemHead:])})
		})
		if err != nil {
			return err
		}
	}
	return tx.Bucket(bucketShared).Put(keyHeard, make([]byte, 8))
}

// tellOthers queues a word for the other nodes; the oldest make room for it.
func (s *Store) tellOthers(tx *bbolt.Tx, t told) error {
	if s.cfg.Shared == nil || s.cfg.Shared.Alone() {
		return nil
	}
	b := tx.Bucket(bucketOutbox)
	number, err := b.NextSequence()
	if err != nil {
		return err
	}
	t.From, t.N = s.name, number
	text, err := json.Marshal(t)
	if err != nil {
		return err
	}
	for ; s.outbox.Load() >= maxOutbox; s.outbox.Add(-1) {
		k, _ := b.Cursor().First()
		if k == nil {
			break
		}
		if err := b.Delete(k); err != nil {
			return err
		}
		s.dropped.add(dropShared, 1)
	}
	s.outbox.Add(1)
	return b.Put(binary.BigEndian.AppendUint64(nil, number), text)
}

// exchange tells the others, and hears them, until ctx ends.
func (s *Store) exchange(ctx context.Context) {
	if s.cfg.Shared == nil {
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.hear(ctx)
	}()
	for again := time.NewTimer(0); ; {
		select {
		case <-ctx.Done():
			again.Stop()
			<-done
			return
		case <-s.untold:
		case <-again.C:
		}
		for {
			more, err := s.publish(ctx)
			if err != nil && ctx.Err() == nil {
				s.complain("the events of this server wait here: other nodes cannot be told of them", askNATS, err)
			}
			if err != nil || !more {
				break // it is tried again
			}
		}
		again.Reset(time.Second)
	}
}

// publish tells the others some of the outbox. It reports whether there is more.
func (s *Store) publish(ctx context.Context) (more bool, err error) {
	var keys, texts [][]byte
	err = s.view(func(tx *bbolt.Tx) error {
		c := tx.Bucket(bucketOutbox).Cursor()
		for k, v := c.First(); k != nil && len(keys) < outboxOnce; k, v = c.Next() {
			keys, texts = append(keys, slices.Clone(k)), append(texts, slices.Clone(v))
		}
		return nil
	})
	if err != nil || len(keys) == 0 {
		return false, err
	}
	n := 0
	for i, text := range texts {
		var t told
		if err = json.Unmarshal(text, &t); err != nil {
			break
		}
		id := t.From + "." + base64.RawURLEncoding.EncodeToString(keys[i])
		if err = s.cfg.Shared.Stream.Publish(ctx, id, text); err != nil {
			break
		}
		n++
	}
	if n > 0 {
		uerr := s.update(func(tx *bbolt.Tx) error {
			b := tx.Bucket(bucketOutbox)
			for _, k := range keys[:n] {
				if b.Get(k) == nil {
					continue // it has made room
				}
				s.outbox.Add(-1)
				if err := b.Delete(k); err != nil {
					return err
				}
			}
			return nil
		})
		if uerr != nil {
			s.recount()
			return false, uerr
		}
	}
	return err == nil, err
}

// askNATS is what helps where the stream cannot be used.
const askNATS = "see docs/cluster.md for what a node needs of NATS"

// hear enters what the others tell.
func (s *Store) hear(ctx context.Context) {
	for ctx.Err() == nil {
		err := s.follow(ctx)
		if err != nil && ctx.Err() == nil {
			s.complain("what other nodes tell of events is not heard now", askNATS, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second + rand.N(time.Second/4)):
		}
	}
}

// follow hears the stream until it ends or is another one.
func (s *Store) follow(ctx context.Context) error {
	stream := s.cfg.Shared.Stream
	last, name, err := stream.Last(ctx)
	if err != nil {
		return err
	}
	if was := s.streamName(); was != name || last < s.heardTo.Load() {
		if err := s.begin(name, was == "" && last >= s.heardTo.Load()); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan struct{})
	defer func() { <-done }()
	defer cancel()
	go func() {
		defer close(done)
		look := time.NewTicker(streamSeen)
		defer look.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-look.C:
				if _, now, err := stream.Last(ctx); err == nil && now != name {
					cancel() // it was made anew: its numbers say nothing of the one before
				}
			}
		}
	}()
	return stream.Follow(ctx, s.heardTo.Load(), s.heard)
}

// begin takes a stream for the one that is heard: from its beginning, or where it is the one
// that was heard before streams had names, from there on.
func (s *Store) begin(name string, goOn bool) error {
	to := s.heardTo.Load()
	if !goOn {
		to = 0
	}
	err := s.update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketShared)
		return errors.Join(b.Put(keyStream, []byte(name)), b.Put(keyHeard, binary.BigEndian.AppendUint64(nil, to)))
	})
	if err == nil {
		s.heardTo.Store(to)
		s.stream.Store(&name)
	}
	return err
}

// streamName is the name of the stream that is heard.
func (s *Store) streamName() string {
	if name := s.stream.Load(); name != nil {
		return *name
	}
	return ""
}

// heard enters one word of the stream, in one transaction with its number.
func (s *Store) heard(number uint64, body []byte) error {
	var t told
	var e *Event
	if json.Unmarshal(body, &t) != nil {
		s.dropped.add(dropForm, 1)
		t = told{}
	} else if len(t.Event) > 0 && t.From != s.name {
		var ok bool
		if e, ok = decode(t.Event); !ok {
			s.dropped.add(dropForm, 1)
		}
	}
	err := s.update(func(tx *bbolt.Tx) error {
		again, err := s.again(tx, &t)
		if err != nil {
			return err
		}
		if again {
			e, t = nil, told{}
		}
		if e != nil {
			line := append(slices.Clone(t.Event), '\n')
			if err := s.remember(tx, e, line); err != nil {
				return err
			}
			for _, o := range s.senders {
				if o.wants(e.Type) {
					if err := o.put(tx, line); err != nil {
						return err
					}
				}
			}
		}
		for _, o := range s.senders {
			if string(o.key) == t.Hook {
				if err := o.forget(tx, t.Done); err != nil {
					return err
				}
			}
		}
		return tx.Bucket(bucketShared).Put(keyHeard, binary.BigEndian.AppendUint64(nil, number))
	})
	if err != nil {
		s.recount()
		return err
	}
	s.heardTo.Store(number)
	if e != nil {
		for _, o := range s.senders {
			o.poke()
		}
	}
	return nil
}

// again reports whether a word was heard before, or is this process's own, and remembers that
// it is heard: one that ended before it knew that the stream has it says it again, and a
// stranger may.
func (s *Store) again(tx *bbolt.Tx, t *told) (bool, error) {
	if t.From == s.name {
		return true, nil
	}
	if t.From == "" {
		return false, nil
	}
	b := tx.Bucket(bucketFrom)
	v := b.Get([]byte(t.From))
	if t.N == 0 {
		return v != nil, nil // from before words had numbers: own, or not known
	}
	if len(v) == 8 && t.N <= binary.BigEndian.Uint64(v) {
		return true, nil
	}
	return false, noteRun(b, []byte(t.From), t.N)
}

// noteRun remembers up to which of a run's words is known; who began longest ago makes room.
func noteRun(from *bbolt.Bucket, name []byte, n uint64) error {
	if from.Get(name) == nil && from.Stats().KeyN >= maxRuns {
		if k, _ := from.Cursor().First(); k != nil {
			if err := from.Delete(k); err != nil {
				return err
			}
		}
	}
	return from.Put(name, binary.BigEndian.AppendUint64(nil, n))
}

// forget takes events out of the queue that another node has settled: they are those that
// have waited longest, as a rule.
func (o *sender) forget(tx *bbolt.Tx, ids []string) error {
	b := o.bucket(tx)
	for _, id := range ids {
		prefix, err := json.Marshal(struct {
			ID string `json:"id"`
		}{id})
		if err != nil {
			return err
		}
		prefix = prefix[:len(prefix)-1]
		c := b.Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			if len(v) > itemHead && bytes.HasPrefix(v[itemHead:], prefix) {
				if err := o.remove(b, k, v); err != nil {
					return err
				}
				break
			}
		}
	}
	return nil
}

// leads reports whether this process is to send now: since it does it has heard everything
// that the one before it has told.
func (o *sender) leads(ctx context.Context) bool {
	shared := o.store.cfg.Shared
	if shared == nil || shared.Alone() {
		return true
	}
	if !shared.Leads(string(o.key)) {
		o.leading = false
		return false
	}
	if !o.leading {
		last, name, err := shared.Stream.Last(ctx)
		if err != nil {
			o.store.complain("webhooks wait: it cannot be asked what the node before has sent", askNATS, err)
			return false
		}
		if name != o.store.streamName() {
			return false // it is not heard yet
		}
		o.leading, o.until = true, last
	}
	return o.store.heardTo.Load() >= o.until
}

// Key names a webhook for Shared.Leads.
func (w *Webhook) Key() string { return string(w.key()) }
