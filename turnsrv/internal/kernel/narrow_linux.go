//go:build linux && (amd64 || arm64)

package kernel

import (
	"unsafe"

	"turnhub/turnsrv/internal/wire"
)

// A router on the way says that a packet was too long for it (RFC 1191, RFC 8201). The
// program notes it and leaves long packets to that address to the process at once, whose
// socket makes fragments of them. Meanwhile the kernel has learned how wide the way is, and
// the flows there are entered anew with that. What it has learned it forgets after ten
// minutes, and flows live for five.

const (
	narrowSettles = 50e6 // SETTLES in relay.c, in nanoseconds
	narrowStays   = 5e9  // until when each process has seen it, or was silent for longer than stale
)

// narrowed looks after what was noted. Late says that this process may have missed some.
func (k *Kernel) narrowed(r Relay, late bool) {
	if late {
		k.routes.forget()
		r.FlushOffload()
	}
	now := uint64(monotonic())
	seen := make(map[[16]byte]uint64)
	var over [][16]byte
	var news []wire.Endpoint
	var address [16]byte
	var when uint64
	noted := k.maps["narrow"]
	// What is noted meanwhile comes next time.
	for each := noted.Iterate(); each.Next(unsafe.Pointer(&address), unsafe.Pointer(&when)); {
		switch {
		case now < when+narrowSettles:
			continue
		case now > when+narrowStays:
			over = append(over, address)
			continue
		}
		seen[address] = when
		if k.seen[address] != when {
			news = append(news, wire.EndpointBytes(address[:]))
		}
	}
	k.seen = seen
	for i := range over {
		_ = noted.Delete(unsafe.Pointer(&over[i])) // or another process has
	}
	if len(news) == 0 {
		return
	}
	// Anybody can send what looks like such a router: all of them together cost one look
	// through the routes.
	if changed := k.routes.narrower(news); len(changed) > 0 {
		r.FlushOffloadOf(changed)
	}
}
