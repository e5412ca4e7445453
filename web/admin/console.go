package admin

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"turnhub/internal/body"
	"turnhub/signaling"
	"turnhub/turnsrv"
)

const (
	maxWatchers = 8               // consoles open at a time
	maxRows     = 200             // of each table; the page says how many there are in all
	tick        = time.Second     // between two states
	writeTime   = 5 * time.Second // for one state to a slow page
)

// console serves the page's data.
type console struct {
	cfg     *Config
	started time.Time
	seats   chan struct{}
}

// state is everything that the page shows. Counters grow; the page makes rates
// of them.
type state struct {
	At          time.Time         `json:"at"`
	Version     string            `json:"version"`
	Uptime      float64           `json:"uptime"` // seconds
	CPU         float64           `json:"cpu"`    // seconds, of all cores
	RSS         int64             `json:"rss"`    // bytes
	Relay       relayState        `json:"relay"`
	Hub         hubState          `json:"hub"`
	Paths       map[string]uint64 `json:"paths"`
	WebSocket   webSocketState    `json:"websocket"`
	Calls       []call            `json:"calls"`
	CallCount   int               `json:"callCount"`
	People      []person          `json:"people"`
	PeopleCount int               `json:"peopleCount"`
	Probes      []Probe           `json:"probes"`
	Certificate *time.Time        `json:"certificate,omitempty"`
	Range       map[string]string `json:"range,omitempty"` // open or closed, by address family
	Errors      []Line            `json:"errors"`
	Nodes       []Node            `json:"nodes,omitempty"`     // of the cluster
	Processes   []process         `json:"processes,omitempty"` // where there are several, this one first

	most int // people
}

// webSocketState is of pairs whose media go through a WebSocket now: those with both sockets
// on this node, and those with one.
type webSocketState struct {
	Pairs  int `json:"pairs"`
	Across int `json:"across"`
}

type relayState struct {
	Allocations map[string]int    `json:"allocations"` // by transport
	ToPeer      uint64            `json:"toPeer"`      // bytes
	ToClient    uint64            `json:"toClient"`    // bytes
	Packets     uint64            `json:"packets"`
	Drops       map[string]uint64 `json:"drops"`
	Denied      map[string]uint64 `json:"denied"`
}

type hubState struct {
	Sessions int    `json:"sessions"`
	Rooms    int    `json:"rooms"`
	Calls    int    `json:"calls"`
	Messages uint64 `json:"messages"`
}

// call is a call by name, or a room in which people have met.
type call struct {
	ID     string   `json:"id"`
	Kind   string   `json:"kind"` // call, room
	State  string   `json:"state"`
	Since  float64  `json:"since"` // seconds ago
	People []person `json:"people"`
	// Process is the pid of another process that carries it since an upgrade.
	Process int `json:"process,omitempty"`
}

type person struct {
	Session string            `json:"session"`
	Name    string            `json:"name"`
	Address string            `json:"address"`
	Dialect string            `json:"dialect"`
	Since   float64           `json:"since"` // seconds ago
	Away    bool              `json:"away"`
	Report  *signaling.Report `json:"report,omitempty"`
	Relay   []relayed         `json:"relay,omitempty"`
	Process int               `json:"process,omitempty"` // as in call
}

// relayed is one allocation of a person.
type relayed struct {
	Transport string `json:"transport"`
	ToPeer    uint64 `json:"toPeer"`
	ToClient  uint64 `json:"toClient"`
	Kernel    bool   `json:"kernel,omitempty"` // its packets pass inside the kernel
}

func (c *console) look() state {
	now := time.Now()
	others := c.cfg.reports(true)
	total := c.cfg.total(others)
	relay, hub := total.Relay, total.Hub
	s := state{
		At: now, Version: c.cfg.Version, Uptime: now.Sub(c.started).Seconds(), CPU: cpuSeconds(), RSS: rss(),
		Relay: relayState{Allocations: make(map[string]int), Drops: relay.Drops, Denied: relay.Denied},
		Hub:   hubState{Sessions: hub.Sockets, Rooms: hub.Rooms, Calls: hub.Calls, Messages: hub.MessagesIn},
		Paths: hub.Paths, WebSocket: webSocketState{total.Media.Paths, total.Media.Across}, Probes: c.cfg.Probes(), Errors: c.cfg.Errors.Last(),
	}
	for t := range relay.Allocations {
		for f := range relay.Allocations[t] {
			s.Relay.Allocations[turnsrv.Transport(t).String()] += relay.Allocations[t][f]
			s.Relay.ToPeer += relay.ToPeer[t][f].Bytes
			s.Relay.ToClient += relay.ToClient[t][f].Bytes
			s.Relay.Packets += relay.ToPeer[t][f].Packets + relay.ToClient[t][f].Packets
		}
	}
	if expires := c.cfg.Certificate(); !expires.IsZero() {
		s.Certificate = &expires
	}
	if c.cfg.Range != nil {
		s.Range = c.cfg.Range()
	}
	if c.cfg.Nodes != nil {
		s.Nodes = c.cfg.Nodes()
	}
	if len(others) > 0 {
		own := c.cfg.Report(false)
		s.Processes = append(s.Processes, own.process(now))
	}
	for i := range others {
		s.Processes = append(s.Processes, others[i].process(now))
		if t := others[i].Tables; t != nil {
			s.Errors = append(s.Errors, t.Errors...)
		}
	}
	slices.SortStableFunc(s.Errors, func(a, b Line) int { return b.At.Compare(a.At) })
	c.list(&s, others, maxRows, now)
	s.CallCount = len(s.Calls)
	s.Calls = s.Calls[:min(len(s.Calls), maxRows)]
	return s
}

// tables is a state of nothing but calls and people, so many of these at most.
func (c *console) tables(most int) (s state) {
	c.list(&s, c.cfg.reports(true), most, time.Now())
	return s
}

// list makes the tables of all processes.
func (c *console) list(s *state, others []Report, most int, now time.Time) {
	s.most = most
	s.fill(0, c.cfg.Hub.Sessions(), c.cfg.Hub.Calls(), c.cfg.Relay.Allocations(), now)
	for i := range others {
		if t := others[i].Tables; t != nil {
			s.fill(others[i].PID, t.Sessions, t.Calls, t.Allocations, now)
		}
	}
	slices.SortFunc(s.Calls, func(a, b call) int {
		return cmp.Or(cmp.Compare(b.Since, a.Since), strings.Compare(a.ID, b.ID))
	})
}

// fill makes the tables of one process: who is in which call, with the allocations of each.
// The process is 0 for this one.
func (s *state) fill(process int, sessions []signaling.SessionInfo, calls []signaling.CallInfo, allocations []turnsrv.AllocationInfo, now time.Time) {
	byUser := make(map[string][]relayed, len(allocations))
	for _, a := range allocations {
		byUser[a.User] = append(byUser[a.User], relayed{a.Transport.String(), a.ToPeer.Bytes, a.ToClient.Bytes, a.InKernel})
	}
	everybody := make(map[string]person, len(sessions))
	inRoom := make(map[string][]person)
	for _, i := range sessions {
		p := person{
			Session: i.ID, Name: cmp.Or(i.Name, i.User, i.ID), Address: i.Address, Dialect: i.Dialect,
			Since: now.Sub(i.Since).Seconds(), Away: i.Away, Report: i.Report, Relay: byUser[i.ID], Process: process,
		}
		delete(byUser, i.ID)
		everybody[i.ID] = p
		for _, room := range i.Rooms {
			inRoom[room] = append(inRoom[room], p)
		}
		if len(s.People) < s.most {
			s.People = append(s.People, p)
		}
	}
	s.PeopleCount += len(sessions)
	// Those without a session are known by their TURN user alone.
	for _, a := range allocations {
		mine, left := byUser[a.User]
		if !left {
			continue
		}
		delete(byUser, a.User)
		s.PeopleCount++
		if len(s.People) < s.most {
			s.People = append(s.People, person{
				Session: a.User, Name: a.User, Address: a.Client.Addr().Unmap().String(), Dialect: "turn",
				Since: float64(a.AgeSeconds), Relay: mine, Process: process,
			})
		}
	}
	for _, i := range calls {
		row := call{ID: i.ID, Kind: "call", State: i.State, Since: now.Sub(i.Since).Seconds(), Process: process}
		for _, id := range []string{i.From, i.Peer} {
			if p, here := everybody[id]; here {
				row.People = append(row.People, p)
			}
		}
		if i.Peer == "" {
			row.People = append(row.People, person{Name: i.Callee})
		}
		s.Calls = append(s.Calls, row)
	}
	for name, people := range inRoom {
		if len(people) < 2 {
			continue
		}
		// People have met since the second of them came.
		slices.SortFunc(people, func(a, b person) int { return cmp.Compare(b.Since, a.Since) })
		s.Calls = append(s.Calls, call{ID: name, Kind: "room", State: "meeting", Since: people[1].Since, People: people, Process: process})
	}
}

func (c *console) state(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, c.look()) }

// events sends a state every second, as server-sent events.
func (c *console) events(w http.ResponseWriter, r *http.Request) {
	select {
	case c.seats <- struct{}{}:
		defer func() { <-c.seats }()
	default:
		fail(w, http.StatusServiceUnavailable, fmt.Sprintf("%d consoles are open already: close one", maxWatchers))
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // a proxy is to pass each state on at once
	control := http.NewResponseController(w)
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		data, err := json.Marshal(c.look())
		if err != nil {
			c.cfg.Logger.Error("console state", "error", err)
			return
		}
		_ = control.SetWriteDeadline(time.Now().Add(writeTime))
		if _, err := fmt.Fprintf(w, "data: %s\n\n", data); err != nil {
			return
		}
		if control.Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-ticker.C:
		}
	}
}

// revoke ends a user's sessions and allocations: {"user": name or session id}.
func (c *console) revoke(w http.ResponseWriter, r *http.Request) {
	user := c.argument(w, r, "user")
	if user == "" {
		return
	}
	done, err := c.everywhere(ActRevoke, user)
	c.cfg.Logger.Info("user revoked", "user", user, "sessions", done.Sessions, "allocations", done.Allocations, "kept", done.Unkept == "")
	if err != nil {
		c.cfg.Logger.Error("revocation", "user", user, "error", err)
	}
	c.revoked(w, user, done, err)
}

// end ends a call by name: {"call": id}.
func (c *console) end(w http.ResponseWriter, r *http.Request) {
	id := c.argument(w, r, "call")
	if id == "" {
		return
	}
	done, err := c.everywhere(ActEndCall, id)
	if err != nil && !done.Ended {
		c.cfg.Logger.Error("ending a call", "call", id, "error", err)
		incomplete(w, done, err)
		return
	}
	if !done.Ended {
		fail(w, http.StatusNotFound, "no such call: it has ended")
		return
	}
	c.cfg.Logger.Info("call ended by the operator", "call", id)
	answer(w, http.StatusOK, map[string]bool{"ended": true})
}

func (c *console) bodyTime() time.Duration { return cmp.Or(c.cfg.bodyTime, bodyTime) }

func (c *console) argument(w http.ResponseWriter, r *http.Request, name string) string {
	text, err := body.Read(w, r, 4096, c.bodyTime())
	if err != nil {
		fail(w, body.Status(err), err.Error())
		return ""
	}
	var members map[string]string
	if err := json.Unmarshal(text, &members); err != nil || members[name] == "" {
		fail(w, http.StatusBadRequest, fmt.Sprintf(`send {%q: "…"}`, name))
		return ""
	}
	return members[name]
}

// cpuSeconds is what this process has used, in user and system mode.
func cpuSeconds() float64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	seconds := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
	return seconds(u.Utime) + seconds(u.Stime)
}

// rss is this process's resident memory in bytes; 0 where /proc does not say.
func rss() int64 {
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(statm))
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}
