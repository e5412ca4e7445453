//go:build linux && (amd64 || arm64)

package epoll

import (
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/unix"

	"turnhub/turnsrv/internal/core"
	"turnhub/turnsrv/internal/wire"
)

// sender queues what a round wants sent, per client and per relay socket, and
// sends it with as few system calls as it takes: one sendmmsg(2) for all UDP
// clients of a listener, one for each relay socket, and runs of equal size to one
// destination as one message with UDP_SEGMENT.
type sender struct {
	items   []item
	relays  []*core.Relay
	streams []*core.Client
	msgs    [txMessages]mmsghdr
	iovs    [txVectors]unix.Iovec
	addrs   [txMessages]sockaddr
	control [txMessages][txControl]byte
	runs    [txMessages]run
	nmsgs   int
	niovs   int
}

// item is one queued datagram or stream message; items of one destination are
// linked.
type item struct {
	buf  []byte
	peer wire.Endpoint // of a relay's datagram
	next int32
	drop bool // of a stream: media, may be dropped
}

// run is what one message of a sendmmsg(2) call is made of, to send it again
// without segmentation where the system refuses that.
type run struct {
	first, n int // in iovs
	gso      bool
	fd, slot int // of the socket, on a ring
}

func (t *sender) push(p *core.Queued, it item) (first bool) {
	t.items = append(t.items, it)
	n := int32(len(t.items))
	if p.Head == 0 {
		p.Head, p.Tail = n, n
		return true
	}
	t.items[p.Tail-1].next = n
	p.Tail = n
	return false
}

// full reports whether no more messages fit.
func (t *sender) full() bool { return t.nmsgs == txMessages || t.niovs+gsoSegments > txVectors }

// add appends the run of items that begins at position at as one message, and
// returns the position after it.
func (t *sender) add(at int32, gso bool) (next int32, first *item) {
	first = &t.items[at-1]
	size := len(first.buf)
	total := 0
	r := run{first: t.niovs}
	for at != 0 {
		it := &t.items[at-1]
		n := len(it.buf)
		if r.n > 0 && (!gso || n > size || it.peer != first.peer || total+n > gsoBytes || r.n == gsoSegments || size == 0) {
			break
		}
		v := &t.iovs[t.niovs]
		v.Base = unsafe.SliceData(it.buf)
		v.Len = uint64(n)
		t.niovs++
		r.n++
		total += n
		at = it.next
		if n < size {
			break // a shorter one ends the run
		}
	}
	h := &t.msgs[t.nmsgs].hdr
	h.Iov = &t.iovs[r.first]
	h.Iovlen = uint64(r.n)
	h.Controllen = 0
	h.Control = nil
	if r.n > 1 {
		r.gso = true
		h.Control = &t.control[t.nmsgs][0]
		var size2 [2]byte
		binary.LittleEndian.PutUint16(size2[:], uint16(size))
		h.Controllen = uint64(putCmsg(t.control[t.nmsgs][:], unix.SOL_UDP, unix.UDP_SEGMENT, size2[:]))
	}
	t.runs[t.nmsgs] = r
	t.nmsgs++
	return at, first
}

// send sends the messages gathered for one socket and returns how many datagrams
// were refused.
func (t *sender) send(fd int, gso *bool) (refused int) {
	for at := 0; at < t.nmsgs; {
		if t.nmsgs == 1 && t.runs[0].n == 1 && t.msgs[0].hdr.Control == nil {
			v := &t.iovs[t.runs[0].first]
			errno := sendto(fd, v.Base, int(v.Len), &t.addrs[0])
			if pending(errno) {
				errno = sendto(fd, v.Base, int(v.Len), &t.addrs[0])
			}
			if errno != 0 {
				refused++
			}
			break
		}
		n, errno := sendmmsg(fd, t.msgs[at:t.nmsgs])
		if pending(errno) {
			n, errno = sendmmsg(fd, t.msgs[at:t.nmsgs])
		}
		if errno == 0 {
			at += n
			continue
		}
		if r := t.runs[at]; r.gso && (errno == unix.EINVAL || errno == unix.EIO || errno == unix.EMSGSIZE) {
			if errno == unix.EIO {
				*gso = false // the device cannot checksum what it would cut
			}
			refused += t.sendSingly(fd, at)
		} else {
			refused += t.runs[at].n
		}
		at++
	}
	t.nmsgs, t.niovs = 0, 0
	return refused
}

// pending tells the errors of an ICMP message that has come for what a connected socket
// sent before: the next call has it in place of sending, and the one after that sends.
func pending(errno unix.Errno) bool {
	switch errno {
	case unix.ECONNREFUSED, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EHOSTDOWN, unix.ENOPROTOOPT, unix.EPROTO:
		return true
	}
	return false
}

// sendSingly sends the datagrams of a run one by one, with the message's other
// control data.
func (t *sender) sendSingly(fd, at int) (refused int) {
	r := t.runs[at]
	h := &t.msgs[at].hdr
	segment := cmsgHeader + cmsgAlign(2)
	if int(h.Controllen) > segment {
		copy(t.control[at][:], t.control[at][segment:h.Controllen])
		h.Controllen -= uint64(segment)
	} else {
		h.Control, h.Controllen = nil, 0
	}
	for i := range r.n {
		h.Iov, h.Iovlen = &t.iovs[r.first+i], 1
		if _, errno := sendmmsg(fd, t.msgs[at:at+1]); errno != 0 {
			refused++
		}
	}
	return refused
}

// reset forgets the items of a flushed round.
func (t *sender) reset() {
	clear(t.items)
	t.items = t.items[:0]
	clear(t.relays)
	t.relays = t.relays[:0]
	clear(t.streams)
	t.streams = t.streams[:0]
}

func sendmmsg(fd int, msgs []mmsghdr) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&msgs[0])), uintptr(len(msgs)), unix.MSG_DONTWAIT, 0, 0)
	return int(n), errno
}

func sendto(fd int, p *byte, n int, sa *sockaddr) unix.Errno {
	_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(p)), uintptr(n), unix.MSG_DONTWAIT, uintptr(unsafe.Pointer(&sa.raw)), uintptr(sa.len))
	return errno
}
