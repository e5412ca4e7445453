package media

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"turnhub/signaling"
	"turnhub/signaling/internal/wstest"
)

// TestManyHalfOpen: ten thousand sockets that never say hello, from many households, cost
// little memory, disturb nobody's path, and are all gone after their time, counted.
func TestManyHalfOpen(t *testing.T) {
	if host := os.Getenv("MEDIA_HOST"); host != "" {
		hold(t, host)
		return
	}
	w := start(t, signaling.Config{
		Limits: signaling.Limits{ConnectionsPerIP: 50},
		ClientAddress: func(r *http.Request) (netip.AddrPort, bool) {
			if from, err := netip.ParseAddr(r.Header.Get("X-From")); err == nil {
				return netip.AddrPortFrom(from, 1000), false
			}
			return netip.MustParseAddrPort("198.51.100.1:1000"), false
		},
	}, Config{Timing: Timing{Hello: time.Minute}})
	_, _, x, y := w.pair()
	before := heap()
	// The clients are another process: a process may have too few descriptors for both ends.
	child := exec.Command(os.Args[0], "-test.run=^TestManyHalfOpen$", "-test.v")
	child.Env = append(os.Environ(), "MEDIA_HOST="+strings.TrimPrefix(w.url, "ws://"))
	stdin, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	end := sync.OnceFunc(func() {
		stdin.Close()
		_ = child.Wait()
	})
	t.Cleanup(end)
	said := bufio.NewScanner(stdout)
	for said.Scan() && said.Text() != "held" {
		if strings.HasPrefix(strings.TrimSpace(said.Text()), "many_test.go") {
			t.Error(said.Text())
		}
	}
	// Who has the answer to the upgrade may be a little ahead of the server's own count.
	wstest.Until(t, "all are counted", func() bool { return w.media.Len() == many+2 })
	each := (max(heap(), before) - before) / many
	t.Logf("%d bytes of heap for each", each)
	if each > 4096 {
		t.Errorf("%d bytes of heap for each", each)
	}
	w.clock.Stop()
	for i := range 100 {
		x.send(numbered(Sound, i+1, 100))
		if _, frame := y.next(); frame == nil {
			t.Fatal("the others are disturbed")
		}
	}
	end()
	wstest.Until(t, "all are gone", func() bool { return w.media.Len() == 2 })
	x.send(numbered(Sound, 200, 100))
	if _, frame := y.next(); frame == nil {
		t.Error("the others are disturbed")
	}
}

const many = 10_000

// hold opens the sockets, says so, and keeps them until its input ends.
func hold(t *testing.T, host string) {
	connections := make([]net.Conn, many)
	var group sync.WaitGroup
	const workers = 16
	for worker := range workers {
		group.Go(func() {
			for i := worker; i < many; i += workers {
				c, err := net.Dial("tcp", host)
				if err != nil {
					t.Error(err)
					return
				}
				connections[i] = c
				_ = c.SetDeadline(time.Now().Add(wstest.Patience))
				household := i / 20
				fmt.Fprintf(c, "GET /media HTTP/1.1\r\nHost: %s\r\nX-From: 10.%d.%d.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
					"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", host, household/256, household%256)
				response, err := http.ReadResponse(bufio.NewReaderSize(c, 256), nil)
				if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
					t.Errorf("socket %d: %v, %v", i, response, err)
					return
				}
			}
		})
	}
	group.Wait()
	fmt.Println("held")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// TestHalfOpenEnd: who never says hello is ended after its time, by a code that is counted.
func TestHalfOpenEnd(t *testing.T) {
	w := start(t, signaling.Config{}, Config{Timing: Timing{Hello: 50 * time.Millisecond}})
	const some = 20
	for range some {
		c, err := net.Dial("tcp", strings.TrimPrefix(w.url, "ws://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprint(c, "GET /media HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
	}
	wstest.Until(t, "all are ended and counted", func() bool {
		var ended uint64
		for _, n := range w.media.Stats().Closed {
			ended += n
		}
		return w.media.Len() == 0 && ended == some
	})
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}
