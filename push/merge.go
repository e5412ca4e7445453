package push

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"time"
)

// Where there are several nodes, each has a record of every user, and any of them may change
// its own at any time, the cluster's store at hand or not. Two records of a user become one by
// merge, in whatever order and however often: whoever has heard the same has the same. So what
// has been removed is remembered, for as long as the name is kept, or it would come back from
// a node that has not heard of it: subscriptions by what follows from their endpoint, calls
// that were seen by their ids, and the whole user by Void, before which nothing was.

const (
	maxGone = 32 // subscriptions of a user that are remembered to be gone
	maxSeen = 64 // calls
)

// kept reports whether a record is more than the memory of one.
func (r *record) kept() bool { return r != nil && len(r.Proof) > 0 }

// since is what is left of a record when nothing is that was before.
func (r *record) since(void int64) record {
	o := *r
	o.Subs = slices.DeleteFunc(slices.Clone(r.Subs), func(sub subscription) bool { return sub.Version <= void })
	o.Missed = slices.DeleteFunc(slices.Clone(r.Missed), func(call Missed) bool { return call.At <= void })
	switch {
	case r.Born > void:
	case len(o.Subs)+len(o.Missed) > 0:
		o.Born = void + 1
	default:
		o.Proof = nil
	}
	return o
}

// digest names a subscription that is gone.
func digest(endpoint string) string {
	sum := sha256.Sum256([]byte(endpoint))
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

// void empties a record: whatever it says is no more, by whichever clock that was written.
func (r *record) void(now time.Time) {
	void := max(now.UnixMilli(), r.Born, r.Void+1)
	for _, sub := range r.Subs {
		void = max(void, sub.Version)
	}
	for _, call := range r.Missed {
		void = max(void, call.At)
	}
	for _, at := range r.Gone {
		void = max(void, at)
	}
	for _, at := range r.Seen {
		void = max(void, at)
	}
	*r = record{Used: now.Unix(), Void: void}
}

// dated gives what was written down before there were several nodes its times, without which
// a merge takes it for older than everything.
func (r *record) dated() {
	if !r.kept() {
		return
	}
	r.Born = max(r.Born, r.Void+1)
	for i, sub := range r.Subs {
		if sub.Version == 0 {
			r.Subs[i].Version = max(sub.Since*1000, r.Void+1)
		}
	}
}

// claim makes a record that of whoever has this proof.
func (r *record) claim(proof []byte, now time.Time) {
	r.Proof, r.Born = proof, max(now.UnixMilli(), r.Void+1)
}

// remove removes a subscription.
func (r *record) remove(endpoint string, now time.Time) {
	for _, sub := range r.Subs {
		if sub.Endpoint == endpoint {
			if r.Gone == nil {
				r.Gone = make(map[string]int64)
			}
			r.Gone[digest(endpoint)] = max(now.UnixMilli(), sub.Version)
		}
	}
	r.Subs = slices.DeleteFunc(r.Subs, func(o subscription) bool { return o.Endpoint == endpoint })
	r.Gone = newest(r.Gone, maxGone)
}

// see forgets calls that were seen.
func (r *record) see(calls []string, now time.Time) {
	r.Missed = slices.DeleteFunc(r.Missed, func(m Missed) bool {
		is := slices.Contains(calls, m.Call)
		if is {
			if r.Seen == nil {
				r.Seen = make(map[string]int64)
			}
			r.Seen[m.Call] = max(now.UnixMilli(), m.At)
		}
		return is
	})
	r.Seen = newest(r.Seen, maxSeen)
}

// newest keeps the newest of what is remembered.
func newest(all map[string]int64, most int) map[string]int64 {
	if len(all) <= most {
		return all
	}
	names := slices.SortedFunc(maps.Keys(all), func(a, b string) int {
		return cmp.Or(cmp.Compare(all[b], all[a]), cmp.Compare(a, b))
	})
	for _, name := range names[most:] {
		delete(all, name)
	}
	return all
}

// merge makes one record of two, which stay as they are; nil: there is none.
func merge(a, b *record, t tuning) *record {
	switch {
	case a == nil && b == nil:
		return nil
	case a == nil:
		a = new(record)
	case b == nil:
		b = new(record)
	}
	m := &record{Void: max(a.Void, b.Void), Used: max(a.Used, b.Used)}
	of := make([]record, 0, 2)
	for _, r := range []*record{a, b} {
		if o := r.since(m.Void); o.kept() {
			of = append(of, o)
		}
		m.Gone, m.Seen = later(m.Gone, r.Gone, m.Void), later(m.Seen, r.Seen, m.Void)
	}
	m.Gone, m.Seen = newest(m.Gone, maxGone), newest(m.Seen, maxSeen)
	if len(of) == 2 && !bytes.Equal(of[0].Proof, of[1].Proof) {
		// Two people have taken the name while their nodes did not hear each other: it is
		// the first one's.
		if c := cmp.Or(cmp.Compare(of[0].Born, of[1].Born), bytes.Compare(of[0].Proof, of[1].Proof)); c < 0 {
			of = of[:1]
		} else {
			of = of[1:]
		}
	}
	if len(of) == 0 {
		return m
	}
	subs := make(map[string]subscription)
	missed := make(map[string]Missed)
	for _, r := range of {
		m.Proof = r.Proof
		if m.Born == 0 || r.Born < m.Born {
			m.Born = r.Born
		}
		for _, sub := range r.Subs {
			if had, is := subs[sub.Endpoint]; !is || had.before(sub) {
				subs[sub.Endpoint] = sub
			}
		}
		for _, call := range r.Missed {
			missed[call.Call] = call
		}
	}
	for _, sub := range subs {
		if gone, is := m.Gone[digest(sub.Endpoint)]; !is || gone < sub.Version {
			m.Subs = append(m.Subs, sub)
		}
	}
	for _, call := range missed {
		if _, seen := m.Seen[call.Call]; !seen {
			m.Missed = append(m.Missed, call)
		}
	}
	slices.SortFunc(m.Subs, func(a, b subscription) int {
		return cmp.Or(cmp.Compare(b.Version, a.Version), cmp.Compare(a.Endpoint, b.Endpoint))
	})
	m.Subs = m.Subs[:min(len(m.Subs), t.devices)]
	slices.SortFunc(m.Missed, func(a, b Missed) int { return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Call, b.Call)) })
	m.Missed = m.Missed[max(0, len(m.Missed)-t.missed):]
	return m
}

// before reports whether another word about the same subscription is newer.
func (sub subscription) before(o subscription) bool {
	if c := cmp.Or(cmp.Compare(sub.Version, o.Version), cmp.Compare(sub.Refused, o.Refused)); c != 0 {
		return c < 0
	}
	a, _ := json.Marshal(sub)
	b, _ := json.Marshal(o)
	return bytes.Compare(a, b) < 0
}

// later is the union of two memories, of what is newer than void.
func later(a, b map[string]int64, void int64) map[string]int64 {
	var all map[string]int64
	for _, memory := range []map[string]int64{a, b} {
		for name, at := range memory {
			if at > void {
				if all == nil {
					all = make(map[string]int64)
				}
				all[name] = max(all[name], at)
			}
		}
	}
	return all
}

// same reports whether two records say the same.
func same(a, b *record, t tuning) bool {
	return reflect.DeepEqual(merge(a, a, t), merge(b, b, t))
}
