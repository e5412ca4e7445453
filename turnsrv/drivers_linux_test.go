//go:build linux && (amd64 || arm64)

package turnsrv

import (
	"bytes"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TestAutoDriver takes io_uring away from a process as containers do, by a seccomp
// filter: auto is epoll then and says why, and io_uring itself is an error that says so.
// Elsewhere auto is io_uring.
func TestAutoDriver(t *testing.T) {
	const child = "TURNSRV_FILTERED"
	if os.Getenv(child) == "" {
		if _, _, err := ChooseDriver(DriverRing); err != nil {
			t.Skip(err)
		}
		if d, why, err := ChooseDriver(DriverAuto); d != DriverRing || why == "" || err != nil {
			t.Errorf("auto is %s: %s, %v", d, why, err)
		}
		cmd := exec.Command(os.Args[0], "-test.run=^TestAutoDriver$", "-test.v")
		cmd.Env = append(os.Environ(), child+"=1")
		if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS")) {
			t.Errorf("with a filter: %v\n%s", err, out)
		}
		return
	}
	runtime.LockOSThread()
	// struct sock_filter: load the number of the call, refuse io_uring_setup, allow the rest.
	code := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: unix.SYS_IO_URING_SETUP},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	program := &unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	if _, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(program))); errno != 0 {
		t.Fatal(errno)
	}
	d, why, err := ChooseDriver(DriverAuto)
	if d != DriverEpoll || !strings.Contains(why, "seccomp") || err != nil {
		t.Errorf("auto is %s: %s, %v", d, why, err)
	}
	if _, _, err := ChooseDriver(DriverRing); err == nil || !strings.Contains(err.Error(), "seccomp") {
		t.Errorf("io_uring: %v", err)
	}
	cfg := testConfig(t)
	cfg.Driver = DriverAuto
	startServer(t, cfg).stop()
}
