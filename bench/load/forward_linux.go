package load

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// hello is how a client of Forward names its peer: these bytes and the peer's
// IPv4 address and port.
const hello = "FORWARD TO"

// Forward is the plainest relay there can be, to tell what the machine allows a
// relay of this shape: one thread, recvmmsg from one socket, a socket for each
// client, sendmmsg; no protocol, no permissions, no segmentation offload. It
// returns on an error only.
func Forward(address netip.AddrPort) error {
	fd, err := socket(unix.SOCK_DGRAM, address.Addr())
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.SetNonblock(fd, false); err != nil {
		return fmt.Errorf("make the socket wait: %w", err)
	}
	if err := unix.Bind(fd, sockaddr(address)); err != nil {
		return fmt.Errorf("bind %s: %w", address, err)
	}
	f := &forwarder{fd: fd, peers: make(map[uint64]*outgoing)}
	b := newBatch(false)
	names := make([]unix.RawSockaddrInet4, len(b.msgs))
	for {
		for i := range b.msgs {
			b.msgs[i].hdr.Name = (*byte)(unsafe.Pointer(&names[i]))
			b.msgs[i].hdr.Namelen = unix.SizeofSockaddrInet4
		}
		n, _, errno := syscall.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&b.msgs[0])),
			uintptr(len(b.msgs)), unix.MSG_WAITFORONE, 0, 0)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return fmt.Errorf("receive: %w", errno)
		}
		for i := range int(n) {
			if err := f.take(&names[i], b.buffers[i*b.size:][:b.msgs[i].len]); err != nil {
				return err
			}
		}
		for _, o := range f.ready {
			o.flush()
		}
		f.ready = f.ready[:0]
	}
}

// A forwarder knows where each client's packets go.
type forwarder struct {
	fd    int
	peers map[uint64]*outgoing
	ready []*outgoing
}

// An outgoing is a client's socket towards its peer and what is about to leave
// by it.
type outgoing struct {
	fd    int
	msgs  [batchSize]mmsghdr
	iovs  [batchSize]unix.Iovec
	count int
}

func (f *forwarder) take(from *unix.RawSockaddrInet4, packet []byte) error {
	key := uint64(from.Port)<<32 | uint64(from.Addr[0])<<24 | uint64(from.Addr[1])<<16 | uint64(from.Addr[2])<<8 | uint64(from.Addr[3])
	if len(packet) == len(hello)+6 && string(packet[:len(hello)]) == hello {
		return f.open(key, from, packet)
	}
	o := f.peers[key]
	if o == nil || len(packet) == 0 {
		return nil
	}
	if o.count == 0 {
		f.ready = append(f.ready, o)
	}
	o.iovs[o.count].Base = &packet[0]
	o.iovs[o.count].SetLen(len(packet))
	o.msgs[o.count].hdr.Iov = &o.iovs[o.count]
	o.msgs[o.count].hdr.SetIovlen(1)
	o.count++
	return nil
}

func (f *forwarder) open(key uint64, from *unix.RawSockaddrInet4, packet []byte) error {
	peer := netip.AddrPortFrom(netip.AddrFrom4([4]byte(packet[len(hello):])),
		uint16(packet[len(packet)-2])<<8|uint16(packet[len(packet)-1]))
	fd, err := socket(unix.SOCK_DGRAM, peer.Addr())
	if err != nil {
		return err
	}
	if err := unix.Connect(fd, sockaddr(peer)); err != nil {
		return fmt.Errorf("connect to %s: %w", peer, err)
	}
	f.peers[key] = &outgoing{fd: fd}
	if !sendTo(f.fd, []byte("ok"), (*byte)(unsafe.Pointer(from)), unix.SizeofSockaddrInet4) {
		return errors.New("answer the client")
	}
	return nil
}

func (o *outgoing) flush() {
	syscall.RawSyscall6(unix.SYS_SENDMMSG, uintptr(o.fd), uintptr(unsafe.Pointer(&o.msgs[0])), uintptr(o.count), unix.MSG_DONTWAIT, 0, 0)
	o.count = 0
}

// announce tells a forwarder the peer of this client and waits for its answer.
func (c *client) announce(b *batch, peer netip.AddrPort) error {
	m := append([]byte(hello), peer.Addr().AsSlice()...)
	m = append(m, byte(peer.Port()>>8), byte(peer.Port()))
	for range answerTries {
		if err := c.write(m); err != nil {
			return err
		}
		answered := false
		wait(c.fd, unix.POLLIN, answerTimeout)
		b.receive(c.fd, func([]byte) { answered = true })
		if answered {
			return nil
		}
		time.Sleep(20 * time.Millisecond) // refused: it is not there yet
	}
	return errors.New("the forwarder does not answer")
}
