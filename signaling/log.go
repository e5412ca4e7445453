package signaling

import (
	"cmp"
	"log/slog"
	"time"
)

// logCall writes the one line about a call by name.
func (h *Hub) logCall(c *call, reason string, now time.Time) {
	attrs := []any{
		slog.String("call", c.id), slog.String("caller", cmp.Or(c.caller.user, c.caller.id)),
		slog.String("callee", c.callee.name), slog.String("session", c.caller.id), slog.String("reason", reason), slog.String("path", cmp.Or(c.path, "unknown")),
		slog.Uint64("bytes", c.bytes),
	}
	if c.answered.IsZero() {
		attrs = append(attrs, slog.Duration("rang", now.Sub(c.since).Round(time.Millisecond)))
	} else {
		attrs = append(attrs, slog.String("peer", c.peer.id), slog.Duration("talked", now.Sub(c.answered).Round(time.Millisecond)))
	}
	h.log.Info("call ended", attrs...)
}

// logRoom writes the one line about a room in which people have met.
func (h *Hub) logRoom(r *room, reason string) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.shared.IsZero() {
		return
	}
	h.log.Info("room ended", slog.String("room", r.name), slog.Any("who", r.who), slog.Int("people", r.most), slog.Uint64("bytes", r.bytes),
		slog.Duration("together", h.now().Sub(r.shared).Round(time.Millisecond)),
		slog.String("path", cmp.Or(r.path, "unknown")), slog.String("reason", reason))
}

// who is a person in a log line.
func (s *member) who() string { return cmp.Or(s.user, s.name, s.id) }
