package stream

import (
	"bytes"
	"errors"
	"io"
	"os"
	"sync"
	"testing"
	"time"
)

// TestSlowReader: what the socket does not take waits, is sent when there is room, and
// nothing is lost or told in vain.
func TestSlowReader(t *testing.T) {
	both(t, func(t *testing.T, secure bool) {
		client, near, _ := pair(t, secure, nil)
		c, err := Take(near)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<14)
		total := 0
		for c.Waiting() == 0 {
			if err := c.Send(sent); err != nil {
				t.Fatal(err)
			}
			total += len(sent)
		}
		flushed := make(chan error, 1)
		err = c.Attach(turning(t), sourceFunc(func(e Events) {
			if e&Writable == 0 {
				return
			}
			if left, err := c.Flush(); left == 0 || err != nil {
				c.Await(false)
				flushed <- err
			}
		}))
		if err != nil {
			t.Fatal(err)
		}
		c.Await(true)
		got := make([]byte, total)
		if _, err := io.ReadFull(client, got); err != nil || !bytes.Equal(got[total-len(sent):], sent) {
			t.Fatalf("%v, or other bytes", err)
		}
		if err := <-flushed; err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-flushed:
			t.Fatal("told of room with nothing waiting", err)
		default:
		}
	})
}

// TestDeadlines: the source is called when a deadline is over, and not before it is
// looked at again.
func TestDeadlines(t *testing.T) {
	both(t, func(t *testing.T, secure bool) {
		client, near, _ := pair(t, secure, nil)
		c, err := Take(near)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		got := make(chan error, 100)
		err = c.Attach(turning(t), sourceFunc(func(Events) {
			var b [100]byte
			n, err := c.Receive(b[:])
			if n > 0 || err != nil {
				got <- err
			}
		}))
		if err != nil {
			t.Fatal(err)
		}
		c.SetReadDeadline(time.Now().Add(time.Millisecond))
		if err := <-got; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("reading ended with %v", err)
		}
		c.SetReadDeadline(time.Time{})
		if _, err := client.Write([]byte("still there")); err != nil {
			t.Fatal(err)
		}
		for err = <-got; errors.Is(err, os.ErrDeadlineExceeded); err = <-got { // seen before that
		}
		if err != nil {
			t.Fatalf("after the deadline was lifted: %v", err)
		}
		for c.Waiting() == 0 { // a client that does not read
			if err := c.Send(make([]byte, 1<<18)); err != nil {
				t.Fatal(err)
			}
		}
		c.SetWriteDeadline(time.Now().Add(-time.Second))
		if left, err := c.Flush(); left == 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("writing ended with %v and %d bytes left", err, left)
		}
		c.mu.Lock()
		c.read, c.write = time.Time{}, time.Time{}
		c.arm()
		armed := c.timer
		c.mu.Unlock()
		if armed != nil {
			t.Fatal("an idle connection has a timer")
		}
	})
}

// TestBothDeadlines: one that is over without anything to be done about it, and stays set,
// does not keep the other from being told, in whichever order they are set.
func TestBothDeadlines(t *testing.T) {
	for _, writeFirst := range []bool{true, false} {
		_, near, _ := pair(t, false, nil)
		c, err := Take(near)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		told := make(chan struct{}, 100)
		if err := c.Attach(turning(t), sourceFunc(func(Events) {
			if _, err := c.Receive(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
				told <- struct{}{}
			}
		})); err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		if writeFirst {
			c.SetWriteDeadline(now.Add(-time.Second)) // nothing waits to be written
		}
		c.SetReadDeadline(now.Add(50 * time.Millisecond))
		if !writeFirst {
			c.SetWriteDeadline(now.Add(time.Millisecond))
		}
		select {
		case <-told:
		case <-time.After(20 * time.Second):
			t.Fatal("nobody was told of the read deadline")
		}
	}
}

// TestHalfClose: a client that has ended still gets what it is sent, and TLS's
// close_notify.
func TestHalfClose(t *testing.T) {
	both(t, func(t *testing.T, secure bool) {
		client, near, layer := pair(t, secure, nil)
		c, err := Take(near)
		if err != nil {
			t.Fatal(err)
		}
		err = c.Attach(turning(t), sourceFunc(func(Events) {
			var b [100]byte
			if _, err := c.Receive(b[:]); err == io.EOF {
				c.Deafen() // it would be ready for ever
				_ = c.Send([]byte("last word"))
				c.CloseWrite()
				c.Close()
			}
		}))
		if err != nil {
			t.Fatal(err)
		}
		if err := client.raw.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(client) // an unexpected EOF where close_notify is missing
		if err != nil || string(got) != "last word" {
			t.Fatalf("got %q, %v", got, err)
		}
		<-layer.closed
	})
}

// TestCloseInFlight: anyone may end a connection while the loop and a sender are at it.
func TestCloseInFlight(t *testing.T) {
	both(t, func(t *testing.T, secure bool) {
		l := turning(t)
		for range 50 {
			client, near, layer := pair(t, secure, nil)
			e := start(t, l, near, 1<<16)
			go func() {
				b := make([]byte, 1<<12)
				for {
					if _, err := client.Write(b); err != nil {
						return
					}
				}
			}()
			go func() { _, _ = io.Copy(io.Discard, client) }()
			var sending sync.WaitGroup
			sending.Go(func() { e.conn.Abort() })
			sending.Go(func() { e.conn.Close() })
			sending.Go(func() { near.Close() })
			sending.Wait()
			<-layer.closed
			if e.conn.FD() != -1 || e.conn.Close() || e.conn.Attach(l, e) == nil {
				t.Fatal("closed, and not closed")
			}
			if err := e.conn.Send([]byte("x")); err == nil {
				t.Fatal("sent after the end")
			}
			client.Close()
		}
	})
}

// TestAnswersOfTLSAreBounded: a client that has keys renewed and reads no answer ends,
// instead of filling the memory.
func TestAnswersOfTLSAreBounded(t *testing.T) {
	client, near, _ := pair(t, true, nil)
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
	var seen Events
	if err := c.Attach(l, sourceFunc(func(e Events) { seen |= e })); err != nil {
		t.Fatal(err)
	}
	for c.Waiting() == 0 { // its buffers are full
		if err := c.Send(make([]byte, 1<<18)); err != nil {
			t.Fatal(err)
		}
	}
	waiting := c.Waiting()
	for range maxAnswers {
		if _, err := (*bottom)(c).Write([]byte("an answer")); err != nil {
			if !errors.Is(err, ErrFlood) || c.Waiting() > waiting+maxAnswers {
				t.Fatal(err, c.Waiting())
			}
			for seen&Hangup == 0 {
				if l.Poll(5000) == 0 {
					t.Fatal("the loop does not see the end")
				}
				l.Dispatch()
			}
			_ = client.Close()
			return
		}
	}
	t.Fatalf("%d bytes wait", c.Waiting())
}
