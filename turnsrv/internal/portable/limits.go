package portable

// The bounds of this driver, with their units and why they are what they are.
const (
	maxDatagram   = 1<<16 - 1 // bytes: the longest payload that UDP has room for
	listenerBytes = 4 << 20   // that a listener may hold: the system's default drops bursts

	// What is assumed where the kernel does not tell: the path's round trip, in nanoseconds,
	// and how many bytes are written at once and wait in the kernel.
	assumedRoundTrip = 50e6
	writtenAhead     = 4 << 10
	mostRoundTrip    = 500e6 // nanoseconds: what waits does not become older for a longer path
)
