package cluster

import (
	"encoding/json"
	"net/url"
	"strings"
	"time"
)

// Load is what a node has to do.
type Load struct {
	Processors  int     `json:"processors"`
	CPU         float64 `json:"cpu"` // of all processors, 0 to 1, over the last seconds
	Sessions    int     `json:"sessions"`
	Allocations int     `json:"allocations"`
	Rooms       int     `json:"rooms"`
	// Full says that it can take nobody more.
	Full bool `json:"full,omitempty"`
}

// PerProcessor is what placement compares: sessions for each processor. A relayed direction costs more than a
// socket that mostly waits.
func (l Load) PerProcessor() float64 {
	return (float64(l.Sessions) + 4*float64(l.Allocations)) / float64(max(l.Processors, 1))
}

// full reports whether a node is to get no more rooms while others may.
func (l Load) full() bool { return l.Full || l.CPU > 0.85 }

// Record is what a node says of itself, in every beat.
type Record struct {
	Version int    `json:"v"`
	Node    string `json:"node"`
	// Run names the process, Since is when it began: of two with one name the younger
	// speaks for the node.
	Run   string `json:"run"`
	Since int64  `json:"since"` // milliseconds since 1970
	Seq   uint64 `json:"seq"`   // counts the beats of this run
	At    int64  `json:"at"`    // milliseconds since 1970, by the node's own clock

	URL      string            `json:"url"`
	Region   string            `json:"region,omitempty"`
	Software string            `json:"software"`
	URLs     []string          `json:"urls"`            // STUN and TURN, proved, the best first
	Range    map[string]string `json:"range,omitempty"` // see /config
	Load     Load              `json:"load"`
	// Digests are of what must be the same on all nodes, by what it is.
	Digests  map[string]string `json:"digests"`
	Draining bool              `json:"draining,omitempty"`
	Leaving  bool              `json:"leaving,omitempty"` // this is its last beat
	// Said is how many packets this process had sent on topics when it said the beat before.
	Said uint64 `json:"said,omitempty"`
	// Link is the version of what nodes say to each other about sessions; 0: of one that did
	// not say so yet.
	Link int `json:"link,omitempty"`
	// Bare is why no other node could go on with the sessions of this one, should it die; empty:
	// one could, or it did not say so yet. BareFor is for how long that is so, in milliseconds.
	Bare    string `json:"bare,omitempty"`
	BareFor int64  `json:"bare_for,omitempty"`
}

// Speaks reports whether this version has streams to a node of that one.
func (r *Record) Speaks() bool { return r.Link == 0 || r.Link == linkVersion }

// Unkept reports whether nobody could go on with this node's sessions, for so long that it is a
// fault. Who drains it sends them away.
func (r *Record) Unkept() bool {
	return r.Bare != "" && !r.Draining && r.BareFor >= settles.Milliseconds()
}

// settling reports whether it may be about to have somebody.
func (r *Record) settling() bool { return r.Bare != "" && !r.Draining && !r.Unkept() }

const (
	version = 1

	// settles is for how long a node may have nobody who could go on with its sessions after its
	// start, or the death of whoever could, before that is a fault.
	settles = 10 * time.Second

	maxURLs    = 4
	maxURL     = 512 // bytes
	maxName    = 32
	maxDigests = 16
	maxNodes   = 1024
)

// parseRecord reads what a node says of itself, and bounds it.
func parseRecord(body []byte) (r Record, wrong string) {
	if err := json.Unmarshal(body, &r); err != nil {
		return r, badForm
	}
	if r.Version != version {
		return r, badVersion
	}
	ok := validName(r.Node) && len(r.Run) > 0 && len(r.Run) <= maxName && len(r.Region) <= maxName && len(r.Software) <= 64 && len(r.Bare) <= maxName && r.BareFor >= 0 &&
		len(r.URL) <= maxURL && webURL(r.URL) && len(r.URLs) <= maxURLs && len(r.Digests) <= maxDigests && len(r.Range) <= 2 &&
		r.Load.Processors >= 0 && r.Load.CPU >= 0 && r.Load.CPU <= 1 && r.Load.Sessions >= 0 && r.Load.Allocations >= 0 && r.Load.Rooms >= 0
	for _, u := range r.URLs {
		ok = ok && len(u) <= maxURL && (strings.HasPrefix(u, "stun:") || strings.HasPrefix(u, "turn:") || strings.HasPrefix(u, "turns:"))
	}
	for k, v := range r.Digests {
		ok = ok && len(k) <= maxName && len(v) <= 64
	}
	for k, v := range r.Range {
		ok = ok && (k == "ipv4" || k == "ipv6") && (v == "open" || v == "closed")
	}
	if !ok {
		return r, badForm
	}
	return r, ""
}

func validName(s string) bool {
	return s != "" && len(s) <= maxName && !strings.ContainsFunc(s, func(r rune) bool {
		return !('a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '-')
	})
}

func webURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http") && u.User == nil && u.RawQuery == "" && u.Fragment == ""
}

// Signaling is the URL of a node's sockets.
func (r *Record) Signaling() string {
	rest, secure := strings.CutPrefix(r.URL, "https://")
	if secure {
		return "wss://" + rest + "/ws"
	}
	return "ws://" + strings.TrimPrefix(r.URL, "http://") + "/ws"
}

// wall is the time of day as it goes between nodes.
func wall() int64 { return time.Now().UnixMilli() }

func apart(a, b int64) time.Duration {
	d := time.Duration(a-b) * time.Millisecond
	return max(d, -d)
}
