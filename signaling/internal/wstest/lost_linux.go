package wstest

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"

	"turnhub/internal/stream"
)

// LoseNetwork lets nothing reach the TCP connection any more, as when its
// network is gone: what the other side sends is not even acknowledged. The
// kernel drops the packets by a socket filter, so no privilege is needed.
func LoseNetwork(t testing.TB, conn net.Conn) {
	t.Helper()
	raw, err := stream.TCP(conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	drop := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 0}
	failure := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &drop})
	})
	if failure != nil || err != nil {
		t.Fatalf("lose the network: %v %v", failure, err)
	}
}
