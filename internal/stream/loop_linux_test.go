package stream

import (
	"io"
	"runtime"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// TestStaleEvents: an event that the kernel told of a descriptor is not another
// connection's that has the descriptor now.
func TestStaleEvents(t *testing.T) {
	l, err := NewLoop(8)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var first, second [2]int
	for _, p := range []*[2]int{&first, &second} {
		if err := unix.Pipe2(p[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
	}
	h, err := l.Add(first[0], sourceFunc(func(Events) { t.Error("a source was called that is gone") }), Readable)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Write(first[1], []byte("x")); err != nil {
		t.Fatal(err)
	}
	if n := l.Poll(1000); n != 1 {
		t.Fatalf("%d events", n)
	}
	stale := l.events[0]
	h.Forget()
	unix.Close(first[0])
	if err := unix.Dup3(second[0], first[0], unix.O_CLOEXEC); err != nil { // the number is used again
		t.Fatal(err)
	}
	called := 0
	again, err := l.Add(first[0], sourceFunc(func(Events) { called++ }), Readable)
	if err != nil {
		t.Fatal(err)
	}
	l.Dispatch() // the event was found before the end
	l.events[0] = stale
	l.collect(1) // and after it
	l.Dispatch()
	if called != 0 {
		t.Fatal("a stale event was handed to the descriptor's next owner")
	}
	if _, err := unix.Write(second[1], []byte("x")); err != nil {
		t.Fatal(err)
	}
	if l.Poll(1000); true {
		l.Dispatch()
	}
	if called != 1 {
		t.Fatalf("the descriptor's owner was called %d times", called)
	}
	again.Remove()
	if n := l.Poll(0); n != 0 {
		t.Fatal("a descriptor that was removed is told of")
	}
	for _, fd := range []int{first[0], first[1], second[0], second[1]} {
		unix.Close(fd)
	}
}

// TestShare: a loop that shares its processor hears of everything as well, a Wake too, whether
// it comes while the loop waits or while it is at work.
func TestShare(t *testing.T) {
	l, err := NewLoop(8)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(p[0])
	defer unix.Close(p[1])
	heard := make(chan byte)
	var b [1]byte
	if _, err := l.Add(p[0], sourceFunc(func(Events) {
		if n, _ := unix.Read(p[0], b[:]); n == 1 {
			heard <- b[0]
		}
	}), Readable); err != nil {
		t.Fatal(err)
	}
	l.Share()
	var stop atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.Run(stop.Load, func() {})
	}()
	const bytes = 10_000
	go func() {
		for i := range bytes {
			if _, err := unix.Write(p[1], []byte{byte(i)}); err != nil {
				t.Error(err)
			}
			if i%7 == 0 {
				runtime.Gosched()
			}
		}
	}()
	for i := range bytes {
		if got := <-heard; got != byte(i) {
			t.Fatalf("byte %d is %d", i, got)
		}
	}
	for i := range 200 { // one by one: the loop waits
		if _, err := unix.Write(p[1], []byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
		if got := <-heard; got != byte(i) {
			t.Fatalf("byte %d is %d", i, got)
		}
	}
	stop.Store(true)
	l.Wake()
	<-done
}

// TestFull: a round that takes no more events says so, and the next one takes the rest.
func TestFull(t *testing.T) {
	l, err := NewLoop(2)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	called := 0
	for range 3 {
		var p [2]int
		if err := unix.Pipe2(p[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		defer unix.Close(p[0])
		defer unix.Close(p[1])
		if _, err := unix.Write(p[1], []byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Add(p[0], sourceFunc(func(Events) { called++ }), Readable|Edge); err != nil {
			t.Fatal(err)
		}
	}
	for _, full := range []bool{true, false, false} {
		l.Poll(0)
		l.Dispatch()
		if l.Full() != full {
			t.Errorf("after %d calls it is full: %v", called, l.Full())
		}
	}
	if called != 3 {
		t.Errorf("%d of 3 sources called", called)
	}
}

// TestRouse: a source is called without its socket's being ready, a wait ends, and after
// the loop's end neither does harm.
func TestRouse(t *testing.T) {
	l, err := NewLoop(8)
	if err != nil {
		t.Fatal(err)
	}
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(p[0])
	defer unix.Close(p[1])
	called := 0
	h, err := l.Add(p[0], sourceFunc(func(e Events) {
		if called++; e != 0 {
			t.Errorf("events %x", e)
		}
	}), Readable)
	if err != nil {
		t.Fatal(err)
	}
	go h.Rouse()
	for called == 0 {
		l.Sleep(-1)
		l.Dispatch()
	}
	if n := l.Poll(0); n != 0 || l.Woken() {
		t.Fatal("roused for ever")
	}
	l.Wake()
	if l.Poll(1000); !l.Woken() {
		t.Fatal("not woken")
	}
	l.Close()
	l.Close()
	l.Wake()
	h.Rouse()
}

// TestNothingIsAllocated: a message in and out over TLS leaves no garbage of ours.
func TestNothingIsAllocated(t *testing.T) {
	both(t, func(t *testing.T, secure bool) {
		client, near, _ := pair(t, secure, nil)
		c, err := Take(near)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		l, err := NewLoop(8)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		b, got := make([]byte, 1<<12), 0
		if err := c.Attach(l, sourceFunc(func(Events) {
			n, err := c.Receive(b)
			if err == nil && n > 0 {
				err = c.Send(b[:n])
			}
			if got += n; err != nil {
				t.Error(err)
			}
		})); err != nil {
			t.Fatal(err)
		}
		message, answer := make([]byte, 300), make([]byte, 300)
		round := func() {
			if _, err := client.Write(message); err != nil {
				t.Fatal(err)
			}
			for got = 0; got < len(message); {
				l.Poll(1000)
				l.Dispatch()
			}
			if _, err := io.ReadFull(client.Conn, answer); err != nil {
				t.Fatal(err)
			}
		}
		round()
		most := 0.0
		if secure {
			most = 8 // crypto/tls makes one for each read from below, at both ends, and the race detector some
		}
		least := most + 1
		for range 5 { // other tests' goroutines may still be ending
			least = min(least, testing.AllocsPerRun(100, round))
		}
		if least > most {
			t.Fatalf("%v allocations for each message", least)
		}
	})
}
