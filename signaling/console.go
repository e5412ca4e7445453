package signaling

import (
	"cmp"
	"slices"
	"time"
)

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
	for _, s := range h.directory.own() {
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
		var online bool
		online, i.Waiting = h.node.Look(s.ref)
		i.Away = !online
		i.Report = h.directory.reportOf(s)
		list = append(list, i)
	}
	for _, c := range h.dialectClients.all() {
		i := SessionInfo{Dialect: c.info.Dialect, User: c.info.Claims.User, Address: c.info.Remote.Addr().String(), Since: c.since}
		c.mu.Lock()
		for r := range c.rooms {
			i.Rooms = append(i.Rooms, r)
		}
		c.mu.Unlock()
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
func (h *Hub) Calls() []CallInfo { return h.directory.calls() }

func (d *directory) calls() []CallInfo {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := make([]CallInfo, 0, len(d.byCall))
	for _, c := range d.byCall {
		if c.owner != nil {
			continue // its owner shows it
		}
		i := CallInfo{ID: c.id, State: "ringing", Caller: c.caller.user, From: c.caller.id, Callee: c.callee.name, Since: c.since, Path: c.path}
		if c.peer != nil {
			i.State, i.Peer, i.Answered = "accepted", c.peer.id, c.answered
		}
		list = append(list, i)
	}
	slices.SortFunc(list, func(a, b CallInfo) int { return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.ID, b.ID)) })
	return list
}

func (d *directory) reportOf(s *member) *Report {
	d.mu.Lock()
	defer d.mu.Unlock()
	return s.quality
}
