package signaling

import (
	"errors"
	"net/netip"
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

// TestPacerLeavesRoom: one who fetches what there is two times in a second is not ended
// for what one other says in between, however much that is.
func TestPacerLeavesRoom(t *testing.T) {
	h := NewHub(Config{})
	defer h.Close()
	start := time.Unix(1000, 0)
	now := start
	h.now = func() time.Time { return now }
	s, err := h.Attach(ClientInfo{Dialect: "relay", Remote: netip.MustParseAddrPort("192.0.2.1:1")}, func() {})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Detach()
	var p Pacer
	const message = 200_000
	waiting, fetches := 0, 0
	for range 100 {
		hold, err := s.Pace(&p, message)
		if err != nil {
			t.Fatal(err)
		}
		now = now.Add(hold) // and it is passed on
		for ; now.Sub(start) >= time.Duration(fetches)*500*time.Millisecond; fetches++ {
			waiting = 0
		}
		if waiting += message; waiting > h.QueueBytes() {
			t.Fatalf("after %v %d bytes wait, and %d may", now.Sub(start), waiting, h.QueueBytes())
		}
	}
	if took := now.Sub(start); took > 25*time.Second {
		t.Errorf("%d bytes took %v, a queue full in a second is allowed", 100*message, took)
	}
}
