package core

import (
	"errors"
	"net/netip"

	"turnhub/turnsrv/internal/wire"
)

// A relayed address without a socket is bare: unique as any other (RFC 8656 sections 5
// and 7.2), but what is sent from it or to it passes inside the process only. Two clients
// who both need the relay meet so, and no descriptor and no port of the host is used up:
// it does not matter whether another program holds the port.

// Sockets says which relayed addresses get a socket.
type Sockets int32

const (
	// SocketsAuto gives one to each while there are any. After that relayed addresses are
	// bare, but never once a relayed packet has left the server: then somebody relies on it.
	SocketsAuto Sockets = iota
	SocketsOn           // to each; where there is none, 508
	SocketsOff          // to none
)

// SetSockets says which allocations get sockets from now on. Those that exist stay.
func (s *Shared) SetSockets(mode Sockets) { s.sockets.Store(int32(mode)) }

// Left reports whether a relayed packet has ever left the server.
func (s *Shared) Left() bool { return s.left.Load() }

// SetLeft says that one has left another process of this server.
func (s *Shared) SetLeft() { s.left.Store(true) }

// withoutSocket reports whether an allocation that can have no socket may do without.
func (s *Shared) withoutSocket() bool {
	mode := Sockets(s.sockets.Load())
	return mode == SocketsOff || mode == SocketsAuto && !s.left.Load()
}

// leaves notes that the first packet by a permission is sent over a socket: out of the
// server, unless it is for one of its own addresses, where another process may have it.
func (s *Shard) leaves(a *allocation, p *permission) {
	p.sent, a.sent = true, true
	if _, own := s.shared.spaces().lookup(p.ip); !own {
		s.shared.left.Store(true)
	}
}

// bind opens the socket of a relayed address, or leaves it bare.
func (s *Shard) bind(r *Relay, port uint16) error {
	if Sockets(s.shared.sockets.Load()) == SocketsOff {
		r.bare = true
		return nil
	}
	err := s.io.BindRelay(r, port)
	if errors.Is(err, ErrNoDescriptors) && s.shared.withoutSocket() {
		s.goWithout(r, err)
		return nil
	}
	return err
}

// unbind closes what bind has opened.
func (s *Shard) unbind(r *Relay) {
	if !r.bare {
		s.io.CloseRelay(r)
	}
}

// goWithout leaves a relayed address bare, and says so the first time.
func (s *Shard) goWithout(r *Relay, why error) {
	r.bare = true
	if Sockets(s.shared.sockets.Load()) == SocketsAuto && !s.shared.bare.Swap(true) {
		s.log.Warn("relayed addresses get no sockets any more: they work between clients of this server only (relay.sockets)", "error", why)
	}
}

// GiveUpSockets closes the sockets that have never been used, where relayed addresses may
// do without, and reports whether there were any: a handover needs a descriptor for each
// client over UDP, and a client is worth more.
func (s *Shard) GiveUpSockets() (any bool) {
	if !s.shared.withoutSocket() {
		return false
	}
	for c := range s.Clients {
		if c.alloc == nil || c.alloc.sent {
			continue
		}
		for _, r := range c.alloc.relays {
			if r != nil && !r.bare {
				s.io.CloseRelay(r)
				r.bare, any = true, true
			}
		}
	}
	return any
}

// takeForeign takes a port that was set aside since another program holds it, with pair
// an even one whose next is free or set aside too. The port stays claimed.
func (s *relaySpace) takeForeign(even, pair bool) (port uint16, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.foreign {
		p := f.port
		if even && p&1 != 0 {
			// Its even neighbour may be free.
			if p--; p < s.first || !s.claim(p) {
				continue
			}
			if pair {
				s.forget(p + 1)
			}
			return p, true
		}
		if s.elsewhere(p) || pair && (int(p-s.first)+1 >= len(s.ports) || !s.forget(p+1) && !s.claim(p+1)) {
			continue
		}
		s.forget(p)
		return p, true
	}
	return 0, false
}

// forget takes a port off the list of those set aside; it stays claimed. mu is held.
func (s *relaySpace) forget(port uint16) bool {
	for i, f := range s.foreign {
		if f.port == port {
			s.foreign = append(s.foreign[:i:i], s.foreign[i+1:]...)
			return true
		}
	}
	return false
}

// portBytes holds a bit for each port.
const portBytes = 1 << 16 / 8

// Ports are ports of one relay address, as told between the processes of a server: while
// they serve side by side, the kernel cannot keep a port without a socket from being given
// out twice.
type Ports struct {
	Address netip.Addr // as advertised
	Bits    []byte     // bit port%8 of byte port/8
}

// elsewhere reports whether an older process of this server has given a port out.
func (s *relaySpace) elsewhere(port uint16) bool {
	e := s.elders.Load()
	return e != nil && e[port/8]&(1<<(port%8)) != 0
}

// Ports returns which ports this process has given out, on all relay addresses, and those
// of older processes that it keeps clear of.
func (s *Shared) Ports() (all []Ports) {
	s.each(func(*Shard) {}) // an allocation that is being made is in the table after that
	for _, space := range s.spaces().all {
		bits := make([]byte, portBytes)
		space.mu.Lock()
		for i := range space.ports {
			if space.ports[i].Load() != nil {
				port := space.first + uint16(i)
				bits[port/8] |= 1 << (port % 8)
			}
		}
		for _, f := range space.foreign {
			bits[f.port/8] &^= 1 << (f.port % 8)
		}
		space.mu.Unlock()
		all = append(all, Ports{space.Advertise, bits})
	}
	if elders := s.elders.Load(); elders != nil {
		all = append(all, *elders...)
	}
	return all
}

// SetElders keeps clear of the ports that older processes of this server have given out.
// It replaces what was said before.
func (s *Shared) SetElders(ports []Ports) {
	s.elders.Store(&ports)
	s.keepClear(s.spaces())
}

func (s *Shared) keepClear(of *relaySpaces) {
	elders := s.elders.Load()
	if elders == nil {
		return
	}
	for _, space := range of.all {
		var bits *[portBytes]byte
		for _, p := range *elders {
			if wire.EndpointIP(p.Address).SameIP(space.advertise) {
				if bits == nil {
					bits = new([portBytes]byte)
				}
				for i := range min(len(p.Bits), portBytes) {
					bits[i] |= p.Bits[i]
				}
			}
		}
		space.elders.Store(bits)
	}
}
