//go:build linux && (amd64 || arm64)

package epoll

import (
	"turnhub/internal/stream"
	"turnhub/turnsrv/internal/backlog"
)

// line is what the kernel knows of the path to a stream client, how much it is given to
// send, and how old may be what waits here.
type line struct {
	stream.Ahead
	age backlog.MaxAge
}

// open sets a new socket up.
func (l *line) open(fd int) {
	l.age = backlog.AgeFor(0)
	l.Open(fd)
}

// look asks the kernel about a path that does not take everything at once, now and
// then.
func (l *line) look(fd int, now int64) {
	if roundTrip, ok := l.Look(fd, now); ok {
		l.age = backlog.AgeFor(min(roundTrip, 500e6))
	}
}
