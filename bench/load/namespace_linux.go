package load

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// Within runs f in a network namespace that ip-netns(8) has made: a socket that f opens
// stays there. An empty name is the namespace of this process. The thread comes back and
// lives on, since its end would end what it has started (PR_SET_PDEATHSIG).
func Within(namespace string, f func() error) error {
	if namespace == "" {
		return f()
	}
	other, err := os.Open(filepath.Join("/run/netns", namespace))
	if err != nil {
		return fmt.Errorf("network namespace %s: %w", namespace, err)
	}
	defer other.Close()
	runtime.LockOSThread()
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer own.Close()
	if err := unix.Setns(int(other.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter network namespace %s: %w", namespace, err)
	}
	err = f()
	if back := unix.Setns(int(own.Fd()), unix.CLONE_NEWNET); back != nil {
		return errors.Join(err, fmt.Errorf("leave network namespace %s: %w", namespace, back)) // and the thread is nobody's
	}
	runtime.UnlockOSThread()
	return err
}
