package main

import (
	"testing"
	"time"
)

// TestRangeNow takes auto for closed until a packet has come from outside, and again after
// an hour without one.
func TestRangeNow(t *testing.T) {
	for _, x := range []struct {
		said string
		ago  time.Duration
		want string
	}{
		{"auto", -1, "closed"},
		{"auto", 0, "open"},
		{"auto", time.Hour - time.Second, "open"},
		{"auto", time.Hour, "closed"},
		{"open", -1, "open"},
		{"closed", 0, "closed"},
	} {
		if got := rangeNow(x.said, x.ago); got != x.want {
			t.Errorf("%s, %v: %s", x.said, x.ago, got)
		}
	}
}
