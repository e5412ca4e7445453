package core

import "net/netip"

// Beside is what one end of a path beside the relay uses up: media that go through a
// WebSocket. Each direction has the limits of an allocation, and what the user may have
// is one sum with what it relays.
type Beside struct {
	shared *Shared
	holder holder
	usage  *usage
	flows  [2]flow // from the client and to it
}

// Beside opens the account of a user's path from that address. End ends it.
func (s *Shared) Beside(user string, client netip.Addr) *Beside {
	b := &Beside{shared: s, holder: s.directory.consumer(user, client)}
	s.directory.mu.Lock()
	defer s.directory.mu.Unlock()
	b.usage = s.directory.hold(b.holder, s.Clock())
	return b
}

// From charges for a packet of n bytes from the client: ok, or the name of the limit by
// which it is dropped, which is a label of the relay's drops. One goroutine at a time.
func (b *Beside) From(n int) (limit string, ok bool) { return b.charge(&b.flows[0], n) }

// To is From for a packet to the client. One goroutine at a time, which may be another.
func (b *Beside) To(n int) (limit string, ok bool) { return b.charge(&b.flows[1], n) }

func (b *Beside) charge(f *flow, n int) (limit string, ok bool) {
	now := b.shared.Clock()
	if drop := b.shared.rates.Load().charge(f, b.usage, now, now/1e9, n); drop != noDrop {
		return drop.String(), false
	}
	return "", true
}

// End ends the account. What the user has had of the day's volume is kept for the day.
func (b *Beside) End() {
	d := b.shared.directory
	d.mu.Lock()
	defer d.mu.Unlock()
	d.letGo(b.holder, b.usage)
}
