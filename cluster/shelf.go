package cluster

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ShelfConfig is what a Shelf is made of. Its functions are called by one goroutine.
type ShelfConfig struct {
	Bucket, About string
	TTL           time.Duration // of a value that nobody changes
	MaxBytes      int64         // of all values
	// Begin is told that everything in the store is heard from now on, Heard of each value,
	// nil: it is gone, and Complete that those have come which were there at the beginning.
	Begin    func()
	Heard    func(key string, value []byte)
	Complete func()
}

// maxShelved is the most that a value on a shelf may hold, in bytes.
const maxShelved = 64 << 10

// Shelf is a bucket of the store of which every node hears everything. What is in it is
// about people: it is encrypted (box.go). Two nodes that change a value at the same time do
// it one after the other, by the revision of the value.
type Shelf struct {
	c     *Cluster
	cfg   ShelfConfig
	kv    atomic.Pointer[jetstream.KeyValue]
	again chan struct{}
}

// Shelf returns one, which is to be asked for before Serve.
func (c *Cluster) Shelf(cfg ShelfConfig) *Shelf {
	s := &Shelf{c: c, cfg: cfg, again: make(chan struct{}, 1)}
	c.shelves = append(c.shelves, s)
	return s
}

// Again has everything told anew.
func (s *Shelf) Again() { wake(s.again) }

// ErrNoStore is the error of a store that cannot be asked now.
var ErrNoStore = errors.New("the cluster's store cannot be asked now")

// ErrForeign is the error of a value that was sealed by a secret that this node has not.
var ErrForeign = errors.New("the value was sealed by a secret that is not among this node's credentials.secrets")

// errOvertaken is that of a value that others change and change.
var errOvertaken = errors.New("other nodes were faster")

// serve opens the bucket, as often as it takes, and follows what is in it.
func (s *Shelf) serve(ctx context.Context) {
	retry := time.NewTimer(0)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.again:
		case <-retry.C:
		}
		conn := s.c.connection()
		if conn != nil {
			opening, cancel := context.WithTimeout(ctx, 5*time.Second)
			js, err := jetstream.New(conn)
			var kv jetstream.KeyValue
			if err == nil {
				kv, err = bucket(opening, js, jetstream.KeyValueConfig{
					Bucket: s.cfg.Bucket, Description: s.cfg.About, TTL: s.cfg.TTL,
					MaxValueSize: maxShelved, MaxBytes: s.cfg.MaxBytes, Storage: jetstream.FileStorage,
				})
			}
			cancel()
			switch {
			case err == nil:
				s.c.streams.Store(streamsThere)
			case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount), errors.Is(err, nats.ErrNoResponders):
				s.c.streams.CompareAndSwap(streamsUnknown, streamsNone)
			}
			if err == nil {
				s.kv.Store(&kv)
				err = s.follow(ctx, kv)
			}
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				s.kv.Store(nil)
				s.c.once("shelf "+s.cfg.Bucket+" "+err.Error(), func() {
					s.c.log.Warn("the cluster's store cannot be used: what is kept there is each node's own meanwhile", "bucket", s.cfg.Bucket, "error", err, "remedy", "see docs/cluster.md for what a node needs of NATS")
				})
			}
		}
		retry.Reset(s.c.cfg.beat)
	}
}

// follow hears of everything in the bucket, until it is to be opened anew.
func (s *Shelf) follow(ctx context.Context, kv jetstream.KeyValue) error {
	w, err := kv.WatchAll(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = w.Stop() }()
	s.cfg.Begin()
	// Only what is there already is sealed anew: nodes whose secrets stand in another order
	// would do so after each other for ever. That of many takes long, and holds up no news.
	listed := false
	var old []string
	renewing, end := context.WithCancel(ctx)
	var renewed sync.WaitGroup
	defer func() { end(); renewed.Wait() }()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.again:
			wake(s.again) // it is opened anew at once
			return nil
		case e, open := <-w.Updates():
			if !open {
				return errors.New("the store has ended the watch")
			}
			if e == nil {
				listed = true
				s.cfg.Complete()
				renewed.Go(func() { s.renew(renewing, old) })
				continue
			}
			key, ok := textOf(e.Key())
			if !ok {
				continue
			}
			var value []byte
			if e.Operation() == jetstream.KeyValuePut {
				var why string
				if value, why = s.open(e); why != "" {
					continue
				}
				if !listed && !s.c.keys.Load().newest(e.Value()) {
					old = append(old, key)
				}
			}
			s.cfg.Heard(key, value)
		}
	}
}

// renew seals values by the first of the secrets: when the one that sealed them is taken away,
// they would be lost. Where that fails the next Again does it.
func (s *Shelf) renew(ctx context.Context, keys []string) {
	for _, key := range keys {
		err := s.Change(ctx, key, func(old []byte) []byte { return old })
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			s.c.log.Debug("a value of the cluster's store cannot be sealed anew", "bucket", s.cfg.Bucket, "error", err)
		}
	}
}

func (s *Shelf) place(key string) string { return "$KV." + s.cfg.Bucket + "." + key }

func (s *Shelf) open(e jetstream.KeyValueEntry) (value []byte, why string) {
	value, why = s.c.keys.Load().unbox(s.cfg.Bucket, s.place(e.Key()), e.Value())
	if why != "" {
		s.c.refuse(why, s.cfg.Bucket, explanations[why])
	}
	return value, why
}

// changes is how often one node may be overtaken by others.
const changes = 8

// Change makes of a value, nil: there is none, another one; nil: none; the same: it stays. It
// is called again where another node was faster. A value that is damaged counts as none; one
// that was sealed by a secret that this node has not is another's, and stays: ErrForeign. One
// that is sealed by a secret on its way out is sealed anew.
func (s *Shelf) Change(ctx context.Context, key string, change func(old []byte) []byte) error {
	at := s.kv.Load()
	if at == nil || s.c.connection() == nil {
		return ErrNoStore
	}
	kv := *at
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	name := keyOf(key)
	for range changes {
		var old []byte
		revision := uint64(0)
		e, err := kv.Get(ctx, name)
		switch {
		case errors.Is(err, jetstream.ErrKeyNotFound):
		case err != nil:
			return err
		default:
			revision = e.Revision()
			var why string
			if old, why = s.open(e); why == badSecret {
				return ErrForeign
			}
		}
		value := change(old)
		switch {
		case value == nil && revision == 0:
			return nil
		case value != nil && old != nil && bytes.Equal(old, value) && s.c.keys.Load().newest(e.Value()):
			return nil
		case value == nil:
			err = kv.Delete(ctx, name, jetstream.LastRevision(revision))
		case len(value) > maxShelved-1024:
			return errors.New("the value is too long for the cluster's store")
		case revision == 0:
			_, err = kv.Create(ctx, name, s.c.keys.Load().box(s.cfg.Bucket, s.place(name), value))
		default:
			_, err = kv.Update(ctx, name, s.c.keys.Load().box(s.cfg.Bucket, s.place(name), value), revision)
		}
		var api *jetstream.APIError
		if errors.Is(err, jetstream.ErrKeyExists) || errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence {
			continue
		}
		return err
	}
	return errOvertaken
}

// What is known of JetStream.
const (
	streamsUnknown = iota
	streamsThere
	streamsNone
)

// Alone reports whether the NATS servers have no JetStream, so that nothing can be kept
// together: then each node does by itself what one of them would.
func (c *Cluster) Alone() bool { return c.streams.Load() == streamsNone }

// Lives reports whether a process of a node lives, as far as is known; sure is false where
// it is not known: without NATS, and shortly after this node's own start.
func (c *Cluster) Lives(node, run string) (lives, sure bool) {
	if node == c.cfg.Node && run == c.run {
		return true, true
	}
	c.lines.mu.Lock()
	heard, blind := c.lines.heard, c.lines.blind
	c.lines.mu.Unlock()
	if c.connection() == nil || blind != 0 || c.now()-heard < c.book.gone+c.cfg.beat {
		return false, false
	}
	for _, m := range c.Members() {
		if m.Node == node && m.Run == run && !m.Leaving {
			return !m.Gone, true
		}
	}
	return false, true
}

// Name is this node's name, and that of this process of it.
func (c *Cluster) Name() (node, run string) { return c.cfg.Node, c.run }
