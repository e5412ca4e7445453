package delivery

import (
	"context"
	"log/slog"
	"sync/atomic"

	"turnhub/signaling/internal/tally"
)

// Counts is a snapshot of a node's counters. What counts up does so since the
// start. The maps' keys come from small fixed sets and are fit to be labels.
type Counts struct {
	Sockets, Sessions             int // open now
	Opened, Resumed, ResumeFailed uint64
	In, Out                       uint64            // messages
	BytesIn, BytesOut             uint64            // of frames
	Refused                       map[string]uint64 // sockets and sessions, by reason
	Closed                        map[string]uint64 // sockets that the hub ended, by the close code's name
	Faults                        map[string]uint64 // requests, by error code
	Dropped                       map[string]uint64 // messages, by reason
}

// stats are the live counters. The tallies are touched for exceptions only.
type stats struct {
	opened, resumed, resumeFailed    atomic.Uint64
	in, out, bytesIn, bytesOut       atomic.Uint64
	refused, closed, faults, dropped tally.Tally
}

// Counts returns a snapshot of the node's counters.
func (n *Node) Counts() Counts {
	x := &n.stats
	return Counts{
		Sockets: n.sockets.Total(), Sessions: n.people.Total(),
		Opened: x.opened.Load(), Resumed: x.resumed.Load(), ResumeFailed: x.resumeFailed.Load(),
		In: x.in.Load(), Out: x.out.Load(), BytesIn: x.bytesIn.Load(), BytesOut: x.bytesOut.Load(),
		Refused: x.refused.Copy(), Closed: x.closed.Copy(), Faults: x.faults.Copy(), Dropped: x.dropped.Copy(),
	}
}

// CountRefused counts a connection that was not let in, by a reason of a small fixed
// set.
func (n *Node) CountRefused(reason string) { n.stats.refused.Add(reason) }

// CountDropped counts a message of a dialect that was not taken.
func (n *Node) CountDropped(reason string) { n.stats.dropped.Add(reason) }

// CountTaken counts a message of a dialect that was.
func (n *Node) CountTaken() { n.stats.in.Add(1) }

// Look says whether a session has a socket now, and how many messages its client has
// not acknowledged.
func (n *Node) Look(ref Ref) (online bool, waiting int) {
	s := n.session(ref)
	if s == nil {
		return false, 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conn != nil, int(s.out.last() - s.out.base)
}

// logSession writes a line of level debug.
func (n *Node) logSession(what string, s *session, key, value string) {
	n.log.LogAttrs(context.Background(), slog.LevelDebug, what, slog.String("session", s.id), slog.String("user", s.user),
		slog.String("client", s.opener.String()), slog.String(key, value))
}
