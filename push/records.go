package push

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// record is what is kept of a user.
type record struct {
	Proof  []byte         `json:"proof"` // digest of what proves the name
	Used   int64          `json:"used"`  // Unix seconds, to the day
	Subs   []subscription `json:"subscriptions"`
	Missed []Missed       `json:"missed,omitempty"` // the oldest first

	// Of several nodes, see merge.go. Times are Unix milliseconds.
	Born int64            `json:"born,omitempty"` // when the name was claimed with this proof
	Void int64            `json:"void,omitempty"` // nothing from before is any more
	Gone map[string]int64 `json:"gone,omitempty"` // subscriptions, by digest
	Seen map[string]int64 `json:"seen,omitempty"` // calls that are not missed any more
}

// Missed is a call that nobody has seen.
type Missed struct {
	Call   string `json:"call"`
	User   string `json:"user,omitempty"` // who called
	Name   string `json:"name,omitempty"`
	Reason string `json:"reason"`
	At     int64  `json:"at"` // Unix milliseconds
}

// What Subscribe answers, beside what is wrong with a subscription.
var (
	ErrFull = errors.New("as many people as this server keeps are to be rung by push already")
	ErrRate = errors.New("too many subscriptions came from your network: wait a minute")
	ErrDisk = errors.New("the subscription cannot be written down at the moment: the operator's log says why")
)

// Subscribe keeps a subscription of a user, who has proved the name, and calls done when
// the disk has it; where nothing has changed, at once. The eleventh of a user takes the
// place of the one that was confirmed least lately. One that somebody else has had in the
// same browser is his from now on.
func (s *Store) Subscribe(user string, proof [32]byte, from netip.Addr, text []byte, done func(error)) {
	sub, err := read(text, s.cfg.Services)
	if err != nil {
		why := refusedForm
		if errors.Is(err, ErrService) {
			why = refusedService
		}
		s.stats.refused.add(why, 1)
		done(err)
		return
	}
	now := time.Now()
	sub.Since, sub.Version = now.Unix(), now.UnixMilli()
	s.mu.Lock()
	if r := s.users[user]; r != nil {
		if i := slices.IndexFunc(r.Subs, func(o subscription) bool { return o.Endpoint == sub.Endpoint }); i >= 0 {
			was := &r.Subs[i]
			same := slices.Equal(was.Public, sub.Public) && slices.Equal(was.Auth, sub.Auth)
			fresh := same && was.Refused == 0 && now.Sub(time.Unix(was.Since, 0)).Abs() < usedEvery
			sub.Version = max(sub.Version, was.Version+1)
			*was = sub
			s.use(user, r, now)
			s.change(user, fresh, done)
			return
		}
	}
	if !allow(s, s.subscribing, household(from), subscribeRate) {
		s.mu.Unlock()
		s.stats.refused.add(refusedRate, 1)
		done(ErrRate)
		return
	}
	if other, had := s.owner[sub.Endpoint]; had {
		s.drop(other, sub.Endpoint)
	}
	r := s.users[user]
	if r == nil || len(r.Subs) < s.cfg.tune.devices {
		if len(s.owner) >= s.cfg.tune.total {
			s.mu.Unlock()
			s.stats.refused.add(refusedFull, 1)
			done(ErrFull)
			return
		}
	} else {
		oldest := slices.MinFunc(r.Subs, func(a, b subscription) int { return int(a.Since - b.Since) })
		s.drop(user, oldest.Endpoint)
		r = s.users[user]
	}
	if r == nil {
		r = new(record)
		s.users[user] = r
	}
	if !r.kept() {
		r.claim(proof[:], now)
	}
	sub.Version = max(sub.Version, r.Gone[digest(sub.Endpoint)]+1, r.Void+1)
	r.Subs = append(r.Subs, sub)
	s.owner[sub.Endpoint] = user
	s.use(user, r, now)
	s.change(user, false, done)
}

// change has a user written down, and frees the mutex.
func (s *Store) change(user string, known bool, done func(error)) {
	over := s.over
	if !known && !over {
		s.soil(user)
		s.wait = append(s.wait, done)
		poke(s.wake)
	}
	s.mu.Unlock()
	switch {
	case over:
		done(ErrOver)
	case known:
		done(nil)
	}
}

// Unsubscribe removes a subscription. With the last one goes everything that is kept of
// the user: the name is free.
func (s *Store) Unsubscribe(user, endpoint string, done func(error)) {
	s.mu.Lock()
	known := s.owner[endpoint] != user
	if !known {
		s.drop(user, endpoint)
		if r := s.users[user]; r != nil && len(r.Subs) == 0 {
			s.empty(user, r)
		}
	}
	s.change(user, known, done)
}

// drop removes a subscription. A user without any is forgotten, but for calls that have
// been missed. mu is held.
func (s *Store) drop(user, endpoint string) {
	r := s.users[user]
	if r == nil || s.owner[endpoint] != user {
		return
	}
	delete(s.owner, endpoint)
	r.remove(endpoint, time.Now())
	if len(r.Subs) == 0 && len(r.Missed) == 0 {
		s.empty(user, r)
	}
	s.soil(user)
}

// empty forgets a user, of whom several nodes remember that. mu is held.
func (s *Store) empty(user string, r *record) {
	if s.cfg.Shared == nil {
		delete(s.users, user)
		return
	}
	r.void(time.Now())
	for other, o := range s.users {
		if len(s.users) <= 2*s.cfg.tune.total {
			break
		}
		// What the shelf does not know yet it would not learn any more.
		unshared := s.share.behind[other] && len(s.users) < 3*s.cfg.tune.total
		if !o.kept() && other != user && !unshared {
			delete(s.users, other)
			s.dirty[other] = true
			s.sweep(other)
		}
	}
}

// soil has a user written down soon. mu is held.
func (s *Store) soil(user string) {
	s.dirty[user] = true
	s.unshare(user)
	poke(s.wake)
}

// usedEvery is how exactly it is known when a name was used last.
const usedEvery = 24 * time.Hour

func (s *Store) use(user string, r *record, now time.Time) {
	if now.Sub(time.Unix(r.Used, 0)).Abs() >= usedEvery { // the clock may have been set back
		r.Used = now.Unix()
		s.soil(user)
	}
}

// Use says that somebody who has proved it uses a name now.
func (s *Store) Use(user string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.users[user]; r.kept() {
		s.use(user, r, time.Now())
	}
}

// Keeper returns the digest of what proves a name that is kept for somebody.
func (s *Store) Keeper(user string) (proof [32]byte, kept bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.users[user]
	if !r.kept() || time.Since(time.Unix(r.Used, 0)) > s.cfg.tune.kept {
		return proof, false
	}
	copy(proof[:], r.Proof)
	return proof, true
}

// Reachable reports whether a user has a device that can be rung.
func (s *Store) Reachable(user string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.users[user]
	return r != nil && len(r.Subs) > 0 && !s.over
}

// Miss keeps a call that nobody has seen, if anything is kept of the user.
func (s *Store) Miss(user string, call Missed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.miss(user, call)
}

// miss is Miss. mu is held.
func (s *Store) miss(user string, call Missed) {
	r := s.users[user]
	if !r.kept() || slices.ContainsFunc(r.Missed, func(m Missed) bool { return m.Call == call.Call }) {
		return
	}
	call.At = max(call.At, r.Void+1) // the clock may have been set back since
	r.Missed = append(r.Missed, call)
	if n := len(r.Missed) - s.cfg.tune.missed; n > 0 {
		r.Missed = slices.Delete(r.Missed, 0, n)
	}
	s.soil(user)
}

// Missed returns the calls that a user has missed.
func (s *Store) Missed(user string) []Missed {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.users[user]; r != nil {
		return slices.Clone(r.Missed)
	}
	return nil
}

// Seen forgets missed calls that a user has seen.
func (s *Store) Seen(user string, calls []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.users[user]
	if r == nil || len(r.Missed) == 0 {
		return
	}
	r.see(calls, time.Now())
	if len(r.Subs) == 0 && len(r.Missed) == 0 {
		s.empty(user, r)
	}
	s.soil(user)
}

// Forget removes everything about a user, whom the operator has revoked.
func (s *Store) Forget(user string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(user)
}

func (s *Store) forget(user string) {
	r := s.users[user]
	if r == nil {
		return
	}
	for _, sub := range r.Subs {
		delete(s.owner, sub.Endpoint)
	}
	s.empty(user, r)
	s.soil(user)
}

// prune forgets those who have not used their names for so long.
func (s *Store) prune(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for user, r := range s.users {
		if now.Sub(time.Unix(r.Used, 0)) > s.cfg.tune.kept {
			if r.kept() {
				s.stats.deleted.add(deletedUnused, 1)
			}
			s.forget(user)
			delete(s.users, user) // the other nodes do so too
		}
	}
	for id, one := range s.rings { // of a hub that went away before it said so
		if now.Sub(one.at).Abs() > time.Hour {
			delete(s.rings, id)
		}
	}
}

// sound says what is wrong with a record that was read.
func (r *record) sound() error {
	if !r.kept() && r.Void > 0 && len(r.Subs) == 0 && len(r.Missed) == 0 {
		return nil
	}
	if len(r.Proof) != 32 {
		return fmt.Errorf("a proof of %d bytes", len(r.Proof))
	}
	for _, sub := range r.Subs {
		if _, err := sub.receiver(); err != nil {
			return err
		}
	}
	return nil
}
