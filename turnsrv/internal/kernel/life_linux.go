//go:build linux && (amd64 || arm64)

package kernel

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// A life is a name that is taken while one of the processes lives that share it: an
// abstract socket (unix(7)), which is there for as long as somebody holds it open, and which
// everybody in the same network namespace can try, whoever and in whatever container.
type life struct {
	id string
	fd int
}

const (
	lifeName   = "@turnhub-relay-" // the @ stands for the zero byte of such names
	lifeDigits = 16
)

// newLife begins one.
func newLife() (*life, error) {
	raw := make([]byte, lifeDigits/2)
	rand.Read(raw)
	return claim(hex.EncodeToString(raw))
}

// claim takes a name; an error: somebody has it.
func claim(id string) (*life, error) {
	// Of a stream that nobody listens to: nothing can be sent there.
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open a socket: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: lifeName + id}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("bind %s%s: %w", lifeName, id, err)
	}
	return &life{id, fd}, nil
}

// share takes part in the life whose socket this is, which is closed if it is none.
func share(fd int) (*life, error) {
	address, err := unix.Getsockname(fd)
	if err == nil {
		if a, ok := address.(*unix.SockaddrUnix); ok {
			if id, ok := strings.CutPrefix(a.Name, lifeName); ok && len(id) == lifeDigits {
				return &life{id, fd}, nil
			}
		}
		err = fmt.Errorf("a socket of %v", address)
	}
	unix.Close(fd)
	return nil, fmt.Errorf("the life of the process before: %w", err)
}

// end ends the part of this process in it.
func (l *life) end() { unix.Close(l.fd) }
