package events

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"turnhub/internal/boltfile"
	"turnhub/internal/statefile"
)

// Config is what a Store is made of.
type Config struct {
	Dir      string        // of journals and store
	History  time.Duration // for how long calls and usage are remembered; 0: not at all
	File     string        // of JSON lines; empty: none
	Webhooks []Webhook
	Allow    []netip.Prefix // inside addresses to which webhooks may go
	Logger   *slog.Logger
	Shared   *Shared // what several nodes have together; nil: there is one node

	tune tuning // for tests
}

// tuning are the times and bounds that tests change.
type tuning struct {
	schedule []time.Duration // pauses between the attempts of one event
	rest     time.Duration   // of a webhook after its first failure, doubled with each further one
	longest  time.Duration   // of these rests
	timeout  time.Duration   // of one request
	queue    int             // events of one webhook
	queued   int             // bytes of them
	history  int             // rows
	fileSize int64           // bytes after which the operator's file is set aside
}

var usualTuning = tuning{
	// Two days and four hours in all: over a weekend, not over a holiday.
	schedule: []time.Duration{
		5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute,
		time.Hour, 2 * time.Hour, 4 * time.Hour, 8 * time.Hour, 12 * time.Hour, 24 * time.Hour,
	},
	rest: time.Second, longest: 5 * time.Minute, timeout: 10 * time.Second,
	queue: 10_000, queued: 32 << 20, history: 100_000, fileSize: 100 << 20,
}

// Store holds what has been read of the journals. One process at a time has it.
type Store struct {
	cfg     Config
	log     *slog.Logger
	db      *boltfile.DB
	senders []*sender
	file    *lineFile
	dropped counts
	sent    counts
	rows    int                    // of the history, under a write transaction
	name    string                 // of this run of the store, for others
	heardTo atomic.Uint64          // the number of the stream up to which all has been entered
	stream  atomic.Pointer[string] // the name of that stream; nil: none yet
	outbox  atomic.Int64           // words in it
	untold  chan struct{}          // there is something in the outbox

	mu   sync.Mutex
	said map[string]time.Time // when the log was last told of a failure
}

const storeFile = "events.db"

var (
	bucketPositions = []byte("positions") // of what has been read of a journal, by its name
	bucketHistory   = []byte("history")   // lines, by time and number
	bucketUsage     = []byte("usage")     // by day and user
	bucketQueues    = []byte("queues")    // of webhooks; a bucket for each
)

// Open opens the store, and waits for another process of this server to leave it until
// ctx ends. One that is damaged is set aside, and begun anew.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.tune.schedule == nil {
		cfg.tune = usualTuning
	}
	if err := statefile.MakeDir(cfg.Dir); err != nil {
		return nil, err
	}
	path := filepath.Join(cfg.Dir, storeFile)
	s := &Store{cfg: cfg, log: cfg.Logger, said: make(map[string]time.Time), untold: make(chan struct{}, 1)}
	db, err := boltfile.Open(ctx, path, func(err error, aside string) {
		s.log.Warn("the store of events is damaged and begun anew: history, usage and what waited for webhooks are lost", "error", err, "kept", aside)
	})
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	s.db = db
	if cfg.File != "" {
		s.file = &lineFile{path: cfg.File, most: cfg.tune.fileSize}
	}
	if err := s.prepare(); err != nil {
		db.Close()
		return nil, err
	}
	return s, nil
}

// Forget removes what a store and journals in a directory hold, where nothing is made of
// events any more.
func Forget(dir string) error {
	err := os.Remove(filepath.Join(dir, storeFile))
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	files, lerr := journals(dir)
	for _, f := range files {
		err = errors.Join(err, os.Remove(filepath.Join(dir, f.name)))
	}
	return errors.Join(err, lerr)
}

// prepare makes the buckets, and counts what is there.
func (s *Store) prepare() error {
	return s.update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{bucketPositions, bucketHistory, bucketUsage, bucketQueues} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		s.rows = tx.Bucket(bucketHistory).Stats().KeyN
		// A crash between the end of a journal and the end of its entry.
		positions := tx.Bucket(bucketPositions)
		gone := [][]byte{}
		_ = positions.ForEach(func(name, _ []byte) error {
			if _, err := os.Stat(filepath.Join(s.cfg.Dir, string(name))); errors.Is(err, os.ErrNotExist) {
				gone = append(gone, append([]byte(nil), name...))
			}
			return nil
		})
		for _, name := range gone {
			if err := positions.Delete(name); err != nil {
				return err
			}
		}
		if err := s.prune(tx, time.Now()); err != nil {
			return err
		}
		if err := s.openShared(tx); err != nil {
			return err
		}
		if err := s.makeSenders(tx); err != nil {
			return err
		}
		return s.joined(tx)
	})
}

func (s *Store) update(f func(*bbolt.Tx) error) error { return s.db.Update(f) }

func (s *Store) view(f func(*bbolt.Tx) error) error { return s.db.View(f) }

// Serve reads the journals and sends to the webhooks until ctx ends, and closes the
// store. own receives when this process has written something.
func (s *Store) Serve(ctx context.Context, own <-chan struct{}) {
	var group sync.WaitGroup
	for _, sender := range s.senders {
		group.Go(func() { sender.serve(ctx) })
	}
	group.Go(func() { s.exchange(ctx) })
	defer func() {
		group.Wait()
		if s.file != nil {
			s.file.close()
		}
		s.db.Close()
	}()
	look := time.NewTicker(time.Second) // for what other processes have written
	defer look.Stop()
	hourly := time.NewTicker(time.Hour)
	defer hourly.Stop()
	for {
		s.readAll(ctx)
		select {
		case <-ctx.Done():
			return
		case <-own:
			// A little later more of them go in one transaction.
			select {
			case <-ctx.Done():
				return
			case <-time.After(50 * time.Millisecond):
			}
		case <-look.C:
		case <-hourly.C:
			if err := s.update(func(tx *bbolt.Tx) error { return s.prune(tx, time.Now()) }); err != nil {
				s.tell("old events cannot be removed from the store", err)
			}
		}
	}
}

// tell logs a failure, once a minute at most.
func (s *Store) tell(what string, err error) {
	s.complain(what, "see to it that "+s.cfg.Dir+" can be written and has room", err)
}

// complain says something that goes on, once a minute.
func (s *Store) complain(what, remedy string, err error) {
	s.mu.Lock()
	last := s.said[what]
	due := last.IsZero() || time.Since(last) > time.Minute
	if due {
		s.said[what] = time.Now()
	}
	s.mu.Unlock()
	if due {
		s.log.Warn(what, "error", err, "remedy", remedy)
	}
}

// Stats are the store's counters.
func (s *Store) Stats() Stats {
	st := Stats{Emitted: map[string]uint64{}, Dropped: s.dropped.copy(), Deliveries: s.sent.copy(), Unshared: int(s.outbox.Load())}
	for _, sender := range s.senders {
		st.Waiting += int(sender.waiting.Load())
	}
	return st
}

// enter puts events into everything that wants them, in one transaction with how far
// the journal has been read.
func (s *Store) enter(journal string, position int64, events []*Event, lines [][]byte) error {
	if s.file != nil && len(lines) > 0 {
		// Before, so that nothing is missing there after a crash; what comes twice has
		// its id.
		if err := s.file.write(lines); err != nil {
			s.dropped.add(dropDisk, len(lines))
			s.tell("events cannot be written to "+s.cfg.File, err)
		}
	}
	err := s.update(func(tx *bbolt.Tx) error {
		for i, e := range events {
			if err := s.remember(tx, e, lines[i]); err != nil {
				return err
			}
			if err := s.tellOthers(tx, told{Event: bytes.TrimSuffix(lines[i], []byte("\n"))}); err != nil {
				return err
			}
			for _, sender := range s.senders {
				if sender.wants(e.Type) {
					if err := sender.put(tx, lines[i]); err != nil {
						return err
					}
				}
			}
		}
		return tx.Bucket(bucketPositions).Put([]byte(journal), binary.BigEndian.AppendUint64(nil, uint64(position)))
	})
	if err != nil {
		s.recount()
		return err
	}
	for _, sender := range s.senders {
		sender.poke()
	}
	poke(s.untold)
	return nil
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func decode(line []byte) (*Event, bool) {
	e := new(Event)
	if json.Unmarshal(line, e) != nil || e.ID == "" || e.Type == "" || e.Time.IsZero() {
		return nil, false
	}
	return e, true
}
