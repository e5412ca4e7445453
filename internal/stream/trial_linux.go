package stream

import "golang.org/x/sys/unix"

// trial holds what a new connection has on its way to what its line has shown to take.
// TCP itself begins with ten packets at once and twice as many after each round trip. Of
// a narrow line's queue, which holds two or three, that is far too much: nearly all is
// lost, and seconds go by until it was sent again, in order, while sound waits behind it.
// So a few packets go first. How soon they are acknowledged shows the line's rate, and so
// much more may follow as it takes in a moment: a fast line is free after one round trip.
//
// Who sends sound alone never shows what a line takes, and stays held: a picture may come
// at any time, and TCP would begin it as it begins all. But while nothing is held back
// there is nothing to see, and the kernel is not asked for more than at other times.
type trial struct {
	own       int     // the send buffer that the kernel had chosen; 0: no trial, or it is over
	rate      uint64  // bytes a second that the line takes at least
	idle      bool    // so little is on its way that nothing is held back
	now, next measure // next begins where the first bytes of the one before are answered
}

// measure is the beginning of a measurement.
type measure struct {
	from int64
	sent uint64 // bytes that had been sent by then
}

const (
	lookTrial   = 5e6      // nanoseconds between two looks at the kernel's figures
	leastTook   = 10e6     // nanoseconds: sooner is not told apart
	tryAgain    = 1e9      // nanoseconds after which a measurement without an answer begins anew
	firstBytes  = 4000     // that are on their way at first
	shownBytes  = 96 << 10 // of a line that takes so many in a moment no more needs to be known
	wholePacket = 1300     // bytes, of a picture
	smallPacket = 150      // bytes, of sound, which comes every smallEvery nanoseconds
	smallEvery  = 20e6
)

// begin begins a trial with a new socket, if its send buffer can be given back to the
// kernel afterwards (Linux 5.14).
func (t *trial) begin(fd int) bool {
	if _, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BUF_LOCK); err != nil {
		return false
	}
	own, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF)
	if err != nil {
		return false
	}
	t.own = own
	return true
}

// look measures.
func (t *trial) look(now, roundTrip int64, info *unix.TCPInfo) {
	if t.own == 0 {
		return
	}
	begins := measure{from: now, sent: info.Bytes_sent - info.Bytes_retrans}
	// What was sent after a measurement had begun has all gone over the line since then.
	// For a round trip of that time nothing of it could have been acknowledged.
	if m := t.now; m.from != 0 && info.Bytes_acked > m.sent {
		took := now - m.from - roundTrip
		t.rate = max(t.rate, (info.Bytes_acked-m.sent)*1e9/uint64(max(took, leastTook)))
		if t.next.from == 0 {
			t.next = begins
		}
		if took >= leastTook {
			t.now, t.next = t.next, measure{}
		}
	}
	if t.now.from == 0 || now-t.now.from > tryAgain {
		t.now, t.next = begins, measure{}
	}
	onWay := int64(begins.sent) - int64(info.Bytes_acked) // which counts the SYN
	t.idle = info.Notsent_bytes == 0 && onWay*2 < int64(t.takes(roundTrip))
}

// every is how often it is looked, in nanoseconds.
func (t *trial) every() int64 {
	if t.own == 0 || t.idle {
		return lookEvery
	}
	return lookTrial
}

// takes is how many bytes the line takes in a moment, as far as is known.
func (t *trial) takes(roundTrip int64) uint64 {
	return max(firstBytes, t.rate*uint64(roundTrip+onItsWay)/1e9)
}

// over reports whether the line takes so much that more need not be known.
func (t *trial) over(roundTrip int64) bool { return t.takes(roundTrip) >= shownBytes }

// buffer is the send buffer to set. The kernel takes twice what it is told.
func (t *trial) buffer(roundTrip int64) int {
	small := int(roundTrip)/smallEvery + leastPackets
	return max(int(t.takes(roundTrip))*(wholePacket+besidePacket)/wholePacket, small*(smallPacket+besidePacket)) / 2
}
