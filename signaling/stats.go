package signaling

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"turnhub/signaling/internal/tally"
)

// Stats is a snapshot. Counters count since the start. The maps' keys come from
// small fixed sets and are fit to be labels. As JSON the fields have the names that other
// versions know: the processes of an upgrade tell each other theirs.
type Stats struct {
	Sockets, Sessions int // open now
	// DialectClients speak PeerJS, Socket.IO or the raw relay, now.
	DialectClients                      int `json:"Strangers"`
	Rooms, Ringing, Calls, Users        int // now; Calls are accepted
	Opened, Resumed, ResumeFailed       uint64
	Refused                             map[string]uint64 // sockets and sessions: per_ip, per_network, total, origin, token, draining
	MessagesIn, MessagesOut, Relayed    uint64
	BytesIn, BytesOut                   uint64
	Invites                             uint64
	Ended                               map[string]uint64             // calls by reason
	Closed                              map[string]uint64             // sockets that the hub ended, by the close code's name
	Faults                              map[string]uint64             // requests by error code
	Dropped                             map[string]uint64             // messages: rate, flood, too-big, slow
	Dialects                            map[string]map[string]uint64  // messages by dialect and fate
	Paths                               map[string]uint64             // reports of a first frame, by path
	Narrow                              map[string]uint64             // reports of a line that is too narrow, by what fits: narrow, no-picture
	FirstFrames, FirstFrameMilliseconds uint64                        // how many were reported, and their sum
	FirstFrameBuckets                   [len(FirstFrameBounds)]uint64 // how many were within each bound
}

// FirstFrameBounds are the upper bounds by which first frames are counted.
var FirstFrameBounds = [...]time.Duration{
	250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second,
	3 * time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second,
}

// stats are the live counters of this floor; those of sessions and sockets are
// delivery's. The tallies are touched for exceptions only.
type stats struct {
	relayed, calls atomic.Uint64
	ended, paths   tally.Tally
	narrow         tally.Tally

	mu         sync.Mutex
	dialects   map[string]map[string]uint64
	frames     uint64
	framesTime uint64
	framesIn   [len(FirstFrameBounds)]uint64
}

func (x *stats) dialect(name, kind string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.dialects == nil {
		x.dialects = make(map[string]map[string]uint64)
	}
	if x.dialects[name] == nil {
		x.dialects[name] = make(map[string]uint64)
	}
	x.dialects[name][kind]++
}

func (x *stats) reported(r *Report) {
	if r.Line != "" {
		x.narrow.Add(r.Line)
	}
	if r.FirstFrame == 0 || r.Path == "" {
		return
	}
	x.paths.Add(r.Path)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.frames++
	x.framesTime += uint64(min(r.FirstFrame, 1e6))
	for i, bound := range FirstFrameBounds {
		if r.FirstFrame <= float64(bound.Milliseconds()) {
			x.framesIn[i]++
		}
	}
}

// Stats returns a snapshot of the hub's counters.
func (h *Hub) Stats() Stats {
	x, below := &h.stats, h.node.Counts()
	st := Stats{
		Sockets: below.Sockets, Sessions: below.Sessions,
		Opened: below.Opened, Resumed: below.Resumed, ResumeFailed: below.ResumeFailed,
		MessagesIn: below.In, MessagesOut: below.Out, BytesIn: below.BytesIn, BytesOut: below.BytesOut,
		Refused: below.Refused, Closed: below.Closed, Faults: below.Faults, Dropped: below.Dropped,
		Relayed: x.relayed.Load(), Invites: x.calls.Load(), Ended: x.ended.Copy(), Paths: x.paths.Copy(), Narrow: x.narrow.Copy(),
	}
	st.Rooms, st.Ringing, st.Calls, st.Users = h.directory.counts()
	h.dialectClients.mu.RLock()
	st.DialectClients = len(h.dialectClients.clients)
	st.Rooms += len(h.dialectClients.rooms)
	h.dialectClients.mu.RUnlock()
	x.mu.Lock()
	defer x.mu.Unlock()
	st.FirstFrames, st.FirstFrameMilliseconds, st.FirstFrameBuckets = x.frames, x.framesTime, x.framesIn
	st.Dialects = make(map[string]map[string]uint64, len(x.dialects))
	for name, m := range x.dialects {
		st.Dialects[name] = maps.Clone(m)
	}
	return st
}
