package push

import (
	"context"
	"encoding/json"
	"slices"
	"time"
)

// Calls that ring, on a shelf that several nodes share: what the node of one has begun another
// goes on with, or finishes, once that node has died.

// posted is a call that rings, as it stands on the shelf.
type posted struct {
	Node  string `json:"node"`
	Run   string `json:"run"`
	Call  string `json:"call"`
	To    string `json:"to"`
	User  string `json:"user,omitempty"`
	Name  string `json:"name,omitempty"`
	At    int64  `json:"at"` // Unix milliseconds
	Over  string `json:"over,omitempty"`
	Spare string `json:"spare,omitempty"`

	since time.Time // when it was heard
	dead  time.Time // when its node was first found dead
}

const (
	// RingsTTL is for how long the shelf of calls keeps one.
	RingsTTL = time.Hour

	maxPosted  = 8192
	adoptEvery = time.Second
)

// HeardRing is told of a call on the shelf; no value: it is no more.
func (s *Store) HeardRing(key string, value []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &posted{since: time.Now()}
	if value == nil || json.Unmarshal(value, p) != nil || p.Call != key {
		delete(s.share.rings, key)
		return
	}
	if had := s.share.rings[key]; had != nil {
		if p.since = had.since; p.Node == had.Node && p.Run == had.Run {
			p.dead = had.dead
		}
	} else if len(s.share.rings) >= maxPosted {
		return
	}
	s.share.rings[key] = p
	if one := s.rings[key]; one != nil && !s.ours(p) {
		one.lost = true // another node has taken this one for dead
	}
}

func (s *Store) ours(p *posted) bool { return p.Node == s.cfg.Shared.Node && p.Run == s.cfg.Shared.Run }

// RingsAt returns the node of a call that rings; empty: it is not known.
func (s *Store) RingsAt(call string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.share.rings[call]; p != nil && p.Over == "" {
		return p.Node
	}
	return ""
}

// work does something that asks the shelf. mu is held.
func (s *Store) work(f func(context.Context)) {
	if s.share.closed {
		return // the next process, or another node, finds the call on the shelf
	}
	// Calls are bounded by maxRings, and so is what is asked for them at a time.
	s.share.group.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		f(ctx)
	})
}

// announce puts a call on the shelf, and rings when it is there, or cannot be. mu is held.
func (s *Store) announce(one *ring) {
	c := one.call
	p := &posted{
		Node: s.cfg.Shared.Node, Run: s.cfg.Shared.Run, Call: c.ID, To: c.To, User: c.User, Name: c.Name, At: one.at.UnixMilli(),
	}
	one.posted = make(chan struct{})
	s.work(func(ctx context.Context) {
		defer close(one.posted)
		text, _ := json.Marshal(p) // it has no type that can fail
		_ = s.cfg.Shared.Rings.Change(ctx, c.ID, func(old []byte) []byte {
			if old != nil {
				return old
			}
			return text
		})
		s.mu.Lock()
		defer s.mu.Unlock()
		if one.settled == "" {
			s.begin(one)
		}
	})
}

// strike says on the shelf how a call has ended, and takes it off when nothing more is to be
// sent about it. mu is held.
func (s *Store) strike(one *ring) {
	if s.cfg.Shared == nil || one.lost {
		return
	}
	done, reason, spare, call := one.pending == 0, one.settled, one.spare, one.call
	s.work(func(ctx context.Context) {
		if one.posted != nil {
			<-one.posted
		}
		err := error(nil)
		if done && reason == Unseen {
			err = s.bring(ctx, call.To) // it stays until it is known that the call was missed
		}
		if err == nil {
			err = s.cfg.Shared.Rings.Change(ctx, call.ID, func(old []byte) []byte {
				p := new(posted)
				if old == nil || json.Unmarshal(old, p) != nil || !s.ours(p) || done {
					if done && s.ours(p) {
						return nil
					}
					return old
				}
				p.Over, p.Spare = reason, spare
				text, _ := json.Marshal(p)
				return text
			})
		}
		if err != nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			if len(s.share.owed) < maxRings && !slices.Contains(s.share.owed, one) {
				s.share.owed = append(s.share.owed, one)
			}
		}
	})
}

// adopt finishes what nodes that have died have begun: one of those that live gets each call,
// keeps it as missed, and tells the devices that it does not ring any more.
func (s *Store) adopt(ctx context.Context) {
	var dead []*posted
	s.mu.Lock()
	owed := s.share.owed
	s.share.owed = nil
	for _, one := range owed {
		s.strike(one)
	}
	for key, p := range s.share.rings {
		if time.Since(p.since) > RingsTTL {
			delete(s.share.rings, key)
		} else if !s.ours(p) {
			lives, sure := s.cfg.Shared.Lives(p.Node, p.Run)
			switch {
			case !sure || lives:
				p.dead = time.Time{}
			case p.dead.IsZero():
				p.dead = time.Now()
			case time.Since(p.dead) >= s.cfg.tune.adopt:
				dead = append(dead, p)
			}
		}
	}
	s.mu.Unlock()
	for _, p := range dead {
		s.inherit(ctx, p)
	}
}

// Resume goes on with a call that a node has begun which has died: it rings on, and its devices
// are told when it is over. False: it is not known, or over.
func (s *Store) Resume(c Call) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cfg.Shared == nil || s.over || s.share.closed || len(s.rings) >= maxRings {
		return false
	}
	was := s.share.rings[c.ID]
	if was == nil || was.Over != "" || was.To != c.To {
		return false
	}
	node, run := was.Node, was.Run
	one := &ring{call: c, at: time.UnixMilli(was.At), devices: make(map[string]*told), taken: true, posted: make(chan struct{})}
	if r := s.users[c.To]; r != nil {
		for _, sub := range r.Subs {
			one.devices[sub.Endpoint] = &told{taken: true}
		}
	}
	s.rings[c.ID] = one
	s.work(func(ctx context.Context) {
		defer close(one.posted)
		ok := false
		err := s.cfg.Shared.Rings.Change(ctx, c.ID, func(old []byte) []byte {
			p := new(posted)
			if ok = old != nil && json.Unmarshal(old, p) == nil && p.Node == node && p.Run == run && p.Over == ""; !ok {
				return old
			}
			p.Node, p.Run = s.cfg.Shared.Node, s.cfg.Shared.Run
			text, _ := json.Marshal(p) // it has no type that can fail
			return text
		})
		if err != nil || !ok { // another node has told its devices that it is over, or does so
			s.mu.Lock()
			one.lost = true
			s.mu.Unlock()
			if s.cfg.Failed != nil {
				s.cfg.Failed(c.ID)
			}
		}
	})
	return true
}

// inherit takes over a call of a node that has died, unless another node does.
func (s *Store) inherit(ctx context.Context, dead *posted) {
	var p *posted
	err := s.cfg.Shared.Rings.Change(ctx, dead.Call, func(old []byte) []byte {
		p = new(posted)
		if old == nil || json.Unmarshal(old, p) != nil || p.Node != dead.Node || p.Run != dead.Run {
			p = nil
			return old
		}
		p.Node, p.Run = s.cfg.Shared.Node, s.cfg.Shared.Run
		text, _ := json.Marshal(p)
		return text
	})
	if err != nil || p == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	one := &ring{
		call: Call{ID: p.Call, To: p.To, User: p.User, Name: p.Name}, at: time.UnixMilli(p.At), settled: p.Over, spare: p.Spare,
		devices: make(map[string]*told), pending: 1,
	}
	if one.settled == "" {
		one.settled = Unseen
		s.miss(p.To, Missed{Call: p.Call, User: p.User, Name: p.Name, Reason: "lost", At: p.At})
	}
	if r := s.users[p.To]; r != nil {
		for _, sub := range r.Subs {
			t := &told{taken: true, spared: sub.Endpoint == one.spare}
			one.devices[sub.Endpoint] = t
			s.tellSettled(one, sub.Endpoint, t)
		}
	}
	if one.pending--; one.pending == 0 {
		s.strike(one)
	}
}
