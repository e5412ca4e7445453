package delivery

import (
	"errors"
	"time"

	"turnhub/internal/netaddr"
	"turnhub/internal/ratelimit"
)

// Limits bounds what one person can ask of the hub. A zero field takes the
// default of contract.md or of this file.
type Limits struct {
	ConnectionsPerIP  int // sockets of one household, see netaddr.Share
	ConnectionsTotal  int // sockets of the whole hub
	MessageSize       int // bytes
	MessagesPerSecond int // of one socket
}

// The defaults of Limits, which contract.md gives.
const (
	defaultConnectionsPerIP  = 64
	defaultConnectionsTotal  = 200_000
	defaultMessageSize       = 256 << 10
	defaultMessagesPerSecond = 100
)

// The bounds that have no key.
const (
	// maxQueueMessages and maxQueueBytes bound what a session has not acknowledged:
	// a client that reads nothing for a minute, in a room where much is said, is
	// slow; one that never reads costs no more than this.
	maxQueueMessages = 1024
	maxQueueBytes    = 1 << 20
	// shareMessages and shareBytes are what one sender may have of that, and what is
	// left for the server's own messages: as many as a client that resumes sends at once,
	// and the largest message.
	shareMessages = maxQueueMessages / 4
	shareBytes    = maxQueueBytes / 4
	// slowAfter is how long more than a share may wait before senders are no longer held
	// up for it: a client acknowledges after 256 KiB, and after a second in any case.
	slowAfter = 2 * time.Second
	overhead  = 48 // bytes that a waiting message costs beside its text

	maxLoose = 32 // unnumbered messages that wait for a writer: more are noise
	maxName  = 64 // characters of a display name, which is shown in a tile

	// sessionsPerConnection is how many sessions an address may have for each
	// socket that it may have: some wait for their socket to come back.
	sessionsPerConnection = 4
)

// AckEvery is after how many messages one is acknowledged at once. A client keeps
// 256 for a resume.
const AckEvery = 32

func (l Limits) withDefaults() Limits {
	set := func(v *int, def int) {
		if *v <= 0 {
			*v = def
		}
	}
	set(&l.ConnectionsPerIP, defaultConnectionsPerIP)
	set(&l.ConnectionsTotal, defaultConnectionsTotal)
	set(&l.MessageSize, defaultMessageSize)
	set(&l.MessagesPerSecond, defaultMessagesPerSecond)
	return l
}

// Messages is the rate of one sender. A client that resumes sends again up to 256
// messages at once, and one that joins a room sends candidates to everybody: the burst
// covers both.
func (l Limits) Messages() ratelimit.Rate {
	rate := float64(l.MessagesPerSecond)
	return ratelimit.Rate{PerSecond: rate, Burst: 2*rate + 256}
}

// maxDebt is how far over its rate a sender may be: it goes on regardless.
const maxDebt = 10 * time.Second

// Count counts one message at now. It returns nil, ErrRate when the message is over
// the rate, or ErrFlood when the sender goes on regardless.
func Count(sender *ratelimit.Meter, now time.Time, rate ratelimit.Rate) error {
	switch left := sender.Charge(now.UnixNano(), rate, 1); {
	case left >= 0:
		return nil
	case time.Duration(-left) < maxDebt:
		return ErrRate
	}
	return ErrFlood
}

// sockets is how many sockets there may be, for a household that counts as that many.
func (l Limits) sockets(times int) netaddr.Share {
	return netaddr.Share{Household: l.ConnectionsPerIP * times, Total: l.ConnectionsTotal}
}

// sessions is how many sessions there may be, likewise.
func (l Limits) sessions(times int) netaddr.Share {
	return netaddr.Share{Household: l.ConnectionsPerIP * sessionsPerConnection * times, Total: l.ConnectionsTotal * 2}
}

// What a sender is told who is over a limit; a dialect says it in its own words.
var (
	ErrFull   = errors.New("too many connections from this address: come back later")
	ErrTooBig = errors.New("the message is larger than limits.message_size")
	ErrRate   = errors.New("more messages than limits.messages_per_second: the message is dropped")
	ErrFlood  = errors.New("far more messages than limits.messages_per_second: the socket ends")
	ErrDrain  = errors.New("the server is going down: come back in a moment")
)
