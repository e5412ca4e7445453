package portmux

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"turnhub/internal/proxyheader"
)

// What bounds the connections that are passed on.
const (
	maxPassed     = 8192             // at a time
	dialPatience  = 5 * time.Second  // until the other server has accepted
	helloPatience = 10 * time.Second // until it has taken the ClientHello
	tellPatience  = 5 * time.Second  // until a client has taken why its request ends
	passChunk     = 1 << 20          // bytes between two looks at the clock
)

// PassTimes bounds what is passed on: TLS connections on which nothing passes, and
// plain HTTP.
type PassTimes struct {
	Idle time.Duration // nothing in both directions; 1 h
	Half time.Duration // nothing, when one end has closed its half; 2 min
	HTTP time.Duration // a request of plain HTTP with all that comes of it, a WebSocket too; 10 min: for more there is https
}

// pass passes a connection on to another server, until both have ended it, or has a loop
// do that, which closes it in the end. Else reason is why it could not, and the caller
// closes c, when it has counted that.
func (m *Mux) pass(c *Conn) (reason string, carried bool) {
	if m.passing.Add(1) > maxPassed {
		m.passing.Add(-1)
		return "forward_full", false
	}
	if m.carry(c, nil) {
		return "", true
	}
	upstream, err := m.dial(c.to.To)
	if err != nil {
		m.passing.Add(-1)
		m.upstreamDown(c.to, err)
		return "forward_down", false
	}
	if tcp, ok := upstream.(*net.TCPConn); ok && m.carry(c, tcp) {
		return "", true
	}
	defer m.passing.Add(-1)
	defer upstream.Close()
	first := firstBytes(c)
	c.kept = nil
	upstream.SetWriteDeadline(time.Now().Add(helloPatience))
	if _, err := upstream.Write(first); err != nil {
		m.upstreamDown(c.to, err)
		return "forward_down", false
	}
	upstream.SetWriteDeadline(time.Time{})
	p := passage{times: m.cfg.Pass, begin: time.Now()}
	var back sync.WaitGroup
	back.Go(func() { p.copy(c.Conn, upstream) })
	p.copy(upstream, c.Conn)
	back.Wait()
	return "", false
}

func (m *Mux) dial(to string) (net.Conn, error) {
	m.mu.Lock()
	ctx := m.ctx
	m.mu.Unlock()
	if ctx == nil {
		ctx = context.Background()
	}
	return (&net.Dialer{Timeout: dialPatience}).DialContext(ctx, "tcp", to)
}

// firstBytes are what the other server is told first: what the client has said already,
// after a PROXY header where it is to have one.
func firstBytes(c *Conn) []byte {
	if c.to.ProxyProtocol == "" {
		return c.kept
	}
	h := proxyheader.Header{Client: addrPortOf(c.RemoteAddr()), Server: addrPortOf(c.LocalAddr())}
	return append(proxyheader.Append(nil, c.to.ProxyProtocol, h), c.kept...)
}

// passLooks is how often in the time of its patience each direction looks at the clock
// where little passes. What passes in between is not seen, since the kernel moves it.
const passLooks = 4

// passage is one connection that is passed on, in both directions.
type passage struct {
	times PassTimes
	begin time.Time
	last  atomic.Int64 // when it was last seen that something has passed: nanoseconds since begin
	half  atomic.Bool  // one of the two has ended
}

func (p *passage) patience() time.Duration {
	if p.half.Load() {
		return p.times.Half
	}
	return p.times.Idle
}

// silent reports whether nothing has passed for as long as may be, in either direction:
// what passes is seen one look later at the latest.
func (p *passage) silent() bool {
	patience := p.patience()
	return time.Since(p.begin)-time.Duration(p.last.Load()) >= patience+patience/passLooks
}

// copy passes one direction on until it ends, and then says so to the other end, where
// there are no loops.
func (p *passage) copy(to, from net.Conn) {
	defer func() {
		p.half.Store(true)
		if tcp, ok := to.(interface{ CloseWrite() error }); ok && tcp.CloseWrite() == nil {
			to.SetReadDeadline(time.Now().Add(p.times.Half))
			return
		}
		to.Close()
		from.Close()
	}()
	for {
		patience := p.patience()
		now := time.Now()
		from.SetReadDeadline(now.Add(patience / passLooks))
		stalled := now.Add(patience + time.Minute) // later, so that it is clear which of the two it was
		to.SetWriteDeadline(stalled)
		n, err := io.Copy(to, io.LimitReader(from, passChunk))
		if n > 0 {
			p.last.Store(int64(time.Since(p.begin)))
		}
		switch {
		case err == nil && n == passChunk:
		case err == nil: // the end
			return
		case !errors.Is(err, os.ErrDeadlineExceeded), !time.Now().Before(stalled),
			p.silent():
			// Broken, or its reader is stuck, or silent both ways: neither half goes on.
			to.Close()
			from.Close()
			return
		}
	}
}
