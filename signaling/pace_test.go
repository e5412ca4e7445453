package signaling

import (
	"errors"
	"testing"
	"time"
)

// TestPacerSpreadsABurst: a burst is held to the rate, nothing of it is refused.
func TestPacerSpreadsABurst(t *testing.T) {
	var p Pacer
	rate := Limits{MessagesPerSecond: 100}.Messages()
	now := time.Unix(1000, 0)
	start := now
	n := int(rate.Burst) + 500
	for i := range n {
		hold, err := p.take(now, rate)
		if err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
		now = now.Add(hold)
	}
	if took := now.Sub(start); took < 4900*time.Millisecond || took > 5100*time.Millisecond {
		t.Fatalf("%d messages over the burst took %v, want 5 s", 500, took)
	}
}

// TestPacerEndsAFlood: who never keeps to the rate is ended, and a pause in
// between counts as keeping to it.
func TestPacerEndsAFlood(t *testing.T) {
	var p Pacer
	rate := Limits{MessagesPerSecond: 100}.Messages()
	now := time.Unix(1000, 0)
	press := func(messages int) error {
		for range messages {
			hold, err := p.take(now, rate)
			if err != nil {
				return err
			}
			now = now.Add(hold)
		}
		return nil
	}
	for range 3 {
		if err := press(int(rate.Burst) + 900); err != nil {
			t.Fatalf("9 s over the rate: %v", err)
		}
		now = now.Add(10 * time.Second)
	}
	if err := press(int(rate.Burst) + 1200); !errors.Is(err, ErrFlood) {
		t.Fatalf("12 s over the rate: %v, want ErrFlood", err)
	}
}
