package portable

import (
	"encoding/binary"
	"net"
	"sync"
	"testing"
	"time"

	"turnhub/turnsrv/internal/backlog"
	"turnhub/turnsrv/internal/core"
	"turnhub/turnsrv/internal/wire"
)

// TestPortableDropsLate has a client of the portable driver stop reading and read
// again: what has become too old meanwhile never reaches it, what is fresh and every
// answer does, and it is counted.
func TestPortableDropsLate(t *testing.T) {
	const limit = 300*ms + 2*assumedRoundTrip
	s := core.NewShard(core.NewShared(core.Config{}))
	ours, theirs := net.Pipe() // holds nothing: a write ends when it has been read
	defer theirs.Close()
	k := newStreamClient(ours, s)
	k.client.Transport = wire.TCP
	var count backlog.Waited
	push := func(number uint32, media bool, age int64) {
		t.Helper()
		if _, ok := k.push(mediaMessage(0x4000, number, 1200), media, s.Shared().Clock()-age, &count); !ok {
			t.Fatal("no room")
		}
	}
	// All this waits while the client reads nothing.
	for i := range uint32(20) {
		push(i, true, limit+ms+int64(20-i)*ms)
	}
	push(100, false, 10*limit)
	for i := range uint32(20) {
		push(200+i, true, -int64(time.Hour)) // fresh however long this test takes
	}
	var writing sync.WaitGroup
	writing.Go(k.write)
	buf := make([]byte, 21*1200)
	_ = theirs.SetReadDeadline(time.Now().Add(10 * time.Second))
	for n := 0; n < len(buf); {
		got, err := theirs.Read(buf[n:])
		if err != nil {
			t.Fatalf("%v after %d bytes", err, n)
		}
		n += got
	}
	k.finish()
	writing.Wait()
	count.Add(&k.waited)
	for i := 0; i < 21; i++ {
		number := binary.BigEndian.Uint32(buf[i*1200+4:])
		if want := uint32(200 + i - 1); number != want && (i > 0 || number != 100) {
			t.Errorf("message %d came at place %d", number, i)
		}
	}
	if count.Late != 20 || count.Sent != 20 {
		t.Errorf("%d counted as late and %d as sent, want 20 and 20", count.Late, count.Sent)
	}
}

const ms = int64(1e6)

// mediaMessage is ChannelData with a number in it.
func mediaMessage(channel uint16, number uint32, size int) []byte {
	b := make([]byte, size)
	binary.BigEndian.PutUint16(b, channel)
	binary.BigEndian.PutUint32(b[4:], number)
	return b
}
