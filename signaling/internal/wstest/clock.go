package wstest

import (
	"sync"
	"time"
)

// Clock is a hub's clock that a test can stop. What is judged by its age, as the frames of
// media are, is as young then as the test means it to be, however long a busy machine
// takes. The zero value goes.
type Clock struct {
	mu      sync.Mutex
	began   time.Time
	missed  time.Duration // while it was stopped
	stopped time.Duration // since began; 0: it goes
}

// Now is a time that goes on evenly, but for the stops.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.began.Add(c.read())
}

// read is how long it has gone. c.mu is held.
func (c *Clock) read() time.Duration {
	if c.began.IsZero() {
		c.began = time.Now()
	}
	if c.stopped > 0 {
		return c.stopped
	}
	return time.Since(c.began) - c.missed
}

// Stop stops it.
func (c *Clock) Stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = max(c.read(), 1)
}

// Go has it go on from where it was stopped.
func (c *Clock) Go() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped > 0 {
		c.missed, c.stopped = time.Since(c.began)-c.stopped, 0
	}
}
