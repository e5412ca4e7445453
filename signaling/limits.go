package signaling

import (
	"time"

	"turnhub/internal/ratelimit"
)

// The bounds of what people may be to each other. They have no key: each is far
// above what a call needs, and keeps one person from costing the others more than a
// share. What delivery bounds (messages, queues, sockets) is in its own limits.go.
const (
	maxRoomMembers     = 100         // sessions in a room: a mesh of browsers carries far fewer
	maxRoomsPerSession = 16          // rooms of a session
	maxLobby           = 8           // sessions in the lobby of one room: each may cost a member a connection
	maxKnocks          = 32          // sessions at the door of a room: more than a host looks through
	maxRemoved         = 256         // users, and households, that a hosted room remembers to be removed
	maxSubscriptions   = 256         // users whose presence a session follows: an address book
	maxWatchers        = 10_000      // subscribers of one user: each hears of every change
	maxDevices         = 32          // sessions of one user: each is rung
	maxPendingCalls    = 8           // calls that one session has ringing
	maxRingingCalls    = 16          // calls that ring one user
	maxReason          = 256         // bytes of a decline's reason, which a person reads
	missedEvery        = time.Second // between two words to one user of calls that found the line busy
	maxDeparted        = 10_000      // sessions that are remembered while the hub goes down
	maxDialectRooms    = 64          // rooms of a dialect's client that the console shows
	maxReported        = 64          // peers about whom a session's last report is remembered
	loggedPeople       = 16          // names in the line about a room
)

// knockRate is how often the hosts of a room are told of somebody who knocks, after a
// burst of all that may wait.
var knockRate = ratelimit.Rate{PerSecond: 5, Burst: 2 * maxKnocks}
