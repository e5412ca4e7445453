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
	open := func() *carried {
		c := carry(h)
		c.Say([]byte(`{"type":"hello"}`), now)
		c.Say([]byte(`{"type":"join","room":"r"}`), now)
		return c
	}
	from, to := open(), open()
	text := fmt.Appendf(nil, `{"type":"signal","to":%q,"data":{"candidate":%q}}`, to.id(), strings.Repeat("x", 300))
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		from.Say(text, now)
		to.Acknowledge()
	}
}
