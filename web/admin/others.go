package admin

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"turnhub/signaling"
	"turnhub/turnsrv"
)

// While the processes of earlier upgrades carry their calls to the end, the one with
// the admin listener speaks for all of them: it adds their counts, joins their
// tables, and does what the operator wants in each.

// MaxTableRows is how many rows of each kind a process tells the others.
const MaxTableRows = 1000

// Report is what a process says of itself.
type Report struct {
	PID      int       `json:"pid"`
	Version  string    `json:"version"`
	Started  time.Time `json:"started"`
	Draining bool      `json:"draining"` // carries its last calls
	Counts   Counts    `json:"counts"`
	Tables   *Tables   `json:"tables,omitempty"`
	// Silent is why the process did not answer; everything else but PID is then
	// what it said last.
	Silent string `json:"silent,omitempty"`
}

// Tables are who and what is in a process. Each holds MaxTableRows at most.
type Tables struct {
	Sessions    []signaling.SessionInfo  `json:"sessions"`
	Calls       []signaling.CallInfo     `json:"calls"`
	Allocations []turnsrv.AllocationInfo `json:"allocations"`
	Errors      []Line                   `json:"errors"`
}

// Actions of the operator, as they are passed on.
const (
	ActRevoke  = "revoke"   // the argument is a user or a session
	ActEndCall = "end-call" // the argument is a call by name
)

// Outcome is what came of an action in one process, or in several together.
type Outcome struct {
	Sessions    int  `json:"sessions"`
	Allocations int  `json:"allocations"`
	Ended       bool `json:"ended"` // the call was there
	// Unkept is why what was done does not outlast a restart; empty: it does.
	Unkept string `json:"unkept,omitempty"`
}

// Told is what came of an action in another process.
type Told struct {
	PID  int
	Node string // of another node; then PID is 0
	Outcome
	Err error // it is not known to be done
}

// Report describes this process to the others.
func (c *Config) Report(tables bool) Report {
	r := Report{PID: os.Getpid(), Version: c.Version, Started: processStarted, Counts: c.Counts()}
	if tables {
		r.Tables = &Tables{
			Sessions: first(c.Hub.Sessions()), Calls: first(c.Hub.Calls()),
			Allocations: first(c.Relay.Allocations()), Errors: c.Errors.Last(),
		}
	}
	return r
}

var processStarted = time.Now()

func first[T any](rows []T) []T { return rows[:min(len(rows), MaxTableRows)] }

// Counts are the counters of this process.
func (c *Config) Counts() Counts {
	counts := Counts{Relay: c.Relay.Stats(), Hub: c.Hub.Stats(), Ports: c.Ports(), Web: c.Web()}
	if c.Media != nil {
		counts.Media = c.Media()
	}
	if c.Push != nil {
		counts.Push = c.Push()
	}
	if c.Events != nil {
		counts.Events = c.Events()
	}
	return counts
}

// Do does an action of the operator in this process.
func (c *Config) Do(action, argument string) (Outcome, error) {
	switch action {
	case ActRevoke:
		// The hub has the relay end what its sessions had, maybe sooner than is asked
		// here, so that only the counter tells how many there were.
		before := c.Relay.Stats().Revoked
		sessions, unkept := c.Hub.Revoke(argument)
		c.Relay.Revoke(argument)
		done := Outcome{Sessions: sessions, Allocations: int(c.Relay.Stats().Revoked - before)}
		if unkept != nil {
			done.Unkept = unkept.Error()
		}
		return done, nil
	case ActEndCall:
		return Outcome{Ended: c.Hub.EndCall(argument)}, nil
	}
	return Outcome{}, fmt.Errorf("this version does not know the action %q", action)
}

// everywhere does an action in every process. The error names those in which it is
// not known to be done.
func (c *console) everywhere(action, argument string) (Outcome, error) {
	all, err := c.cfg.Do(action, argument)
	if err != nil || c.cfg.Tell == nil {
		return all, err
	}
	var failed, nodes []string
	for _, told := range c.cfg.Tell(action, argument) {
		all.Sessions += told.Sessions
		all.Allocations += told.Allocations
		all.Ended = all.Ended || told.Ended
		switch {
		case told.Err != nil && told.Node != "":
			nodes = append(nodes, fmt.Sprintf("node %s: %v", told.Node, told.Err))
		case told.Err != nil:
			failed = append(failed, fmt.Sprintf("process %d: %v", told.PID, told.Err))
		case told.Node != "":
			if told.Unkept != "" {
				all.Unkept = fmt.Sprintf("on node %s: %s", told.Node, told.Unkept)
			}
		case told.Unkept == "":
			all.Unkept = "" // they write the same file
		}
	}
	if nodes != nil {
		return all, fmt.Errorf("done on this node, but not for certain on another one (%s); do it again when that answers, or end it", strings.Join(append(nodes, failed...), ", "))
	}
	if failed != nil {
		return all, fmt.Errorf("done in this process, but not for certain in another one of this server, which carries its calls since an upgrade (%s); do it again, or end that process and its calls with kill", strings.Join(failed, ", "))
	}
	return all, nil
}

// revoked answers a revocation, with what it means from now on: 502 where it is not
// known to be done everywhere, and 500 where it is done, but forgotten at the next
// restart, since it could not be written down.
func (c *console) revoked(w http.ResponseWriter, user string, done Outcome, err error) {
	said := struct {
		Sessions    int    `json:"sessions"`
		Allocations int    `json:"allocations"`
		Note        string `json:"note,omitempty"`
		Error       string `json:"error,omitempty"`
	}{Sessions: done.Sessions, Allocations: done.Allocations}
	status := http.StatusOK
	if c.cfg.RevokeNote != nil {
		said.Note = c.cfg.RevokeNote(user)
	}
	if done.Unkept != "" {
		status, said.Error = http.StatusInternalServerError, "revoked: "+done.Unkept
	}
	if err != nil {
		status, said.Error = http.StatusBadGateway, strings.TrimSuffix(err.Error()+"; "+said.Error, "; ")
	}
	answer(w, status, said)
}

// incomplete answers an action that was not done everywhere: 502, with what was.
func incomplete(w http.ResponseWriter, done Outcome, err error) {
	answer(w, http.StatusBadGateway, struct {
		Error string `json:"error"`
		Outcome
	}{err.Error(), done})
}

// reports are those of the other processes.
func (c *Config) reports(tables bool) []Report {
	if c.Others == nil {
		return nil
	}
	return c.Others(tables)
}

// total is what all processes have counted.
func (c *Config) total(others []Report) Counts {
	sum := c.Counts()
	for i := range others {
		sum.Add(&others[i].Counts)
	}
	if c.Past != nil {
		past := c.Past()
		sum.AddPast(&past)
	}
	return sum
}

// process is one of the server's processes as the console shows it.
type process struct {
	PID         int     `json:"pid"`
	Version     string  `json:"version"`
	Uptime      float64 `json:"uptime"` // seconds
	Draining    bool    `json:"draining"`
	Allocations int     `json:"allocations"`
	Sessions    int     `json:"sessions"`
	Silent      string  `json:"silent,omitempty"`
}

func (r *Report) process(now time.Time) process {
	return process{
		PID: r.PID, Version: r.Version, Uptime: now.Sub(r.Started).Seconds(), Draining: r.Draining,
		Allocations: allocationsNow(r.Counts.Relay), Sessions: r.Counts.Hub.Sessions, Silent: r.Silent,
	}
}

func allocationsNow(s turnsrv.Stats) (n int) {
	for _, families := range s.Allocations {
		for _, count := range families {
			n += count
		}
	}
	return n
}
