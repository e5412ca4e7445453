//go:build linux && (amd64 || arm64)

package uring

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// newRing returns an enabled ring on a thread of the test's own. Where the system has no
// io_uring the test is skipped.
func newRing(t *testing.T, cfg Config) *Ring {
	t.Helper()
	if err := Probe(); err != nil {
		t.Skip(err)
	}
	runtime.LockOSThread()
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.Close()
		runtime.UnlockOSThread()
	})
	if err := r.Enable(); err != nil {
		t.Fatal(err)
	}
	return r
}

var small = Config{Entries: 16, Completions: 32, Files: 8, Buffers: 8, BufferBytes: 70000}

// socket returns a UDP socket bound to 127.0.0.1 and its port.
func socket(t *testing.T) (fd, port int) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fd, name.(*unix.SockaddrInet4).Port
}

func form() *unix.Msghdr {
	return &unix.Msghdr{Namelen: unix.SizeofSockaddrInet6, Controllen: 96}
}

// message is a datagram to a port of 127.0.0.1; with segment as a train.
func message(port int, payload []byte, segment int) *unix.Msghdr {
	name := &unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: [4]byte{127, 0, 0, 1}, Port: uint16(port>>8 | port<<8)}
	h := &unix.Msghdr{
		Name: (*byte)(unsafe.Pointer(name)), Namelen: unix.SizeofSockaddrInet4,
		Iov: &unix.Iovec{Base: unsafe.SliceData(payload), Len: uint64(len(payload))}, Iovlen: 1,
	}
	if segment > 0 {
		control := make([]byte, 24)
		c := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
		c.Level, c.Type, c.Len = unix.SOL_UDP, unix.UDP_SEGMENT, unix.SizeofCmsghdr+2
		binary.LittleEndian.PutUint16(control[unix.SizeofCmsghdr:], uint16(segment))
		h.Control, h.Controllen = &control[0], uint64(len(control))
	}
	return h
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// completion waits for the next one.
func completion(t *testing.T, r *Ring) Completion {
	t.Helper()
	for range 50 {
		if c, ok := r.Next(); ok {
			return c
		}
		must(t, r.Wait(100*time.Millisecond, 0, false))
	}
	t.Fatal("no completion")
	return Completion{}
}

// none reports completions where none is due.
func none(t *testing.T, r *Ring) {
	t.Helper()
	must(t, r.Wait(0, 0, false))
	if c, ok := r.Next(); ok {
		t.Fatalf("unexpected completion %+v", c)
	}
}

func payload(t *testing.T, r *Ring, c Completion) (string, Message) {
	t.Helper()
	if c.Err != 0 || c.Buffer < 0 {
		t.Fatalf("not a datagram: %+v", c)
	}
	m, err := r.Message(c.Buffer, c.N, form())
	must(t, err)
	return string(r.Buffer(c.Buffer)[m.Lo:m.Hi]), m
}

func TestProbe(t *testing.T) {
	if err := Probe(); err != nil {
		t.Skip(err) // its text is a sentence for the operator
	}
	open := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		must(t, err)
		return len(entries)
	}
	before := open()
	for range 3 {
		must(t, Probe())
	}
	if after := open(); after > before {
		t.Errorf("%d descriptors were open, now %d", before, after)
	}
}

// TestBecause has each reason why a system may refuse named in words.
func TestBecause(t *testing.T) {
	for _, c := range []struct {
		err      error
		disabled string
		want     string
	}{
		{&Refused{"io_uring_setup", unix.EPERM}, "2", "kernel.io_uring_disabled to 0"},
		{&Refused{"io_uring_setup", unix.EPERM}, "1", "kernel.io_uring_group"},
		{&Refused{"io_uring_setup", unix.EPERM}, "0", "seccomp"},
		{&Refused{"io_uring_setup", unix.EPERM}, "", "seccomp"},
		{&Refused{"io_uring_setup", unix.ENOSYS}, "", "has no io_uring"},
		{&Refused{"io_uring_setup", unix.EINVAL}, "", "too old"},
		{&Refused{"io_uring_setup", unix.ENOMEM}, "0", "RLIMIT_MEMLOCK"},
		{&Refused{"io_uring_setup", unix.EMFILE}, "0", "RLIMIT_NOFILE"},
		{&Refused{"IORING_REGISTER_PBUF_RING", unix.EINVAL}, "", "too old"},
	} {
		got := because(c.err, c.disabled, "5.10.0").Error()
		if !strings.Contains(got, c.want) || !strings.Contains(got, c.err.Error()) {
			t.Errorf("%v with %q: %q does not say %q", c.err, c.disabled, got, c.want)
		}
	}
}

// TestReceive sends datagrams to one multishot receive, with source and, as a train that
// UDP_GRO has joined, with the size of each.
func TestReceive(t *testing.T) {
	r := newRing(t, small)
	fd, port := socket(t)
	from, fromPort := socket(t)
	must(t, unix.SetsockoptInt(fd, unix.SOL_UDP, unix.UDP_GRO, 1))
	must(t, unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1))
	must(t, r.SetFile(3, fd), r.SetFile(4, from), r.Receive(3, form(), 7), r.Submit())
	for i, size := range []int{0, 1, 172, 1200, 60000} {
		want := strings.Repeat(string(rune('a'+i)), size)
		segment := 0
		if size == 60000 {
			segment = 1000
		}
		h := message(port, []byte(want), segment)
		must(t, r.Send(4, h, 8), r.Submit())
		c := completion(t, r)
		if c.Key != 7 || c.More != (size > 0) {
			t.Fatalf("completion %+v", c)
		}
		if !c.More {
			must(t, r.Receive(3, form(), 7))
		}
		got, m := payload(t, r, c)
		if got != want {
			t.Fatalf("%d bytes arrived as %d", size, len(got))
		}
		name := (*unix.RawSockaddrInet4)(unsafe.Pointer(&m.Name[0]))
		if name.Family != unix.AF_INET || int(name.Port>>8|name.Port<<8) != fromPort || m.Flags != 0 {
			t.Errorf("from %+v with flags %#x", name, m.Flags)
		}
		messages, err := unix.ParseSocketControlMessage(m.Control)
		must(t, err)
		joined, info := 0, false
		for _, c := range messages {
			if c.Header.Level == unix.SOL_UDP && c.Header.Type == unix.UDP_GRO {
				joined = int(binary.LittleEndian.Uint32(c.Data))
			}
			info = info || c.Header.Level == unix.IPPROTO_IP && c.Header.Type == unix.IP_PKTINFO && bytes.Equal(c.Data[8:12], []byte{127, 0, 0, 1})
		}
		if joined != segment || !info {
			t.Errorf("segments of %d bytes, sent %d; destination known: %v", joined, segment, info)
		}
		r.Recycle(c.Buffer)
	}
	none(t, r)
}

// TestBatch sends from several sockets with one system call.
func TestBatch(t *testing.T) {
	r := newRing(t, small)
	fd, port := socket(t)
	must(t, r.SetFile(0, fd), r.Receive(0, form(), 1), r.Submit())
	for i := 1; i < 8; i++ {
		from, _ := socket(t)
		h := message(port, []byte{byte(i)}, 0)
		must(t, r.SetFile(i, from), r.Send(i, h, 2))
	}
	if n := r.Queued(); n != 7 {
		t.Fatalf("%d requests queued", n)
	}
	must(t, r.Submit())
	if n := r.Queued(); n != 0 {
		t.Fatalf("%d requests left", n)
	}
	for i := 1; i < 8; i++ {
		c := completion(t, r)
		if got, _ := payload(t, r, c); got != string([]byte{byte(i)}) {
			t.Errorf("datagram %d is %q", i, got)
		}
		r.Recycle(c.Buffer)
	}
	none(t, r) // what was sent has no completion
}

// TestPoll waits for a file as an epoll's descriptor is waited for.
func TestPoll(t *testing.T) {
	r := newRing(t, small)
	event, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	must(t, err)
	defer unix.Close(event)
	must(t, r.SetFile(0, event), r.Poll(0, 5))
	none(t, r)
	_, err = unix.Write(event, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	must(t, err)
	if c := completion(t, r); c.Key != 5 || c.Err != 0 || c.More {
		t.Errorf("completion %+v", c)
	}
}

// TestWait ends by its timeout, whether or not it gathers.
func TestWait(t *testing.T) {
	r := newRing(t, small)
	for _, gather := range []time.Duration{0, 50 * time.Microsecond} {
		must(t, r.Wait(time.Millisecond, gather, false), r.Wait(time.Millisecond, gather, true))
	}
	none(t, r)
}

// TestGather has a Wait that gathers return with less than many.
func TestGather(t *testing.T) {
	r := newRing(t, small)
	fd, port := socket(t)
	must(t, r.SetFile(0, fd), r.Receive(0, form(), 1), r.Send(0, message(port, []byte("x"), 0), 2))
	must(t, r.Submit(), r.Wait(time.Minute, 100*time.Microsecond, false))
	if c, ok := r.Next(); !ok || c.Key != 1 {
		t.Errorf("completion %+v, %v", c, ok)
	}
}

// TestRestricted asks for what the ring is not for.
func TestRestricted(t *testing.T) {
	r := newRing(t, small)
	e, err := r.next(nil)
	must(t, err)
	e.opcode, e.userData = 0, 9 // IORING_OP_NOP
	must(t, r.Submit())
	if c := completion(t, r); c.Key != 9 || c.Err != unix.EACCES {
		t.Errorf("another operation: %+v", c)
	}
	if err := register(r.fd, registerFiles2, unsafe.Pointer(new(filesRegister)), 32); !errors.Is(err, unix.EACCES) {
		t.Errorf("another registration: %v", err)
	}
}
