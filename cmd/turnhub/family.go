package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"turnhub/internal/kin"
	"turnhub/turnsrv"
	"turnhub/web/admin"
)

// The processes of one server are a family: the one that serves, and those of
// earlier upgrades that carry their calls to the end. Every two of them have a link,
// so that the death of one, at whatever moment, cuts off no other: what the operator
// tells the one that serves, it tells the rest, and when it dies the youngest that is
// left serves again.

const (
	// maxFamily is how many processes a server has at most; while it has as many,
	// an upgrade is refused.
	maxFamily = 4

	askPatience    = 5 * time.Second // for an action of the operator
	scrapePatience = 2 * time.Second // for a report
)

// What the processes ask each other.
const (
	askGo     = "go"     // to the successor: serve; a handover
	askReady  = "ready"  // of the successor: it has proved itself; a readiness
	askAdopt  = "adopt"  // here is a link to another process; an introduction and a file
	askReport = "report" // for a report; a reportQuestion
	askAct    = "act"    // an action of the operator
	askReload = "reload" // read the configuration again
	askStop   = "stop"   // go down; a stopOrder
	askBye    = "bye"    // the last counts of a process that ends
	askPorts  = "ports"  // which relay ports it keeps, of an older process; turnsrv.Server.Left of who asks; []turnsrv.Ports
	askVolume = "volume" // what users have had since the handover, of a process that ends; []turnsrv.Volume
)

type (
	handover struct {
		Past    admin.Counts         `json:"past"`              // of processes that have ended
		Revoked map[string]time.Time `json:"revoked,omitempty"` // what could not be written down
		Volumes []turnsrv.Volume     `json:"volumes,omitempty"` // what users have had of the day's
		// Reached is turnsrv.Server.Reached, in nanoseconds, by family.
		Reached map[turnsrv.Family]time.Duration `json:"reached,omitempty"`
		Ports   []turnsrv.Ports                  `json:"ports,omitempty"` // relay ports that are given out
		Left    bool                             `json:"left,omitempty"`  // turnsrv.Server.Left
	}
	readiness struct {
		Unused []string `json:"unused"` // inherited listeners that the configuration does not name
	}
	introduction struct {
		PID        int `json:"pid"`
		Generation int `json:"generation"`
	}
	reportQuestion struct {
		Tables bool         `json:"tables"`
		Counts admin.Counts `json:"counts"` // of who asks
	}
	order struct {
		Action   string `json:"action"`
		Argument string `json:"argument"`
	}
	stopOrder struct {
		Now bool `json:"now"` // without waiting for calls
	}
)

// family is what a process knows of the others of its server.
type family struct {
	log        *slog.Logger
	generation int // one more with every upgrade
	node       *node
	admin      admin.Config // of this process
	wake       chan struct{}

	ready chan readiness // of the successor
	going chan handover  // from the predecessor

	mu        sync.Mutex
	relatives []*relative
	past      admin.Counts // of relatives that have ended
	stop      *stopOrder   // somebody has told us to go down
}

// relative is another process of this server.
type relative struct {
	pid, generation int
	link            *kin.Link    // nil: its version has none
	last            admin.Report // under mu
}

func newFamily(log *slog.Logger, generation int) *family {
	return &family{
		log: log, generation: generation, wake: make(chan struct{}, 1),
		ready: make(chan readiness, 1), going: make(chan handover, 1),
	}
}

// join gives the family the node that it speaks of.
func (f *family) join(n *node) {
	f.node = n
	f.admin = n.adminConfig()
	f.admin.Others, f.admin.Tell, f.admin.Past = f.others, n.tellAll, f.counted
}

// add makes a relative of the process at the other end of a link, or of one without
// a link. ended is closed when the process has, nil where nobody knows but its link.
func (f *family) add(pid, generation int, open func(kin.Handler) *kin.Link, ended <-chan struct{}) *relative {
	r := &relative{pid: pid, generation: generation}
	r.last.PID = pid
	if open != nil {
		r.link = open(func(ask string, body json.RawMessage, file *os.File) (any, error) {
			return f.answer(r, ask, body, file)
		})
	}
	f.mu.Lock()
	f.relatives = append(f.relatives, r)
	f.mu.Unlock()
	go func() {
		if r.link != nil {
			<-r.link.Done()
		}
		if ended == nil {
			ended = dead(pid)
		}
		<-ended
		f.remove(r)
	}()
	return r
}

// dead is closed when a process has ended, which may be a moment after its link.
func dead(pid int) <-chan struct{} {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for pause := time.Millisecond; alive(pid); pause = min(2*pause, 250*time.Millisecond) {
			<-time.After(pause)
		}
		// A grandchild whose parent has died before is this process's to bury, see
		// upgrade.
		_, _ = syscall.Wait4(pid, nil, syscall.WNOHANG, nil)
	}()
	return ended
}

// alive reports whether a process runs, or is stopped; a zombie does not.
func alive(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return !errors.Is(err, os.ErrNotExist) && syscall.Kill(pid, 0) == nil
	}
	_, state, _ := bytes.Cut(stat[bytes.LastIndexByte(stat, ')')+1:], []byte(" ")) // proc(5): the name may hold anything
	return len(state) > 0 && state[0] != 'Z' && state[0] != 'X'
}

// remove takes out a relative that has ended.
func (f *family) remove(r *relative) {
	f.mu.Lock()
	f.relatives = slices.DeleteFunc(f.relatives, func(other *relative) bool { return other == r })
	f.past.AddPast(&r.last.Counts)
	f.mu.Unlock()
	f.log.Debug("another process of this server has ended", "pid", r.pid)
	f.poke()
	if f.node != nil {
		f.node.askElders()
	}
}

func (f *family) poke() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// all returns the relatives of the moment.
func (f *family) all() []*relative {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.relatives)
}

// succeeded reports whether a younger process lives.
func (f *family) succeeded() bool {
	return slices.ContainsFunc(f.all(), func(r *relative) bool { return r.generation > f.generation })
}

// youngest is the pid of the process that serves.
func (f *family) youngest() int {
	all := f.all()
	if len(all) == 0 {
		return os.Getpid()
	}
	return slices.MaxFunc(all, func(a, b *relative) int { return a.generation - b.generation }).pid
}

// inherit adds the counts that a predecessor has of processes that have ended.
func (f *family) inherit(past admin.Counts) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.past.AddPast(&past)
}

// stopped returns what somebody has told this process.
func (f *family) stopped() *stopOrder {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stop
}

// errNoLink is about a process whose version knows no link.
var errNoLink = errors.New("it is of a version that cannot be told anything")

// ask asks every relative at once, and returns when all have answered or patience is
// over. each is called by one goroutine at a time.
func ask[T any](f *family, patience time.Duration, what string, body any, each func(r *relative, answer T, err error)) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var one sync.Mutex
	var asked sync.WaitGroup
	for _, r := range f.all() {
		asked.Go(func() {
			var answer T
			err := errNoLink
			if r.link != nil {
				err = r.link.Ask(ctx, what, body, nil, &answer)
			}
			if errors.Is(err, kin.ErrEnded) && !alive(r.pid) {
				return // and nothing of it is left
			}
			one.Lock()
			defer one.Unlock()
			each(r, answer, err)
		})
	}
	asked.Wait()
}

// others asks for the reports of the other processes. One that does not answer is
// shown as it was, and that it does not answer.
func (f *family) others(tables bool) (reports []admin.Report) {
	if len(f.all()) == 0 {
		return nil // what it costs is for upgrades
	}
	question := reportQuestion{tables, f.admin.Counts()}
	ask(f, scrapePatience, askReport, question, func(r *relative, report admin.Report, err error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if err == nil {
			r.last = report
			r.last.Tables = nil
		} else {
			report = r.last
			report.PID, report.Draining, report.Silent = r.pid, true, err.Error()
		}
		reports = append(reports, report)
	})
	slices.SortFunc(reports, func(a, b admin.Report) int { return b.Started.Compare(a.Started) })
	return reports
}

// counted are the counts of processes that have ended.
func (f *family) counted() (sum admin.Counts) {
	f.mu.Lock()
	defer f.mu.Unlock()
	sum.AddPast(&f.past)
	return sum
}

// tell passes an action of the operator on.
func (f *family) tell(action, argument string) (told []admin.Told) {
	ask(f, askPatience, askAct, order{action, argument}, func(r *relative, done admin.Outcome, err error) {
		told = append(told, admin.Told{PID: r.pid, Outcome: done, Err: err})
	})
	return told
}

// reload has the others read the configuration again.
func (f *family) reload() {
	ask(f, askPatience, askReload, nil, func(r *relative, _ struct{}, err error) {
		if err != nil {
			f.log.Error("reload: the old process, which carries its last calls, has not followed; end it with kill, which ends its calls, if it must", "pid", r.pid, "error", err)
		}
	})
}

// end has the others go down as well.
func (f *family) end(now bool) {
	ask(f, scrapePatience, askStop, stopOrder{now}, func(r *relative, _ struct{}, err error) {
		if err != nil {
			f.log.Warn("the old process, which carries its last calls, was not told to go down; end it with kill", "pid", r.pid, "error", err)
		}
	})
}

// youngestLinked is the process that serves, nil if it cannot be told anything.
func (f *family) youngestLinked() (youngest *relative) {
	for _, r := range f.all() {
		if r.link != nil && r.generation > f.generation && (youngest == nil || r.generation > youngest.generation) {
			youngest = r
		}
	}
	return youngest
}

// farewell tells the others what this process has counted, for good.
func (f *family) farewell() {
	if len(f.all()) == 0 {
		return
	}
	report := f.admin.Report(false)
	ask(f, scrapePatience, askBye, report, func(*relative, struct{}, error) {})
	if volumes := f.node.turn.Volumes(true); len(volumes) > 0 {
		// To one alone, or it would count twice in the sum.
		if r := f.youngestLinked(); r != nil {
			ctx, cancel := context.WithTimeout(context.Background(), scrapePatience)
			defer cancel()
			_ = r.link.Ask(ctx, askVolume, volumes, nil, nil)
		}
	}
}

// answer answers a relative's question.
func (f *family) answer(r *relative, what string, body json.RawMessage, file *os.File) (any, error) {
	if file != nil && what != askAdopt {
		file.Close()
	}
	switch what {
	case askGo:
		h, err := decode[handover](body)
		if err == nil {
			select {
			case f.going <- h:
			default:
			}
		}
		return nil, err
	case askReady:
		ready, err := decode[readiness](body)
		if err == nil {
			select {
			case f.ready <- ready:
			default:
			}
		}
		return nil, err
	case askAdopt:
		who, err := decode[introduction](body)
		if file == nil || err != nil {
			return nil, errors.Join(err, errors.New("no link came with it"))
		}
		conn, err := kin.Conn(file)
		if err != nil {
			return nil, err
		}
		f.add(who.PID, who.Generation, func(h kin.Handler) *kin.Link { return kin.New(conn, h) }, nil)
		return nil, nil
	case askReport:
		q, err := decode[reportQuestion](body)
		if err != nil {
			return nil, err
		}
		f.mu.Lock()
		r.last.Counts = q.Counts
		f.mu.Unlock()
		if !f.node.serving.Load() {
			return nil, errors.New("it does not serve yet")
		}
		report := f.admin.Report(q.Tables)
		report.Draining = true // who asks is the one that serves
		return report, nil
	case askAct:
		o, err := decode[order](body)
		if err != nil {
			return nil, err
		}
		done, err := f.admin.Do(o.Action, o.Argument)
		if err == nil {
			f.log.Info("done for the process that serves", "action", o.Action, "argument", o.Argument, "sessions", done.Sessions, "allocations", done.Allocations)
		}
		return done, err
	case askReload:
		return nil, f.node.reload(f.node.environ)
	case askStop:
		s, err := decode[stopOrder](body)
		if err != nil {
			return nil, err
		}
		f.mu.Lock()
		f.stop = &s
		f.mu.Unlock()
		f.poke()
		return nil, nil
	case askPorts:
		left, err := decode[bool](body)
		if left {
			f.node.turn.SetLeft()
		}
		return f.node.turn.Ports(), err
	case askVolume:
		volumes, err := decode[[]turnsrv.Volume](body)
		if err == nil {
			f.node.turn.AddVolumes(volumes)
		}
		return nil, err
	case askBye:
		report, err := decode[admin.Report](body)
		if err != nil {
			return nil, err
		}
		f.mu.Lock()
		r.last = report
		f.mu.Unlock()
		return nil, nil
	}
	return nil, fmt.Errorf("this version does not know the question %q", what)
}

func decode[T any](body json.RawMessage) (value T, err error) {
	if err := json.Unmarshal(body, &value); err != nil {
		return value, fmt.Errorf("a question that cannot be read: %w", err)
	}
	return value, nil
}

// kinVariable tells a successor the predecessor's version of the link, its generation
// and its pid. Without it the predecessor knows no link.
const kinVariable = "_TURNHUB_KIN"

func kinEntry(generation int) string {
	return fmt.Sprintf("%s=%d,%d,%d", kinVariable, kin.Version, generation, os.Getpid())
}

// parseKin reads kinEntry; ok is false where there is none.
func parseKin(environ []string) (version, generation, pid int, ok bool) {
	for _, entry := range environ {
		if text, found := strings.CutPrefix(entry, kinVariable+"="); found {
			n, err := fmt.Sscanf(text, "%d,%d,%d", &version, &generation, &pid)
			return version, generation, pid, err == nil && n == 3
		}
	}
	return 0, 0, 0, false
}
