package stream

import (
	"cmp"
	"strings"

	"golang.org/x/sys/unix"
)

// Ahead is how much the kernel is given to send. What a slow line cannot take shall wait
// where the old can be left out, and not in the kernel's send buffer, which delivers
// everything and ever later. So the kernel gets a fiftieth of a second's worth beyond what
// is on its way (TCP_NOTSENT_LOWAT), by the rate at which the other side has acknowledged
// lately. And where a line has become narrow, no more is on its way than it takes in a
// moment (SO_SNDBUF): a congestion window that grew before would let seconds of it go out
// at once, most of which is lost at the line, and all of it sent again, in order. Its
// methods are for one goroutine at a time.
type Ahead struct {
	bytes  int // that are written at once
	lowat  int // what the kernel was told
	buffer int // the same of SO_SNDBUF, 0: as much as it likes
	looked int64
	acked  uint64 // bytes, when it was looked
	resent uint32 // packets, in all

	counted   int64     // when the rate was counted
	countedTo uint64    // bytes acknowledged by then
	rates     [2]uint64 // bytes a second that were acknowledged, lately and before
	narrow    int64     // until when the line counts as narrow, 0: it never was
	trial     trial
}

const (
	// Bytes that are sent ahead: at least one packet, at most what keeps a fast line
	// full between two rounds.
	leastAhead   = 1500
	leastAtOnce  = 2500
	firstAhead   = 8 << 10
	mostAhead    = 256 << 10
	aheadFor     = 50       // a fiftieth of a second's worth
	lookEvery    = 50e6     // nanoseconds between two looks at the kernel's figures
	lookAgain    = 2e9      // nanoseconds: after longer than this the line was idle between
	tlsRecordMax = 16 << 10 // RFC 8446 section 5.1
)

// Open sets a new socket up.
func (a *Ahead) Open(fd int) {
	a.set(fd, firstAhead)
	if a.trial.begin(fd) {
		a.hold(fd, a.trial.buffer(0))
	}
}

// Bytes is how many bytes are written at once of what has waited, a TLS record at most.
func (a *Ahead) Bytes() int { return min(a.bytes, a.AtOnce()) }

// AtOnce is how many bytes are written at once of what has just come.
func (a *Ahead) AtOnce() int {
	if a.buffer == 0 {
		return tlsRecordMax
	}
	return min(max(a.buffer/2, leastAtOnce), tlsRecordMax)
}

// Full says that the socket does not take all there is: how much the line takes is worth
// knowing at once.
func (a *Ahead) Full() { a.trial.idle = false }

func (a *Ahead) set(fd, ahead int) {
	a.bytes = min(ahead, tlsRecordMax)
	// The system call is saved while the figure is about the same.
	if ahead > a.lowat+a.lowat/4 || ahead < a.lowat-a.lowat/4 {
		if unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, ahead) == nil {
			a.lowat = ahead
		}
	}
}

// Look asks the kernel about a path on which something is sent, now and then; now is of a
// clock in nanoseconds. It returns the path's least round trip in nanoseconds, without its
// queues, 0 where it is not known; ok is false where nothing was asked.
func (a *Ahead) Look(fd int, now int64) (roundTrip int64, ok bool) {
	if a.looked != 0 && now-a.looked < a.trial.every() {
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
	a.bound(fd, now, roundTrip, info)
	return roundTrip, true
}

const (
	// A line is narrow where packets wait on it for so many nanoseconds longer than at the
	// best of times, or where some are lost and the others wait for half of that; and for
	// so long after.
	waitsFor    = 60e6
	staysNarrow = 1e9
	countOver   = 200e6 // nanoseconds over which its rate is counted
	// Beyond the round trip so many nanoseconds' worth may be on its way there, but so many
	// bytes and packets at least: of fewer a lost one would show by a timer alone.
	onItsWay     = 100e6
	leastBytes   = 3000
	leastPackets = 3
	// bytes that the kernel counts for a packet beside what is in it
	besidePacket = 1280
)

// unlock has the kernel choose the size of the send buffer again, as before the first
// SO_SNDBUF, where it can (Linux 5.14).
func unlock(fd int) {
	if locked, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BUF_LOCK); err == nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BUF_LOCK, locked&^unix.SOCK_SNDBUF_LOCK)
	}
}

// bound lets no more be on its way than a narrow line takes in a moment.
func (a *Ahead) bound(fd int, now, roundTrip int64, info *unix.TCPInfo) {
	if since := now - a.counted; since >= countOver {
		a.rates = [2]uint64{(info.Bytes_acked - a.countedTo) * 1e9 / uint64(since), a.rates[0]}
		a.counted, a.countedTo = now, info.Bytes_acked
	}
	waits, lost := int64(info.Rtt)*1000-roundTrip, info.Total_retrans != a.resent
	a.resent = info.Total_retrans
	if info.Unacked > leastPackets && (waits > waitsFor || lost && waits > waitsFor/2) {
		if a.narrow == 0 {
			byLoss(fd)
		}
		a.narrow = now + staysNarrow
	}
	a.trial.look(now, roundTrip, info)
	if now >= a.narrow {
		own := a.trial.own
		if own != 0 && !a.trial.over(roundTrip) {
			a.hold(fd, a.trial.buffer(roundTrip))
			return
		}
		a.trial.own = 0
		if a.buffer != 0 {
			a.buffer = 0
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, cmp.Or(own/2, mostAhead))
			unlock(fd)
		}
		return
	}
	if info.Unacked == 0 {
		return
	}
	bytes := max(leastBytes, max(a.rates[0], a.rates[1])*uint64(roundTrip+onItsWay)/1e9)
	each := max(1, (info.Bytes_sent-info.Bytes_retrans-info.Bytes_acked)/uint64(info.Unacked))
	buffer := int(max(leastPackets, bytes/each) * (each + besidePacket) / 2) // the kernel takes twice what it is told
	a.hold(fd, buffer)
}

// hold sets the send buffer; the system call is saved while the figure is about the same.
func (a *Ahead) hold(fd, buffer int) {
	if a.buffer == 0 || buffer > a.buffer+a.buffer/4 || buffer < a.buffer-a.buffer/4 {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, buffer) == nil {
			a.buffer = buffer
		}
	}
}

// byLoss takes a socket off BBR, where that is the system's congestion control. It goes by
// the highest rate that it has seen until a flow has filled the line for some rounds, which
// a call never does: it neither slows down at a loss nor paces. The first is the better,
// the second is allowed everywhere.
func byLoss(fd int) {
	if name, err := unix.GetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION); err != nil || !strings.HasPrefix(name, "bbr") {
		return
	}
	for _, name := range []string{"cubic", "reno"} {
		if unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, name) == nil {
			return
		}
	}
}
