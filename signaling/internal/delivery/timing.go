package delivery

import "time"

// Timing holds the times of delivery. Zero fields take the values of protocol.md.
type Timing struct {
	Hello     time.Duration // until hello must have come
	Heartbeat time.Duration // between a client's pings
	InCall    time.Duration // the same while it is with others
	Timeout   time.Duration // after which a client takes its socket for dead
	Away      time.Duration // after which the others are told that a socket is lost
	Window    time.Duration // for which a session waits for its next socket
	Ack       time.Duration // within which a message is acknowledged
	Write     time.Duration // for which a socket may block a write
	Close     time.Duration // for which a Close waits for the other side's
	Notice    time.Duration // before an access token expires, that its client is told
	Grace     time.Duration // for which a connection outlives its access token
}

func (t Timing) withDefaults() Timing {
	set := func(v *time.Duration, def time.Duration) {
		if *v <= 0 {
			*v = def
		}
	}
	set(&t.Hello, 10*time.Second)
	set(&t.Heartbeat, 15*time.Second)
	set(&t.InCall, time.Second)
	set(&t.Timeout, 4*time.Second)
	set(&t.Away, 2*time.Second)
	set(&t.Window, time.Minute)
	set(&t.Ack, time.Second)
	set(&t.Write, 10*time.Second)
	set(&t.Close, time.Second)
	set(&t.Notice, time.Minute)
	set(&t.Grace, 30*time.Second)
	return t
}

// silence is after how long without anything a socket counts as dead.
func (t Timing) silence() time.Duration { return t.Heartbeat * 5 / 2 }

// pageWindow is the window of a session whose client closed its socket with
// 1001: a browser says that when the page goes, and it may be a reload.
const pageWindow = 5 * time.Second

// reopenWindow is the window of a session that was sent to a process which has ended
// since. Its calls are relayed for as long, which must be enough to come back.
const reopenWindow = 20 * time.Second
