//go:build linux || darwin

package portable

import (
	"net"

	"golang.org/x/sys/unix"
)

// limitUnsent has the kernel take no more of a connection than is on its way and a
// few packets, so that what a slow line cannot take waits where the old is dropped.
func limitUnsent(tcp *net.TCPConn, bytes int) {
	if raw, err := tcp.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, bytes)
		})
	}
}
