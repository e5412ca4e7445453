package signaling

import "time"

// The hub has one clock, Hub.now: it begins with the time of day of the start and
// then goes on evenly, whatever is done to the machine's clock. All of the hub's
// times are times of that clock, and only durations cross to the outside (delivery's
// clock.go). Nothing else in this package may ask the machine for the time (TestClocks
// of cmd/turnhub holds that).

// steady returns the hub's clock. With the time of day a step forward would end every
// session at once, and one back would keep the hub from noticing anything for as long.
func steady() func() time.Time {
	start := time.Now()
	return func() time.Time { return start.Add(time.Since(start)) }
}
