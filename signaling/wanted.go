package signaling

import (
	"maps"
	"strings"
	"sync"
	"time"
)

// A client that comes with a session which is not here: whether it is on another node, may be
// here in a moment, or is over.

// takeFor has a client's coming decide what silence does not: that a node is dead to it. It
// reports whether this node may go on with its session.
func (h *Hub) takeFor(node, run, session, token string) bool {
	x := h.directory.nodes
	if p := x.get(node); p != nil && (p.run == "" || p.run == run) {
		return false
	}
	m := x.imageBy(node, run)
	if !m.has(session, token) {
		return false
	}
	h.take(node, m)
	return true
}

// has reports whether it has a session that is the client's who has this token. A nil one has none.
func (m *image) has(session, token string) bool {
	if m == nil {
		return false
	}
	s := m.sessions[m.refs[session]]
	return s != nil && !s.revoked && s.stay().Stay.OwnedBy(token)
}

// holder is the process that has a session, where an image says so: that which its client names, or
// one to which it has moved while its client was away.
func (x *nodes) holder(node, run, session, token string) (string, string) {
	if x.imageBy(node, run).has(session, token) {
		return node, run
	}
	x.mu.Lock()
	images := maps.Clone(x.images)
	x.mu.Unlock()
	for name, m := range images {
		if m.has(session, token) {
			return name, m.run
		}
	}
	return node, run
}

const (
	// resumeWait is for how long a client is sent on to the next node before it gets a fresh
	// session, and lostWait likewise while its node has not been lost yet, but does not answer.
	resumeWait = 2 * time.Second
	// silentResume is resumeWait where a node says nothing: the next one may miss it a second
	// later than this one does, and asks it twice.
	silentResume = 6 * time.Second
	lostWait     = 10 * time.Second
	// mostWanted bounds how many sessions are remembered.
	mostWanted = 4096
	mostLost   = 64 // processes
)

// wanted are sessions that clients have asked for here. The zero value is ready.
type wanted struct {
	mu sync.Mutex
	m  map[string]*asking // by session and process
	// lost is when processes were lost last: a client may have asked before, while its node
	// stood still for a moment.
	lost map[string]loss
}

// loss is when a process was lost, and for how long its clients are sent on at least.
type loss struct {
	at   time.Time
	most time.Duration
}

// asking is how a client has asked for its session: when first and last, and when last while the
// process was not known to live.
type asking struct{ first, last, doubt time.Time }

// loses is told that a process is lost.
func (w *wanted) loses(process string, how Loss, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lost == nil || len(w.lost) >= mostLost {
		w.lost = make(map[string]loss)
	}
	l := loss{at: now}
	if how == Silent {
		l.most = silentResume
	}
	w.lost[process] = l
}

// waits reports whether a client should ask for its session of a process once more. lives: that
// process has it, and its client finds it there.
func (w *wanted) waits(session, process string, now time.Time, most time.Duration, lives bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.m == nil {
		w.m = make(map[string]*asking)
	}
	key := session + " " + process
	a := w.m[key]
	if a == nil {
		if len(w.m) >= mostWanted {
			maps.DeleteFunc(w.m, func(_ string, a *asking) bool { return now.Sub(a.last) > time.Minute })
		}
		if len(w.m) >= mostWanted {
			return false
		}
		a = &asking{first: now}
		w.m[key] = a
	} else if now.Sub(a.last) > time.Minute {
		a.first = now
	}
	a.last = now
	l := w.lost[process]
	if l.at.After(a.first) {
		a.first = now
	}
	most = max(most, l.most)
	if !lives {
		a.doubt = now
	} else if a.doubt.After(a.first) { // it stood still for a moment
		return now.Sub(a.doubt) < most
	}
	return now.Sub(a.first) < most
}

// resumes reports whether a session that is not here may be on another node, or may be
// here once this one knows that the other is dead.
func (h *Hub) resumes(session, token string) bool {
	of, _, ok := strings.Cut(token, ".")
	node, run, is := strings.Cut(of, "~")
	if !ok || !is || len(session) > 64 || len(of) > 128 {
		return false
	}
	x := h.directory.nodes
	if node == x.self && run == h.second.process() {
		return false // it has ended here
	}
	most, lives := resumeWait, false
	at, its := x.holder(node, run, session, token)
	switch {
	case h.takeFor(at, its, session, token):
	case at != node || its != run: // its client finds it there, or that is silent
		most = lostWait
	case node == x.self:
		if h.cfg.Succeeds {
			return false // the process before this one has ended in order, or does so now
		}
	default:
		p := x.get(node)
		if p == nil || p.run == "" || p.run == run { // of an empty one it has not been heard yet
			how := x.out.Suspect(node)
			if how == NodeLeaves {
				return false
			}
			if lives = how == NodeLives && p != nil && p.run != ""; p != nil && !lives {
				most = lostWait
			}
		}
	}
	return h.wanted.waits(session, processOf(at, its), h.now(), most, lives)
}

// prefix is what the secrets by which this node's sessions are resumed have in front of them:
// the process.
func (x *second) prefix() string { return processOf(x.h.cfg.Node, x.process()) + "." }

func processOf(node, run string) string { return node + "~" + run }
