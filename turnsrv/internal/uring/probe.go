//go:build linux && (amd64 || arm64)

package uring

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Probe tries every operation of this package on this system. Its error is a sentence
// that says which is refused, why, and what can be done.
func Probe() error {
	done := make(chan error)
	go func() { // a ring is one thread's
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		done <- try()
	}()
	return explain(<-done)
}

// explain makes a sentence of an error of New, Enable or a try.
func explain(err error) error {
	if err == nil {
		return nil
	}
	disabled, _ := os.ReadFile("/proc/sys/kernel/io_uring_disabled")
	return because(err, strings.TrimSpace(string(disabled)), release())
}

// because says why a system refuses, by the sysctl kernel.io_uring_disabled (empty
// before Linux 6.6) and the kernel's release.
func because(err error, disabled, release string) error {
	var at *Refused
	if !errors.As(err, &at) {
		return err
	}
	switch {
	case at.Step == "io_uring_setup" && disabled == "2":
		return fmt.Errorf("io_uring is switched off for all processes: set kernel.io_uring_disabled to 0 to have it (%w)", err)
	case at.Step == "io_uring_setup" && disabled == "1" && errors.Is(err, unix.EPERM):
		return fmt.Errorf("io_uring is only for privileged processes here: set kernel.io_uring_disabled to 0, or add this process's group to kernel.io_uring_group (%w)", err)
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("a seccomp filter or security module forbids io_uring, as those of containers and systemd units do unless they allow io_uring_setup, io_uring_enter and io_uring_register (%w)", err)
	case errors.Is(err, unix.ENOMEM):
		return fmt.Errorf("there is no memory for an io_uring, or RLIMIT_MEMLOCK is too low (%w)", err)
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
		return fmt.Errorf("there are no file descriptors for an io_uring: RLIMIT_NOFILE is too low (%w)", err)
	case errors.Is(err, unix.ENOSYS) && at.Step == "io_uring_setup":
		return fmt.Errorf("this kernel (%s) has no io_uring, or a seccomp filter hides it; Linux 6.1 is needed (%w)", release, err)
	}
	return fmt.Errorf("this kernel (%s) is too old for the io_uring that is needed, which Linux 6.1 has (%w)", release, err)
}

func release() string {
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return "of an unknown release"
	}
	return unix.ByteSliceToString(name.Release[:])
}

// try has two sockets of the loopback interface send to each other by a ring.
func try() error {
	r, err := New(Config{Entries: 8, Completions: 16, Files: 2, Buffers: 4, BufferBytes: 4096})
	if err != nil {
		return err
	}
	defer r.Close()
	if err := r.Enable(); err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open a UDP socket to try io_uring with: %w", err)
	}
	defer unix.Close(fd)
	local := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}
	if err := unix.Bind(fd, local); err != nil {
		return fmt.Errorf("bind a UDP socket to 127.0.0.1 to try io_uring with: %w", err)
	}
	name, err := unix.Getsockname(fd)
	if err == nil {
		err = unix.Connect(fd, name) // to itself
	}
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_UDP, unix.UDP_GRO, 1)
	}
	if err != nil {
		return fmt.Errorf("prepare a UDP socket to try io_uring with: %w", err)
	}
	if err := r.SetFile(0, fd); err != nil {
		return &Refused{"IORING_REGISTER_FILES_UPDATE2", err}
	}
	return trial(r)
}

const (
	keyReceive = iota + 1
	keySend
	keyPoll
	keyCancel
)

// trial sends a train of two datagrams to the socket in slot 0, which is connected to
// itself, and cancels its receive.
func trial(r *Ring) error {
	type memory struct { // on the heap
		form, message unix.Msghdr
		vector        unix.Iovec
		payload       [8]byte
		control       [24]byte
	}
	m := new(memory)
	m.form = unix.Msghdr{Namelen: unix.SizeofSockaddrInet6, Controllen: 64}
	m.vector = unix.Iovec{Base: &m.payload[0], Len: uint64(len(m.payload))}
	m.message = unix.Msghdr{Iov: &m.vector, Iovlen: 1, Control: &m.control[0], Controllen: uint64(len(m.control))}
	h := (*unix.Cmsghdr)(unsafe.Pointer(&m.control[0]))
	h.Level, h.Type, h.Len = unix.SOL_UDP, unix.UDP_SEGMENT, unix.SizeofCmsghdr+2
	binary.LittleEndian.PutUint16(m.control[unix.SizeofCmsghdr:], 4)

	if err := errors.Join(r.Poll(0, keyPoll), r.Send(0, &m.message, keySend), r.Submit()); err != nil {
		return err
	}
	if c, err := await(r, keyPoll, false); err != nil {
		return err
	} else if c.Err != 0 {
		return &Refused{"IORING_OP_POLL_ADD or IORING_OP_SENDMSG", c.Err}
	}
	if err := r.Receive(0, &m.form, keyReceive); err != nil {
		return err
	}
	for got := 0; got < len(m.payload); {
		c, err := await(r, keyReceive, false)
		if err != nil {
			return err
		}
		if c.Err != 0 || c.Buffer < 0 || !c.More {
			return &Refused{"multishot IORING_OP_RECVMSG", errors.Join(unix.EINVAL, c.Err)}
		}
		message, err := r.Message(c.Buffer, c.N, &m.form)
		if err != nil {
			return &Refused{"multishot IORING_OP_RECVMSG", err}
		}
		got += message.Hi - message.Lo
		r.Recycle(c.Buffer)
	}
	if err := r.Cancel(keyReceive, keyCancel); err != nil {
		return err
	}
	if c, err := await(r, keyReceive, true); err != nil {
		return err
	} else if c.Err != unix.ECANCELED {
		return &Refused{"IORING_OP_ASYNC_CANCEL", errors.Join(unix.EINVAL, c.Err)}
	}
	return nil
}

// await returns the next completion of a key, and with last the one that ends it. One
// of another key is an error: only refusals have them here.
func await(r *Ring, key uint64, last bool) (Completion, error) {
	for range 10 {
		for {
			c, ok := r.Next()
			if !ok {
				break
			}
			if c.Key != key {
				return c, &Refused{fmt.Sprintf("request %d of a trial of io_uring", c.Key), c.Err}
			}
			if !last || !c.More {
				return c, nil
			}
		}
		if err := r.Wait(100*time.Millisecond, 0, false); err != nil {
			return Completion{}, err
		}
	}
	return Completion{}, &Refused{fmt.Sprintf("request %d of a trial of io_uring", key), unix.ETIMEDOUT}
}
