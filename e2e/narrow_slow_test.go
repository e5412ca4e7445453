package e2e

import (
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// slowConn is a client that reads no faster than it is told to.
type slowConn struct {
	net.Conn
	tcp *net.TCPConn

	mu    sync.Mutex
	rate  int // bytes a second, 0: as they come
	began time.Time
	taken int
	most  int // bytes that lay unread at a time
}

func (c *slowConn) pace(rate int) {
	c.mu.Lock()
	c.rate, c.began, c.taken = rate, time.Now(), 0
	c.mu.Unlock()
}

func (c *slowConn) Read(b []byte) (int, error) {
	c.mu.Lock()
	rate := c.rate
	due := c.began.Add(time.Duration(float64(c.taken) / float64(max(rate, 1)) * float64(time.Second)))
	c.mu.Unlock()
	if rate == 0 {
		return c.Conn.Read(b)
	}
	<-time.After(time.Until(due)) // the reader's own pace
	if raw, err := c.tcp.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			if unread, err := unix.IoctlGetInt(int(fd), unix.SIOCINQ); err == nil {
				c.mu.Lock()
				c.most = max(c.most, unread)
				c.mu.Unlock()
			}
		})
	}
	n, err := c.Conn.Read(b[:min(len(b), 1500)])
	c.mu.Lock()
	c.taken += n
	c.mu.Unlock()
	return n, err
}
