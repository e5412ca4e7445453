package events

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
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
	// Last is the number of what was published last.
	Last(ctx context.Context) (uint64, error)
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
	From  string          `json:"from"` // the store
	Event json.RawMessage `json:"event,omitempty"`
	Done  []string        `json:"done,omitempty"` // ids of events that Hook does not have to be sent
	Hook  string          `json:"hook,omitempty"`
}

var (
	bucketOutbox = []byte("outbox") // what the stream does not have yet, by number
	bucketShared = []byte("shared")
	keyStore     = []byte("store") // the name of this store
	keyHeard     = []byte("heard") // the number of what was heard last
)

const (
	maxOutbox  = 10_000
	outboxOnce = 64
)

// openShared names this store, and reads how far it has heard.
func (s *Store) openShared(tx *bbolt.Tx) error {
	if s.cfg.Shared == nil && tx.Bucket(bucketOutbox) != nil {
		if err := errors.Join(tx.DeleteBucket(bucketOutbox), tx.DeleteBucket(bucketShared)); err != nil {
			return err
		}
	}
	if _, err := tx.CreateBucketIfNotExists(bucketOutbox); err != nil {
		return err
	}
	b, err := tx.CreateBucketIfNotExists(bucketShared)
	if err != nil {
		return err
	}
	if s.name = string(b.Get(keyStore)); s.name == "" {
		s.name = newID()
		err = b.Put(keyStore, []byte(s.name))
	}
	if v := b.Get(keyHeard); len(v) == 8 {
		s.heardTo.Store(binary.BigEndian.Uint64(v))
	}
	s.outbox = tx.Bucket(bucketOutbox).Stats().KeyN
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
	t.From = s.name
	text, err := json.Marshal(t)
	if err != nil {
		return err
	}
	b := tx.Bucket(bucketOutbox)
	for ; s.outbox >= maxOutbox; s.outbox-- {
		k, _ := b.Cursor().First()
		if k == nil {
			break
		}
		if err := b.Delete(k); err != nil {
			return err
		}
		s.dropped.add(dropShared, 1)
	}
	number, err := b.NextSequence()
	if err != nil {
		return err
	}
	s.outbox++
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
	told := 0
	for i, text := range texts {
		id := s.name + "." + base64.RawURLEncoding.EncodeToString(keys[i])
		if err = s.cfg.Shared.Stream.Publish(ctx, id, text); err != nil {
			break
		}
		told++
	}
	if told > 0 {
		uerr := s.update(func(tx *bbolt.Tx) error {
			b := tx.Bucket(bucketOutbox)
			for _, k := range keys[:told] {
				if b.Get(k) == nil {
					continue // it has made room
				}
				s.outbox--
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

// hear enters what the others tell.
func (s *Store) hear(ctx context.Context) {
	for ctx.Err() == nil {
		after, err := s.heardTo.Load(), error(nil)
		if last, lerr := s.cfg.Shared.Stream.Last(ctx); lerr == nil && last < after {
			after = 0 // it is another stream
			s.heardTo.Store(0)
		}
		err = s.cfg.Shared.Stream.Follow(ctx, after, s.heard)
		select {
		case <-ctx.Done():
		case <-time.After(time.Second + rand.N(time.Second/4)):
		}
		if err != nil && ctx.Err() == nil {
			s.log.Debug("what other nodes tell of events cannot be heard now", "error", err)
		}
	}
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
		if t.From != s.name {
			for _, o := range s.senders {
				if string(o.key) == t.Hook {
					if err := o.forget(tx, t.Done); err != nil {
						return err
					}
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
		last, err := shared.Stream.Last(ctx)
		if err != nil {
			return false
		}
		o.leading, o.until = true, last
	}
	return o.store.heardTo.Load() >= o.until
}

// Key names a webhook for Shared.Leads.
func (w *Webhook) Key() string { return string(w.key()) }
