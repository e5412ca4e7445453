package wsock

import (
	"fmt"
	"time"
)

// maxReliefs is how often a message that finds the queue full empties it into the socket:
// others may have filled it again meanwhile.
const maxReliefs = 4

// Send queues a message and says whether it was taken. It never waits for the peer. One
// whose queue is full, and whose socket takes no more, is closed with the code for slow
// peers. The order of concurrent calls is theirs to keep.
func (c *Conn) Send(f Frame) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for tries := maxReliefs; c.queued+f.Size() > c.opt.QueueBytes && c.queued > 0 && tries > 0 && !c.ending && !c.dead; tries-- {
		c.mu.Unlock()
		all := c.line.Relieve()
		c.mu.Lock()
		if !all {
			break
		}
	}
	if c.ending || c.dead {
		return false
	}
	if c.queued+f.Size() > c.opt.QueueBytes {
		c.abandonLocked(c.opt.Slow, fmt.Sprintf("more than %d bytes were not read", c.opt.QueueBytes))
		return false
	}
	c.pushLocked(f)
	return true
}

// take appends up to MaxBatch bytes of the queue to buf. Those of the last time are
// written. c.mu is held.
func (c *Conn) take(buf []byte) []byte {
	c.queued -= c.taken
	c.pong = false
	for len(c.queue) > 0 && len(buf) < MaxBatch {
		rest := c.queue[0].wire[c.begun:]
		n := min(len(rest), MaxBatch-len(buf))
		buf = append(buf, rest[:n]...)
		if c.begun += n; n == len(rest) {
			c.queue[0] = Frame{}
			c.queue, c.begun = c.queue[1:], 0
		}
	}
	if c.taken = len(buf); c.taken == 0 {
		c.queue = nil
	}
	return buf
}

// abandonLocked gives up a peer that does not read: what waits for it is
// dropped, but for the rest of what it has the beginning of, and it gets a Close if its
// window opens within a second.
func (c *Conn) abandonLocked(code int, reason string) {
	kept := c.queue[:0]
	for i, f := range c.queue {
		if i == 0 && c.begun > 0 {
			kept = append(kept, f)
			continue
		}
		c.queued -= f.Size()
	}
	clear(c.queue[len(kept):])
	c.queue = kept
	c.pushLocked(closeFrame(code, reason))
	c.ending = true
	c.within = abandonWait
	c.line.SetWriteDeadline(time.Now().Add(abandonWait))
	c.line.SetReadDeadline(time.Now().Add(abandonWait + closeWait))
	c.line.Resume()
}

func (c *Conn) pushLocked(f Frame) {
	c.queue = append(c.queue, f)
	c.queued += f.Size()
	c.line.Kick(nil)
}
