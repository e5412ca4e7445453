package push

import (
	"context"
	"math/rand/v2"
	"net/url"
	"slices"
	"sync"
	"time"

	"turnhub/internal/outbound"
)

// message is one on its way to one device.
type message struct {
	user, endpoint string
	ring           *ring
	stop           bool          // the call does not ring any more
	until          time.Time     // after which it is worth nothing here
	life           time.Duration // for which a service may keep it, from the beginning
	at             time.Time     // of the next attempt
	tries          int
	origin         *origin
}

// queue holds what is to be sent, for each push service by itself: one that is slow or
// down holds up no other.
type queue struct {
	count   int // messages, those on their way included
	flying  int
	origins map[string]*origin
}

type origin struct {
	name     string
	waiting  []*message
	flying   int
	rest     time.Time // until when nothing is tried
	failures int       // in a row
}

const (
	flyingAtOnce  = 32 // requests
	flyingTo      = 8  // to one service
	maxOrigins    = 256
	longestRest   = time.Minute
	refusedAtMost = 10 // in a row, until a subscription is deleted
)

func (q *queue) add(m *message) bool {
	u, err := url.Parse(m.endpoint)
	if err != nil {
		return false
	}
	o := q.origins[u.Host]
	if o == nil {
		if len(q.origins) >= maxOrigins {
			for _, idle := range q.origins {
				q.tidy(idle)
			}
			if len(q.origins) >= maxOrigins {
				return false
			}
		}
		o = &origin{name: u.Host}
		q.origins[u.Host] = o
	}
	m.origin = o
	o.waiting = append(o.waiting, m)
	q.count++
	return true
}

// remove takes out messages that wait.
func (q *queue) remove(which func(*message) bool) (n int) {
	for _, o := range q.origins {
		before := len(o.waiting)
		o.waiting = slices.DeleteFunc(o.waiting, which)
		n += before - len(o.waiting)
		q.tidy(o)
	}
	q.count -= n
	return n
}

// tidy forgets a service to which nothing is to be sent, once it does well.
func (q *queue) tidy(o *origin) {
	if len(o.waiting) == 0 && o.flying == 0 && (o.failures == 0 || time.Since(o.rest) > longestRest) {
		delete(q.origins, o.name)
	}
}

// next takes out the message that is due longest, or says when the next one is; the zero
// time: when something changes.
func (q *queue) next(now time.Time) (m *message, at time.Time) {
	if q.flying >= flyingAtOnce {
		return nil, at
	}
	for _, o := range q.origins {
		if o.flying >= flyingTo || o.failures > 0 && o.flying > 0 { // one at a time shows whether it does well again
			continue
		}
		for _, w := range o.waiting {
			due := w.at
			if o.rest.After(due) {
				due = o.rest
			}
			switch {
			case due.After(now):
				if at.IsZero() || due.Before(at) {
					at = due
				}
			case m == nil || w.at.Before(m.at):
				m = w
			}
		}
	}
	if m == nil {
		return nil, at
	}
	o := m.origin
	o.waiting = slices.DeleteFunc(o.waiting, func(w *message) bool { return w == m })
	o.flying++
	q.flying++
	return m, at
}

// send sends until ctx ends.
func (s *Store) send(ctx context.Context) {
	var group sync.WaitGroup
	defer group.Wait()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for ctx.Err() == nil {
		s.mu.Lock()
		m, at := s.queue.next(time.Now())
		if m != nil && !m.stop {
			t := m.ring.devices[m.endpoint]
			t.waiting, t.flying = false, true
		}
		s.mu.Unlock()
		if m != nil {
			group.Go(func() { s.attempt(ctx, m) })
			continue
		}
		timer.Reset(time.Hour)
		if !at.IsZero() {
			timer.Reset(max(time.Until(at), time.Millisecond))
		}
		select {
		case <-ctx.Done():
		case <-s.due:
		case <-timer.C:
		}
	}
}

// attempt tries once to have a message taken.
func (s *Store) attempt(ctx context.Context, m *message) {
	s.mu.Lock()
	sub, known := s.subscription(m.user, m.endpoint)
	s.mu.Unlock()
	late := !time.Now().Before(m.until)
	outcome, wait := "", time.Duration(0)
	if known && !late {
		outcome, wait = s.post(ctx, m, sub)
		if ctx.Err() != nil {
			outcome = ""
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	defer poke(s.due)
	o := m.origin
	o.flying--
	s.queue.flying--
	s.queue.count--
	defer s.queue.tidy(o)
	if outcome != "" {
		s.stats.sent.add(outcome, 1)
	}
	switch outcome {
	case "":
		if late {
			s.stats.dropped.add(dropLate, 1)
		}
		s.finished(m, false)
		return
	case sentOK:
		o.failures, o.rest = 0, time.Time{}
		s.heard(m, 0)
		s.finished(m, true)
		return
	case sentGone:
		o.failures = 0
		s.drop(m.user, m.endpoint)
		s.stats.deleted.add(deletedGone, 1)
		s.finished(m, false)
		return
	case sentRefused, sentRedirect, outbound.FailedAddress:
		o.failures = 0
		s.heard(m, sub.Refused+1)
		s.finished(m, false)
		return
	}
	// The service does badly, or the way to it: it rests, whichever message it was.
	o.failures++
	pauses := s.cfg.tune.pauses
	now := time.Now()
	pause := func(tries int) time.Duration {
		d := pauses[min(tries, len(pauses)-1)]
		return max(d*3/4+rand.N(d/2+1), wait)
	}
	o.rest = now.Add(min(pause(o.failures-1), longestRest))
	m.at = now.Add(pause(m.tries))
	m.tries++
	settled := !m.stop && m.ring.settled != ""
	if m.tries > len(pauses) || m.at.After(m.until) || settled {
		s.stats.dropped.add(map[bool]string{true: dropSettled, false: dropLate}[settled], 1)
		s.finished(m, false)
		return
	}
	if !m.stop {
		t := m.ring.devices[m.endpoint]
		t.waiting, t.flying = true, false
	}
	o.waiting = append(o.waiting, m)
	s.queue.count++
}

// subscription finds one. mu is held.
func (s *Store) subscription(user, endpoint string) (subscription, bool) {
	if r := s.users[user]; r != nil {
		for _, sub := range r.Subs {
			if sub.Endpoint == endpoint {
				return sub, true
			}
		}
	}
	return subscription{}, false
}

// heard notes how often in a row a service has refused everything for a subscription, and
// deletes it in the end. mu is held.
func (s *Store) heard(m *message, refused int) {
	r := s.users[m.user]
	if r == nil {
		return
	}
	for i := range r.Subs {
		if sub := &r.Subs[i]; sub.Endpoint == m.endpoint && sub.Refused != refused {
			sub.Refused, sub.Version = refused, max(time.Now().UnixMilli(), sub.Version+1)
			s.soil(m.user)
		}
	}
	if refused >= refusedAtMost {
		s.drop(m.user, m.endpoint)
		s.stats.deleted.add(deletedRefused, 1)
	}
}
