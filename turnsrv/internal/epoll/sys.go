//go:build linux && (amd64 || arm64)

package epoll

import (
	"encoding/binary"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"

	"turnhub/turnsrv/internal/wire"
)

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
	_   [4]byte
}

// sockaddr is a raw struct sockaddr_in or sockaddr_in6.
type sockaddr struct {
	raw unix.RawSockaddrInet6
	len uint32
}

func (a *sockaddr) set(e wire.Endpoint, v6 bool) {
	if !v6 {
		in := (*unix.RawSockaddrInet4)(unsafe.Pointer(&a.raw))
		in.Family = unix.AF_INET
		in.Port = hostToNet(e.Port)
		binary.BigEndian.PutUint32(in.Addr[:], uint32(e.Lo))
		a.len = unix.SizeofSockaddrInet4
		return
	}
	a.raw.Family = unix.AF_INET6
	a.raw.Port = hostToNet(e.Port)
	binary.BigEndian.PutUint64(a.raw.Addr[:8], e.Hi)
	binary.BigEndian.PutUint64(a.raw.Addr[8:], e.Lo)
	a.raw.Scope_id = e.Zone
	a.len = unix.SizeofSockaddrInet6
}

// endpointOf reads a raw socket address.
func endpointOf(a *unix.RawSockaddrInet6) wire.Endpoint {
	if a.Family == unix.AF_INET {
		in := (*unix.RawSockaddrInet4)(unsafe.Pointer(a))
		return wire.EndpointIPv4(binary.BigEndian.Uint32(in.Addr[:]), hostToNet(in.Port))
	}
	return wire.Endpoint{
		Hi: binary.BigEndian.Uint64(a.Addr[:8]), Lo: binary.BigEndian.Uint64(a.Addr[8:]),
		Port: hostToNet(a.Port), Zone: a.Scope_id,
	}
}

func hostToNet(n uint16) uint16 { return n>>8 | n<<8 } // both machines are little-endian

// openUDP makes a non-blocking UDP socket bound to an address. reusePort shares
// the port with the same server's other workers.
func openUDP(ap netip.AddrPort, reusePort bool) (int, error) {
	domain := unix.AF_INET
	if ap.Addr().Is6() {
		domain = unix.AF_INET6
	}
	fd, err := unix.Socket(domain, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if domain == unix.AF_INET6 {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)
	}
	if err == nil && reusePort {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	}
	if err == nil {
		var sa sockaddr
		sa.set(wire.EndpointFrom(ap), domain == unix.AF_INET6)
		if _, _, errno := unix.RawSyscall(unix.SYS_BIND, uintptr(fd), uintptr(unsafe.Pointer(&sa.raw)), uintptr(sa.len)); errno != 0 {
			err = errno
		}
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// bigBuffers sets a socket's buffers to size bytes, above the system's limit where
// the process may.
func bigBuffers(fd, size int) {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, size) != nil {
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, size)
	}
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, size) != nil {
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, size)
	}
}

// Control messages (cmsg(3)). Both machines have an 8-byte alignment.
const cmsgHeader = unix.SizeofCmsghdr

func cmsgAlign(n int) int { return (n + 7) &^ 7 }

func putCmsg(b []byte, level, kind int32, data []byte) int {
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
	h.Level, h.Type = level, kind
	h.Len = uint64(cmsgHeader + len(data))
	copy(b[cmsgHeader:], data)
	return cmsgHeader + cmsgAlign(len(data))
}
