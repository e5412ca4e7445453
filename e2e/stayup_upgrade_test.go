package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestStayUpUpgrade kills one of the two processes at any moment of an upgrade, under
// joins, revocations and a call. The survivor serves, and its call has no gap; the
// call of the killed one comes back through it; no revocation that was answered with
// success is forgotten; and in the end everybody in the room sees everybody else.
func TestStayUpUpgrade(t *testing.T) {
	t.Parallel()
	f := startFamily(t, "relay: {external_ip: 127.0.0.1}\nlimits: {connections_per_ip: 1000}\n")
	crowd := f.crowd(6)
	crowd.meet("at the start")
	revoked := make(map[string]string) // tokens by user
	number := 0
	for round := range long(6, 100) {
		victim := []string{"old", "new"}[round%2]
		in := f.call(fmt.Sprintf("in%da", round), fmt.Sprintf("in%db", round))
		in.goesOn("before the upgrade")
		ctx, cancel := context.WithCancel(t.Context())
		var busy sync.WaitGroup
		busy.Go(func() { // an operator
			for ctx.Err() == nil {
				number++
				user := fmt.Sprintf("revoked%d", number)
				token := f.token(user)
				if status, _ := f.post("/revoke", map[string]string{"user": user}); status == http.StatusOK {
					revoked[user] = token
				}
			}
		})
		lost := make(chan error, 1)
		busy.Go(func() { // the call
			for ctx.Err() == nil {
				if err := in.talk(); err != nil {
					lost <- err
					return
				}
			}
		})
		old := f.serving()
		young := f.beginUpgrade()
		// From the first instruction of the new one to well after it serves.
		<-time.After(rand.N(time.Duration(500+250*(round%4)) * time.Millisecond))
		target, survivor := old, young
		if victim == "new" {
			target, survivor = young, old
		}
		f.signal(target, syscall.SIGKILL)
		until(t, "the killed process is gone", func() bool { return !running(target) })
		f.pids[len(f.pids)-2], f.pids[len(f.pids)-1] = target, survivor
		f.untilServed("somebody serves after the " + victim + " process was killed")
		cancel()
		busy.Wait()

		if victim == "new" {
			select {
			case err := <-lost:
				t.Fatalf("round %d: the call of the surviving process has a gap: %v", round, err)
			default:
			}
			in.goesOn("after the new process was killed")
		}
		f.call(fmt.Sprintf("again%da", round), fmt.Sprintf("again%db", round)).goesOn("through the survivor")
		crowd.meet(fmt.Sprintf("round %d, the %s process killed", round, victim))
		for user, token := range revoked {
			if f.admitted(token) {
				t.Fatalf("round %d, the %s process killed: the revocation of %s was answered with success and is forgotten", round, victim, user)
			}
		}
		if len(revoked) > 40 { // the youngest rounds are asked about again
			for user := range revoked {
				if len(revoked) > 20 {
					delete(revoked, user)
				}
			}
		}
		for i := range in.clients {
			_ = in.ends[i].Close()
		}
		if !running(survivor) {
			t.Fatalf("round %d: the survivor has ended", round)
		}
	}
	if len(revoked) == 0 {
		t.Error("no revocation was answered")
	}
}

// crowd are people who come back to their room whenever they are sent away, as
// clients do.
type crowd struct {
	family *family
	size   int

	mu   sync.Mutex
	sees map[string]map[string]bool // the sessions in the room, by who looks; of those who are there
}

const crowdRoom = "everybody"

func (f *family) crowd(size int) *crowd {
	c := &crowd{family: f, size: size, sees: make(map[string]map[string]bool)}
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for i := range size {
		token := f.token(fmt.Sprintf("crowd%d", i))
		all.Go(func() {
			for ctx.Err() == nil {
				c.stay(ctx, token)
				select {
				case <-ctx.Done():
				case <-time.After(20 * time.Millisecond):
				}
			}
		})
	}
	f.t.Cleanup(func() { cancel(); all.Wait() })
	return c
}

// stay is one visit, until the socket ends.
func (c *crowd) stay(ctx context.Context, token string) {
	g, err := c.family.enter(token)
	if err != nil {
		return
	}
	defer g.ws.Close()
	defer context.AfterFunc(ctx, func() { g.ws.Close() })()
	if g.join(crowdRoom) != nil {
		return
	}
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.sees, g.session)
	}()
	var heard atomic.Uint64
	gone := make(chan struct{})
	defer close(gone)
	go func() {
		ping := time.NewTicker(time.Second)
		defer ping.Stop()
		for {
			select {
			case <-gone:
				return
			case <-ping.C:
				if g.ws.WriteJSON(map[string]any{"type": "ping", "ack": heard.Load()}) != nil {
					return
				}
			}
		}
	}()
	for {
		_ = g.ws.SetReadDeadline(time.Now().Add(20 * time.Second))
		var m struct {
			Type  string
			Seq   uint64
			Peers []struct{ Peer string }
			Peer  string
		}
		if err := g.ws.ReadJSON(&m); err != nil {
			return
		}
		heard.Store(max(heard.Load(), m.Seq))
		c.mu.Lock()
		switch m.Type {
		case "joined":
			seen := make(map[string]bool)
			for _, p := range m.Peers {
				seen[p.Peer] = true
			}
			c.sees[g.session] = seen
		case "peer-joined":
			c.sees[g.session][m.Peer] = true
		case "peer-left":
			delete(c.sees[g.session], m.Peer)
		}
		c.mu.Unlock()
	}
}

// meet waits until everybody sees everybody else.
func (c *crowd) meet(when string) {
	c.family.t.Helper()
	var last error
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for last = c.apart(); last != nil; last = c.apart() {
		select {
		case <-deadline.C:
			c.family.t.Fatalf("%s: %v\n%s", when, last, c.family.log)
		case <-tick.C:
		}
	}
}

// apart says who does not see whom.
func (c *crowd) apart() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.sees) != c.size {
		return fmt.Errorf("%d of %d people are there", len(c.sees), c.size)
	}
	there := slices.Sorted(maps.Keys(c.sees))
	var errs []error
	for _, who := range there {
		for _, other := range there {
			if who != other && !c.sees[who][other] {
				errs = append(errs, fmt.Errorf("%s does not see %s", who, other))
			}
		}
	}
	return errors.Join(errs...)
}
