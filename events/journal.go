package events

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"turnhub/internal/netaddr"
	"turnhub/internal/ratelimit"
	"turnhub/internal/statefile"
)

const (
	journalQueue = 4096     // events that wait to be written
	journalBatch = 256      // of them written at once
	journalSize  = 1 << 20  // bytes after which another file is begun
	journalsSize = 64 << 20 // bytes of all journals that nobody has read
	maxEvent     = 64 << 10 // bytes of one

	journalPrefix, journalSuffix = "journal-", ".jsonl"
)

// eventsOfHousehold is more than the people of an office make, and far less than programs
// can.
var eventsOfHousehold = ratelimit.Rate{PerSecond: 10, Burst: 1000}

// Journal writes the events of this process down. The file is locked for as long as
// more may come; whoever reads it to the end and gets the lock may remove it.
type Journal struct {
	dir, node  string
	log        *slog.Logger
	start      time.Time
	queue      chan *Event
	households *ratelimit.Table[netip.Prefix]
	wrote      chan struct{}
	emitted    counts
	dropped    counts

	file    *os.File // of Serve alone
	size    int64
	begun   int
	retryAt time.Time // after a failure
	said    time.Time // when the log was last told of one
}

// NewJournal returns a journal for the directory, which is made when the first event
// comes. node is the name of this node in a cluster, or empty.
func NewJournal(dir, node string, log *slog.Logger) *Journal {
	return &Journal{
		dir: dir, node: node, log: log, start: time.Now(), queue: make(chan *Event, journalQueue),
		households: ratelimit.NewTable[netip.Prefix](4096), wrote: make(chan struct{}, 1),
	}
}

// Admit is to be asked before an event that somebody at that address has caused: what
// one household makes beyond what people can is dropped, and counted.
func (j *Journal) Admit(from netip.Addr) bool {
	if j.households.Take(netaddr.Household(from), int64(time.Since(j.start)), eventsOfHousehold) {
		return true
	}
	j.dropped.add(dropHousehold, 1)
	return false
}

// Emit takes an event of the moment. It never waits: what cannot be taken is dropped
// and counted.
func (j *Journal) Emit(typ string, data Data) {
	select {
	case j.queue <- &Event{ID: newID(), Type: typ, Time: time.Now().UTC().Truncate(time.Millisecond), Node: j.node, Data: data}:
		j.emitted.add(typ, 1)
	default:
		j.Busy()
	}
}

// Busy counts an event that was dropped before it came here, since too many wait.
func (j *Journal) Busy() { j.dropped.add(dropBusy, 1) }

// Wrote receives when something has been written since it last did.
func (j *Journal) Wrote() <-chan struct{} { return j.wrote }

// Stats are the journal's counters.
func (j *Journal) Stats() Stats {
	return Stats{Emitted: j.emitted.copy(), Dropped: j.dropped.copy(), Deliveries: map[string]uint64{}}
}

// Serve writes until ctx ends, and then what has come until then.
func (j *Journal) Serve(ctx context.Context) {
	defer j.close()
	for {
		select {
		case e := <-j.queue:
			j.write(e)
		case <-ctx.Done():
			for {
				select {
				case e := <-j.queue:
					j.write(e)
				default:
					return
				}
			}
		}
	}
}

// write appends an event, and those that wait behind it, in one piece.
func (j *Journal) write(e *Event) {
	var text []byte
	n := 0
	for {
		if line, err := e.line(); err != nil || len(line) > maxEvent {
			j.dropped.add(dropSize, 1)
		} else {
			text = append(text, line...)
			n++
		}
		if n == journalBatch || len(text) > journalSize/2 {
			break
		}
		more := false
		select {
		case e, more = <-j.queue:
		default:
		}
		if !more {
			break
		}
	}
	if n == 0 {
		return
	}
	switch err := j.append(text); {
	case errors.Is(err, errJournals):
		j.dropped.add(dropJournals, n)
	case err != nil:
		j.dropped.add(dropDisk, n)
		if j.said.IsZero() || time.Since(j.said) > time.Minute {
			j.said = time.Now()
			j.log.Warn("events are lost, for webhooks and the history: they cannot be written down", "error", err, "remedy", "see to it that "+j.dir+" can be written and has room")
		}
	default:
		select {
		case j.wrote <- struct{}{}:
		default:
		}
	}
}

var errJournals = errors.New("the journals are full")

func (j *Journal) append(text []byte) error {
	if !j.retryAt.IsZero() && time.Until(j.retryAt) > 0 {
		return errJournals
	}
	j.retryAt = time.Time{}
	if j.file == nil || j.size+int64(len(text)) > journalSize {
		j.close()
		if err := j.open(); err != nil {
			j.retryAt = time.Now().Add(time.Second)
			return err
		}
	}
	n, err := j.file.Write(text)
	if err != nil {
		// Half a line would spoil the next one too.
		if n > 0 && j.file.Truncate(j.size) != nil {
			j.close()
		}
		return err
	}
	j.size += int64(n)
	return nil
}

// open begins a file. It has its name only once it is locked, so that no reader takes
// it for one that is complete.
func (j *Journal) open() error {
	if err := statefile.MakeDir(j.dir); err != nil {
		return err
	}
	files, err := journals(j.dir)
	if err != nil {
		return err
	}
	total := int64(0)
	for _, f := range files {
		total += f.size
	}
	if total > journalsSize {
		return errJournals
	}
	f, err := os.OpenFile(filepath.Join(j.dir, fmt.Sprintf(".new-%d", os.Getpid())), os.O_CREATE|os.O_TRUNC|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return fmt.Errorf("lock a journal: %w", err)
	}
	j.begun++
	// Sorted by name they are in the order in which they were begun.
	name := fmt.Sprintf("%s%016x-%d-%d%s", journalPrefix, time.Now().UnixNano(), os.Getpid(), j.begun, journalSuffix)
	if err := os.Rename(f.Name(), filepath.Join(j.dir, name)); err != nil {
		f.Close()
		return err
	}
	j.file, j.size = f, 0
	return nil
}

func (j *Journal) close() {
	if j.file != nil {
		j.file.Close()
		j.file = nil
	}
}

// journalFile is one of them as the directory shows it.
type journalFile struct {
	name string
	size int64
}

// journals lists those of a directory, the oldest first.
func journals(dir string) (all []journalFile, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), journalPrefix) || !strings.HasSuffix(e.Name(), journalSuffix) || !e.Type().IsRegular() {
			continue
		}
		if info, err := e.Info(); err == nil {
			all = append(all, journalFile{e.Name(), info.Size()})
		}
	}
	return all, err
}
