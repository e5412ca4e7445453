package push

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/netip"
	"strings"
	"time"
)

// Call is one that rings a user.
type Call struct {
	ID         string
	To         string // whom it rings
	User, Name string // of who calls; may be empty
	Decline    string // what proves that one was told of it, to decline it without a session
	For        time.Duration
	From       netip.Addr // of the caller, whose household is bounded
}

// ring is a call that has been told to the devices of a user.
type ring struct {
	call    Call
	at      time.Time
	devices map[string]*told // by endpoint
	left    int              // devices of which it is not known yet
	taken   bool             // by one service
	settled string           // reason, once it has been
	spare   string           // the endpoint of a device that knows
	pending int              // messages about it that wait or are on their way

	posted chan struct{} // closed when the other nodes know of it, see share.go
	lost   bool          // another node has taken it over
}

// told is how far a device has been told of a ring.
type told struct{ waiting, flying, taken, spared bool }

// The reasons of Settle.
const (
	Elsewhere = "elsewhere" // another device has answered or declined
	Unseen    = "missed"
)

const (
	maxRings   = 4096
	missedLife = 24 * time.Hour // for how long a service keeps the word of a missed call
	settleLife = time.Hour      // and that another device has answered
)

// Ring rings every device of a user. It reports false where nobody is rung: nothing is
// kept of the user, or too many calls came from one household, or to him.
func (s *Store) Ring(c Call) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.users[c.To]
	if r == nil || len(r.Subs) == 0 || s.over || len(s.rings) >= maxRings {
		return false
	}
	if !allow(s, s.ringing, household(c.From), callerRate) || !allow(s, s.rung, c.To, rungRate) {
		s.stats.dropped.add(dropLimit, 1)
		return false
	}
	now := time.Now()
	one := &ring{call: c, at: now, devices: make(map[string]*told, len(r.Subs)), left: len(r.Subs)}
	s.rings[c.ID] = one
	for _, sub := range r.Subs {
		one.devices[sub.Endpoint] = &told{waiting: true}
	}
	if s.cfg.Shared != nil && !s.share.closed {
		s.announce(one)
	} else {
		s.begin(one)
	}
	return true
}

// begin sends the word of a call to all devices. mu is held.
func (s *Store) begin(one *ring) {
	for endpoint := range one.devices {
		s.put(&message{user: one.call.To, endpoint: endpoint, ring: one, until: one.at.Add(one.call.For), life: one.call.For, at: time.Now()})
	}
}

// Settle says that a call does not ring any more: Elsewhere or Unseen. spare is the
// endpoint of a device that knows; empty: none. The others are told, those that have not
// been rung yet of missed calls alone.
func (s *Store) Settle(call, reason, spare string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.rings[call]
	if one == nil {
		return
	}
	delete(s.rings, call)
	one.settled, one.spare = reason, spare
	if n := s.queue.remove(func(m *message) bool { return m.ring == one }); n > 0 {
		s.stats.dropped.add(dropSettled, uint64(n))
		one.pending -= n
	}
	if one.lost {
		return
	}
	one.pending++
	defer func() {
		one.pending--
		s.strike(one)
	}()
	for endpoint, t := range one.devices {
		t.spared = endpoint == spare
		t.waiting = false
		if !t.flying { // else when that is over, so that it does not come before
			s.tellSettled(one, endpoint, t)
		}
	}
}

// tellSettled tells one device that a call does not ring any more. mu is held.
func (s *Store) tellSettled(one *ring, endpoint string, t *told) {
	if t.spared || one.settled == Elsewhere && !t.taken {
		return
	}
	life := missedLife
	if one.settled == Elsewhere {
		life = settleLife
	}
	now := time.Now()
	s.put(&message{user: one.call.To, endpoint: endpoint, ring: one, stop: true, until: now.Add(life), life: life, at: now})
}

// put queues a message, if there is room. mu is held.
func (s *Store) put(m *message) {
	m.ring.pending++
	if s.queue.count >= s.cfg.tune.queue || !s.queue.add(m) {
		s.stats.dropped.add(dropQueue, 1)
		s.finished(m, false)
		return
	}
	poke(s.due)
}

// finished says that nothing more is tried for a message. mu is held.
func (s *Store) finished(m *message, taken bool) {
	one, t := m.ring, m.ring.devices[m.endpoint]
	defer func() {
		if one.pending--; one.pending == 0 && one.settled != "" {
			s.strike(one)
		}
	}()
	if m.stop {
		return
	}
	t.waiting, t.flying, t.taken = false, false, taken
	one.left--
	call := one.call.ID
	switch {
	case one.lost:
	case one.settled != "":
		s.tellSettled(one, m.endpoint, t)
	case taken && !one.taken:
		one.taken = true
		if s.cfg.Taken != nil {
			go s.cfg.Taken(call)
		}
	case one.left == 0 && !one.taken:
		if s.cfg.Failed != nil {
			go s.cfg.Failed(call)
		}
	}
}

// body is what a device is told, for the page's service worker.
func (m *message) body() []byte {
	c := m.ring.call
	said := struct {
		Type    string `json:"type"`
		Call    string `json:"call"`
		To      string `json:"to"`
		User    string `json:"user,omitempty"`
		Name    string `json:"name,omitempty"`
		At      int64  `json:"at"` // Unix milliseconds
		Decline string `json:"decline,omitempty"`
		Reason  string `json:"reason,omitempty"`
	}{Type: "ring", Call: c.ID, To: c.To, User: c.User, Name: c.Name, At: m.ring.at.UnixMilli(), Decline: c.Decline}
	if m.stop {
		said.Type, said.Decline, said.Reason = "stop", "", m.ring.settled
	}
	var out strings.Builder
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	_ = e.Encode(said) // it has no type that can fail
	return []byte(out.String())
}

// topic has a push service keep only the last message about a call for a device that is
// not there (RFC 8030, 5.4), and names the call to nobody.
func (m *message) topic() string {
	sum := sha256.Sum256([]byte("turnhub topic " + m.ring.call.ID))
	return base64.RawURLEncoding.EncodeToString(sum[:24])
}
