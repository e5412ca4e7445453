package push

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Shelf is a place that several nodes share, see the cluster's of that name.
type Shelf interface {
	Change(ctx context.Context, key string, change func(old []byte) []byte) error
}

// Shared is what several nodes have together: the records of users, and the calls that ring,
// so that another node can say what becomes of one whose node has died. The node that rings a
// call, which is its caller's, is the only one that sends anything about it.
type Shared struct {
	Users, Rings Shelf
	Node, Run    string // of this process
	// Lives reports whether a process of a node lives; sure is false where that is not known.
	Lives func(node, run string) (lives, sure bool)
}

// share is the Store's part of it. mu guards all but the signals.
type share struct {
	behind  map[string]bool // users whose records the others may not have
	swept   map[string]bool // users of whom nothing but the memory is on the shelf, which is to go
	waiting []func(error)   // who is to be told when they have
	heard   map[string]bool // users, since Begin; nil: not in between
	rings   map[string]*posted
	owed    []*ring // of which the shelf does not know yet how they have ended
	said    time.Time
	synced  chan struct{}
	wake    chan struct{}
	group   sync.WaitGroup
	closed  bool
}

const (
	// UsersTTL is for how long the shelf of users keeps one that nobody uses.
	UsersTTL = 91 * 24 * time.Hour

	shareRetry  = time.Second
	maxUserText = 60 << 10
	maxSwept    = 4096
	maxUnshared = 16 // records that may fail until the others wait for the next time
)

// place is the key of a user on the shelf. Nodes that prove names in another way, or have
// another key, have records that are worth nothing to this one.
func (s *Store) place(user string) string { return s.terms() + "/" + user }

func (s *Store) terms() string {
	sum := sha256.Sum256([]byte(s.cfg.Key.Public() + " " + s.cfg.Proof))
	return base64.RawURLEncoding.EncodeToString(sum[:6])
}

// unshare notes that the others may not have a record. mu is held.
func (s *Store) unshare(user string) {
	if s.cfg.Shared != nil {
		s.share.behind[user] = true
	}
}

// told tells those who wait for what is on the disk now, or, where there are several nodes,
// when these have it as well.
func (s *Store) told(wait []func(error), err error) {
	if s.cfg.Shared != nil && err == nil {
		s.mu.Lock()
		closed := s.share.closed
		if !closed {
			s.share.waiting = append(s.share.waiting, wait...)
		}
		s.mu.Unlock()
		if !closed {
			poke(s.share.wake)
			return
		}
	}
	for _, done := range wait {
		done(err)
	}
}

// Begin says that all records of the shelf are heard from now on.
func (s *Store) Begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.share.heard = make(map[string]bool)
}

// Complete says that they have been.
func (s *Store) Complete() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for user := range s.users {
		if !s.share.heard[user] {
			s.share.behind[user] = true
		}
	}
	s.share.heard = nil
	select {
	case <-s.share.synced:
	default:
		close(s.share.synced)
	}
	poke(s.share.wake)
}

// Synced is closed when the shelf's records have been heard once.
func (s *Store) Synced() <-chan struct{} { return s.share.synced }

// HeardUser is told of a record on the shelf.
func (s *Store) HeardUser(key string, value []byte) {
	terms, user, ok := strings.Cut(key, "/")
	if !ok || terms != s.terms() || value == nil {
		return
	}
	theirs := s.read(value)
	if theirs == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.share.heard != nil {
		s.share.heard[user] = true
	}
	ours := s.users[user]
	if ours == nil && !s.roomFor(theirs) {
		if !theirs.kept() {
			s.sweep(user)
		}
		return
	}
	merged := merge(ours, theirs, s.cfg.tune)
	if !same(merged, theirs, s.cfg.tune) {
		s.share.behind[user] = true
		poke(s.share.wake)
	}
	if ours != nil && same(merged, ours, s.cfg.tune) {
		return
	}
	s.replace(user, merged)
}

// sweep has the memory of somebody who is no more taken from the shelf: there is more of it
// than nodes remember. mu is held.
func (s *Store) sweep(user string) {
	if len(s.share.swept) < maxSwept {
		s.share.swept[user] = true
	}
}

// roomFor reports whether one more record of others is kept. The memory of somebody who is no
// more makes room for whoever is. mu is held.
func (s *Store) roomFor(r *record) bool {
	if !r.kept() {
		return len(s.users) < 2*s.cfg.tune.total
	}
	if len(s.users) < 3*s.cfg.tune.total {
		return true
	}
	for user, o := range s.users {
		if !o.kept() {
			delete(s.users, user)
			s.dirty[user] = true
			s.sweep(user)
			return true
		}
	}
	return false
}

// read reads a record that another node has written; nil: it is none, or of long ago.
func (s *Store) read(value []byte) *record {
	r := new(record)
	if json.Unmarshal(value, r) != nil || r.sound() != nil || time.Since(time.Unix(r.Used, 0)) > s.cfg.tune.kept {
		return nil
	}
	r.Subs = slices.DeleteFunc(r.Subs, func(sub subscription) bool { return Endpoint(sub.Endpoint, s.cfg.Services) != nil })
	return r
}

// replace takes another record for a user. mu is held.
func (s *Store) replace(user string, r *record) {
	if ours := s.users[user]; ours != nil {
		for _, sub := range ours.Subs {
			if s.owner[sub.Endpoint] == user {
				delete(s.owner, sub.Endpoint)
			}
		}
	}
	s.users[user] = r
	for _, sub := range r.Subs {
		// A browser has been another user's: it is that of who has come last.
		if other, had := s.owner[sub.Endpoint]; had && other != user {
			if was, _ := s.subscription(other, sub.Endpoint); was.Version > sub.Version || was.Version == sub.Version && other > user {
				continue
			}
			s.drop(other, sub.Endpoint)
		}
		s.owner[sub.Endpoint] = user
	}
	s.dirty[user] = true
	poke(s.wake)
}

// exchange brings what has changed to the other nodes, and looks after the calls of those
// that have died, until ctx ends.
func (s *Store) exchange(ctx context.Context) {
	if s.cfg.Shared == nil {
		return
	}
	tick := time.NewTicker(min(adoptEvery, shareRetry))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			s.mu.Lock()
			s.share.closed = true
			wait := s.share.waiting
			s.share.waiting = nil
			s.mu.Unlock()
			for _, done := range wait {
				done(nil) // the disk has it
			}
			s.share.group.Wait()
			return
		case <-s.share.wake:
		case <-tick.C:
			s.adopt(ctx)
		}
		s.mu.Lock()
		behind, swept, wait := s.share.behind, s.share.swept, s.share.waiting
		s.share.behind, s.share.swept, s.share.waiting = make(map[string]bool), make(map[string]bool), nil
		s.mu.Unlock()
		failed := 0
		for user := range behind {
			if failed < maxUnshared {
				asked := time.Now()
				err := s.bring(ctx, user)
				if err == nil || ctx.Err() != nil {
					continue
				}
				if failed++; time.Since(asked) > time.Second {
					failed = maxUnshared // it is not this record: the store does not answer
				}
				s.complain(err)
			}
			s.mu.Lock()
			s.share.behind[user] = true
			s.mu.Unlock()
		}
		for user := range swept {
			if failed += s.take(ctx, user); failed >= maxUnshared {
				break // another node does it, or this one when it hears of it again
			}
		}
		for _, done := range wait {
			done(nil) // where the shelf cannot be reached, it is on the disk, and comes there later
		}
	}
}

// complain says that others do not know what this node knows, once a minute.
func (s *Store) complain(err error) {
	s.mu.Lock()
	behind, due := len(s.share.behind)+1, s.share.said.IsZero() || time.Since(s.share.said) > time.Minute
	if due {
		s.share.said = time.Now()
	}
	s.mu.Unlock()
	if due {
		s.log.Warn("the other nodes do not know of everybody who is rung by push at this one", "error", err, "users", behind,
			"remedy", "see docs/cluster.md for what a node needs of NATS")
	}
}

// take takes the memory of a user from the shelf. It returns 1 where that failed.
func (s *Store) take(ctx context.Context, user string) int {
	err := s.cfg.Shared.Users.Change(ctx, s.place(user), func(old []byte) []byte {
		if theirs := s.read(old); theirs == nil || theirs.kept() {
			return old
		}
		return nil
	})
	if err != nil {
		return 1
	}
	return 0
}

// bring puts what this node knows of a user on the shelf.
func (s *Store) bring(ctx context.Context, user string) error {
	var long error
	err := s.cfg.Shared.Users.Change(ctx, s.place(user), func(old []byte) []byte {
		var theirs *record
		if old != nil {
			theirs = s.read(old)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		ours := s.users[user]
		if ours == nil {
			return old
		}
		merged := merge(ours, theirs, s.cfg.tune)
		if theirs != nil && same(merged, theirs, s.cfg.tune) {
			return old
		}
		text, _ := json.Marshal(merged) // it has no type that can fail
		if len(text) > maxUserText {
			long = fmt.Errorf("what is known of %q is longer than %d bytes", user, maxUserText)
			return old
		}
		return text
	})
	return cmp.Or(err, long)
}
