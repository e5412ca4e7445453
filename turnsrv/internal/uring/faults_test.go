//go:build linux && (amd64 || arm64)

package uring

import (
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestOverflow has more completions than fit: none is lost, and a receive that the
// overflow ends goes on when it is begun anew.
func TestOverflow(t *testing.T) {
	r := newRing(t, Config{Entries: 4, Completions: 4, Files: 8, Buffers: 64, BufferBytes: 512})
	fd, port := socket(t)
	from, _ := socket(t)
	must(t, r.SetFile(0, fd), r.SetFile(1, from), r.Receive(0, form(), 1), r.Submit())
	const count = 40
	for i := range count {
		h := message(port, []byte{byte(i)}, 0)
		must(t, r.Send(1, h, 2), r.Submit())
	}
	// Refusals have completions of their own, with which the queue overflows.
	for range 10 {
		if err := r.Cancel(99, 3); err != nil && err != unix.EBUSY {
			t.Fatal(err)
		}
		must(t, r.Submit())
	}
	must(t, r.Wait(0, 0, false))
	if !r.Overflown() {
		t.Fatal("nothing has overflown")
	}
	ends, cancels := 0, 0
	for at := 0; at < count; {
		c := completion(t, r)
		if c.Key == 3 {
			cancels++
			continue
		}
		got, _ := payload(t, r, c)
		if got != string([]byte{byte(at)}) {
			t.Fatalf("datagram %d is %q", at, got)
		}
		at++
		r.Recycle(c.Buffer)
		if !c.More {
			ends++
			must(t, r.Receive(0, form(), 1))
		}
	}
	if ends == 0 {
		t.Error("the overflow has not ended the receive")
	}
	for cancels < 10 {
		if c := completion(t, r); c.Key != 3 || c.Err != unix.ENOENT {
			t.Fatalf("completion %+v", c)
		}
		cancels++
	}
	must(t, r.Wait(0, 0, false))
	if r.Overflown() {
		t.Error("it is overflown still")
	}
}

// TestNoBuffers has more datagrams come than there are buffers. The others wait in the
// socket.
func TestNoBuffers(t *testing.T) {
	r := newRing(t, Config{Entries: 16, Completions: 32, Files: 8, Buffers: 2, BufferBytes: 512})
	fd, port := socket(t)
	from, _ := socket(t)
	must(t, r.SetFile(0, fd), r.SetFile(1, from), r.Receive(0, form(), 1))
	for i := range 5 {
		must(t, r.Send(1, message(port, []byte{byte(i)}, 0), 2), r.Submit())
	}
	var held []int
	for at := 0; at < 5; {
		c := completion(t, r)
		if c.Err != 0 {
			if c.Err != unix.ENOBUFS || c.More || len(held) != 2 {
				t.Fatalf("completion %+v with %d buffers taken", c, len(held))
			}
			for _, id := range held {
				r.Recycle(id)
			}
			held = held[:0]
			must(t, r.Receive(0, form(), 1))
			continue
		}
		if got, _ := payload(t, r, c); got != string([]byte{byte(at)}) {
			t.Fatalf("datagram %d is %q", at, got)
		}
		held = append(held, c.Buffer)
		at++
	}
}

// TestTruncated receives a datagram that is longer than a buffer.
func TestTruncated(t *testing.T) {
	r := newRing(t, Config{Entries: 16, Completions: 32, Files: 8, Buffers: 2, BufferBytes: 256})
	fd, port := socket(t)
	must(t, r.SetFile(0, fd), r.Receive(0, form(), 1), r.Send(0, message(port, make([]byte, 1200), 0), 2), r.Submit())
	c := completion(t, r)
	_, m := payload(t, r, c)
	if m.Hi != 256 || m.Flags&unix.MSG_TRUNC == 0 {
		t.Errorf("payload ends at %d, flags %#x", m.Hi, m.Flags)
	}
	if _, err := r.Message(c.Buffer, 3, form()); err == nil {
		t.Error("a message shorter than its header is taken")
	}
}

// TestRefusedSend has sends refused: each refusal completes at once, in Submit.
func TestRefusedSend(t *testing.T) {
	r := newRing(t, small)
	fd, port := socket(t)
	must(t, r.SetFile(0, fd))
	for _, c := range []struct {
		name string
		slot int
		size int
		seg  int
		want unix.Errno
	}{
		{"too long", 0, 65508, 0, unix.EMSGSIZE},
		{"an empty slot", 5, 1, 0, unix.EBADF},
		{"too many segments", 0, 1000, 1, unix.EINVAL},
	} {
		h := message(port, make([]byte, c.size), c.seg)
		must(t, r.Send(c.slot, h, 4), r.Submit())
		got, ok := r.Next()
		if !ok || got.Key != 4 || got.Err != c.want {
			t.Errorf("%s: %+v, %v", c.name, got, ok)
		}
	}
	none(t, r)
}

// TestFullSocket fills a send buffer that nobody empties: EAGAIN comes at once, and
// nothing of the message is used afterwards.
func TestFullSocket(t *testing.T) {
	r := newRing(t, small)
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	must(t, r.SetFile(0, pair[0]))
	b := make([]byte, 1000)
	h := &unix.Msghdr{Iov: &unix.Iovec{Base: &b[0], Len: 1000}, Iovlen: 1}
	for range 100_000 {
		must(t, r.Send(0, h, 4), r.Submit())
		if c, ok := r.Next(); ok {
			if c.Err != unix.EAGAIN {
				t.Fatalf("completion %+v", c)
			}
			for { // room again must not send what was refused
				if _, err := unix.Read(pair[1], b); err == unix.EAGAIN {
					break
				}
			}
			none(t, r)
			if _, err := unix.Read(pair[1], b); err != unix.EAGAIN {
				t.Errorf("what was refused has been sent: %v", err)
			}
			return
		}
	}
	t.Fatal("the buffer is never full")
}

// TestICMP has a peer refuse a connected socket's datagram: the receive ends with
// ECONNREFUSED, and goes on when it is begun anew.
func TestICMP(t *testing.T) {
	r := newRing(t, small)
	fd, port := socket(t)
	gone, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	must(t, err, unix.Bind(gone, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	name, err := unix.Getsockname(gone)
	must(t, err, unix.Close(gone))
	nobody := name.(*unix.SockaddrInet4).Port
	must(t, unix.Connect(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: nobody}))
	must(t, r.SetFile(0, fd), r.Receive(0, form(), 1), r.Send(0, &unix.Msghdr{}, 2), r.Submit())
	c := completion(t, r)
	if c.Key != 1 || c.Err != unix.ECONNREFUSED || c.More || c.Buffer >= 0 {
		t.Fatalf("completion %+v", c)
	}
	// The same socket, as its peer.
	must(t, unix.Connect(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: port}))
	must(t, r.Receive(0, form(), 1), r.Send(0, message(port, []byte("x"), 0), 2), r.Submit())
	if got, _ := payload(t, r, completion(t, r)); got != "x" {
		t.Errorf("%q", got)
	}
}

// TestCancel ends a receive, and finds none to end.
func TestCancel(t *testing.T) {
	r := newRing(t, small)
	fd, _ := socket(t)
	must(t, r.SetFile(0, fd), r.Receive(0, form(), 1), r.Submit(), r.Cancel(1, 2), r.Submit())
	if c := completion(t, r); c.Key != 1 || c.Err != unix.ECANCELED || c.More {
		t.Errorf("completion %+v", c)
	}
	must(t, r.Cancel(1, 2), r.Submit())
	if c := completion(t, r); c.Key != 2 || c.Err != unix.ENOENT {
		t.Errorf("completion %+v", c)
	}
}

// TestClosedInFlight closes a socket with a receive in flight and gives its slot to
// another. What comes late bears the old key, the old socket's port is free only after
// the last completion, and the new receive is left alone.
func TestClosedInFlight(t *testing.T) {
	r := newRing(t, small)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	must(t, err, unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	name, err := unix.Getsockname(fd)
	must(t, err)
	port := name.(*unix.SockaddrInet4).Port
	from, _ := socket(t)
	next, nextPort := socket(t)
	const old, young = 1<<32 | 3, 2<<32 | 3 // the slot and its generation
	must(t, r.SetFile(3, fd), r.SetFile(4, from), r.Receive(3, form(), old), r.Submit())
	must(t, unix.Close(fd), r.SetFile(3, next), r.Receive(3, form(), young))
	// The receive in flight keeps the socket, which still gets what is sent to it.
	must(t, r.Send(4, message(port, []byte("late"), 0), 9), r.Send(4, message(nextPort, []byte("new"), 0), 9), r.Submit())
	for range 2 {
		c := completion(t, r)
		got, _ := payload(t, r, c)
		if (c.Key == old) != (got == "late") || (c.Key == young) != (got == "new") {
			t.Errorf("%q has key %#x", got, c.Key)
		}
		r.Recycle(c.Buffer)
	}
	must(t, r.Cancel(old, 9), r.Submit())
	if c := completion(t, r); c.Key != old || c.Err != unix.ECANCELED {
		t.Fatalf("completion %+v", c)
	}
	again, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(again)
	must(t, unix.Bind(again, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: port}))
	must(t, r.Send(4, message(nextPort, []byte("on"), 0), 9), r.Submit())
	if got, _ := payload(t, r, completion(t, r)); got != "on" {
		t.Errorf("%q", got)
	}
}

// TestOtherThread has a second thread use a ring that is not its own.
func TestOtherThread(t *testing.T) {
	r := newRing(t, small)
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		done <- r.Wait(time.Millisecond, 0, false)
	}()
	if err := <-done; err == nil {
		t.Error("another thread may use the ring")
	}
}

// TestAllocations: nothing on the data path allocates.
func TestAllocations(t *testing.T) {
	r := newRing(t, small)
	fd, port := socket(t)
	f, h := form(), message(port, []byte("x"), 0)
	must(t, r.SetFile(0, fd), r.Receive(0, f, 1), r.Submit())
	if n := testing.AllocsPerRun(100, func() {
		if r.Send(0, h, 2) != nil || r.Wait(time.Second, 0, true) != nil {
			t.Fatal("refused")
		}
		for c, ok := r.Next(); ok; c, ok = r.Next() {
			if _, err := r.Message(c.Buffer, c.N, f); err != nil {
				t.Fatal(err)
			}
			r.Recycle(c.Buffer)
		}
	}); n != 0 {
		t.Errorf("%v allocations for a datagram", n)
	}
}
