package stream

import "golang.org/x/sys/unix"

// Ahead is how much the kernel is given to send beyond what is on its way. What a slow
// line cannot take shall wait where the old can be left out, and not in the kernel's send
// buffer, which delivers everything and ever later: so the kernel gets a fiftieth of a
// second's worth (TCP_NOTSENT_LOWAT), by the rate at which the other side has acknowledged
// lately. Its methods are for one goroutine at a time.
type Ahead struct {
	bytes  int // that are written at once
	lowat  int // what the kernel was told
	looked int64
	acked  uint64 // bytes, when it was looked
}

const (
	// Bytes that are sent ahead: at least one packet, at most what keeps a fast line
	// full between two rounds.
	leastAhead   = 1500
	firstAhead   = 8 << 10
	mostAhead    = 256 << 10
	aheadFor     = 50       // a fiftieth of a second's worth
	lookEvery    = 50e6     // nanoseconds between two looks at the kernel's figures
	lookAgain    = 2e9      // nanoseconds: after longer than this the line was idle between
	tlsRecordMax = 16 << 10 // RFC 8446 section 5.1
)

// Open sets a new socket up.
func (a *Ahead) Open(fd int) { a.set(fd, firstAhead) }

// Bytes is how many bytes are written at once, a TLS record at most.
func (a *Ahead) Bytes() int { return a.bytes }

func (a *Ahead) set(fd, ahead int) {
	a.bytes = min(ahead, tlsRecordMax)
	// The system call is saved while the figure is about the same.
	if ahead > a.lowat+a.lowat/4 || ahead < a.lowat-a.lowat/4 {
		if unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, ahead) == nil {
			a.lowat = ahead
		}
	}
}

// Look asks the kernel about a path that does not take everything at once, now and then;
// now is of a clock in nanoseconds. It returns the path's least round trip in nanoseconds,
// without its queues, 0 where it is not known; ok is false where nothing was asked.
func (a *Ahead) Look(fd int, now int64) (roundTrip int64, ok bool) {
	if a.looked == 0 {
		// One that fills no queues and does not take each loss for congestion. Only
		// here: it costs timers, which a line that takes everything does not need.
		// Where the kernel has none, or does not allow it, the system's own stays.
		_ = unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, "bbr")
	} else if now-a.looked < lookEvery {
		return 0, false
	}
	since := now - a.looked
	a.looked = now
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return 0, false
	}
	roundTrip = int64(info.Min_rtt) * 1000
	if info.Min_rtt == ^uint32(0) {
		roundTrip = 0
	}
	// The kernel's rate is the path's, at its best. A client that reads slowly behind a
	// fast path acknowledges less than that.
	rate := info.Delivery_rate
	if since < lookAgain {
		rate = min(rate, (info.Bytes_acked-a.acked)*1e9/uint64(since))
	}
	a.acked = info.Bytes_acked
	a.set(fd, int(min(max(rate/aheadFor, leastAhead), mostAhead)))
	return roundTrip, true
}
