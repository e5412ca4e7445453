package admin

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

// maxErrors is how many lines Errors keeps.
const maxErrors = 50

// Line is one warning or error as the console shows it.
type Line struct {
	At      time.Time `json:"at"`
	Level   string    `json:"level"`
	Message string    `json:"message"`
	Count   int       `json:"count"` // of the same message in a row
}

// Errors keeps the last warnings and errors of a log. It is a slog.Handler that
// passes everything on to the one it wraps.
type Errors struct {
	slog.Handler
	shared *lines
	fields string // of WithAttrs
}

type lines struct {
	mu   sync.Mutex
	last []Line
}

// NewErrors wraps next.
func NewErrors(next slog.Handler) *Errors {
	return &Errors{Handler: next, shared: new(lines)}
}

// Enabled is true for warnings and errors whatever the log's level is.
func (e *Errors) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn || e.Handler.Enabled(ctx, level)
}

// Handle keeps a record of level warning or above, and passes it on.
func (e *Errors) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn {
		var b strings.Builder
		b.WriteString(r.Message)
		b.WriteString(e.fields)
		r.Attrs(func(a slog.Attr) bool { b.WriteString(" " + a.String()); return true })
		e.shared.add(Line{At: r.Time, Level: r.Level.String(), Message: b.String(), Count: 1})
	}
	if !e.Handler.Enabled(ctx, r.Level) {
		return nil
	}
	return e.Handler.Handle(ctx, r)
}

// WithAttrs keeps to the same list.
func (e *Errors) WithAttrs(attrs []slog.Attr) slog.Handler {
	fields := e.fields
	for _, a := range attrs {
		fields += " " + a.String()
	}
	return &Errors{Handler: e.Handler.WithAttrs(attrs), shared: e.shared, fields: fields}
}

// WithGroup keeps to the same list.
func (e *Errors) WithGroup(name string) slog.Handler {
	return &Errors{Handler: e.Handler.WithGroup(name), shared: e.shared, fields: e.fields}
}

// Last returns the kept lines, the newest first.
func (e *Errors) Last() []Line {
	e.shared.mu.Lock()
	defer e.shared.mu.Unlock()
	last := slices.Clone(e.shared.last)
	slices.Reverse(last)
	return last
}

func (l *lines) add(line Line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.last); n > 0 && l.last[n-1].Message == line.Message {
		line.Count += l.last[n-1].Count
		l.last[n-1] = line
		return
	}
	if len(l.last) == maxErrors {
		l.last = slices.Delete(l.last, 0, 1)
	}
	l.last = append(l.last, line)
}
