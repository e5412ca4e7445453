package signaling

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestNobodyFillsAnothersQueue: a member of a room sends more than another has had time
// to acknowledge. It is refused, the other goes on, and a third one still gets through;
// as soon as the other has acknowledged, there is room again.
func TestNobodyFillsAnothersQueue(t *testing.T) {
	large, small := `"`+strings.Repeat("x", 250_000)+`"`, `"x"`
	for name, tc := range map[string]struct {
		data  string
		times int
	}{"by bytes": {large, 20}, "by number": {small, 400}} {
		for _, verb := range []string{`"message","room":"r"`, `"message","to":%q`, `"signal","to":%q`} {
			t.Run(name+", "+verb[:9], func(t *testing.T) {
				s := newStill(t, Config{Timing: Timing{Heartbeat: time.Hour}, Limits: Limits{MessagesPerSecond: 100}})
				mallory, victim, third := s.hello(`{"type":"hello"}`), s.hello(`{"type":"hello"}`), s.hello(`{"type":"hello"}`)
				for _, c := range []*carried{mallory, victim, third} {
					s.say(c, `{"type":"join","room":"r","seq":1}`)
				}
				heard := make(map[*carried]float64)
				pull := func(c *carried) (code string) {
					for _, f := range pullFrames(s.t, c) {
						if seq, ok := f["seq"].(float64); ok {
							heard[c] = seq
						}
						if f.str("type") == "error" {
							code = f.str("code")
						}
					}
					return code
				}
				verb := verb
				if strings.Contains(verb, "%q") {
					verb = fmt.Sprintf(verb, victim.id())
				}
				say := func(c *carried, seq int, data string) (code string) {
					s.say(c, fmt.Sprintf(`{"type":%s,"data":%s,"id":%d,"seq":%d}`, verb, data, seq, seq))
					return pull(c)
				}
				refused := 0
				for i := range tc.times {
					if say(mallory, 2+i, tc.data) == "rate" {
						refused++
					}
					// The others read at once, and acknowledge when a second is over.
					pull(victim)
					pull(third)
				}
				if refused == 0 || refused == tc.times {
					t.Errorf("%d of %d are refused", refused, tc.times)
				}
				if !victim.open() || !mallory.open() {
					t.Fatal("somebody is out")
				}
				if code := say(third, 2, small); code != "" {
					t.Error("a third member is held up:", code)
				}
				pull(victim)
				for _, c := range []*carried{victim, third} {
					s.say(c, fmt.Sprintf(`{"type":"ack","ack":%.0f}`, heard[c]))
				}
				s.pass(time.Second)
				if code := say(mallory, 2+tc.times, tc.data); code != "" {
					t.Error("refused when all is acknowledged:", code)
				}
			})
		}
	}
}
