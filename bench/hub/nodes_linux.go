package hub

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"syscall"
	"time"
)

// meetTime is after which time people who have joined one room on several nodes know each
// other there: those who stay where they are are given 2 s to go to the room's own node.
const meetTime = 4 * time.Second

// A PresenceResult is what somebody who comes to a room and leaves it costs.
type PresenceResult struct {
	Nodes   int   `json:"nodes"`   // that are alive
	Members int   `json:"members"` // nodes with people in the room
	Visits  int   `json:"visits"`
	Tally   Tally `json:"tally"`
}

// Presence fills rooms with people on one node, on two, on three and on all, lets somebody
// come to each and leave again, and counts the messages at NATS.
func Presence(ctx context.Context, o Options) (all []PresenceResult, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	w, err := o.crowd()
	if err != nil {
		return nil, err
	}
	defer w.close()
	nats, err := count(o.NATS)
	if err != nil {
		return nil, err
	}
	defer nats.conn.Close()
	for members := 1; members <= len(w.servers); members++ {
		if members > 3 && members < len(w.servers) {
			continue
		}
		var first []*client // of each room
		for n := range members {
			list, err := w.fill(n, o.Rooms, fmt.Sprintf("at%d", members))
			if err != nil {
				return all, err
			}
			if n == 0 {
				first = list
			}
		}
		if err := w.during(ctx, meetTime, 10*time.Millisecond, nil); err != nil {
			return all, err
		}
		if err := w.acquainted(ctx, first, members-1); err != nil {
			return all, err
		}
		nats.take()
		begin := w.now()
		for i := range first {
			visitor, err := w.come(0, fmt.Sprintf("at%d-%d", members, i))
			if err != nil {
				return all, err
			}
			// One after the other: what is said at once shares a message.
			for _, say := range []string{"", fmt.Sprintf(`{"type":"leave","room":"%s","id":2,"seq":%d}`, visitor.room, visitor.next()), `{"type":"bye"}`} {
				if say != "" {
					w.say(visitor, []byte(say))
				}
				if err := w.during(ctx, 15*time.Millisecond, time.Millisecond, nil); err != nil {
					return all, err
				}
			}
			w.failed = 0 // the server has closed the visitor's socket
			w.leave(visitor)
		}
		if err := w.during(ctx, time.Second, 10*time.Millisecond, nil); err != nil {
			return all, err
		}
		r := PresenceResult{Nodes: len(w.servers), Members: members, Visits: len(first), Tally: nats.take()}
		r.Tally.Seconds = (w.now() - begin).Seconds()
		all = append(all, r)
	}
	return all, nil
}

// A DeathResult is what the death of a node costs, and its coming.
type DeathResult struct {
	Rooms int   `json:"rooms"` // that it had
	Death Tally `json:"death"`
	Start Tally `json:"start"` // of the new process, which has nobody
	Back  Tally `json:"back"`  // its people come again
}

// Death gives the first node rooms whose other member is on the second, kills it, has it
// started again, lets its people come back, and counts the messages at NATS of each.
func Death(ctx context.Context, o Options, start func(opened int) (pid int, err error)) (r DeathResult, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	w, err := o.crowd()
	if err != nil {
		return r, err
	}
	defer w.close()
	nats, err := count(o.NATS)
	if err != nil {
		return r, err
	}
	defer nats.conn.Close()
	there, err := w.fill(0, o.Rooms, "held")
	if err != nil {
		return r, err
	}
	here, err := w.fill(1, o.Rooms, "held")
	if err != nil {
		return r, err
	}
	if err := w.during(ctx, meetTime, 10*time.Millisecond, nil); err != nil {
		return r, err
	}
	if err := w.acquainted(ctx, here, 1); err != nil {
		return r, err
	}
	if _, err := w.counted(ctx, nats, 0); err != nil { // the history of what was is written first
		return r, err
	}
	left := 0
	w.heard = func(_ *client, m []byte) {
		if bytes.Contains(m, []byte(`"type":"peer-left"`)) || bytes.Contains(m, []byte(`"type":"peer-away"`)) { // sessions may outlive it
			left++
		}
	}
	if err := syscall.Kill(o.PID, syscall.SIGKILL); err != nil {
		return r, fmt.Errorf("kill the node: %w", err)
	}
	for _, c := range there {
		w.leave(c)
	}
	if r.Death, err = w.counted(ctx, nats, 7*time.Second); err != nil {
		return r, err
	}
	if left != len(here) {
		return r, fmt.Errorf("the death of a node was told to %d of %d people", left, len(here))
	}
	if _, err := start(w.opened); err != nil {
		return r, err
	}
	if r.Start, err = w.counted(ctx, nats, 4*time.Second); err != nil {
		return r, err
	}
	if _, err := w.fill(0, o.Rooms, "held"); err != nil {
		return r, err
	}
	r.Rooms = len(here)
	if r.Back, err = w.counted(ctx, nats, meetTime); err != nil {
		return r, err
	}
	return r, w.acquainted(ctx, here, 1)
}

// counted counts for so long, and then until nearly nothing comes any more.
func (w *crowd) counted(ctx context.Context, nats *counter, d time.Duration) (sum Tally, err error) {
	for begin := w.now(); ; {
		if err := w.during(ctx, max(d-(w.now()-begin), 500*time.Millisecond), 10*time.Millisecond, nil); err != nil {
			return sum, err
		}
		t := nats.take()
		sum.add(t)
		if sum.Seconds = (w.now() - begin).Seconds(); sum.Seconds >= d.Seconds() && t.all() <= 25 {
			return sum, nil
		}
		if sum.Seconds > 20+d.Seconds() {
			return sum, fmt.Errorf("there are always messages at NATS, %+v at last", t)
		}
	}
}

// fill puts somebody into each of so many rooms, all on one node.
func (w *crowd) fill(node, rooms int, name string) ([]*client, error) {
	all := w.servers
	defer func() { w.servers = all }()
	w.servers = []netip.AddrPort{all[node]}
	return w.gather(rooms, 8, func(i int) string { return fmt.Sprintf("%s-%d", name, i) }, 90*time.Second)
}

// come brings one to a room.
func (w *crowd) come(node int, room string) (*client, error) {
	c, err := w.connectTo(w.servers[node], room)
	for begin := w.now(); err == nil && c.state != stateIn; {
		switch err = w.step(time.Millisecond); {
		case err == nil && c.state == stateGone:
			err = w.reason
		case err == nil && w.now()-begin > 10*time.Second:
			err = fmt.Errorf("nobody comes into the room %s", room)
		}
	}
	return c, err
}

// acquainted checks that what each of them says to its room is heard by so many others.
func (w *crowd) acquainted(ctx context.Context, speakers []*client, others int) error {
	before, body := w.delivered, newLetter(0)
	defer func() { w.delivered = before }()
	heard := 0
	w.delivered = func(*client, []byte, time.Duration) { heard++ }
	for _, c := range speakers {
		w.say(c, fmt.Appendf(nil, `{"type":"message","room":"%s","seq":%d,"ack":%d,"data":%s}`, c.room, c.next(), c.seen, body.stamped(w.now())))
	}
	if err := w.during(ctx, time.Second, 10*time.Millisecond, nil); err != nil {
		return err
	}
	if want := len(speakers) * others; heard != want {
		return fmt.Errorf("people of one room on several nodes have heard %d messages of each other, not %d", heard, want)
	}
	return nil
}
