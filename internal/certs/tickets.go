package certs

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"turnhub/internal/statefile"
)

const (
	// ticketDay is for how long a key seals tickets, and then for how long it still opens
	// them.
	ticketDay = 24 * time.Hour
	// ticketLook is how often the file is read: another process of an upgrade may have
	// written it. As long may tickets of a key be useless that two processes made at once.
	ticketLook = 10 * time.Minute
	// maxAhead is how far in the future a key may have been made. Beyond that the clock was
	// wrong then or is now, and the key's age is unknown.
	maxAhead = time.Hour
	// maxTicketKeys bounds the file; more than three are only there while the clock jumps.
	maxTicketKeys = 8
)

// Tickets are the keys that TLS session tickets (RFC 8446 section 4.6.1) are sealed with.
// They outlive the process, so that clients that come back after a restart, all at once,
// need no whole handshake. The processes of an upgrade share them by their file. Safe for
// one goroutine at a time.
type Tickets struct {
	path string // empty: the keys are in memory only
	log  *slog.Logger
	now  func() time.Time
	keys []ticketKey // the newest first
	told string      // the last problem that the log was told of
}

type ticketKey struct {
	made time.Time
	key  [32]byte
}

// OpenTickets reads the keys from a file, or makes them. It cannot fail: a file that is
// damaged is replaced, as nothing is lost with it but a quick way in; one that cannot be
// read is left alone, and the keys are this process's.
func OpenTickets(path string, log *slog.Logger) *Tickets { return openTickets(path, log, time.Now) }

func openTickets(path string, log *slog.Logger, now func() time.Time) *Tickets {
	t := &Tickets{path: path, log: log, now: now}
	t.look()
	return t
}

// Keys returns the keys, first the one that new tickets are sealed with.
func (t *Tickets) Keys() [][32]byte {
	keys := make([][32]byte, 0, len(t.keys))
	for _, k := range t.keys {
		keys = append(keys, k.key)
	}
	return keys
}

// Serve changes the key once a day until ctx ends, and hands all of them to set whenever
// they are others than before.
func (t *Tickets) Serve(ctx context.Context, set func([][32]byte)) {
	tick := time.NewTicker(ticketLook)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if t.look() {
				set(t.Keys())
			}
		}
	}
}

// look reads the file, drops and makes what is due, and reports whether the keys are
// others now.
func (t *Tickets) look() (changed bool) {
	before := t.keys
	kept, damage, err := t.read()
	switch {
	case damage != nil:
		t.log.Warn("the keys of TLS session tickets are made anew; clients shake hands in full once", "file", t.path, "problem", damage)
		t.keys = nil
	case kept != nil:
		t.keys = kept
	}
	if t.turn(t.now().UTC().Round(0)) && t.path != "" && err == nil {
		err = t.write()
	}
	t.tell(err)
	return !slices.Equal(before, t.keys)
}

// turn drops the keys that are over and makes a new one when that is due.
func (t *Tickets) turn(now time.Time) (made bool) {
	within := func(at time.Time) bool {
		age := now.Sub(at)
		return age > -maxAhead && age < ticketDay
	}
	if made = len(t.keys) == 0 || !within(t.keys[0].made); made {
		k := ticketKey{made: now}
		rand.Read(k.key[:]) // never fails
		t.keys = slices.Insert(slices.Clone(t.keys), 0, k)
	}
	for i := 1; i < len(t.keys); i++ {
		if !within(t.keys[i-1].made) || i == maxTicketKeys { // since then it is not used any more
			t.keys = slices.Clone(t.keys[:i])
		}
	}
	return made
}

// read returns the keys of the file, none where there is none. damage: it is to be
// replaced; err: it is to be left alone.
func (t *Tickets) read() (keys []ticketKey, damage, err error) {
	if t.path == "" {
		return nil, nil, nil
	}
	text, err := statefile.Read(t.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%w; until then, clients that come back after a restart shake hands in full", err)
	}
	if info, err := os.Stat(t.path); err == nil && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("others may have read it: it had mode %04o", info.Mode().Perm()), nil
	}
	keys, damage = parseTickets(string(text))
	return keys, damage, nil
}

// parseTickets reads a line for each key: when it was made, and the key in base64.
func parseTickets(text string) (keys []ticketKey, err error) {
	for line := range strings.Lines(text) {
		made, sealed, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		var k ticketKey
		if k.made, err = time.Parse(time.RFC3339, made); err != nil {
			return nil, fmt.Errorf("it is damaged: line %d does not begin with a time", len(keys)+1)
		}
		key, err := base64.StdEncoding.DecodeString(sealed)
		if err != nil || len(key) != len(k.key) {
			return nil, fmt.Errorf("it is damaged: line %d holds no key of 32 bytes", len(keys)+1)
		}
		copy(k.key[:], key)
		if keys = append(keys, k); len(keys) > maxTicketKeys {
			return nil, fmt.Errorf("it is damaged: it holds more than %d keys", maxTicketKeys)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("it is damaged: it is empty")
	}
	return keys, nil
}

func (t *Tickets) write() error {
	var text []byte
	for _, k := range t.keys {
		text = k.made.UTC().AppendFormat(text, time.RFC3339Nano)
		text = append(text, ' ')
		text = base64.StdEncoding.AppendEncode(text, k.key[:])
		text = append(text, '\n')
	}
	if err := statefile.Write(t.path, text, 0o600); err != nil {
		return fmt.Errorf("%w; make state_dir writable for the user that the server runs as; until then, clients that come back after a restart shake hands in full", err)
	}
	return nil
}

// tell writes a problem to the log, once.
func (t *Tickets) tell(problem error) {
	text := ""
	if problem != nil {
		text = problem.Error()
	}
	if text != t.told && text != "" {
		t.log.Warn("the keys of TLS session tickets are kept in memory only", "problem", text)
	}
	t.told = text
}
