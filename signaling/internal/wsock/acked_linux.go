package wsock

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// acknowledged reports whether the peer's TCP has acknowledged everything that
// was written. ok is false where the socket does not tell.
func acknowledged(conn net.Conn) (all, ok bool) {
	for {
		if raw, is := conn.(syscall.Conn); is {
			control, err := raw.SyscallConn()
			if err != nil {
				return false, false
			}
			waiting := 0
			if err := control.Control(func(fd uintptr) {
				waiting, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ)
			}); err != nil {
				return false, false
			}
			return waiting == 0, err == nil
		}
		wrapped, is := conn.(interface{ NetConn() net.Conn })
		if !is {
			return false, false
		}
		conn = wrapped.NetConn()
	}
}
