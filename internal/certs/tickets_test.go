package certs

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// ticketClock is a time of day that a test sets.
type ticketClock struct{ at time.Time }

func (c *ticketClock) now() time.Time { return c.at }

func newTicketClock() *ticketClock {
	return &ticketClock{time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
}

func openTestTickets(path string, clock *ticketClock) (*Tickets, *strings.Builder) {
	log := new(strings.Builder)
	return openTickets(path, slog.New(slog.NewTextHandler(log, nil)), clock.now), log
}

// A key seals for a day and opens for another one. The file has mode 0600, and whoever
// starts later has the same keys.
func TestTicketKeysRotate(t *testing.T) {
	path, clock := filepath.Join(t.TempDir(), "state", "ticket-keys"), newTicketClock()
	k, log := openTestTickets(path, clock)
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Fatalf("%v, %v", info.Mode(), err)
	}
	first := k.Keys()
	if len(first) != 1 {
		t.Fatalf("%d keys at first", len(first))
	}
	clock.at = clock.at.Add(ticketDay - time.Minute)
	if k.look() || !slices.Equal(k.Keys(), first) {
		t.Error("changed before the day was over")
	}
	clock.at = clock.at.Add(time.Minute)
	if !k.look() || len(k.Keys()) != 2 || k.Keys()[1] != first[0] || k.Keys()[0] == first[0] {
		t.Errorf("after a day: %d keys, changed %v", len(k.Keys()), k.Keys()[0] != first[0])
	}
	later, _ := openTestTickets(path, clock)
	if !slices.Equal(later.Keys(), k.Keys()) {
		t.Error("a process that starts later has other keys")
	}
	clock.at = clock.at.Add(ticketDay)
	if !k.look() || len(k.Keys()) != 2 || slices.Contains(k.Keys(), first[0]) {
		t.Errorf("after two days: %d keys, the first still there: %v", len(k.Keys()), slices.Contains(k.Keys(), first[0]))
	}
	if log.Len() > 0 {
		t.Errorf("logged: %s", log)
	}
}

// Two processes of an upgrade have one key, whichever of them makes it.
func TestTicketKeysAreShared(t *testing.T) {
	path, clock := filepath.Join(t.TempDir(), "ticket-keys"), newTicketClock()
	a, _ := openTestTickets(path, clock)
	b, _ := openTestTickets(path, clock)
	for range 5 {
		clock.at = clock.at.Add(ticketDay)
		a, b = b, a
		if !a.look() || !b.look() || !slices.Equal(a.Keys(), b.Keys()) {
			t.Fatal("two processes have different keys after a day")
		}
	}
}

// A clock that was wrong, or is, stops nothing: the key is changed once, then daily, and
// what it has sealed is opened for at most a day more.
func TestTicketKeysAfterTheClockWasSet(t *testing.T) {
	for _, by := range []time.Duration{-2 * time.Hour, -30 * ticketDay, -50 * 365 * ticketDay, 30 * ticketDay} {
		path, clock := filepath.Join(t.TempDir(), "ticket-keys"), newTicketClock()
		k, _ := openTestTickets(path, clock)
		old := k.Keys()[0]
		clock.at = clock.at.Add(by)
		if !k.look() || k.Keys()[0] == old {
			t.Errorf("clock set by %v: the key is not changed", by)
		}
		if by < 0 && !slices.Contains(k.Keys(), old) {
			t.Errorf("clock set by %v: the key before opens nothing any more", by)
		}
		for day := range 5 {
			if k.look() {
				t.Errorf("clock set by %v: changed twice", by)
			}
			last := k.Keys()[0]
			clock.at = clock.at.Add(ticketDay)
			if !k.look() || k.Keys()[0] == last || len(k.Keys()) != 2 || slices.Contains(k.Keys(), old) {
				t.Errorf("clock set by %v: day %d: %d keys", by, day, len(k.Keys()))
			}
		}
	}
	// One that goes back and back again is bounded too.
	path, clock := filepath.Join(t.TempDir(), "ticket-keys"), newTicketClock()
	k, _ := openTestTickets(path, clock)
	for range 3 * maxTicketKeys {
		clock.at = clock.at.Add(-2 * time.Hour)
		k.look()
	}
	if n := len(k.Keys()); n > maxTicketKeys {
		t.Errorf("%d keys", n)
	}
	if again, log := openTestTickets(path, clock); !slices.Equal(again.Keys(), k.Keys()) || log.Len() > 0 {
		t.Errorf("what was written is not read: %s", log)
	}
}

// A file that is damaged is replaced, one that cannot be read is left alone; either is
// said once, and there are keys in any case.
func TestTicketKeysDamaged(t *testing.T) {
	write := func(text string) func(string) error {
		return func(path string) error { return os.WriteFile(path, []byte(text), 0o600) }
	}
	line := "2026-03-01T12:00:00Z " + strings.Repeat("A", 43) + "=\n"
	for fault, c := range map[string]struct {
		damage   func(string) error
		replaced bool
	}{
		"empty":       {write(""), true},
		"cut":         {write(line[:40]), true},
		"zeros":       {write(strings.Repeat("\x00", 66)), true},
		"another's":   {write("{\"version\":2}\n"), true},
		"second cut":  {write(line + line[:30] + "\n"), true},
		"empty line":  {write(line + "\n"), true},
		"long key":    {write("2026-03-01T12:00:00Z " + strings.Repeat("A", 64) + "\n"), true},
		"many":        {write(strings.Repeat(line, maxTicketKeys+1)), true},
		"readable":    {func(path string) error { return os.Chmod(path, 0o644) }, true},
		"of a group":  {func(path string) error { return os.Chmod(path, 0o640) }, true},
		"a directory": {func(path string) error { _ = os.Remove(path); return os.Mkdir(path, 0o700) }, false},
		"huge":        {func(path string) error { return os.Truncate(path, 1<<30) }, false},
		"a dangling link": {func(path string) error {
			_ = os.Remove(path)
			return os.Symlink("nowhere", path)
		}, false},
	} {
		for _, running := range []bool{false, true} {
			path, clock := filepath.Join(t.TempDir(), "ticket-keys"), newTicketClock()
			k, log := openTestTickets(path, clock)
			old := k.Keys()
			if err := c.damage(path); err != nil {
				t.Fatal(err)
			}
			if running {
				k.look()
			} else {
				k, log = openTestTickets(path, clock)
			}
			if n := len(k.Keys()); n != 1 || k.Keys()[0] == [32]byte{} {
				t.Errorf("%s: %d keys", fault, n)
			}
			if same := slices.Equal(k.Keys(), old); same != (running && !c.replaced) {
				t.Errorf("%s, running %v: the keys of before: %v", fault, running, same)
			}
			for range 3 {
				k.look()
			}
			if said := log.String(); strings.Count(said, "\n") != 1 || !strings.Contains(said, path) {
				t.Errorf("%s, running %v: the log says: %s", fault, running, said)
			}
			if next, said := openTestTickets(path, clock); c.replaced != slices.Equal(next.Keys(), k.Keys()) || c.replaced != (said.Len() == 0) {
				t.Errorf("%s, running %v: the next process says: %s", fault, running, said)
			}
		}
	}
}

// Without a place in which to keep them, keys are in memory, and change all the same.
func TestTicketKeysInMemory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, lines := range map[string]int{"": 0, filepath.Join(file, "ticket-keys"): 1} {
		clock := newTicketClock()
		k, log := openTestTickets(path, clock)
		first := k.Keys()
		clock.at = clock.at.Add(ticketDay)
		if !k.look() || len(k.Keys()) != 2 || k.Keys()[1] != first[0] {
			t.Errorf("%q: %d keys after a day", path, len(k.Keys()))
		}
		if n := strings.Count(log.String(), "\n"); n != lines {
			t.Errorf("%q: %d lines: %s", path, n, log)
		}
	}
}
