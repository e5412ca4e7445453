package wsock

import (
	"net"
	"time"
)

// finish ends the reading.
func (l *Line) finish(err error) {
	drain := l.user.Ended(err)
	l.mu.Lock()
	l.read = true
	idle := !l.writing
	l.ended = l.ended || idle || !drain
	l.mu.Unlock()
	switch {
	case idle, !drain && l.carrier != nil:
		l.release()
	case !drain:
		_ = l.nc.Close() // whoever writes sees it, and releases it
	case l.carrier != nil:
		l.carrier.Deafen()
	}
}

// release closes a socket that nobody reads or writes any more.
func (l *Line) release() {
	if l.close() {
		l.user.Gone()
	}
}

// close closes the socket, and reports whether this call has done it.
func (l *Line) close() bool {
	l.mu.Lock()
	before := l.released
	l.released, l.ended = true, true
	if l.timer != nil {
		l.timer.Stop()
	}
	l.mu.Unlock()
	switch {
	case before:
	case l.carrier == nil:
		_ = l.nc.Close()
	default:
		l.carrier.Close()
		l.carrier.loop.left()
	}
	return !before
}

// Abort ends the connection at once; whoever reads sees it.
func (l *Line) Abort() {
	if l.carrier != nil {
		l.carrier.Abort()
	} else {
		_ = l.nc.Close()
	}
}

// CloseWrite closes our side of TCP, with TLS's close_notify before it. It is called from
// Due.
func (l *Line) CloseWrite() {
	if l.carrier != nil {
		l.carrier.CloseWrite()
	} else {
		closeWrite(l.nc)
	}
}

func closeWrite(conn net.Conn) {
	for {
		if half, ok := conn.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
			return
		}
		wrapped, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			return
		}
		conn = wrapped.NetConn()
	}
}

// SetReadDeadline has Over told of os.ErrDeadlineExceeded at t; the zero time: never.
func (l *Line) SetReadDeadline(t time.Time) {
	if l.carrier != nil {
		l.carrier.SetReadDeadline(t)
	} else {
		_ = l.nc.SetReadDeadline(t)
	}
}

// SetWriteDeadline bounds the write that is going on.
func (l *Line) SetWriteDeadline(t time.Time) {
	if l.carrier != nil {
		l.carrier.SetWriteDeadline(t)
	} else {
		_ = l.nc.SetWriteDeadline(t)
	}
}

// dead gives a socket up that cannot be written to. The reader sees it.
func (l *Line) dead() {
	l.mu.Lock()
	l.ended, l.writing = true, false
	last := l.read
	l.mu.Unlock()
	if last {
		l.release()
	} else {
		l.Abort()
	}
}

// acknowledged reports whether the other side's TCP has acknowledged everything that was
// written. ok is false where the socket does not tell.
func (l *Line) acknowledged() (all, ok bool) {
	if l.carrier == nil {
		return acknowledged(l.nc)
	}
	waiting, err := l.carrier.Unacknowledged()
	return waiting == 0, err == nil
}
