//go:build linux && (amd64 || arm64)

package epoll

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"turnhub/internal/stream"
	"turnhub/turnsrv/credentials"
	"turnhub/turnsrv/internal/core"
	"turnhub/turnsrv/internal/wire"
	"turnhub/turnsrv/policy"
)

// idleWorker returns a worker that the test runs itself.
func idleWorker(t *testing.T) *Worker {
	t.Helper()
	secrets, err := credentials.New([]string{"secret"})
	if err != nil {
		t.Fatal(err)
	}
	w, err := New(core.NewShard(core.NewShared(core.Config{
		Realm: "here", Credentials: secrets, Policy: policy.New(policy.Config{Mode: policy.ModeAny}), Logger: slog.New(slog.DiscardHandler),
	})), 1, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !w.ended.Load() {
			w.close()
		}
	})
	return w
}

// socketPair is a UDP socket on loopback, and one whose datagrams go there.
func socketPair(t *testing.T) (near, far int) {
	t.Helper()
	for _, fd := range []*int{&near, &far} {
		var err error
		if *fd, err = openUDP(netip.MustParseAddrPort("127.0.0.1:0"), false); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(*fd) })
	}
	to, err := unix.Getsockname(near)
	if err == nil {
		err = unix.Connect(far, to)
	}
	if err == nil {
		err = unix.SetsockoptInt(near, unix.SOL_UDP, unix.UDP_GRO, 1)
	}
	if err != nil {
		t.Fatal(err)
	}
	return near, far
}

// nobody is a source that the test reads itself.
type nobody struct{}

func (nobody) readable(*Worker, stream.Events) {}

// TestFlushKeepsWhatWasReceived: what is flushed while a batch is handled, as the core
// does when its memory is full, neither changes what is known of the rest of the batch
// nor lets the next socket's datagrams overwrite it before it is sent.
func TestFlushKeepsWhatWasReceived(t *testing.T) {
	w := idleWorker(t)
	first, toFirst := socketPair(t)
	second, toSecond := socketPair(t)
	var handles []*stream.Handle
	for _, fd := range []int{first, second} {
		h, err := w.watch(fd, nobody{}, edge)
		if err != nil {
			t.Fatal(err)
		}
		defer h.Remove()
		handles = append(handles, h)
	}
	const count = 8
	if err := unix.SetsockoptInt(toFirst, unix.SOL_UDP, unix.UDP_SEGMENT, 100); err != nil {
		t.Fatal(err)
	}
	for range count { // trains, whose control messages stay in the buffers
		if _, err := unix.Write(toFirst, make([]byte, 400)); err != nil {
			t.Fatal(err)
		}
	}
	if from, to := w.receive(handles[0], count); to-from != count || w.rx.arrival(from).segment != 100 {
		t.Fatalf("%d buffers, the first one %+v", to-from, w.rx.arrival(from))
	}
	w.turnOver()
	if err := unix.SetsockoptInt(toFirst, unix.SOL_UDP, unix.UDP_SEGMENT, 0); err != nil {
		t.Fatal(err)
	}
	want := make([][]byte, count)
	for i := range want {
		want[i] = bytes.Repeat([]byte{byte('a' + i)}, 300)
		if _, err := unix.Write(toFirst, want[i]); err != nil {
			t.Fatal(err)
		}
		if _, err := unix.Write(toSecond, make([]byte, 300)); err != nil {
			t.Fatal(err)
		}
	}
	from, to := w.receive(handles[0], count)
	if to-from != count {
		t.Fatalf("%d datagrams", to-from)
	}
	check := func(when string) {
		t.Helper()
		for i := range want {
			a := w.rx.arrival(from + i)
			if got := fmt.Sprint(a.size, a.segment); got != "300 0" {
				t.Errorf("%s, datagram %d has size and segment %s", when, i, got)
			}
			if g := firstOf(&w.rx.buffers[from+i], &a); !bytes.Equal(g.Buf.Mem[wire.Headroom:wire.Headroom+300], want[i]) {
				t.Errorf("%s, datagram %d is another", when, i)
			}
		}
	}
	check("at first")
	w.Flush()
	check("flushed")
	if from, to := w.receive(handles[1], count); to-from != count {
		t.Fatalf("%d datagrams", to-from)
	}
	check("with another socket's received")
}

// TestOneVisitorForEachDatagram: clients without an allocation fill a round's places no
// sooner than their datagrams its buffers.
func TestOneVisitorForEachDatagram(t *testing.T) {
	w := idleWorker(t)
	near, far := socketPair(t)
	fd, err := stream.DuplicateFD(near)
	if err == nil {
		err = w.Adopt(fd, netip.MustParseAddrPort("127.0.0.1:1"))
	}
	if err != nil {
		t.Fatal(err)
	}
	const count = 20
	for range count {
		if _, err := unix.Write(far, []byte("no STUN")); err != nil {
			t.Fatal(err)
		}
	}
	if w.listeners[0].readable(w, stream.Readable); w.shard.Handled() != count || w.visits != count {
		t.Fatalf("%d datagrams took %d places", w.shard.Handled(), w.visits)
	}
}
