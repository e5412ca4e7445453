package signaling

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// BenchmarkSignal is the hub's own cost of one signal, without the sockets.
func BenchmarkSignal(b *testing.B) {
	h := NewHub(Config{Limits: Limits{MessagesPerSecond: 1 << 30}})
	now := time.Now()
	open := func() *conn {
		c := &conn{hub: h}
		c.handle([]byte(`{"type":"hello"}`), true, now)
		c.handle([]byte(`{"type":"join","room":"r"}`), true, now)
		return c
	}
	from, to := open(), open()
	text := fmt.Appendf(nil, `{"type":"signal","to":%q,"data":{"candidate":%q}}`, to.sess.id, strings.Repeat("x", 300))
	var buf []byte
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		from.handle(text, true, now)
		to.sess.mu.Lock()
		buf = to.fill(buf[:0])
		to.sess.out.ack(to.sess.out.last())
		to.sess.mu.Unlock()
	}
}
