package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"turnhub/cluster"
	"turnhub/internal/body"
	"turnhub/internal/config"
	"turnhub/push"
	"turnhub/signaling"
)

// pusher rings people by push for the hub, while this process has the store: it is the
// hub's signaling.Absent.
type pusher struct {
	node  *node
	key   atomic.Pointer[push.Key]
	store atomic.Pointer[push.Store] // nil: another process has it, or it cannot be opened

	// Where there are several nodes, see pushshared.go.
	users, rings, keys *cluster.Shelf
	rekeyed            chan struct{} // another key is that of the cluster
	hasKey             bool          // of the shelf's goroutine: it has one
}

func pushDir(cfg *config.Config) string { return filepath.Join(cfg.StateDir, "push") }

// newPusher returns nil where nobody is rung by push.
func newPusher(n *node) (*pusher, error) {
	if n.cfg.Push.Mode != config.PushOn {
		if err := os.RemoveAll(pushDir(n.cfg)); err != nil {
			n.log.Warn("what was kept of push subscriptions cannot be removed", "error", err, "remedy", "remove "+pushDir(n.cfg))
		}
		return nil, nil
	}
	key, err := push.OpenKey(n.cfg.PushKeyPath())
	if err != nil {
		return nil, err
	}
	p := &pusher{node: n, rekeyed: make(chan struct{}, 1)}
	p.key.Store(key)
	return p, nil
}

// absent is for signaling.Config.
func (p *pusher) absent() signaling.Absent {
	if p == nil {
		return nil
	}
	return p
}

// open opens the store, which another process of this server has just left.
func (p *pusher) open(ctx context.Context) error {
	n := p.node
	store, err := push.Open(ctx, push.Config{
		Dir: pushDir(n.cfg), Key: p.key.Load(), Services: n.cfg.Push.Services, Allow: n.cfg.Push.Allow, Proof: n.cfg.Access.Mode, Logger: n.log,
		Contact: func() string {
			address := ""
			if relay := n.addresses.Relay(); len(relay) > 0 {
				address = relay[0].Advertise.String()
			}
			return n.cfg.PushContact(address)
		},
		Taken: n.hub.RungAbsent, Failed: n.hub.LostAbsent, Shared: p.shared(),
	})
	if err != nil {
		return err
	}
	p.store.Store(store)
	p.hear()
	return nil
}

// openPatience is for how long those who come wait for it: names are kept in it.
const openPatience = 3 * time.Second

// openSoon opens the store before anybody comes, if that takes no longer than people wait.
func (p *pusher) openSoon(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, openPatience)
	defer cancel()
	if p.open(ctx) == nil && p.users != nil { // else serve says why, if it stays so
		select {
		case <-ctx.Done():
		case <-p.store.Load().Synced():
		}
	}
}

// serve has the store while this process has the office.
func (p *pusher) serve(ctx context.Context) {
	defer p.store.Store(nil)
	for ctx.Err() == nil {
		for pause := time.Second; p.store.Load() == nil; pause = min(2*pause, time.Minute) {
			err := p.open(ctx)
			if ctx.Err() != nil && err != nil {
				return
			}
			if err != nil {
				p.node.log.Error("nobody is rung by push", "error", err, "remedy", "see to it that "+pushDir(p.node.cfg)+" can be written")
				select {
				case <-ctx.Done():
					return
				case <-time.After(pause):
				}
			}
		}
		now, reopen := context.WithCancel(ctx)
		var watch sync.WaitGroup
		watch.Go(func() {
			defer reopen()
			select {
			case <-now.Done():
			case <-p.rekeyed:
			}
		})
		p.store.Load().Serve(now)
		p.store.Store(nil)
		reopen()
		watch.Wait()
	}
}

func (p *pusher) stats() push.Stats {
	if p != nil {
		if s := p.store.Load(); s != nil {
			return s.Stats()
		}
	}
	return push.Stats{}
}

// Keeper implements signaling.Absent.
func (p *pusher) Keeper(user string) (proof [sha256.Size]byte, kept bool) {
	if s := p.store.Load(); s != nil {
		return s.Keeper(user)
	}
	return proof, false
}

// Use implements signaling.Absent.
func (p *pusher) Use(user string) {
	if s := p.store.Load(); s != nil {
		s.Use(user)
	}
}

// Reachable implements signaling.Absent.
func (p *pusher) Reachable(user string) bool {
	s := p.store.Load()
	return s != nil && s.Reachable(user)
}

// Subscribe implements signaling.Absent.
func (p *pusher) Subscribe(user string, proof [sha256.Size]byte, from netip.Addr, subscription []byte, done func(error)) {
	s := p.store.Load()
	if s == nil {
		done(signaling.ErrAbsentLater)
		return
	}
	s.Subscribe(user, proof, from, subscription, func(err error) { done(absentError(err)) })
}

// Unsubscribe implements signaling.Absent.
func (p *pusher) Unsubscribe(user, endpoint string, done func(error)) {
	s := p.store.Load()
	if s == nil {
		done(signaling.ErrAbsentLater)
		return
	}
	s.Unsubscribe(user, endpoint, func(err error) { done(absentError(err)) })
}

// absentError says an error of the store in the hub's words.
func absentError(err error) error {
	switch {
	case errors.Is(err, push.ErrFull):
		return fmt.Errorf("%w: %w", signaling.ErrAbsentFull, err)
	case errors.Is(err, push.ErrRate), errors.Is(err, push.ErrDisk), errors.Is(err, push.ErrOver):
		return fmt.Errorf("%w: %w", signaling.ErrAbsentLater, err)
	case errors.Is(err, push.ErrService):
		return fmt.Errorf("%w: %w", signaling.ErrAbsentForbidden, err)
	}
	return err
}

// Ring implements signaling.Absent.
func (p *pusher) Ring(c signaling.AbsentCall) bool {
	s := p.store.Load()
	return s != nil && s.Ring(push.Call{ID: c.Call, To: c.To, User: c.User, Name: c.Name, Decline: c.Decline, For: c.For, From: c.From})
}

// Resume implements signaling.Absent.
func (p *pusher) Resume(c signaling.AbsentCall) bool {
	s := p.store.Load()
	return s != nil && s.Resume(push.Call{ID: c.Call, To: c.To, User: c.User, Name: c.Name, Decline: c.Decline, For: c.For, From: c.From})
}

// Settle implements signaling.Absent.
func (p *pusher) Settle(call string, elsewhere bool, spare string) {
	reason := push.Unseen
	if elsewhere {
		reason = push.Elsewhere
	}
	if s := p.store.Load(); s != nil {
		s.Settle(call, reason, spare)
	}
}

// Miss implements signaling.Absent.
func (p *pusher) Miss(user string, c signaling.MissedCall) {
	if s := p.store.Load(); s != nil {
		s.Miss(user, push.Missed{Call: c.Call, User: c.User, Name: c.Name, Reason: c.Reason, At: c.At})
	}
}

// Missed implements signaling.Absent.
func (p *pusher) Missed(user string) (list []signaling.MissedCall) {
	if s := p.store.Load(); s != nil {
		for _, m := range s.Missed(user) {
			list = append(list, signaling.MissedCall{Call: m.Call, User: m.User, Name: m.Name, Reason: m.Reason, At: m.At})
		}
	}
	return list
}

// Seen implements signaling.Absent.
func (p *pusher) Seen(user string, calls []string) {
	if s := p.store.Load(); s != nil {
		s.Seen(user, calls)
	}
}

// Forget implements signaling.Absent.
func (p *pusher) Forget(user string) {
	if s := p.store.Load(); s != nil {
		s.Forget(user)
	}
}

// declines declines a call for a browser that was rung and has no page open, of which the
// secret in the message is proof.
func (n *node) declines(w http.ResponseWriter, r *http.Request) {
	text, err := body.Read(w, r, 4<<10, body.Timeout)
	var wrong *body.Error
	var said struct{ Call, Decline, Endpoint string }
	w.Header().Set("Cache-Control", "no-store")
	switch {
	case errors.As(err, &wrong):
		http.Error(w, wrong.Error(), wrong.Status)
	case json.Unmarshal(text, &said) != nil:
		http.Error(w, "the body must be {\"call\", \"decline\", \"endpoint\"} as JSON", http.StatusBadRequest)
	case !n.hub.Decline(said.Call, said.Decline, said.Endpoint) && !n.pusher.declinesAt(r.Context(), said.Call, text):
		http.Error(w, "this call does not ring any more", http.StatusNotFound)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}
