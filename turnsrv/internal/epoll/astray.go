//go:build linux && (amd64 || arm64)

package epoll

import "turnhub/turnsrv/internal/wire"

// While listeners are handed over, sockets for single clients join those that share a
// port. Until such a socket is connected the kernel gives it packets of anybody, and with
// each the others change places, so that a client's packets come to a worker that does
// not know it. Those are passed on to the worker that does.

// maxAstray bounds how many datagrams a worker passes on in one handover. Beyond that
// they are lost, as under a flood any may be.
const maxAstray = 4096

type astray struct {
	pass    func(key wire.FiveTuple, datagram []byte) // to the other workers; nil before the first handover
	handing bool                                      // the listeners are being handed over
	passed  int                                       // of this handover
}

// HandOver begins a handover: what this worker does not know is given to pass, which
// keeps the datagram.
func (w *Worker) HandOver(pass func(key wire.FiveTuple, datagram []byte)) {
	w.astray = astray{pass: pass, handing: true}
}

// passes reports whether a datagram of an unknown client may be another worker's. On a
// socket for one client it can have been left there before that was connected.
func (w *Worker) passes(l *udpListener, key wire.FiveTuple) bool {
	return w.astray.handing || l.kept && key != l.own
}

// passOn hands the datagrams in a buffer to the other workers.
func (w *Worker) passOn(b *wire.Buffer, a *arrival, key wire.FiveTuple) {
	for g, ok := firstOf(b, a), true; ok && w.astray.passed < maxAstray; g, ok = following(g, a) {
		w.astray.passed++
		w.astray.pass(key, append(make([]byte, 0, g.Len()), g.Bytes()...))
	}
}

// Astray takes a datagram that has come to another worker, if the client is known here.
func (w *Worker) Astray(key wire.FiveTuple, datagram []byte) {
	c := w.shard.Client(key)
	if c == nil || !c.Allocated() || w.ended.Load() {
		return
	}
	mem := make([]byte, wire.Headroom+len(datagram)+wire.Tailroom)
	copy(mem[wire.Headroom:], datagram)
	w.shard.FromClient(c, wire.Segment{
		Buf: &wire.Buffer{Mem: mem}, Lo: wire.Headroom, Hi: wire.Headroom + len(datagram),
		Free: wire.Headroom, Spare: wire.Tailroom,
	})
}
