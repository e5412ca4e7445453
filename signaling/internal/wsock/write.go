package wsock

import "time"

// write sends what is queued until nothing is left, then ends.
func (c *Conn) write() {
	defer c.writer.Done()
	var joined []byte
	for {
		batch, last := c.take()
		if len(batch) == 0 {
			return
		}
		joined = joined[:0]
		ok := true
		for i, f := range batch {
			// Small frames leave together in one system call, and one TLS record.
			if len(joined)+f.Size() <= maxBatch {
				joined = append(joined, f.wire...)
				if i < len(batch)-1 {
					continue
				}
				f.wire = nil
			}
			if ok = c.flush(joined) && c.flush(f.wire); !ok {
				break
			}
			joined = joined[:0]
		}
		c.wrote(batch)
		if !ok {
			c.end() // wakes the reader, who owns the rest
			continue
		}
		if last {
			c.mu.Lock()
			half, wait := c.half, closeWait
			if half {
				wait = failWait
			}
			_ = c.net.SetReadDeadline(time.Now().Add(wait))
			c.mu.Unlock()
			if half {
				closeWrite(c.net)
			}
		}
	}
}

// take empties the queue for one round; last says that a Close ends it. With
// nothing left the writer is over.
func (c *Conn) take() (batch []Frame, last bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	batch, c.queue = c.queue, nil
	c.pong = false
	if len(batch) == 0 {
		c.writing = false
	}
	return batch, c.ending
}

// wrote frees the queue space of a round.
func (c *Conn) wrote(batch []Frame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range batch {
		c.queued -= f.Size()
	}
}

// flush writes one piece to the network.
func (c *Conn) flush(wire []byte) bool {
	if len(wire) == 0 {
		return true
	}
	c.mu.Lock()
	if !c.ending {
		_ = c.net.SetWriteDeadline(time.Now().Add(c.opt.WriteTimeout))
	}
	c.mu.Unlock()
	_, err := c.net.Write(wire)
	return err == nil
}
