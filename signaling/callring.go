package signaling

import (
	"slices"
	"time"
)

// A call that rings: whom, and until when.

// announces makes what devices are told of the call. data is of the invitation.
func (c *call) announces(data []byte) {
	c.incoming = c.caller.describe(callState(c.id, "incoming").Text("from", c.caller.id))
	if data != nil {
		c.incoming = c.incoming.Raw("data", data)
	}
}

// begins has a ringing call known by its id and its two sides.
func (c *call) begins() {
	c.d.byCall[c.id] = c
	c.d.hub.second.call(c.id)
	c.callee.ringing = append(c.callee.ringing, c)
	c.caller.pending = append(c.caller.pending, c)
}

// ring gives the call to one of the callee's devices, unless they have ended it by themselves: its
// caller was long in coming to another node then.
func (c *call) ring(device *member) {
	if device == c.caller || slices.Contains(c.rung, device) || c.d.overs.of(c.id) == "timeout" {
		return
	}
	c.adds(device)
	if device.node != nil {
		c.ringThere(device)
		return
	}
	if reached := device.push(c.incoming); reached {
		c.rings()
	}
}

// adds counts a device as one that has the call.
func (c *call) adds(device *member) {
	device.hold()
	c.rung = append(c.rung, device)
	c.d.hub.second.call(c.id)
}

// silence has no device have the call any more.
func (c *call) silence() {
	for _, device := range c.rung {
		device.release()
	}
	c.rung = nil
}

// ringThere tells the node of a device, which takes no notice where that rings already.
func (c *call) ringThere(device *member) {
	device.node.say(kindCall, callFrame{
		Op: opRing, Call: c.id, Ref: device.there, User: c.callee.name, Caller: c.caller.person(0), Since: c.stamp, Data: c.data,
		Left: max(1, c.since.Add(c.d.hub.ring).Sub(c.d.hub.now()).Milliseconds()),
	})
}

// rings tells the caller, once, that a device has been reached.
func (c *call) rings() {
	if c.told {
		return
	}
	c.told = true
	c.d.hub.second.call(c.id)
	if c.owner != nil {
		c.owner.say(kindCall, callFrame{Op: opRings, Call: c.id, Ref: c.rung[0].ref})
		return
	}
	c.caller.push(callState(c.id, "ringing"))
}

// answers says that a device which a call may ring has a socket.
func (d *directory) answers(s *member) {
	if s.user == "" {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if u := d.users[s.user]; u != nil {
		for _, c := range u.ringing {
			if slices.Contains(c.rung, s) {
				c.rings()
			}
		}
	}
}

// greet tells the device that has accepted.
func (c *call) greet(s *member) {
	s.push(c.caller.describe(callState(c.id, "accepted").Text("peer", c.caller.id)).Bool("polite", false))
}

// unring takes the call out of those that wait for an answer.
func (c *call) unring() {
	is := func(o *call) bool { return o == c }
	c.callee.ringing = slices.DeleteFunc(c.callee.ringing, is)
	c.caller.pending = slices.DeleteFunc(c.caller.pending, is)
	c.d.show(c.callee)
}

// ringSlack is for how long the devices of a call ring at most once it should have ended, where
// its owner does not end it.
const ringSlack = 2 * movedWait

// expires ends the image of a call whose owner does not: nothing rings for ever.
func (c *call) expires() {
	d := c.d
	c.timer.Fire = func(time.Time) {
		d.mu.Lock()
		defer d.unlock()
		if d.byCall[c.id] == c && c.peer == nil {
			d.overs.add(c.id, "timeout")
			c.over("timeout", "", nil)
		}
	}
	d.hub.timers.Set(&c.timer, c.since.Add(d.hub.ring+ringSlack))
}

// mostOvers is how many calls that have ended are remembered.
const mostOvers = 1024

// overs are calls of a node that have ended, and why, as devices are told: the last of them.
// The zero value is ready.
type overs struct {
	why   map[string]string
	order []string
}

func (o *overs) add(id, reason string) {
	if o.why == nil {
		o.why = make(map[string]string)
	}
	if _, has := o.why[id]; !has {
		if len(o.order) >= mostOvers {
			for _, old := range o.order[:mostOvers/8] {
				delete(o.why, old)
			}
			o.order = append([]string(nil), o.order[mostOvers/8:]...)
		}
		o.order = append(o.order, id)
	}
	o.why[id] = reason
}

// of returns why a call has ended; empty: it is not known.
func (o *overs) of(id string) string { return o.why[id] }
