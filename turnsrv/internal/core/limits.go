package core

// The bounds of the core, with their units and why they are what they are. What an
// operator can set is in Limits; what a driver bounds is in its own limits.go.

// Memory.
const (
	arenaSize   = 512 << 10 // bytes of a block for messages of our own: the largest message several times
	arenaBlocks = 4         // as many may be in the kernel's hands at a time

	ringSlots   = 2048    // datagrams from one shard to another: a burst of 64 KB in each of a round's 64 buffers
	ringBytes   = 1 << 20 // and their bytes, headers included
	ringBatches = 64      // parts of a ring that may be in the kernel's hands at a time

	maxTombstones = 64 // allocations ended by Refresh whose answer can be repeated, a shard: some seconds' worth

	// few is up to how many peers or channels a list is searched as quickly as a map.
	few = 32
)

// Per allocation and per request.
const (
	// maxPermissions bounds permissions and channels each where the operator set no
	// limit: RFC 8656 has no more channel numbers.
	maxPermissions = 4096

	// maxUnknown attributes are named in a 420: the answer stays short.
	maxUnknown = 16

	// silence is after how many seconds without data and requests an allocation may
	// have to make room for another one of its user: peers that check the path (RFC
	// 7675) have given up by then.
	silence = 30

	// newPeersBurst is how many new peers an allocation may name at once: all the
	// addresses of everybody in a large call.
	newPeersBurst = 32

	// minChurn is how many allocations a second a household may at least make: to open
	// and close sockets is dear, but many people may be behind one address.
	minChurn = 100
)

// What control requests may cost. A unit is about a nanosecond of a worker, which
// is what HMAC-SHA1 takes for a byte; small requests cost what a packet does.
const (
	controlRate  = 256 << 10 // units per second that a client gets
	controlBurst = 1 << 20   // units that a client can save
	controlFlat  = 256       // units of any request but Binding: integrity, twice
	addressCost  = 4         // units per byte of a request that names peers, each of which is judged

	// visitorMax is the longest request of a client without an allocation, in
	// bytes. Its attributes have at most 2,000 together (RFC 8489 section 14).
	visitorMax = 4096
)

// amplification is the most that an answer to an unproven request may be longer
// than that, both with their IP and UDP headers, in percent.
const amplification = 150

// RealmBytes is the longest realm, in bytes, that fits into every 401. The
// shortest first Allocate of a client has 28 bytes, over IPv4 56 with its headers;
// 1.5 times that is 84 bytes. The headers (28 and 20), ERROR-CODE without a phrase
// (8), NONCE (16) and the head of REALM (4) leave 8.
const RealmBytes = 8

// Tables of the whole server.
const (
	// maxUsages is of how many users is known what they have relayed today, and
	// volumeWindow how long their day is, in seconds.
	maxUsages    = 1 << 16
	maxVolumes   = 20_000 // of them are told to the process that takes over
	volumeWindow = 24 * 60 * 60

	// maxReservations bounds the ports that EVEN-PORT put aside.
	maxReservations = 1024

	// foreignTime is for how many seconds a port is left alone that another program
	// was found to hold, so that a range full of such is not tried again by each
	// Allocate.
	foreignTime = 2

	// portGuesses is how many ports are tried at random (RFC 8656 section 7.2 wants
	// them hard to guess) before all are, one after the other.
	portGuesses = 8

	// limitedPrefixes is of how many prefixes is known what they have asked for.
	limitedPrefixes = 1 << 14
)

// Streams without an allocation, and ones in the middle of a message, are cut off
// after StreamPatience seconds without a whole message; ones that do not read,
// after StreamStall.
const (
	StreamPatience = 30
	StreamStall    = 10
)
