package portmux

import (
	"container/list"
	"context"
	"net/netip"
	"time"

	"turnhub/internal/netaddr"
)

// roomPause is how often a listener looks for room.
const roomPause = 50 * time.Millisecond

// room waits until a connection more may say what it is. False: ctx has ended.
func (m *Mux) room(ctx context.Context) bool {
	for {
		if m.hasRoom() {
			return true
		}
		timer := time.NewTimer(roomPause) // the other listeners' loops wait for m.left too
		select {
		case <-ctx.Done():
		case <-m.left:
		case <-timer.C:
		}
		timer.Stop()
		if ctx.Err() != nil {
			return false
		}
	}
}

// hasRoom reports whether a connection more may say what it is.
func (m *Mux) hasRoom() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.waiting.Len() < m.cfg.Unidentified {
		return true
	}
	_, silence := m.mostSilent()
	return silence >= m.cfg.Patience
}

// mostSilent is the one that has been waited for the longest, nil if all that
// clients have said is still being worked on. Call it under mu.
func (m *Mux) mostSilent() (most *list.Element, silence time.Duration) {
	now := m.clock()
	for e := m.waiting.Front(); e != nil; e = e.Next() {
		since := time.Duration(e.Value.(*Conn).silent.Load())
		if since > 0 && (most == nil || now-since > silence) {
			most, silence = e, now-since
		}
	}
	return most, silence
}

// crowds reports whether the wider network of an address has a quarter of all places
// of those who have not said what they are: it may have as many connections as there
// are places, and could keep everybody else waiting by saying it slowly. Where the
// operator lets one network have more connections than there are places, no crowd is
// unexpected. Call it under mu.
func (m *Mux) crowds(addr netip.Addr, share netaddr.Share) bool {
	return share.Household > 0 && share.Household*netaddr.NetworkShare <= m.cfg.Unidentified &&
		m.places.OfNetwork(addr) >= m.cfg.Unidentified/4
}

// stopWaiting takes a connection off the list of those waiting. Call it under mu.
func (m *Mux) stopWaiting(e *list.Element) *Conn {
	c := m.waiting.Remove(e).(*Conn)
	m.places.Remove(c.addr, 1)
	return c
}
