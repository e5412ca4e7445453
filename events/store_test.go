package events

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var day0 = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

func TestMain(m *testing.M) {
	if dir := os.Getenv("EVENTS_TEST_CHILD"); dir != "" {
		child(dir, os.Getenv("EVENTS_TEST_URL"))
		return
	}
	os.Exit(m.Run())
}

// child is a server that is about to be killed.
func child(dir, url string) {
	log := slog.New(slog.DiscardHandler)
	store, err := Open(context.Background(), Config{Dir: dir, History: time.Hour, Webhooks: []Webhook{{URL: url, Secrets: testSecret}}, Logger: log, tune: quick()})
	if err != nil {
		fmt.Println(err)
		return
	}
	j := NewJournal(dir, "", log)
	go j.Serve(context.Background())
	go store.Serve(context.Background(), j.Wrote())
	for i := range 500 {
		j.write(&Event{ID: fmt.Sprint("evt_", i), Type: CallMissed, Time: time.Now(), Data: Data{Reason: fmt.Sprint(i)}})
		fmt.Println(i) // it is in the kernel's hands
	}
	select {}
}

// TestKilled: what was written down when a process is killed arrives all the same, and
// hardly anything twice; the history has each once.
func TestKilled(t *testing.T) {
	t.Parallel()
	for _, after := range []int{1, 40, 300} {
		t.Run(fmt.Sprint(after), func(t *testing.T) {
			dir := t.TempDir()
			r := newReceiver(t, nil)
			process := exec.Command(os.Args[0])
			process.Env = append(os.Environ(), "EVENTS_TEST_CHILD="+dir, "EVENTS_TEST_URL="+r.hook().URL)
			out, err := process.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := process.Start(); err != nil {
				t.Fatal(err)
			}
			written := make(chan int)
			go func() {
				n := 0
				for scanner := bufio.NewScanner(out); scanner.Scan(); n++ {
				}
				written <- n
			}()
			r.until(t, "some", func(ids []string) bool { return len(ids) >= after })
			_ = process.Process.Kill()
			n := <-written
			_ = process.Wait()
			before := len(r.ids())
			t.Logf("%d written, %d sent", n, before)
			s := serve(t, Config{Dir: dir, History: time.Hour, Webhooks: []Webhook{r.hook()}})
			r.until(t, "all", func(ids []string) bool {
				slices.Sort(ids)
				return len(slices.Compact(ids)) >= n
			})
			eventually(t, "an empty queue", func() bool { return s.Store.Stats().Waiting == 0 })
			ids := r.ids()
			all := len(ids)
			slices.Sort(ids)
			different := len(slices.Compact(ids))
			if all-different > dueAtOnce {
				t.Errorf("%d arrived twice", all-different)
			}
			page, err := s.History(Query{})
			if err != nil || len(page.Rows) != different {
				t.Errorf("%d rows of %d, %v", len(page.Rows), different, err)
			}
		})
	}
}

// TestSlowReceiverDelaysNobody: while one webhook hangs, the journal is read, the other
// gets its events, and the history answers.
func TestSlowReceiverDelaysNobody(t *testing.T) {
	release := make(chan struct{})
	slow := newReceiver(t, func(_ http.ResponseWriter, r *http.Request, _ Event) bool {
		select {
		case <-release:
		case <-r.Context().Done():
		}
		return false
	})
	defer close(release)
	quickly := newReceiver(t, nil)
	tune := quick()
	tune.timeout = time.Minute
	s := serve(t, Config{History: time.Hour, Webhooks: []Webhook{slow.hook(), quickly.hook()}, tune: tune})
	s.emit(0, 200)
	quickly.until(t, "all", func(ids []string) bool { return len(ids) == 200 })
	page, err := s.History(Query{})
	if err != nil || len(page.Rows) != 200 {
		t.Error(len(page.Rows), err)
	}
}

// TestDamaged: a store that lost its end, or a part, is set aside whatever is wrong with
// it, and the server goes on.
func TestDamaged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := serve(t, Config{Dir: dir, History: time.Hour, Webhooks: []Webhook{{URL: "http://127.0.0.1:9/", Secrets: testSecret}}})
	s.emit(0, 2000)
	eventually(t, "a store", func() bool { page, err := s.History(Query{}); return err == nil && len(page.Rows) == MaxRows })
	s.stop()
	sound, err := os.ReadFile(filepath.Join(dir, storeFile))
	if err != nil {
		t.Fatal(err)
	}
	seed := uint64(time.Now().UnixNano())
	t.Log("seed", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	damages := map[string]func([]byte) []byte{
		"a byte":       func(b []byte) []byte { return b[:1] },
		"a page":       func(b []byte) []byte { return b[:4096] },
		"half of it":   func(b []byte) []byte { return b[:len(b)/2] },
		"no last page": func(b []byte) []byte { return b[:len(b)-4096] },
		"zeroes":       func(b []byte) []byte { clear(b); return b },
		"text":         func(b []byte) []byte { return []byte(strings.Repeat("not a store\n", 5000)) },
	}
	for i := range 6 {
		damages[fmt.Sprint("page ", i)] = func(b []byte) []byte {
			page := b[random.IntN(len(b)/4096)*4096:][:4096]
			for j := range page {
				page[j] = byte(random.Uint32())
			}
			return b
		}
	}
	for what, damage := range damages {
		bad := t.TempDir()
		if err := os.WriteFile(filepath.Join(bad, storeFile), damage(slices.Clone(sound)), 0o600); err != nil {
			t.Fatal(err)
		}
		r := newReceiver(t, nil)
		s := serve(t, Config{Dir: bad, History: time.Hour, Webhooks: []Webhook{r.hook()}})
		s.emit(0, 3)
		r.until(t, what, func(ids []string) bool { return len(ids) >= 3 })
		if _, err := s.History(Query{Text: "nothing"}); err != nil {
			t.Error(what, err)
		}
		s.stop()
	}
}

// TestOneAtATime: a successor waits until its predecessor has left the store.
func TestOneAtATime(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := serve(t, Config{Dir: dir})
	ctx, cancel := context.WithTimeout(t.Context(), 600*time.Millisecond)
	defer cancel()
	if _, err := Open(ctx, Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	group.Go(func() {
		next, err := Open(t.Context(), Config{Dir: dir})
		if err != nil {
			t.Error(err)
			return
		}
		next.db.Close()
	})
	s.stop()
	group.Wait()
}

// TestHistory: what is asked for is found, the newest first, page by page.
func TestHistory(t *testing.T) {
	s := serve(t, Config{History: 24 * time.Hour})
	now := time.Now().UTC().Truncate(time.Millisecond)
	var lines [][]byte
	var all []*Event
	for i := range 50 {
		e := &Event{ID: fmt.Sprint("evt_", i), Type: CallEnded, Time: now.Add(time.Duration(i-50) * time.Minute),
			Data: Data{Call: &Call{ID: fmt.Sprint("c_", i), Kind: "room", Room: "Blue-Fox"}, People: []Person{{Session: "s_1", User: "anna", Name: "Änne"}}}}
		if i%5 == 0 {
			e.Type, e.Data = CallMissed, Data{From: &Person{User: "boris"}, To: "Carla", Reason: "timeout"}
		}
		line, _ := e.line()
		all, lines = append(all, e), append(lines, line)
	}
	if err := s.enter("test", 1, all, lines); err != nil {
		t.Fatal(err)
	}
	for what, tc := range map[string]struct {
		q    Query
		want int
	}{
		"all":      {Query{}, 50},
		"types":    {Query{Types: []string{CallMissed}}, 10},
		"room":     {Query{Text: "blue-f"}, 40},
		"user":     {Query{Text: "ANNA"}, 40},
		"name":     {Query{Text: "änne"}, 40},
		"form D":   {Query{Text: "a\u0308nne"}, 40},
		"caller":   {Query{Text: "Boris"}, 10},
		"callee":   {Query{Text: "carla"}, 10},
		"id":       {Query{Text: "evt_49"}, 1},
		"nobody":   {Query{Text: "zoe"}, 0},
		"from":     {Query{From: now.Add(-10 * time.Minute)}, 10},
		"to":       {Query{To: now.Add(-10 * time.Minute)}, 40},
		"between":  {Query{From: now.Add(-20 * time.Minute), To: now.Add(-10 * time.Minute)}, 10},
		"past":     {Query{To: now.Add(-time.Hour)}, 0},
		"no JSON":  {Query{Text: `"type"`}, 0},
		"one page": {Query{Limit: 7}, 7},
	} {
		page, err := s.History(tc.q)
		if err != nil || len(page.Rows) != tc.want {
			t.Errorf("%s: %d rows, want %d, %v", what, len(page.Rows), tc.want, err)
		}
		if !slices.IsSortedFunc(page.Rows, func(a, b Event) int { return b.Time.Compare(a.Time) }) {
			t.Errorf("%s: not the newest first", what)
		}
	}
	var ids []string
	for q := (Query{Limit: 7}); ; {
		page, err := s.History(q)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Rows {
			ids = append(ids, e.ID)
		}
		if q.After = page.Next; page.Next == "" {
			break
		}
	}
	if slices.Sort(ids); len(slices.Compact(ids)) != 50 || len(ids) != 50 {
		t.Errorf("%d rows over the pages", len(ids))
	}
	if _, err := s.History(Query{After: "x"}); err == nil {
		t.Error("any cursor is taken")
	}
}

// TestHistoryIsBounded by number and by age, with the usage of the days.
func TestHistoryIsBounded(t *testing.T) {
	tune := quick()
	tune.history = 30
	s := serve(t, Config{History: 24 * time.Hour, tune: tune})
	s.emit(0, 100)
	eventually(t, "100", func() bool {
		page, _ := s.History(Query{})
		return len(page.Rows) == 30 && page.Rows[0].Data.Reason == "99"
	})
	old := &Event{ID: "evt_old", Type: CallMissed, Time: time.Now().Add(-72 * time.Hour), Data: Data{To: "anna"}}
	line, _ := old.line()
	if err := s.enter("test", 1, []*Event{old}, [][]byte{line}); err != nil {
		t.Fatal(err)
	}
	count := func() int { rows, _, _ := s.Usage("0000", "9999", nil); return len(rows) }
	if count() != 2 {
		t.Error(count())
	}
	cfg := s.cfg
	s.stop()
	s = serve(t, cfg) // which prunes
	if rows, _, err := s.Usage("0000", "9999", nil); err != nil || len(rows) != 1 || rows[0].Missed != 100 {
		t.Error(rows, err)
	}
}

// TestNoHistory keeps nothing, and the webhooks get theirs.
func TestNoHistory(t *testing.T) {
	r := newReceiver(t, nil)
	s := serve(t, Config{Webhooks: []Webhook{r.hook()}})
	s.emit(0, 3)
	r.until(t, "three", func(ids []string) bool { return len(ids) == 3 })
	page, err := s.History(Query{})
	rows, _, uerr := s.Usage("0000", "9999", nil)
	if len(page.Rows)+len(rows) != 0 || err != nil || uerr != nil {
		t.Error(page, rows, err, uerr)
	}
}

// TestForget leaves nothing of what was remembered.
func TestForget(t *testing.T) {
	dir := t.TempDir()
	if err := Forget(filepath.Join(dir, "none")); err != nil {
		t.Error(err)
	}
	s := serve(t, Config{Dir: dir, History: time.Hour})
	s.emit(0, 3)
	eventually(t, "three", func() bool { page, _ := s.History(Query{}); return len(page.Rows) == 3 })
	s.stop()
	if err := Forget(dir); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Error(left)
	}
}

// TestUsage adds up by user and day, and users beyond the bound are counted together.
func TestUsage(t *testing.T) {
	s := serve(t, Config{History: 24 * time.Hour})
	j := s.Journal
	left := func(user string, seconds float64) {
		j.Emit(CallLeft, Data{Call: &Call{}, Person: &Person{User: user, Seconds: seconds, Bytes: 1000}})
	}
	left("anna", 60)
	left("anna", 30)
	left("", 5)
	left(strings.Repeat("x", 1000), 7)
	j.Emit(AllocationEnded, Data{Relay: &Relaying{User: "anna", ToPeer: 10, ToClient: 20}})
	j.Emit(AllocationRefused, Data{Relay: &Relaying{User: "anna", Times: 3}})
	today := day(time.Now())
	eventually(t, "four rows", func() bool {
		rows, _, _ := s.Usage(today, today, nil)
		return len(rows) == 3 && rows[2].Refused == 3
	})
	rows, more, err := s.Usage(today, today, nil)
	want := Usage{Day: today, User: "anna", Calls: 2, Seconds: 90, Bytes: 2000, Allocations: 1, ToPeer: 10, ToClient: 20, Refused: 3}
	if err != nil || more || rows[2] != want || rows[0].User != "" || rows[1].User != otherUsers {
		t.Errorf("%+v, %v", rows, err)
	}
	name := "anna"
	if rows, _, _ := s.Usage(today, today, &name); len(rows) != 1 || rows[0] != want {
		t.Error(rows)
	}
	if rows, _, _ := s.Usage("2020-01-01", "2020-01-31", nil); len(rows) != 0 {
		t.Error(rows)
	}
}

// TestLineFile has each event, goes on after logrotate, and sets itself aside when full.
func TestLineFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "events.jsonl")
	tune := quick()
	tune.fileSize = 20_000
	s := serve(t, Config{File: file, tune: tune})
	lines := func(name string) (reasons []string) {
		text, _ := os.ReadFile(name)
		for line := range strings.Lines(string(text)) {
			var e Event
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Fatal(err)
			}
			reasons = append(reasons, e.Data.Reason)
		}
		return reasons
	}
	s.emit(0, 10)
	eventually(t, "ten", func() bool { return slices.Equal(lines(file), numbers(0, 10)) })
	if err := os.Rename(file, file+".rotated"); err != nil {
		t.Fatal(err)
	}
	s.emit(10, 20)
	eventually(t, "ten more", func() bool { return slices.Equal(lines(file), numbers(10, 20)) })
	for i := 20; i < 300; i += 20 {
		s.emit(i, i+20)
		eventually(t, "another", func() bool { return s.written(i + 19) })
	}
	aside := lines(file + ".1")
	if len(aside) == 0 || aside[0] != "10" || !slices.Equal(append(aside, lines(file)...), numbers(10, 300)) {
		t.Errorf("%v and %v", aside, lines(file))
	}
}

// written reports whether so many events have been read.
func (s *server) written(n int) bool {
	text, _ := os.ReadFile(s.cfg.File)
	aside, _ := os.ReadFile(s.cfg.File + ".1")
	mark := fmt.Sprintf(`"reason":"%d"`, n)
	return strings.Contains(string(text), mark) || strings.Contains(string(aside), mark)
}

// FuzzJournal: whatever is in a journal, it is read to its end.
func FuzzJournal(f *testing.F) {
	line, _ := (&Event{ID: "evt_1", Type: CallMissed, Time: day0, Data: Data{From: &Person{}, To: "x"}}).line()
	f.Add(line)
	f.Add([]byte("{\"id\":\"x\"}\n\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		s, err := Open(t.Context(), Config{Dir: dir, History: time.Hour, tune: quick()})
		if err != nil {
			t.Fatal(err)
		}
		defer s.db.Close()
		if err := os.WriteFile(filepath.Join(dir, journalPrefix+"1"+journalSuffix), text, 0o600); err != nil {
			t.Fatal(err)
		}
		s.readAll(t.Context())
		if files, _ := journals(dir); len(files) != 0 {
			t.Error("it is still there")
		}
	})
}
