package kin

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// link joins two handlers.
func link(t *testing.T, a, b Handler) (x, y *Link) {
	t.Helper()
	near, far, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	ends := make([]*Link, 2)
	for i, f := range []*os.File{near, far} {
		conn, err := Conn(f)
		if err != nil {
			t.Fatal(err)
		}
		ends[i] = New(conn, []Handler{a, b}[i])
	}
	t.Cleanup(func() {
		for _, l := range ends {
			l.Close()
			<-l.Done()
		}
	})
	return ends[0], ends[1]
}

// echo answers with the question.
func echo(ask string, body json.RawMessage, _ *os.File) (any, error) {
	if ask == "fail" {
		return nil, errors.New("it cannot be done")
	}
	return body, nil
}

func TestLink(t *testing.T) {
	a, b := link(t, echo, echo)
	var askers sync.WaitGroup
	for i := range 40 {
		askers.Go(func() {
			var got string
			want := strings.Repeat("x", i*5000)
			if err := []*Link{a, b}[i%2].Ask(t.Context(), "echo", want, nil, &got); err != nil || got != want {
				t.Errorf("%d bytes of %d, %v", len(got), len(want), err)
			}
		})
	}
	askers.Wait()
	if err := a.Ask(t.Context(), "fail", nil, nil, nil); err == nil || err.Error() != "it cannot be done" {
		t.Error(err)
	}
	if err := a.Ask(t.Context(), "echo", strings.Repeat("x", MaxMessage), nil, nil); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Error(err)
	}
	if err := a.Ask(t.Context(), "echo", 1, nil, nil); err != nil {
		t.Errorf("after one that was too long: %v", err)
	}
	b.Close()
	<-a.Done()
	if err := a.Ask(t.Context(), "echo", 1, nil, nil); !errors.Is(err, ErrEnded) {
		t.Error(err)
	}
}

// TestLinkCarriesFiles hands over files, each with its own question.
func TestLinkCarriesFiles(t *testing.T) {
	a, _ := link(t, echo, func(_ string, body json.RawMessage, file *os.File) (any, error) {
		defer file.Close()
		_, err := file.Write(body)
		return nil, err
	})
	for _, word := range []string{`"one"`, `"two"`} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Ask(t.Context(), "write", json.RawMessage(word), w, nil); err != nil {
			t.Fatal(err)
		}
		w.Close()
		if got, err := io.ReadAll(r); err != nil || string(got) != word {
			t.Errorf("%q, %v", got, err)
		}
		r.Close()
	}
}

// TestLinkIsBounded holds that a process that hangs holds nobody up for longer than
// the one who asks wants, and that nothing grows meanwhile.
func TestLinkIsBounded(t *testing.T) {
	wake := make(chan struct{})
	a, b := link(t, echo, func(string, json.RawMessage, *os.File) (any, error) {
		<-wake
		return nil, nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var askers sync.WaitGroup
	var refused atomic.Int64
	for range 2 * maxWaiting {
		askers.Go(func() {
			if err := a.Ask(ctx, "hang", nil, nil, nil); !errors.Is(err, ErrSilent) {
				t.Error(err)
			}
			if refused.Add(1) == maxWaiting { // half of them wait, and no more may
				cancel()
			}
		})
	}
	askers.Wait()
	a.mu.Lock()
	n := len(a.waiting)
	a.mu.Unlock()
	if n != 0 {
		t.Errorf("%d questions wait after their time", n)
	}
	close(wake)
	for len(b.slots) > 0 { // one more than it has room for is not heard
		runtime.Gosched()
	}
	if err := a.Ask(t.Context(), "hang", nil, nil, nil); err != nil {
		t.Errorf("awake again: %v", err)
	}
}

// TestSlowReader holds that a message goes on for as long as the other side takes something of it:
// a process on a busy machine is not one that hangs.
func TestSlowReader(t *testing.T) {
	near, far, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	a, err := Conn(near)
	b, err2 := Conn(far)
	if err = errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	l := New(a, echo)
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	asked := make(chan error, 1)
	go func() { asked <- l.Ask(ctx, "echo", strings.Repeat("x", MaxMessage/2), nil, nil) }()
	var header [4]byte
	if _, err := io.ReadFull(b, header[:]); err != nil {
		t.Fatal(err)
	}
	left := int(binary.BigEndian.Uint32(header[:]))
	for range 6 { // longer than it may take nothing
		n, err := io.ReadFull(b, make([]byte, left/16))
		if left -= n; err != nil {
			t.Fatalf("%d bytes are missing: %v", left, err)
		}
		time.Sleep(writeTime / 4)
	}
	if n, err := io.ReadFull(b, make([]byte, left)); err != nil {
		t.Fatalf("%d bytes are missing: %v", left-n, err)
	}
	cancel()
	if err := <-asked; !errors.Is(err, ErrSilent) {
		t.Error(err)
	}
}

// TestLinkAgainstNonsense ends the link, and nothing else.
func TestLinkAgainstNonsense(t *testing.T) {
	for name, bytes := range map[string]string{
		"a long message":         "\xff\xff\xff\xff",
		"no JSON":                "\x00\x00\x00\x01{",
		"a file that isn't":      "\x00\x00\x00\x22" + `{"id":1,"ask":"echo","file":true } `[:0x22],
		"the middle of a header": "\x00",
	} {
		near, far, err := Pair()
		if err != nil {
			t.Fatal(err)
		}
		conn, err := Conn(near)
		if err != nil {
			t.Fatal(err)
		}
		l := New(conn, echo)
		if _, err := far.WriteString(bytes); err != nil {
			t.Fatal(err)
		}
		if name == "the middle of a header" {
			far.Close()
		}
		<-l.Done()
		far.Close()
	}
}
