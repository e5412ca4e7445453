package signaling

import (
	"fmt"
	"slices"
	"time"
)

// reference is calls by name, simply.
type reference struct {
	now     time.Time
	devices []*refDevice
	calls   []*refCall
	missed  map[string]time.Time // when a busy user was last told of a call
	made    int
}

type refDevice struct {
	user   string
	alive  bool
	online bool
	end    time.Time // when it is given up, if not online
	told   []string
}

type refCall struct {
	id       string
	caller   *refDevice
	callee   string
	rung     []*refDevice
	peer     *refDevice
	told     bool
	deadline time.Time
}

func (r *reference) tell(d *refDevice, format string, args ...any) {
	if d.alive {
		d.told = append(d.told, fmt.Sprintf(format, args...))
	}
}

func (r *reference) busy(user string) bool {
	return slices.ContainsFunc(r.calls, func(c *refCall) bool {
		return c.peer != nil && (c.caller.user == user || c.peer.user == user)
	})
}

func (r *reference) find(id string) *refCall {
	i := slices.IndexFunc(r.calls, func(c *refCall) bool { return c.id == id })
	if i < 0 {
		return nil
	}
	return r.calls[i]
}

func (r *reference) ring(c *refCall, d *refDevice) {
	c.rung = append(c.rung, d)
	r.tell(d, "incoming %s", c.id)
	r.reach(c, d)
}

func (r *reference) reach(c *refCall, d *refDevice) {
	if d.online && !c.told {
		c.told = true
		r.tell(c.caller, "ringing %s", c.id)
	}
}

func (r *reference) arrive(d *refDevice) {
	d.alive = true
	for _, c := range r.calls {
		if c.peer == nil && c.callee == d.user && c.caller != d {
			c.rung = append(c.rung, d)
			r.tell(d, "incoming %s", c.id)
		}
	}
	r.connect(d)
}

func (r *reference) connect(d *refDevice) {
	d.online = true
	for _, c := range r.calls {
		if c.peer == nil && slices.Contains(c.rung, d) {
			r.reach(c, d)
		}
	}
}

func (r *reference) invite(d *refDevice, user string) {
	for _, c := range r.calls {
		if c.peer == nil && c.callee == d.user && c.caller.user == user && slices.Contains(c.rung, d) {
			r.tell(d, "calling %s", c.id)
			r.answer(c, d)
			return
		}
	}
	for _, c := range r.calls {
		if c.peer == nil && c.caller == d && c.callee == user {
			r.tell(d, "calling %s", c.id)
			return
		}
	}
	r.made++
	c := &refCall{id: fmt.Sprintf("c_%d", r.made), caller: d, callee: user, deadline: r.now.Add(45 * time.Second)}
	r.tell(d, "calling %s", c.id)
	var to []*refDevice
	for _, x := range r.devices {
		if x.alive && x.user == user && x != d {
			to = append(to, x)
		}
	}
	switch {
	case len(to) == 0:
		r.tell(d, "ended %s unavailable", c.id)
	case r.busy(user):
		r.tell(d, "ended %s busy", c.id)
		// The model's calls that find the line busy may come within one second: then the first is told.
		if at, told := r.missed[user]; !told || r.now.Sub(at) >= time.Second {
			r.missed[user] = r.now
			for _, x := range to {
				r.tell(x, "missed %s", d.user)
			}
		}
	default:
		r.calls = append(r.calls, c)
		for _, x := range to {
			r.ring(c, x)
		}
	}
}

func (r *reference) answer(c *refCall, d *refDevice) {
	for _, x := range c.rung {
		if x != d {
			r.tell(x, "ended %s elsewhere", c.id)
		}
	}
	c.rung, c.peer = nil, d
	r.tell(c.caller, "accepted %s", c.id)
	r.tell(d, "accepted %s", c.id)
	for _, user := range []string{c.caller.user, d.user} {
		for _, o := range slices.Clone(r.calls) {
			if o.peer == nil && o.callee == user {
				r.end(o, "busy", nil)
			}
		}
	}
}

func (r *reference) end(c *refCall, reason string, by *refDevice) {
	r.calls = slices.DeleteFunc(r.calls, func(o *refCall) bool { return o == c })
	for _, x := range append([]*refDevice{c.caller, c.peer}, c.rung...) {
		if x == nil || x == by {
			continue
		}
		why := reason
		if reason == "declined" && x != c.caller {
			why = "elsewhere"
		}
		r.tell(x, "ended %s %s", c.id, why)
	}
}

// request is one of accept, decline and hangup.
func (r *reference) request(d *refDevice, what, id string) {
	c := r.find(id)
	rung := c != nil && slices.Contains(c.rung, d)
	switch {
	case what == "accept" && rung:
		r.tell(d, "ok")
		r.answer(c, d)
	case what == "decline" && rung, what == "hangup" && rung:
		r.tell(d, "ok")
		r.end(c, "declined", d)
	case what == "hangup" && c != nil && c.peer != nil && (c.peer == d || c.caller == d):
		r.tell(d, "ok")
		r.end(c, "hangup", d)
	case what == "hangup" && c != nil && c.peer == nil && c.caller == d:
		r.tell(d, "ok")
		r.end(c, "canceled", d)
	default:
		r.tell(d, "error")
	}
}

// gone ends a session.
func (r *reference) gone(d *refDevice, reason string) {
	d.alive, d.online = false, false
	if !slices.ContainsFunc(r.devices, func(x *refDevice) bool { return x.alive && x.user == d.user }) {
		delete(r.missed, d.user) // the hub has forgotten the user
	}
	hangup, cancel := reason, reason
	if reason == "leave" {
		hangup, cancel = "hangup", "canceled"
	}
	for _, c := range slices.Clone(r.calls) {
		if c.peer != nil && (c.peer == d || c.caller == d) {
			r.end(c, hangup, d)
		}
	}
	for _, c := range slices.Clone(r.calls) {
		if c.peer == nil && c.caller == d {
			r.end(c, cancel, d)
		}
	}
	for _, c := range slices.Clone(r.calls) {
		if i := slices.Index(c.rung, d); i >= 0 {
			c.rung = slices.Delete(c.rung, i, i+1)
			if len(c.rung) == 0 {
				r.end(c, "unavailable", nil)
			}
		}
	}
}

// advance does what time does, in its order.
func (r *reference) advance(to time.Time) {
	for {
		var at time.Time
		var do func()
		first := func(t time.Time, f func()) {
			if !t.After(to) && (do == nil || t.Before(at)) {
				at, do = t, f
			}
		}
		for _, c := range r.calls {
			if c.peer == nil {
				first(c.deadline, func() { r.end(c, "timeout", nil) })
			}
		}
		for _, d := range r.devices {
			if d.alive && !d.online {
				first(d.end, func() { r.gone(d, "lost") })
			}
		}
		if do == nil {
			r.now = to
			return
		}
		r.now = at
		do()
	}
}
