package turnsrv

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/stun/v2"

	"turnhub/turnsrv/internal/core"
	"turnhub/turnsrv/internal/turntest"
	"turnhub/turnsrv/internal/wire"
)

// TestRevoke ends a user's allocations on a running server, over UDP and TCP, and
// leaves the others.
func TestRevoke(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg Config) {
		ts := startServer(t, cfg)
		var kicked, stays []*turntest.Client
		for range 4 {
			kicked = append(kicked, dialRaw(t, ts, "kicked"))
			stays = append(stays, dialRaw(t, ts, "stays"))
		}
		for i := range kicked {
			kicked[i].Allocate()
			stays[i].Allocate()
		}
		if n := ts.Revoke("kicked"); n != 4 {
			t.Errorf("Revoke: %d", n)
		}
		ts.Stats() // comes back after what was asked before
		for _, c := range kicked {
			if code := turntest.CodeOf(c.Do(stun.MethodRefresh)); code != 437 {
				t.Errorf("Refresh after Revoke: %d", code)
			}
		}
		for _, c := range stays {
			if code := turntest.CodeOf(c.Do(stun.MethodRefresh)); code != 0 {
				t.Errorf("another user's Refresh: %d", code)
			}
		}
		if s := ts.Stats(); s.Revoked != 4 || s.Created != 8 || s.Ended != 4 {
			t.Errorf("revoked %d, created %d, ended %d", s.Revoked, s.Created, s.Ended)
		}
		if n := len(ts.Allocations()); n != 4 {
			t.Errorf("%d allocations left", n)
		}
	})
}

// TestRevokedCredentials refuses allocations to credentials that are older than a
// revocation, and ends those that exist: at their next request, or by Revoke, which
// ends them under whichever name they are.
func TestRevokedCredentials(t *testing.T) {
	eachDriver(t, func(t *testing.T, cfg Config) {
		var revoked atomic.Bool
		cfg.Revoked = func(user string, expires time.Time) bool {
			return revoked.Load() && user == "mallory" && expires.Before(time.Now().Add(2*time.Hour))
		}
		ts := startServer(t, cfg)
		c := dialRaw(t, ts, "mallory")
		c.Allocate()
		revoked.Store(true)
		if got := turntest.CodeOf(c.Do(stun.MethodRefresh, turntest.Lifetime(600))); got != 437 {
			t.Errorf("Refresh: %d, want 437", got)
		}
		if got := turntest.CodeOf(dialRaw(t, ts, "mallory").Do(stun.MethodAllocate, turntest.Transport(wire.ProtocolUDP))); got != 401 {
			t.Errorf("Allocate with old credentials: %d, want 401", got)
		}
		dialRaw(t, ts, "alice").Allocate()
		fresh := dialRaw(t, ts, "mallory")
		fresh.Username, fresh.Password = cfg.Credentials.Mint("mallory", time.Now().Add(3*time.Hour))
		fresh.Allocate()
		if n := ts.Stats().Auth[core.AuthRevoked.String()]; n != 1 {
			t.Errorf("%d counted as revoked", n)
		}
		revoked.Store(false)
		old := dialRaw(t, ts, "mallory")
		old.Allocate()
		revoked.Store(true)
		if n := ts.Revoke("somebody"); n != 1 {
			t.Errorf("Revoke ended %d, want 1", n)
		}
		if n := len(ts.Allocations()); n != 2 {
			t.Errorf("%d allocations left, want 2", n)
		}
	})
}
