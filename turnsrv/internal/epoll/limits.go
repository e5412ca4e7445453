//go:build linux && (amd64 || arm64)

package epoll

import "turnhub/turnsrv/internal/wire"

// The bounds of this driver, with their units and why they are what they are.

// What a worker receives in a round.
const (
	rxBuffers  = 64      // datagrams, or trains that UDP_GRO has joined: so many sockets are looked at, too
	rxDatagram = 1 << 16 // bytes of each: UDP_GRO joins up to 64 KB
	// rxStride is from one buffer to the next. It spreads their beginnings over the sets
	// of the cache.
	rxStride  = wire.Headroom + rxDatagram + wire.Tailroom + 252
	rxControl = 96 // bytes of control messages: IPV6_PKTINFO and UDP_GRO

	// relayBatch is the most datagrams that are read from a relay socket at once, so
	// that one busy peer does not hold up the others.
	relayBatch = 32
)

// What a worker sends with one system call.
const (
	txMessages = 128
	txVectors  = 512 // datagrams
	txControl  = 96  // bytes of control messages: IPV6_PKTINFO and UDP_SEGMENT

	gsoSegments = 64    // datagrams in a message: the kernel's least UDP_MAX_SEGMENTS
	gsoBytes    = 65000 // and bytes: below the longest UDP payload
)

// What a ring holds.
const (
	ringEntries     = 256     // requests
	ringCompletions = 1024    // of a round: all buffers, and all sends refused
	ringSlots       = 1 << 16 // sockets
	ringBuffers     = 256     // as rxBuffers, but busy sockets take several
	ringRound       = 128     // buffers that are handled before what they cause is sent
	ringPatience    = 1000    // tries, after which a ring is broken

	// ringStride has the room in front that the kernel uses for an address, control
	// messages and their lengths, which is more than wire.Headroom.
	ringStride = 256 + rxDatagram + wire.Tailroom + 60
)

// Buffers in the kernel, in bytes.
const (
	listenerBuffer = 4 << 20 // the system's default of 208 KB drops bursts

	// relayBuffer is what a relay socket may hold for a busy worker: a key frame's
	// burst, several times. The memory is taken only while they are there.
	relayBuffer = 512 << 10
)

// Streams.
const (
	streamRead   = 64 << 10                        // bytes per read
	streamArena  = 16*streamRead + 2*wire.MaxFrame // bytes that may be read in a round
	tlsRecordMax = 16 << 10                        // RFC 8446 section 5.1
)
