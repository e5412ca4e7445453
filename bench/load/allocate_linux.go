package load

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"strconv"
	"time"

	"github.com/pion/stun/v2"
)

// groupSize is how many requests wait for their answers at a time.
const groupSize = 64

// IdleOptions say how many allocations to hold and for how long.
type IdleOptions struct {
	Server      Server
	Secret      string
	PID         int
	Allocations int
	Hold        time.Duration
	Refresh     time.Duration // each allocation is refreshed once in that time
	Sources     []netip.Addr
}

// An IdleResult tells what allocations cost that carry nothing.
type IdleResult struct {
	Allocations   int     `json:"allocations"`
	Failed        int     `json:"failed"` // tries that were refused
	Refreshes     int     `json:"refreshes"`
	Lost          int     `json:"lost"`           // allocations that the server no longer knew
	Seconds       float64 `json:"seconds"`        // to make all of them
	RSSBefore     int64   `json:"rss_before"`     // bytes, with one allocation made and ended
	RSSMade       int64   `json:"rss_made"`       // when all are made
	RSS           int64   `json:"rss"`            // at the end
	PerAllocation float64 `json:"per_allocation"` // bytes: (RSS - RSSBefore) / Allocations
	Busy          float64 `json:"busy"`           // the server's share of a processor while it holds them
}

// Idle makes allocations and holds them with refreshes.
func Idle(ctx context.Context, o IdleOptions) (r IdleResult, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	b := newBatch(false)
	clients := make([]*client, 0, o.Allocations)
	defer func() {
		for _, c := range clients {
			_ = c.ask(stun.MethodRefresh, lifetime(0))
			c.close()
		}
	}()
	warm, err := newClients(o.Server, o.Secret, o.Sources, 0, 1)
	if err == nil {
		err = errors.Join(allocateAll(b, warm)...)
	}
	if err != nil {
		return r, err
	}
	_ = warm[0].refresh(b, 0)
	warm[0].close()
	if r.RSSBefore, err = RSS(o.PID); err != nil {
		return r, err
	}
	start := time.Now()
	for len(clients) < o.Allocations && ctx.Err() == nil {
		group, err := newClients(o.Server, o.Secret, o.Sources, len(clients), min(groupSize, o.Allocations-len(clients)))
		if err != nil {
			return r, fmt.Errorf("after %d allocations: %w", len(clients), err)
		}
		for i, err := range allocateAll(b, group) {
			if err == nil {
				clients = append(clients, group[i])
				continue
			}
			// coturn answers 437 when a request had to be sent again.
			group[i].close()
			if r.Failed++; r.Failed > o.Allocations/10 {
				return r, fmt.Errorf("after %d allocations: %w", len(clients), err)
			}
		}
	}
	r.Allocations, r.Seconds = len(clients), time.Since(start).Seconds()
	if r.RSSMade, err = RSS(o.PID); err != nil {
		return r, err
	}
	if err := r.hold(ctx, o, b, clients); err != nil {
		return r, err
	}
	r.PerAllocation = float64(r.RSS-r.RSSBefore) / float64(max(r.Allocations, 1))
	return r, nil
}

// hold refreshes all in even steps, and once more at the end.
func (r *IdleResult) hold(ctx context.Context, o IdleOptions, b *batch, clients []*client) error {
	begin, err := CPUTime(o.PID)
	if err != nil {
		return err
	}
	start := time.Now()
	step := o.Refresh * groupSize / time.Duration(len(clients))
	next := 0
	for time.Since(start) < o.Hold {
		if err := pause(ctx, step); err != nil {
			return err
		}
		r.refresh(b, clients[next:min(next+groupSize, len(clients))])
		if next += groupSize; next >= len(clients) {
			next = 0
		}
	}
	end, err := CPUTime(o.PID)
	if err != nil {
		return err
	}
	r.Busy = (end - begin).Seconds() / time.Since(start).Seconds()
	if r.RSS, err = RSS(o.PID); err != nil {
		return err
	}
	r.Lost = 0
	for first := 0; first < len(clients); first += groupSize {
		r.refresh(b, clients[first:min(first+groupSize, len(clients))])
	}
	return nil
}

func (r *IdleResult) refresh(b *batch, group []*client) {
	for _, err := range askAll(b, group, stun.MethodRefresh, lifetime(10*time.Minute)) {
		r.Refreshes++
		if err != nil {
			r.Lost++
		}
	}
}

// ChurnOptions say for how long clients come and go.
type ChurnOptions struct {
	Server   Server
	Secret   string
	PID      int
	Duration time.Duration
	Sources  []netip.Addr
}

// A ChurnResult tells what a client costs that comes and goes: a new address,
// Allocate without credentials (401), Allocate, Refresh to end it.
type ChurnResult struct {
	Allocations int     `json:"allocations"`
	Failed      int     `json:"failed"`
	Seconds     float64 `json:"seconds"`
	PerSecond   float64 `json:"per_second"`
	ServerCPU   float64 `json:"server_cpu"`
	PerCPU      float64 `json:"per_cpu"` // allocations per second of the server's processor time
}

// Churn makes and ends allocations, 64 at a time.
func Churn(ctx context.Context, o ChurnOptions) (r ChurnResult, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	b := newBatch(false)
	begin, err := CPUTime(o.PID)
	if err != nil {
		return r, err
	}
	start := time.Now()
	for time.Since(start) < o.Duration && ctx.Err() == nil {
		group, err := newClients(o.Server, o.Secret, o.Sources, r.Allocations, groupSize)
		if err != nil {
			return r, err
		}
		for _, err := range allocateAll(b, group) {
			if err != nil {
				r.Failed++
			} else {
				r.Allocations++
			}
		}
		for _, err := range askAll(b, group, stun.MethodRefresh, lifetime(0)) {
			if err != nil {
				r.Failed++
			}
		}
		for _, c := range group {
			c.close()
		}
	}
	r.Seconds = time.Since(start).Seconds()
	end, err := CPUTime(o.PID)
	if err != nil {
		return r, err
	}
	r.ServerCPU = (end - begin).Seconds()
	r.PerSecond = float64(r.Allocations) / r.Seconds
	r.PerCPU = float64(r.Allocations) / r.ServerCPU
	return r, ctx.Err()
}

// newClients connects n clients, each a user of its own.
func newClients(s Server, secret string, sources []netip.Addr, first, n int) ([]*client, error) {
	clients := make([]*client, 0, n)
	for i := first; i < first+n; i++ {
		var source netip.Addr
		if len(sources) > 0 {
			source = sources[i%len(sources)]
		}
		conn, err := dial(s, source)
		if err != nil {
			for _, c := range clients {
				c.close()
			}
			return nil, err
		}
		c := &client{conn: conn}
		c.username, c.password = Mint(secret, "load"+strconv.Itoa(i))
		clients = append(clients, c)
	}
	return clients, nil
}

// allocateAll makes one allocation for each of a group.
func allocateAll(b *batch, group []*client) []error {
	errs := askAll(b, group, stun.MethodAllocate, requestedUDP())
	for i, c := range group {
		var refused errorAnswer
		if errors.As(errs[i], &refused) && refused.code == stun.CodeUnauthorized {
			c.authenticate()
			errs[i] = nil
		} else if errs[i] == nil {
			errs[i] = errors.New("the server wants no credentials")
		}
	}
	again := askAll(b, group, stun.MethodAllocate, requestedUDP())
	for i := range group {
		errs[i] = errors.Join(errs[i], again[i])
	}
	return errs
}

// askAll sends one request for each of a group and then waits for all the
// answers. A stale nonce is replaced once.
func askAll(b *batch, group []*client, method stun.Method, attributes ...stun.Setter) []error {
	errs := make([]error, len(group))
	for i, c := range group {
		errs[i] = c.ask(method, attributes...)
	}
	for i, c := range group {
		if errs[i] != nil {
			continue
		}
		_, errs[i] = c.answer(b)
		var refused errorAnswer
		if errors.As(errs[i], &refused) && refused.code == stun.CodeStaleNonce {
			_, errs[i] = c.request(b, method, attributes...)
		}
	}
	return errs
}
