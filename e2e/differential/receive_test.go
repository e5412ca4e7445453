//go:build unix

package differential

import (
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"
)

// receive reads one datagram without waiting.
func receive(fd int, b []byte) (int, netip.AddrPort, error) {
	n, from, err := unix.Recvfrom(fd, b, unix.MSG_DONTWAIT)
	if err != nil {
		return 0, netip.AddrPort{}, err
	}
	switch a := from.(type) {
	case *unix.SockaddrInet4:
		return n, netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port)), nil
	case *unix.SockaddrInet6:
		return n, netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port)), nil
	}
	return 0, netip.AddrPort{}, errors.New("datagram without a source")
}
