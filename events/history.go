package events

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/text/unicode/norm"
)

// Remembered are the types of which the history has a row: each says a whole call.
var Remembered = []string{CallEnded, CallMissed, AllocationRefused}

// remember enters an event into the history and the usage of the day.
func (s *Store) remember(tx *bbolt.Tx, e *Event, line []byte) error {
	if s.cfg.History == 0 {
		return nil
	}
	if err := s.count(tx, e); err != nil || !slices.Contains(Remembered, e.Type) {
		return err
	}
	b := tx.Bucket(bucketHistory)
	number, err := b.NextSequence()
	if err != nil {
		return err
	}
	if err := b.Put(historyKey(e.Time, number), bytes.TrimSuffix(line, []byte("\n"))); err != nil {
		return err
	}
	for s.rows++; s.rows > s.cfg.tune.history; s.rows-- {
		k, _ := b.Cursor().First()
		if k == nil {
			break
		}
		if err := b.Delete(k); err != nil {
			return err
		}
	}
	return nil
}

// historyKey sorts by time.
func historyKey(at time.Time, number uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, uint64(max(at.UnixMilli(), 0))), number)
}

// pruneAtOnce is how many rows one transaction removes at most.
const pruneAtOnce = 10_000

// prune removes what is older than the history reaches.
func (s *Store) prune(tx *bbolt.Tx, now time.Time) error {
	until := now.Add(-s.cfg.History)
	old := func(b *bbolt.Bucket, end []byte) (keys [][]byte) {
		c := b.Cursor()
		for k, _ := c.First(); k != nil && bytes.Compare(k, end) < 0 && len(keys) < pruneAtOnce; k, _ = c.Next() {
			keys = append(keys, slices.Clone(k))
		}
		return keys
	}
	history, usage := tx.Bucket(bucketHistory), tx.Bucket(bucketUsage)
	for _, k := range old(history, historyKey(until, 0)) {
		if err := history.Delete(k); err != nil {
			return err
		}
		s.rows--
	}
	for _, k := range old(usage, []byte(day(until))) {
		if err := usage.Delete(k); err != nil {
			return err
		}
	}
	return nil
}

// Query says which rows of the history are wanted.
type Query struct {
	From, To time.Time // To is not included; zero: no bound
	Text     string    // anywhere in the row, whatever its case
	Types    []string  // empty: all
	After    string    // Page.Next of the page before
	Limit    int       // rows; 0: the most
}

// MaxRows is how many rows one page of the history has at most.
const MaxRows = 1000

// Page is a part of the history, the newest first.
type Page struct {
	Rows []Event `json:"rows"`
	Next string  `json:"next,omitempty"` // for Query.After; empty: there are no more
}

// looked is how many rows one query looks at: a rare word must not keep a reader of
// the store for long.
const looked = 20_000

// History looks for rows.
func (s *Store) History(q Query) (page Page, err error) {
	limit := q.Limit
	if limit <= 0 || limit > MaxRows {
		limit = MaxRows
	}
	page.Rows = []Event{}
	end := []byte(nil)
	if !q.To.IsZero() {
		end = historyKey(q.To, 0)
	}
	if q.After != "" {
		after, err := base64.RawURLEncoding.DecodeString(q.After)
		if err != nil || len(after) != 16 {
			return page, ErrCursor
		}
		if end == nil || bytes.Compare(after, end) < 0 {
			end = after
		}
	}
	begin := historyKey(q.From, 0)
	if q.From.IsZero() {
		begin = nil
	}
	text := strings.ToLower(norm.NFC.String(q.Text)) // as names and rooms are kept, however it was typed
	err = s.view(func(tx *bbolt.Tx) error {
		c := tx.Bucket(bucketHistory).Cursor()
		k, v := c.Last()
		if end != nil {
			if k, v = c.Seek(end); k == nil {
				k, v = c.Last()
			}
			for k != nil && bytes.Compare(k, end) >= 0 {
				k, v = c.Prev()
			}
		}
		for seen := 0; k != nil && (begin == nil || bytes.Compare(k, begin) >= 0); k, v = c.Prev() {
			if e, ok := decode(v); ok && (len(q.Types) == 0 || slices.Contains(q.Types, e.Type)) && e.says(text) {
				page.Rows = append(page.Rows, *e)
			}
			if seen++; len(page.Rows) == limit || seen == looked {
				page.Next = base64.RawURLEncoding.EncodeToString(k)
				return nil
			}
		}
		return nil
	})
	return page, err
}

// ErrCursor is that of a Query.After that is none.
var ErrCursor = errors.New("that is not the `next` of a page")

// says reports whether a text, in lower case, is in something that a person looks for.
func (e *Event) says(text string) bool {
	if text == "" {
		return true
	}
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(strings.ToLower(w), text) })
	}
	d := &e.Data
	if has(e.ID, d.To, d.Reason, d.Path) || d.Call != nil && has(d.Call.ID, d.Call.Room) || d.Relay != nil && has(d.Relay.User, d.Relay.Session, d.Relay.Address) {
		return true
	}
	people := d.People
	if d.From != nil {
		people = append(slices.Clone(people), *d.From)
	}
	return slices.ContainsFunc(people, func(p Person) bool { return has(p.User, p.Name, p.Session) })
}

// Usage is what one user has used on one day (UTC).
type Usage struct {
	Day         string  `json:"day"`  // 2026-11-28
	User        string  `json:"user"` // empty: all who have no user name
	Calls       int     `json:"calls"`
	Seconds     float64 `json:"seconds"`     // in calls
	Bytes       uint64  `json:"bytes"`       // received, as browsers report
	Allocations int     `json:"allocations"` // that ended
	ToPeer      uint64  `json:"toPeer"`      // payload bytes relayed
	ToClient    uint64  `json:"toClient"`    // payload bytes relayed
	Missed      int     `json:"missed"`      // calls to the user
	Refused     int     `json:"refused"`     // allocations
}

const (
	usersPerDay = 10_000     // beyond these they are counted together
	otherUsers  = "(others)" // no user name has brackets
)

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

func usageKey(day, user string) []byte { return []byte(day + "\x00" + user) }

// count enters an event into the usage of its day.
func (s *Store) count(tx *bbolt.Tx, e *Event) error {
	d := &e.Data
	switch {
	case e.Type == CallLeft && d.Person != nil:
		return addUsage(tx, e.Time, d.Person.User, func(u *Usage) {
			u.Calls++
			u.Seconds += d.Person.Seconds
			u.Bytes += d.Person.Bytes
		})
	case e.Type == CallMissed:
		return addUsage(tx, e.Time, d.To, func(u *Usage) { u.Missed++ })
	case e.Type == AllocationEnded && d.Relay != nil:
		return addUsage(tx, e.Time, d.Relay.User, func(u *Usage) {
			u.Allocations++
			u.ToPeer += d.Relay.ToPeer
			u.ToClient += d.Relay.ToClient
		})
	case e.Type == AllocationRefused && d.Relay != nil:
		return addUsage(tx, e.Time, d.Relay.User, func(u *Usage) { u.Refused += max(d.Relay.Times, 1) })
	}
	return nil
}

// maxUserName is the longest name that has a line of its own, in bytes: credentials of
// other programs may name anything.
const maxUserName = 128

func addUsage(tx *bbolt.Tx, at time.Time, user string, add func(*Usage)) error {
	b := tx.Bucket(bucketUsage)
	if len(user) > maxUserName {
		user = otherUsers
	}
	key := usageKey(day(at), user)
	u := Usage{Day: day(at), User: user}
	known := b.Get(key)
	if known == nil {
		// The number of a day's users stands under a key that sorts before them all.
		counter := []byte(day(at))
		n := uint64(0)
		if v := b.Get(counter); len(v) == 8 {
			n = binary.BigEndian.Uint64(v)
		}
		if n >= usersPerDay && user != otherUsers {
			return addUsage(tx, at, otherUsers, add)
		}
		if err := b.Put(counter, binary.BigEndian.AppendUint64(nil, n+1)); err != nil {
			return err
		}
	} else if json.Unmarshal(known, &u) != nil {
		u = Usage{Day: day(at), User: user}
	}
	add(&u)
	text, err := json.Marshal(&u)
	if err != nil {
		return err
	}
	return b.Put(key, text)
}

// Usage returns what users have used from one day to another (2026-11-28), both
// included; user nil: all of them. There are at most MaxUsage rows, and more is true
// where that is not all.
func (s *Store) Usage(from, to string, user *string) (rows []Usage, more bool, err error) {
	rows = []Usage{}
	err = s.view(func(tx *bbolt.Tx) error {
		c := tx.Bucket(bucketUsage).Cursor()
		for k, v := c.Seek([]byte(from)); k != nil; k, v = c.Next() {
			date, name, isUser := strings.Cut(string(k), "\x00")
			if date > to {
				return nil
			}
			if !isUser || user != nil && name != *user {
				continue
			}
			if len(rows) == MaxUsage {
				more = true
				return nil
			}
			var u Usage
			if json.Unmarshal(v, &u) == nil {
				rows = append(rows, u)
			}
		}
		return nil
	})
	slices.SortStableFunc(rows, func(a, b Usage) int { return cmp.Or(cmp.Compare(b.Day, a.Day), cmp.Compare(a.User, b.User)) })
	return rows, more, err
}

// MaxUsage is how many rows Usage returns at most.
const MaxUsage = 20_000
