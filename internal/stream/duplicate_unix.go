//go:build unix

package stream

import (
	"os"

	"golang.org/x/sys/unix"
)

// DuplicateFD is Duplicate for a bare descriptor. The new one is above those of the
// standard streams.
func DuplicateFD(old int) (fd int, err error) {
	if fd, err = unix.FcntlInt(uintptr(old), unix.F_DUPFD_CLOEXEC, 3); err != nil {
		return -1, os.NewSyscallError("fcntl", err)
	}
	return fd, nil
}
