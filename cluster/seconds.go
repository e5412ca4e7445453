package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Which node has an image of another one's sessions, and may go on with them when that is
// dead, is in a bucket of the store, under the node's process: whoever writes first has it,
// the node that names another one, or that one.

const (
	secondsBucket = "turnhub-seconds"
	// secondsTime is after which time an entry is forgotten that is not written again.
	secondsTime = 24 * time.Hour
	// takePatience is for how long a node asks whether it may go on with another one's
	// sessions: their clients do not wait longer.
	takePatience = time.Minute
	// sureAfter is how often a node is asked of which NATS says that nobody listens, before
	// that counts: its connection to NATS may just have begun anew.
	sureAfter = 3
	surePause = 100 * time.Millisecond
)

// secondOf is a value of the bucket.
type secondOf struct {
	Node  string `json:"node"` // empty: nobody
	Image uint64 `json:"image"`
	Taken string `json:"taken,omitempty"` // the process that has the sessions now
	At    int64  `json:"at"`              // milliseconds since 1970
}

// NameSecond says that node has this one's image of that number from now on; empty: none
// has. run is what the sessions are known by. done hears whether that is so; false: another
// node has taken them. It is asked until it is answered, or until the next call.
func (c *Cluster) NameSecond(run, node string, image uint64, done func(ok bool)) {
	asked := c.naming.Add(1)
	c.sessions.Store(&run)
	c.eventually(0, func() bool { return c.naming.Load() != asked }, func(ctx context.Context) (ok bool, err error) {
		return c.writeSecond(ctx, c.cfg.Node, run, func(has *secondOf) (secondOf, bool) {
			return secondOf{Node: node, Image: image, At: c.wall()}, has == nil || has.Taken == ""
		})
	}, func(ok bool) {
		if ok {
			c.second.Store(&node)
		}
		done(ok)
	})
}

// TakeSessions says that this node goes on with the sessions of a process of another one, by
// that image. done hears whether that is so; lives: the node answers.
func (c *Cluster) TakeSessions(node, run string, image uint64, done func(ok, lives bool)) {
	lives, asked := false, false
	c.eventually(takePatience, nil, func(ctx context.Context) (ok bool, err error) {
		if !asked {
			if lives = c.answers(ctx, node, run); lives {
				return false, nil
			}
			asked = true
		}
		return c.writeSecond(ctx, node, run, func(has *secondOf) (secondOf, bool) {
			if has == nil || has.Node != c.cfg.Node || has.Image != image || has.Taken != "" && has.Taken != c.run {
				return secondOf{}, false
			}
			return secondOf{Node: has.Node, Image: image, Taken: c.run, At: c.wall()}, true
		})
	}, func(ok bool) { done(ok, lives) })
}

// answers reports whether a node answers that has the sessions which are known by run, asked as
// often as it takes to be sure where NATS says that nobody listens. One that was started again
// at once has others.
func (c *Cluster) answers(ctx context.Context, node, run string) bool {
	for i := range 1 + sureAfter {
		if i > 0 {
			select {
			case <-ctx.Done():
				return false
			case <-time.After(surePause):
			}
		}
		r, err := c.ask(ctx, node, askPing, "", pingPatience)
		switch {
		case err == nil:
			var has string
			return json.Unmarshal(r.Body, &has) != nil || has == run
		case errors.Is(err, errNoReply) && i > 0:
			return false // it has stood still, or is cut off
		}
	}
	return false
}

// eventually asks until there is an answer; after patience, where that is not 0, it is false.
func (c *Cluster) eventually(patience time.Duration, over func() bool, ask func(context.Context) (bool, error), done func(bool)) {
	c.mu.Lock()
	ctx := c.serving
	c.mu.Unlock()
	if ctx == nil || ctx.Err() != nil {
		return
	}
	began := c.now()
	c.working.Go(func() {
		retry := time.NewTimer(0)
		defer retry.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-retry.C:
			}
			if over != nil && over() {
				return
			}
			once, cancel := context.WithTimeout(ctx, storePatience)
			ok, err := ask(once)
			cancel()
			switch {
			case err == nil:
				done(ok)
				return
			case patience > 0 && c.now()-began > patience:
				done(false)
				return
			}
			retry.Reset(c.cfg.beat / 4)
		}
	})
}

var errNoStore = errors.New("the cluster's store cannot be used now")

// writeSecond replaces an entry by what next makes of it; ok is whether that wants to.
func (c *Cluster) writeSecond(ctx context.Context, node, run string, next func(has *secondOf) (secondOf, bool)) (ok bool, err error) {
	s := c.store.Load()
	if s == nil || c.connection() == nil {
		return false, errNoStore
	}
	if !validName(node) || len(run) > 64 {
		return false, nil
	}
	key := keyOf(node + "/" + run)
	for range triesOfStore {
		e, err := s.seconds.Get(ctx, key)
		if err != nil && !errors.Is(err, jetstream.ErrKeyNotFound) {
			return false, err
		}
		var has *secondOf
		if err == nil {
			has = &secondOf{}
			if !c.opened(secondsBucket, e, has) {
				has = nil
			}
		}
		value, wants := next(has)
		if !wants {
			return false, nil
		}
		body, err := c.sealed(secondsBucket, key, value)
		if err != nil {
			return false, err
		}
		if e == nil {
			_, err = s.seconds.Create(ctx, key, body)
		} else {
			_, err = s.seconds.Update(ctx, key, body, e.Revision())
		}
		if err == nil {
			return true, nil
		}
		if !quicker(err) {
			return false, err
		}
	}
	return false, errors.New("the store does not settle who has a node's sessions")
}

// What the cluster knows of why nobody could go on with this node's sessions; the rest Uncovered knows.
const (
	NoNATS  = "nats"  // it is away, or was so lately that another node may have given up what it had
	NoStore = "store" // so that nobody can be named there
)

// Bare says why no other node could go on with the sessions of this one, should it die; empty:
// one could.
func (c *Cluster) Bare() string {
	if c.cfg.Uncovered == nil {
		return ""
	}
	why := c.cfg.Uncovered()
	switch {
	case c.Shaken():
		return NoNATS
	case why != "" && c.store.Load() == nil:
		return NoStore
	}
	return why
}

// lookBare notes whether somebody could, and since when nobody could.
func (c *Cluster) lookBare() {
	why := c.Bare()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bare == "" {
		c.bareSince = c.now()
	}
	c.bare = why
}

// Standing is how another node does, as far as this one can tell.
type Standing int

// What Suspect returns.
const (
	Unsure Standing = iota // it is being asked
	Lives
	Leaves // it sends its people away, or has done so and ended
	Gone
)

// suspects are nodes that were asked whether they live. The zero value is ready.
type suspects struct {
	asking map[string]bool
	lived  map[string]time.Duration // when it has answered last
}

// livedFor is for how long an answer is good.
const livedFor = time.Second

// Suspect says how a node does, and asks it where that is not known: one that has just ended
// counts as gone as soon as it does not answer.
func (c *Cluster) Suspect(node string) Standing {
	m, ok := find(c.book.list(c.now()), node)
	switch {
	case ok && (m.Leaving || m.Draining && !m.Gone):
		return Leaves
	case !ok || m.Gone:
		return Gone
	case c.connection() == nil:
		return Lives // as far as can be known
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if at, has := c.suspects.lived[node]; has && c.now()-at < livedFor {
		return Lives
	}
	ctx := c.serving
	if c.suspects.asking[node] || ctx == nil || ctx.Err() != nil {
		return Unsure
	}
	if c.suspects.asking == nil {
		c.suspects.asking, c.suspects.lived = make(map[string]bool), make(map[string]time.Duration)
	}
	c.suspects.asking[node] = true
	c.working.Go(func() {
		r, err := c.ask(ctx, node, askPing, "", pingPatience)
		another := err == nil && r.Run != m.Run // it was started again at once, and has not been heard yet
		if errors.Is(err, errNobody) {
			c.book.bury(m.Node, m.Run)
			wake(c.greet)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.suspects.asking, node)
		if err == nil && !another {
			c.suspects.lived[node] = c.now()
		}
		if len(c.suspects.lived) > maxNodes {
			clear(c.suspects.lived)
		}
	})
	return Unsure
}

// Void gives the stream to a node up, and begins it anew.
func (c *Cluster) Void(node string) {
	x := c.lineOf(node)
	if x == nil {
		return
	}
	x.mu.Lock()
	x.void = true
	x.mu.Unlock()
	wake(x.wake)
}
