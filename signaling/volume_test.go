package signaling

import (
	"testing"
	"time"
)

// TestVolume holds how many bytes a report adds to the line about a call.
func TestVolume(t *testing.T) {
	s := new(member)
	at := time.Now()
	for _, tc := range []struct {
		peer    string
		after   time.Duration
		bitrate float64
		want    uint64
	}{
		{"s_a", 0, 8e6, 0}, // since when is not known
		{"s_a", 10 * time.Second, 8e6, 10e6},
		{"s_b", 0, 8e6, 0},
		{"s_a", 5 * time.Second, 4e6, 2.5e6},
		{"s_a", time.Hour, 8e6, 30e6},
		{"s_a", time.Second, 1e300, 1.25e9},
		{"s_b", 0, 0, 0},
	} {
		at = at.Add(tc.after)
		if got := s.volume(&Report{Peer: tc.peer, Bitrate: tc.bitrate, At: at}); got != tc.want {
			t.Errorf("%+v: %d", tc, got)
		}
	}
}
