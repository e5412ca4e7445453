package signaling

import (
	"slices"
	"time"

	"turnhub/signaling/internal/wire"
)

// Report is what a client says of its media path to a peer.
type Report struct {
	Peer       string    `json:"peer"`
	Path       string    `json:"path"`           // direct, relay-udp, relay-tcp, relay-tls, websocket
	RTT        float64   `json:"rtt"`            // seconds
	Loss       float64   `json:"loss"`           // fraction
	Bitrate    float64   `json:"bitrate"`        // bits per second
	FirstFrame float64   `json:"firstFrame"`     // milliseconds from join or accept; 0: not said
	Line       string    `json:"line,omitempty"` // narrow, no-picture: the line takes less than the call wants, or sound alone
	At         time.Time `json:"at"`
}

// worse returns the path that says more about how hard a call had it.
func worse(a, b string) string {
	if slices.Index(paths, a) > slices.Index(paths, b) {
		return a
	}
	return b
}

// paths are the media paths that a report may name, the best first.
var paths = []string{"direct", "relay-udp", "relay-tcp", "relay-tls", "websocket"}

// lines are what a report may say of the line: the call fits it, less of it does, or
// its sound alone.
var lines = []string{"wide", "narrow", "no-picture"}

func (d *directory) report(s *member, m *wire.Message) *wire.Fault {
	r := &Report{At: d.hub.now()}
	if m.Path != nil && string(m.Path) != "null" {
		raw, _ := wire.Text(m.Path)
		i := slices.Index(paths, string(raw))
		if i < 0 {
			return wire.Faultf(wire.CodeBadMessage, "path must be one of %q", paths)
		}
		r.Path = paths[i]
	}
	if m.Line != nil && string(m.Line) != "null" {
		raw, _ := wire.Text(m.Line)
		i := slices.Index(lines, string(raw))
		if i < 0 {
			return wire.Faultf(wire.CodeBadMessage, "line must be one of %q", lines)
		}
		if i > 0 {
			r.Line = lines[i]
		}
	}
	for _, n := range []struct {
		member string
		raw    []byte
		to     *float64
	}{{"rtt", m.RTT, &r.RTT}, {"loss", m.Loss, &r.Loss}, {"bitrate", m.Bitrate, &r.Bitrate}, {"firstFrame", m.FirstFrame, &r.FirstFrame}} {
		if n.raw == nil || string(n.raw) == "null" {
			continue
		}
		v, ok := wire.Number(n.raw)
		if !ok {
			return wire.Faultf(wire.CodeBadMessage, "%s must be a number of at least 0", n.member)
		}
		*n.to = v
	}
	peer, f := wire.NeedText("peer", m.Peer)
	if f != nil {
		return f
	}
	r.Peer = string(peer)
	p := d.members.Get(r.Peer)
	if p == nil || p == s || !s.shares(p) {
		return wire.Faultf(wire.CodeNotInRoom, "you share no room or call with %.40q", r.Peer)
	}
	d.hub.stats.reported(r)
	d.mu.Lock()
	bytes := s.volume(r)
	s.quality = r
	for _, c := range s.callList() {
		if !c.with(p) {
			continue
		}
		c.bytes += bytes
		c.account.report(s, r, bytes)
		if r.Path != "" {
			c.path = r.Path
		}
	}
	d.mu.Unlock()
	if room, ok := wire.Text(m.Room); ok {
		if at := s.inRoom(string(room)); at != nil {
			at.mu.Lock()
			at.path = worse(at.path, r.Path)
			at.bytes += bytes
			at.account.report(s, r, bytes)
			at.mu.Unlock()
		}
	}
	s.ok(m)
	return nil
}

// volume is how many bytes a report stands for: its bit rate since the last one
// about the same peer. Clients report every ten seconds; what is older than half a
// minute is not believed. The directory's mutex is held.
func (s *member) volume(r *Report) uint64 {
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
