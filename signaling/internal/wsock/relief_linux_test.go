package wsock

import (
	"runtime"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"turnhub/internal/stream"
)

// ready reports whether the kernel says so of a socket, without the scheduler's knowledge.
func ready(fd int, events int16, milliseconds int) bool {
	p := unix.PollFd{Fd: int32(fd), Events: events}
	n, _, _ := unix.RawSyscall(unix.SYS_POLL, uintptr(unsafe.Pointer(&p)), 1, uintptr(milliseconds))
	return n == 1 && p.Revents&events != 0
}

// TestSenderWritesItself has a sender that leaves its processor to nobody, so that whoever
// is to write does not come to run. Its client reads all it gets, so the kernel has room
// for every message: none may be refused.
func TestSenderWritesItself(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for _, w := range []way{"plain", "TLS"} {
		t.Run(string(w), func(t *testing.T) {
			small := options
			small.QueueBytes = 64 << 10
			var client int // its socket
			begin, done := make(chan struct{}), make(chan struct{})
			url, _ := w.serve(t, small, func(c *Conn) func(int, []byte) error {
				go func() {
					defer close(done)
					<-begin
					f, server, buf := Binary(make([]byte, 2<<10)), c.line.carrier.FD(), make([]byte, 64<<10)
					for i := range 2000 {
						for tries := 0; !ready(server, unix.POLLOUT, 0); tries++ {
							if tries == 10_000 {
								t.Error("the kernel has no room, though its client reads")
								return
							}
							if ready(client, unix.POLLIN, 1) {
								unix.RawSyscall(unix.SYS_READ, uintptr(client), uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)))
							}
						}
						if !c.Send(f) {
							t.Errorf("message %d is refused, though the kernel has room", i)
							return
						}
					}
				}()
				return echo(c)
			})
			ws := dial(t, url)
			raw, err := stream.TCP(ws.NetConn()).SyscallConn()
			if err != nil {
				t.Fatal(err)
			}
			if err := raw.Control(func(fd uintptr) { client = int(fd) }); err != nil {
				t.Fatal(err)
			}
			close(begin)
			wait(t, done, "everything is sent")
		})
	}
}
