package wsock

import (
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/gorilla/websocket"

	"turnhub/internal/stream"
)

// seed replays one run of TestQueueKeepsTheOrder; runs is how many random ones it makes.
var (
	seed = flag.Uint64("seed", 0, "replay the run of TestQueueKeepsTheOrder with this seed")
	runs = flag.Int("runs", 25, "random runs of TestQueueKeepsTheOrder in each way")
)

// TestQueueKeepsTheOrder has several goroutines send under one lock, as the members of a
// channel do, through a queue that is full nearly all the time, while the client reads in
// bursts, closes, or is gone. What it gets are whole messages in the order in which they
// were taken, all of them where none was refused, and the end comes, though it takes the
// senders' lock.
func TestQueueKeepsTheOrder(t *testing.T) {
	eachWay(t, func(t *testing.T, w way) {
		for range *runs {
			n := *seed
			if n == 0 {
				n = rand.Uint64()
			}
			t.Run(fmt.Sprint("seed ", n), func(t *testing.T) { sendAtRandom(t, w, rand.New(rand.NewPCG(n, 0))) })
		}
	})
}

// How a client leaves.
const (
	readsAll = iota
	closes
	closesTCP
	resets
	waysToLeave
)

func sendAtRandom(t *testing.T, w way, random *rand.Rand) {
	const senders, each = 4, 40
	tight := options
	tight.QueueBytes = 1<<10 + random.IntN(128<<10)
	sizes := make([]int, senders*each)
	for i, largest := 0, 9+random.IntN(min(tight.QueueBytes/2, 40<<10)); i < len(sizes); i++ {
		sizes[i] = 8 + random.IntN(largest)
	}
	leaves, at, bursts := random.IntN(waysToLeave), random.IntN(len(sizes)), random.IntN(2) == 0

	var mu sync.Mutex // the channel's
	taken, refused := 0, false
	begin, sent, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	url := w.serveEnding(t, tight, func(c *Conn) func(int, []byte) error {
		var sending sync.WaitGroup
		for range senders {
			sending.Go(func() {
				<-begin
				for range each {
					mu.Lock()
					if !refused {
						message := make([]byte, sizes[taken])
						binary.BigEndian.PutUint64(message, uint64(taken))
						if refused = !c.Send(Binary(message)); !refused {
							taken++
						}
					}
					mu.Unlock()
				}
			})
		}
		go func() {
			sending.Wait()
			c.Close(CodeNormal, "")
			close(sent)
		}()
		return echo(c)
	}, func(error) {
		mu.Lock()
		defer mu.Unlock()
		close(ended)
	})
	ws := dial(t, url)
	if random.IntN(2) == 0 {
		if err := stream.TCP(ws.NetConn()).SetReadBuffer(64 << 10); err != nil {
			t.Fatal(err)
		}
	}
	close(begin)
	got, err := 0, error(nil)
	for {
		if bursts && got == at/2 {
			wait(t, sent, "everything is sent or refused")
		}
		if got == at {
			switch leaves {
			case closes:
				_ = ws.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(CodeNormal, ""))
			case resets:
				_ = stream.TCP(ws.NetConn()).SetLinger(0)
				fallthrough
			case closesTCP:
				_ = stream.TCP(ws.NetConn()).Close()
			}
		}
		var message []byte
		if _, message, err = read(ws); err != nil {
			break
		}
		if n := int(binary.BigEndian.Uint64(message)); n != got || len(message) != sizes[n] {
			t.Fatalf("message %d has %d bytes where number %d was due with %d", n, len(message), got, sizes[got])
		}
		got++
	}
	wait(t, sent, "everything is sent or refused")
	ws.Close()
	wait(t, ended, "the server's end is over")
	var closed *websocket.CloseError
	switch whole := got == taken && taken == len(sizes); {
	case got > taken:
		t.Errorf("%d messages came, %d were taken", got, taken)
	case leaves == readsAll && !refused && (!whole || !errors.As(err, &closed) || closed.Code != CodeNormal):
		t.Errorf("%d of %d taken messages came, ended with %v", got, taken, err)
	}
}
