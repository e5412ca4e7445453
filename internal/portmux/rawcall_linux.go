package portmux

import (
	"net"
	"net/netip"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"turnhub/internal/netaddr"
)

// The calls of the loops, without the scheduler's knowledge: none of them waits, since all
// descriptors are non-blocking. Where it knows of them it takes the processor away from a
// loop in whose call the kernel delivers a packet on the same machine, and a second thread
// comes and goes for each connection.

func raw(call uintptr, args ...uintptr) (int, error) {
	var a [6]uintptr
	copy(a[:], args)
	for {
		n, _, errno := unix.RawSyscall6(call, a[0], a[1], a[2], a[3], a[4], a[5])
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}

// transfer reads or writes: memory is named in the call itself, so that it stays where it is.
func transfer(call uintptr, fd int, b []byte) (int, error) {
	for {
		n, _, errno := unix.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}

func read(fd int, b []byte) (int, error) { return transfer(unix.SYS_READ, fd, b) }

// write writes what the socket takes; that it takes nothing now is no error.
func write(fd int, b []byte) (int, error) {
	n, err := transfer(unix.SYS_WRITE, fd, b)
	if err == unix.EAGAIN {
		return 0, nil
	}
	return n, err
}

func splice(from, to, n int) (int, error) {
	return raw(unix.SYS_SPLICE, uintptr(from), 0, uintptr(to), 0, uintptr(n), unix.SPLICE_F_NONBLOCK|unix.SPLICE_F_MOVE)
}

// closeFD closes a descriptor, even if a signal comes.
func closeFD(fd int) { unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }

func shutdownWrite(fd int) { raw(unix.SYS_SHUTDOWN, uintptr(fd), unix.SHUT_WR, 0) }

// accept accepts a connection, and says who has come.
func accept(fd int) (int, *net.TCPAddr, error) {
	var from unix.RawSockaddrInet6 // room for both families
	length := uint32(unsafe.Sizeof(from))
	n, _, errno := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(fd), uintptr(unsafe.Pointer(&from)), uintptr(unsafe.Pointer(&length)),
		unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	if errno != 0 {
		return -1, nil, errno
	}
	port := (*[2]byte)(unsafe.Pointer(&from.Port)) // in the order of the network, at the same place in both
	addr := netip.AddrFrom16(from.Addr)
	if from.Family == unix.AF_INET {
		addr = netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(&from)).Addr)
	}
	return int(n), net.TCPAddrFromAddrPort(netip.AddrPortFrom(netaddr.Plain(addr), uint16(port[0])<<8|uint16(port[1]))), nil
}

// connect begins to connect to another server.
func connect(to netip.AddrPort) (fd int, err error) {
	var sa unix.RawSockaddrInet6
	length := unsafe.Sizeof(sa)
	if sa.Family = unix.AF_INET6; to.Addr().Is4() {
		sa.Family, length = unix.AF_INET, unix.SizeofSockaddrInet4
		(*unix.RawSockaddrInet4)(unsafe.Pointer(&sa)).Addr = to.Addr().As4()
	} else {
		sa.Addr = to.Addr().As16()
	}
	*(*[2]byte)(unsafe.Pointer(&sa.Port)) = [2]byte{byte(to.Port() >> 8), byte(to.Port())}
	if fd, err = raw(unix.SYS_SOCKET, uintptr(sa.Family), unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0); err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if !to.Addr().IsLoopback() { // there may be a firewall between that forgets
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 15)
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 15)
	}
	_, _, errno := unix.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&sa)), length)
	if errno != 0 && errno != unix.EINPROGRESS && errno != unix.EINTR { // EINTR goes on by itself
		closeFD(fd)
		return -1, os.NewSyscallError("connect", errno)
	}
	return fd, nil
}
