package signaling

import (
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

// Defaults of Limits, and the bounds that have no key.
const (
	defaultConnectionsPerIP  = 64
	defaultConnectionsTotal  = 200_000
	defaultMessageSize       = 256 << 10
	defaultMessagesPerSecond = 100

	maxRoomMembers     = 100
	maxRoomsPerSession = 16
	maxLobby           = 8 // sessions in the lobby of one room
	maxSubscriptions   = 256
	maxWatchers        = 10_000      // subscribers of one user
	maxDevices         = 32          // sessions of one user
	maxPendingCalls    = 8           // calls that one session has ringing
	maxRingingCalls    = 16          // calls that ring one user
	missedEvery        = time.Second // between two words to one user of calls that found the line busy
	maxQueueMessages   = 1024        // of a session, not yet acknowledged
	maxQueueBytes      = 1 << 20
	maxName            = 64  // characters
	maxRoomName        = 128 // bytes
	maxReason          = 256 // bytes of a decline's reason
	// sessionsPerConnection is how many sessions an address may have for each
	// socket that it may have: some wait for their socket to come back.
	sessionsPerConnection = 4
)

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

// messages is the rate of one sender. A client that resumes sends again up to 256
// messages at once, and one that joins a room sends candidates to everybody: the burst
// covers both.
func (l Limits) messages() ratelimit.Rate {
	rate := float64(l.MessagesPerSecond)
	return ratelimit.Rate{PerSecond: rate, Burst: 2*rate + 256}
}

// maxDebt is how far over its rate a sender may be: it goes on regardless.
const maxDebt = 10 * time.Second

// count counts one message at now. It returns nil, ErrRate when the message is over
// the rate, or ErrFlood when the sender goes on regardless.
func count(sender *ratelimit.Account, now time.Time, rate ratelimit.Rate) error {
	switch left := sender.Charge(now.UnixNano(), rate, 1); {
	case left >= 0:
		return nil
	case time.Duration(-left) < maxDebt:
		return ErrRate
	}
	return ErrFlood
}

// sockets is how many sockets there may be.
func (l Limits) sockets() netaddr.Share {
	return netaddr.Share{Household: l.ConnectionsPerIP, Total: l.ConnectionsTotal}
}

// sessions is how many sessions there may be.
func (l Limits) sessions() netaddr.Share {
	return netaddr.Share{Household: l.ConnectionsPerIP * sessionsPerConnection, Total: l.ConnectionsTotal * 2}
}
