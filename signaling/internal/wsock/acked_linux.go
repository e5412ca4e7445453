package wsock

import (
	"net"

	"golang.org/x/sys/unix"

	"turnhub/internal/stream"
)

// acknowledged reports whether the peer's TCP has acknowledged everything that
// was written. ok is false where the socket does not tell.
func acknowledged(conn net.Conn) (all, ok bool) {
	tcp := stream.TCP(conn)
	if tcp == nil {
		return false, false
	}
	control, err := tcp.SyscallConn()
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
