package push

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"time"

	"go.etcd.io/bbolt"

	"turnhub/internal/boltfile"
	"turnhub/internal/statefile"
)

var (
	bucketUsers = []byte("users") // records as JSON, by name
	bucketTerms = []byte("terms") // what the records are worth nothing without
	termKey     = []byte("key")   // the public key that subscriptions are bound to
	termProof   = []byte("proof") // how names were proved
)

// load reads the file, if there is one.
func (s *Store) load(ctx context.Context) error {
	if _, err := os.Stat(s.path); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err := s.open(ctx); err != nil {
		return err
	}
	void, broken := "", 0
	err := s.db.View(func(tx *bbolt.Tx) error {
		terms, users := tx.Bucket(bucketTerms), tx.Bucket(bucketUsers)
		if terms == nil || users == nil {
			return nil
		}
		switch {
		case string(terms.Get(termKey)) != s.cfg.Key.Public():
			void = "the key of this server is another one"
		case string(terms.Get(termProof)) != s.cfg.Proof:
			void = "names are proved in another way"
		default:
			return users.ForEach(func(name, text []byte) error {
				r := new(record)
				if json.Unmarshal(text, r) != nil || r.sound() != nil {
					broken++
					return nil
				}
				if s.cfg.Shared == nil && !r.kept() {
					return nil // the memory of several nodes
				}
				r.dated()
				s.users[string(name)] = r
				for _, sub := range r.Subs {
					s.owner[sub.Endpoint] = string(name)
				}
				return nil
			})
		}
		return nil
	})
	if err == nil && void != "" {
		s.log.Warn("nobody is rung by push who was before: "+void+"; whoever wants to be opens the page once", "file", s.path)
		err = s.db.Update(func(tx *bbolt.Tx) error { return tx.DeleteBucket(bucketUsers) })
	}
	if broken > 0 {
		s.log.Warn("some who were rung by push cannot be read, and are forgotten", "users", broken, "file", s.path)
	}
	if err == nil {
		err = s.db.Update(s.prepare)
	}
	if err != nil {
		s.db.Close()
	}
	return err
}

func (s *Store) open(ctx context.Context) error {
	if err := statefile.MakeDir(s.cfg.Dir); err != nil {
		return err
	}
	db, err := boltfile.Open(ctx, s.path, func(err error, aside string) {
		s.log.Warn("the store of push subscriptions is damaged and begun anew: whoever wants to be rung opens the page once", "error", err, "kept", aside)
	})
	s.db = db
	return err
}

func (s *Store) prepare(tx *bbolt.Tx) error {
	if _, err := tx.CreateBucketIfNotExists(bucketUsers); err != nil {
		return err
	}
	terms, err := tx.CreateBucketIfNotExists(bucketTerms)
	if err != nil {
		return err
	}
	if bytes.Equal(terms.Get(termKey), []byte(s.cfg.Key.Public())) && bytes.Equal(terms.Get(termProof), []byte(s.cfg.Proof)) {
		return nil
	}
	return errors.Join(terms.Put(termKey, []byte(s.cfg.Key.Public())), terms.Put(termProof, []byte(s.cfg.Proof)))
}

// keep writes what has changed until ctx ends, and once more then.
func (s *Store) keep(ctx context.Context) {
	hourly := time.NewTicker(time.Hour)
	defer hourly.Stop()
	again := time.NewTimer(time.Hour)
	defer again.Stop()
	for {
		if s.write(ctx) {
			again.Stop()
		} else {
			again.Reset(10 * time.Second)
		}
		select {
		case <-ctx.Done():
			s.mu.Lock()
			s.over = true
			s.mu.Unlock()
			s.write(context.Background())
			if s.db != nil {
				s.db.Close()
			}
			return
		case <-s.wake:
		case <-again.C:
		case <-hourly.C:
			s.prune(time.Now())
		}
	}
}

// write writes all that has changed in one transaction. It reports whether nothing is left.
func (s *Store) write(ctx context.Context) bool {
	s.mu.Lock()
	if len(s.dirty) == 0 && len(s.wait) == 0 {
		s.mu.Unlock()
		return true
	}
	texts := make(map[string][]byte, len(s.dirty)) // nil: gone
	for user := range s.dirty {
		texts[user] = nil
		if r := s.users[user]; r != nil {
			texts[user], _ = json.Marshal(r) // it has no type that can fail
		}
	}
	wait := s.wait
	s.wait = nil
	clear(s.dirty)
	s.mu.Unlock()
	err := s.commit(ctx, texts)
	if err != nil {
		s.mu.Lock()
		for user := range texts {
			s.dirty[user] = true
		}
		s.mu.Unlock()
		if s.said.IsZero() || time.Since(s.said) > time.Minute {
			s.said = time.Now()
			s.log.Warn("who is to be rung by push cannot be written down", "error", err, "remedy", "see to it that "+s.cfg.Dir+" can be written and has room")
		}
		err = ErrDisk
	}
	s.told(wait, err)
	return err == nil
}

func (s *Store) commit(ctx context.Context, texts map[string][]byte) error {
	if len(texts) == 0 {
		return nil
	}
	if s.db == nil {
		if err := s.open(ctx); err != nil {
			s.db = nil
			return err
		}
		if err := s.db.Update(s.prepare); err != nil {
			return err
		}
	}
	return s.db.Update(func(tx *bbolt.Tx) error {
		users := tx.Bucket(bucketUsers)
		for user, text := range texts {
			err := error(nil)
			if text == nil {
				err = users.Delete([]byte(user))
			} else {
				err = users.Put([]byte(user), text)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}
