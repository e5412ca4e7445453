//go:build linux && (amd64 || arm64)

package epoll

import (
	"golang.org/x/sys/unix"

	"turnhub/turnsrv/internal/backlog"
)

// line is what the kernel knows of the path to a stream client, and how much it is
// given to send. What a slow line cannot take shall wait here, where the old can be
// left out, and not in the kernel's send buffer, which delivers everything and ever
// later: so the kernel gets a fiftieth of a second's worth beyond what is on its way
// (TCP_NOTSENT_LOWAT), by the rate at which the client has acknowledged lately.
type line struct {
	age    backlog.MaxAge
	ahead  int // bytes that are written at once
	lowat  int // what the kernel was told
	looked int64
	acked  uint64 // bytes, when it was looked
}

// open sets a new socket up.
func (l *line) open(fd int) {
	l.age = backlog.AgeFor(0)
	l.set(fd, firstAhead)
}

func (l *line) set(fd, ahead int) {
	l.ahead = min(ahead, tlsRecordMax)
	// The system call is saved while the figure is about the same.
	if ahead > l.lowat+l.lowat/4 || ahead < l.lowat-l.lowat/4 {
		if unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, ahead) == nil {
			l.lowat = ahead
		}
	}
}

// look asks the kernel about a path that does not take everything at once, now and
// then.
func (l *line) look(fd int, now int64) {
	if l.looked == 0 {
		// One that fills no queues and does not take each loss for congestion. Only
		// here: it costs timers, which a line that takes everything does not need.
		// Where the kernel has none, or does not allow it, the system's own stays.
		_ = unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, "bbr")
	} else if now-l.looked < lookEvery {
		return
	}
	since := now - l.looked
	l.looked = now
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return
	}
	// The least round trip is the path's own, without its queues.
	roundTrip := int64(info.Min_rtt) * 1000
	if info.Min_rtt == ^uint32(0) {
		roundTrip = 0
	}
	l.age = backlog.AgeFor(min(roundTrip, 500e6))
	// The kernel's rate is the path's, at its best. A client that reads slowly behind a
	// fast path acknowledges less than that.
	rate := info.Delivery_rate
	if since < lookAgain {
		rate = min(rate, (info.Bytes_acked-l.acked)*1e9/uint64(since))
	}
	l.acked = info.Bytes_acked
	l.set(fd, int(min(max(rate/aheadFor, leastAhead), mostAhead)))
}
