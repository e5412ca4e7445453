package events

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestEmitNeverWaits, whatever the disk does.
func TestEmitNeverWaits(t *testing.T) {
	j := NewJournal(t.TempDir(), "", slog.New(slog.DiscardHandler))
	for range journalQueue + 100 {
		j.Emit(CallMissed, Data{})
	}
	if s := j.Stats(); s.Emitted[CallMissed] != journalQueue || s.Dropped[dropBusy] != 100 {
		t.Errorf("%+v", s)
	}
}

// TestHouseholdIsBounded: one that makes events without end leaves the others theirs.
func TestHouseholdIsBounded(t *testing.T) {
	j := NewJournal(t.TempDir(), "", slog.New(slog.DiscardHandler))
	admitted := 0
	for range 3000 {
		for _, one := range []string{"2001:db8::1", "2001:db8::2"} {
			if j.Admit(netip.MustParseAddr(one)) {
				admitted++
			}
		}
	}
	if admitted < 1000 || admitted > 1500 || j.Stats().Dropped[dropHousehold] != 6000-uint64(admitted) {
		t.Errorf("%d of one household, %+v", admitted, j.Stats())
	}
	if !j.Admit(netip.MustParseAddr("192.0.2.1")) {
		t.Error("another household has to suffer")
	}
}

// TestJournalsOfManyProcesses are read by whoever has the store, and removed once they
// are complete. What a killed process has left of a line is passed over.
func TestJournalsOfManyProcesses(t *testing.T) {
	r := newReceiver(t, nil)
	dir := t.TempDir()
	cut := filepath.Join(dir, journalPrefix+"0000000000000001-1-1"+journalSuffix)
	line, _ := (&Event{ID: "evt_old", Type: CallMissed, Time: day0, Data: Data{Reason: "old"}}).line()
	if err := os.WriteFile(cut, append(line, line[:20]...), 0o600); err != nil {
		t.Fatal(err)
	}
	mixed := filepath.Join(dir, journalPrefix+"0000000000000002-1-1"+journalSuffix)
	if err := os.WriteFile(mixed, []byte("\n\x00\xff{}\nnull\n[1]\n"+string(line)), 0o600); err != nil {
		t.Fatal(err)
	}
	a := serve(t, Config{Dir: dir, Webhooks: []Webhook{r.hook()}})
	b := NewJournal(dir, "b", slog.New(slog.DiscardHandler))
	for i := range 10 {
		b.write(&Event{ID: fmt.Sprint("evt_", i), Type: CallMissed, Time: day0, Data: Data{Reason: fmt.Sprint("b", i)}})
		a.emit(i, i+1)
	}
	r.until(t, "all", func(ids []string) bool { return len(ids) == 22 })
	for i := range 10 {
		if ids := r.ids(); !slices.Contains(ids, fmt.Sprint(i)) || !slices.Contains(ids, fmt.Sprint("b", i)) {
			t.Error(i, "is missing")
		}
	}
	if _, err := os.Stat(filepath.Join(dir, filepath.Base(b.file.Name()))); err == nil {
		t.Log("the name of the open file is that of the rename")
	}
	if files, _ := journals(dir); len(files) != 2 {
		t.Errorf("%v: want one of each that still writes", files)
	}
	b.close()
	eventually(t, "b's journal to go", func() bool { files, _ := journals(dir); return len(files) == 1 })
	if n := a.Store.Stats().Dropped[dropForm]; n != 5 {
		t.Errorf("%d lines passed over", n)
	}
}

// TestJournalsAreBounded where nobody reads them, and the events go on once somebody does.
func TestJournalsAreBounded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := NewJournal(dir, "", slog.New(slog.DiscardHandler))
	defer j.close()
	if err := os.WriteFile(filepath.Join(dir, journalPrefix+"x"+journalSuffix), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(dir, journalPrefix+"x"+journalSuffix), journalsSize+1); err != nil {
		t.Fatal(err)
	}
	e := &Event{ID: "evt_1", Type: CallMissed, Time: day0}
	j.write(e)
	if j.Stats().Dropped[dropJournals] != 1 {
		t.Error(j.Stats())
	}
	if err := os.Remove(filepath.Join(dir, journalPrefix+"x"+journalSuffix)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "room", func() bool { j.write(e); return j.file != nil })
}

// TestJournalTurns: a full one is followed by another, and too large an event is none.
func TestJournalTurns(t *testing.T) {
	dir := t.TempDir()
	j := NewJournal(dir, "", slog.New(slog.DiscardHandler))
	defer j.close()
	for range 50 {
		j.write(&Event{ID: "evt_1", Type: CallMissed, Time: day0, Data: Data{Reason: strings.Repeat("x", 60<<10)}})
	}
	files, err := journals(dir)
	if err != nil || len(files) != 3 {
		t.Errorf("%v, %v", files, err)
	}
	for _, f := range files {
		if f.size > journalSize {
			t.Error(f)
		}
	}
	j.write(&Event{ID: "evt_1", Type: CallMissed, Time: day0, Data: Data{Reason: strings.Repeat("x", maxEvent)}})
	if j.Stats().Dropped[dropSize] != 1 {
		t.Error(j.Stats())
	}
}

// TestNoDirectory: what cannot be written is counted, and the log says so.
func TestNoDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	j := NewJournal(filepath.Join(file, "events"), "", slog.New(slog.NewTextHandler(&log, nil)))
	j.write(&Event{ID: "evt_1", Type: CallMissed, Time: day0})
	if j.Stats().Dropped[dropDisk] != 1 || !strings.Contains(log.String(), "events are lost") {
		t.Error(j.Stats(), log.String())
	}
}
