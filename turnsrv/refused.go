package turnsrv

import (
	"log/slog"
	"net/netip"
)

const (
	refusalsPerSecond = 10   // lines of one worker
	refusalsKept      = 1024 // addresses of one worker
)

// refusals decides which wrong credentials become a line in the log: one per
// address and second and a few in all, so that guessing neither goes unseen nor
// fills a disk. Such a client has answered a nonce, so its address is real and a
// program like fail2ban may act on it.
type refusals struct {
	second int64
	lines  int
	last   map[netip.Addr]int64
}

func (r *refusals) due(addr netip.Addr, second int64) bool {
	if r.second != second {
		r.second, r.lines = second, 0
	}
	if r.lines == refusalsPerSecond || r.last[addr] == second {
		return false
	}
	if r.last == nil || len(r.last) == refusalsKept {
		r.last = make(map[netip.Addr]int64)
	}
	r.lines++
	r.last[addr] = second
	return true
}

// logRefused writes the line.
func (s *shard) logRefused(c *client, result AuthResult) {
	if addr := c.addr.addr(); s.refused.due(addr, s.second) {
		s.log.Info("TURN credentials refused", slog.String("client", addr.String()),
			slog.String("transport", c.transport.String()), slog.String("reason", result.String()))
	}
}
