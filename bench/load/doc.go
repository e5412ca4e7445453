// Package load drives any TURN server (RFC 8656) and measures what the server
// pays for it. It knows nothing of the server but its address, a shared
// secret and, on the same machine, its process id.
//
// A run is one thread per shard, locked to its processor, in one loop that
// sends, polls and counts; it allocates nothing after set-up. Packets that
// belong to different clients leave by different sockets, one system call
// each, in round-robin order, so that a server sees what many independent
// callers look like. A burst is several packets of one client handed to the
// kernel at once: by UDP_SEGMENT (they arrive as one train that a server may
// take with UDP_GRO, as from a network card), by sendmmsg (they arrive one by
// one, back to back), or for streams as several ChannelData frames in one
// write.
//
// Without a rate the run is a closed loop: so many packets are in flight and
// a new one leaves when one has arrived, which keeps the server saturated
// without drowning it. With a rate it is an open loop: packets leave when they
// are due whatever became of the others.
//
// The payload of every packet carries its flow, its number and the time it
// left, from which come loss, reordering and one-way latency.
package load
