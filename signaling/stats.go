package signaling

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Report is what a client says of its media path to a peer.
type Report struct {
	Peer       string    `json:"peer"`
	Path       string    `json:"path"`       // direct, relay-udp, relay-tcp, relay-tls
	RTT        float64   `json:"rtt"`        // seconds
	Loss       float64   `json:"loss"`       // fraction
	Bitrate    float64   `json:"bitrate"`    // bits per second
	FirstFrame float64   `json:"firstFrame"` // milliseconds from join or accept; 0: not said
	At         time.Time `json:"at"`
}

// Stats is a snapshot. Counters count since the start. The maps' keys come from
// small fixed sets and are fit to be labels.
type Stats struct {
	Sockets, Sessions, Strangers        int // open now; Strangers are the sockets of dialects
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
	FirstFrames, FirstFrameMilliseconds uint64                        // how many were reported, and their sum
	FirstFrameBuckets                   [len(FirstFrameBounds)]uint64 // how many were within each bound
}

// FirstFrameBounds are the upper bounds by which first frames are counted.
var FirstFrameBounds = [...]time.Duration{
	250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second,
	3 * time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second,
}

// stats are the live counters. The maps are touched for exceptions only.
type stats struct {
	opened, resumed, resumeFailed       atomic.Uint64
	in, out, relayed, bytesIn, bytesOut atomic.Uint64
	calls                               atomic.Uint64

	mu         sync.Mutex
	refused    map[string]uint64
	endedBy    map[string]uint64
	closedBy   map[string]uint64
	faults     map[string]uint64
	dropped    map[string]uint64
	dialects   map[string]map[string]uint64
	paths      map[string]uint64
	frames     uint64
	framesTime uint64
	framesIn   [len(FirstFrameBounds)]uint64
}

func (x *stats) count(m *map[string]uint64, key string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if *m == nil {
		*m = make(map[string]uint64)
	}
	(*m)[key]++
}

func (x *stats) refuse(reason string)  { x.count(&x.refused, reason) }
func (x *stats) ended(reason string)   { x.count(&x.endedBy, reason) }
func (x *stats) closed(code CloseCode) { x.count(&x.closedBy, code.String()) }
func (x *stats) fault(code ErrorCode)  { x.count(&x.faults, string(code)) }
func (x *stats) drop(reason string)    { x.count(&x.dropped, reason) }

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
	if r.FirstFrame == 0 || r.Path == "" {
		return
	}
	x.count(&x.paths, r.Path)
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

func copyMap(m map[string]uint64) map[string]uint64 {
	c := make(map[string]uint64, len(m))
	for k, v := range m {
		c[k] = v
	}
	return c
}

// Stats returns a snapshot of the hub's counters.
func (h *Hub) Stats() Stats {
	x := &h.stats
	st := Stats{
		Sockets:  h.sockets.Total(),
		Sessions: h.people.Total(),
		Opened:   x.opened.Load(), Resumed: x.resumed.Load(), ResumeFailed: x.resumeFailed.Load(),
		MessagesIn: x.in.Load(), MessagesOut: x.out.Load(),
		Relayed: x.relayed.Load(), BytesIn: x.bytesIn.Load(), BytesOut: x.bytesOut.Load(),
		Invites: x.calls.Load(),
	}
	st.Rooms, st.Ringing, st.Calls, st.Users = h.state.counts()
	h.strangers.mu.RLock()
	st.Strangers = len(h.strangers.sockets)
	st.Rooms += len(h.strangers.rooms)
	h.strangers.mu.RUnlock()
	x.mu.Lock()
	defer x.mu.Unlock()
	st.Refused = copyMap(x.refused)
	st.Ended, st.Closed, st.Faults = copyMap(x.endedBy), copyMap(x.closedBy), copyMap(x.faults)
	st.Dropped, st.Paths = copyMap(x.dropped), copyMap(x.paths)
	st.FirstFrames, st.FirstFrameMilliseconds, st.FirstFrameBuckets = x.frames, x.framesTime, x.framesIn
	st.Dialects = make(map[string]map[string]uint64, len(x.dialects))
	for name, m := range x.dialects {
		st.Dialects[name] = copyMap(m)
	}
	return st
}

// SessionInfo is what the console shows of a person.
type SessionInfo struct {
	ID      string    `json:"id"` // empty in a dialect
	Dialect string    `json:"dialect"`
	User    string    `json:"user,omitempty"`
	Name    string    `json:"name,omitempty"`
	Address string    `json:"address"`
	Since   time.Time `json:"since"`
	Away    bool      `json:"away"` // its socket is lost, it may come back
	Rooms   []string  `json:"rooms,omitempty"`
	Calls   []string  `json:"calls,omitempty"` // accepted
	Waiting int       `json:"waiting"`         // messages not yet acknowledged
	Report  *Report   `json:"report,omitempty"`
}

// Sessions lists everybody who is here, the longest first.
func (h *Hub) Sessions() []SessionInfo {
	var list []SessionInfo
	for _, s := range h.sessions.all() {
		i := SessionInfo{ID: s.id, Dialect: "turnhub", User: s.user, Name: s.name, Address: s.opener.String(), Since: s.since}
		if a := s.seenAt(); a.IsValid() {
			i.Address = a.String()
		}
		for _, r := range s.roomList() {
			i.Rooms = append(i.Rooms, r.name)
		}
		for _, c := range s.callList() {
			i.Calls = append(i.Calls, c.id)
		}
		s.mu.Lock()
		i.Away = s.conn == nil
		i.Waiting = int(s.out.last() - s.out.base)
		s.mu.Unlock()
		i.Report = h.state.reportOf(s)
		list = append(list, i)
	}
	for _, s := range h.strangers.all() {
		i := SessionInfo{Dialect: s.info.Dialect, User: s.info.Claims.User, Address: s.info.Remote.Addr().String(), Since: s.since}
		s.mu.Lock()
		for r := range s.rooms {
			i.Rooms = append(i.Rooms, r)
		}
		s.mu.Unlock()
		list = append(list, i)
	}
	slices.SortFunc(list, func(a, b SessionInfo) int { return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.ID, b.ID)) })
	return list
}

// CallInfo is what the console shows of a call by name.
type CallInfo struct {
	ID       string    `json:"id"`
	State    string    `json:"state"` // ringing, accepted
	Caller   string    `json:"caller"`
	From     string    `json:"from"` // the caller's session
	Callee   string    `json:"callee"`
	Peer     string    `json:"peer,omitempty"` // the accepting session
	Since    time.Time `json:"since"`
	Answered time.Time `json:"answered,omitzero"`
	Path     string    `json:"path,omitempty"`
}

// Calls lists the calls by name, the oldest first.
func (h *Hub) Calls() []CallInfo { return h.state.calls() }

func (d *directory) calls() []CallInfo {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := make([]CallInfo, 0, len(d.byCall))
	for _, c := range d.byCall {
		i := CallInfo{ID: c.id, State: "ringing", Caller: c.caller.user, From: c.caller.id, Callee: c.callee.name, Since: c.since, Path: c.path}
		if c.peer != nil {
			i.State, i.Peer, i.Answered = "accepted", c.peer.id, c.answered
		}
		list = append(list, i)
	}
	slices.SortFunc(list, func(a, b CallInfo) int { return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.ID, b.ID)) })
	return list
}

func (d *directory) reportOf(s *Session) *Report {
	d.mu.Lock()
	defer d.mu.Unlock()
	return s.quality
}

// logSession writes a line of level debug.
func (h *Hub) logSession(what string, s *Session, key, value string) {
	h.log.LogAttrs(context.Background(), slog.LevelDebug, what, slog.String("session", s.id), slog.String("user", s.user),
		slog.String("client", s.opener.String()), slog.String(key, value))
}

// logCall writes the one line about a call by name.
func (h *Hub) logCall(c *call, reason string, now time.Time) {
	attrs := []any{
		slog.String("call", c.id), slog.String("caller", cmp.Or(c.caller.user, c.caller.id)),
		slog.String("callee", c.callee.name), slog.String("session", c.caller.id), slog.String("reason", reason), slog.String("path", cmp.Or(c.path, "unknown")),
		slog.Uint64("bytes", c.bytes),
	}
	if c.answered.IsZero() {
		attrs = append(attrs, slog.Duration("rang", now.Sub(c.since).Round(time.Millisecond)))
	} else {
		attrs = append(attrs, slog.String("peer", c.peer.id), slog.Duration("talked", now.Sub(c.answered).Round(time.Millisecond)))
	}
	h.log.Info("call ended", attrs...)
}

// logRoom writes the one line about a room in which people have met.
func (h *Hub) logRoom(r *room, reason string) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.shared.IsZero() {
		return
	}
	h.log.Info("room ended", slog.String("room", r.name), slog.Any("who", r.who), slog.Int("people", r.most), slog.Uint64("bytes", r.bytes),
		slog.Duration("together", h.now().Sub(r.shared).Round(time.Millisecond)),
		slog.String("path", cmp.Or(r.path, "unknown")), slog.String("reason", reason))
}

const (
	loggedPeople = 16 // names in the line about a room
	maxReported  = 64 // peers about whom a session's last report is remembered
)

// who is a person in a log line.
func (s *Session) who() string { return cmp.Or(s.user, s.name, s.id) }

// volume is how many bytes a report stands for: its bit rate since the last one
// about the same peer. Clients report every ten seconds; what is older than half a
// minute is not believed. The directory's mutex is held.
func (s *Session) volume(r *Report) uint64 {
	last, known := s.reported[r.Peer]
	if s.reported == nil || len(s.reported) >= maxReported {
		s.reported = make(map[string]time.Time)
	}
	s.reported[r.Peer] = r.At
	if !known {
		return 0
	}
	const most = 10e9 // bits per second
	return uint64(min(r.Bitrate, most) / 8 * min(r.At.Sub(last), 30*time.Second).Seconds())
}
