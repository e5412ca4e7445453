package signaling

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"turnhub/internal/netaddr"
)

// Whoever meets by a dialect may be on two nodes, and each relay admits then what the other
// node has seen of its people. All nodes tell each other at which addresses they see people
// without a hub session, and at which they relay: what one node would let through if they
// were all there, several let through as well.

// seenTopic is where they tell it.
const seenTopic = "seen"

const (
	saidSeenAll  = '=' // the node's relays, and all addresses
	saidSeenAsk  = '?' // all that others see
	saidSeenMore = '+' // addresses, behind each whether it is seen or no longer

	seenDelay  = 20 * time.Millisecond // in which changes are gathered
	seenRepair = 10 * time.Second      // after a change all are said once more: some may be lost
	// maxSeenOfNode bounds the addresses of another node.
	maxSeenOfNode = 1 << 17
	maxRelays     = 16
)

// seenElsewhere are the addresses that nodes have seen.
type seenElsewhere struct {
	topics Topics
	relays func() []netip.Addr

	mu      sync.RWMutex
	nodes   map[string]*seenThere
	own     map[netip.Addr]struct{} // what this node sees
	changes map[netip.Addr]bool     // to be told; nil: no timer runs
	all     bool                    // and everything else
	repair  bool                    // a timer runs
	again   time.Duration           // seenRepair
}

// seenThere are those of another node.
type seenThere struct {
	addrs  map[netip.Addr]struct{}
	relays []netip.Addr
}

// ShareSeen has this hub and those of other nodes admit each other's people who meet by a
// dialect. It is called before the hub serves.
func (h *Hub) ShareSeen(topics Topics, relays func() []netip.Addr) {
	s := &seenElsewhere{topics: topics, relays: relays, nodes: make(map[string]*seenThere), own: make(map[netip.Addr]struct{}), again: seenRepair}
	h.elsewhere = s
	h.dialectClients.changed = s.change
	topics.Open(seenTopic, nil, s.heard, s.met)
}

// at reports whether another node sees somebody at an address, or relays there.
func (s *seenElsewhere) at(addr netip.Addr) bool {
	if s == nil {
		return false
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, n := range s.nodes {
		if _, is := n.addrs[addr]; is || slices.Contains(n.relays, addr) {
			return true
		}
	}
	return false
}

// change notes that this node sees an address, or no longer.
func (s *seenElsewhere) change(addr netip.Addr, is bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dueLocked()
	s.changes[addr] = is
	if is {
		s.own[addr] = struct{}{}
	} else {
		delete(s.own, addr)
	}
}

// dueLocked has the others told soon.
func (s *seenElsewhere) dueLocked() {
	if s.changes == nil {
		s.changes = make(map[netip.Addr]bool)
		time.AfterFunc(seenDelay, s.tell)
	}
}

// allDueLocked has the others told everything soon, however many ask.
func (s *seenElsewhere) allDueLocked() {
	s.dueLocked()
	s.all = true
}

// tell tells the others what has changed.
func (s *seenElsewhere) tell() {
	s.mu.Lock()
	defer s.mu.Unlock()
	changes, all := s.changes, s.all
	s.changes, s.all = nil, false
	switch {
	case len(s.nodes) == 0:
		return
	case all:
		s.tellAllLocked()
	default:
		b := []byte{saidSeenMore}
		for addr, is := range changes {
			b = appendAddr(b, addr)
			if is {
				b = append(b, 1)
			} else {
				b = append(b, 0)
			}
		}
		s.topics.Say(seenTopic, b)
	}
	s.repairLocked()
}

// repairLocked has everything said once more, later: what was said may be lost, and nothing
// can be said while NATS is away.
func (s *seenElsewhere) repairLocked() {
	if s.repair {
		return
	}
	s.repair = true
	time.AfterFunc(s.again, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.repair = false
		if len(s.nodes) > 0 && !s.tellAllLocked() {
			s.repairLocked()
		}
	})
}

// tellAllLocked tells the others all. It reports whether that could be said.
func (s *seenElsewhere) tellAllLocked() bool {
	relays := s.relays()
	relays = relays[:min(len(relays), maxRelays)]
	b := []byte{saidSeenAll, byte(len(relays))}
	for _, addr := range relays {
		b = appendAddr(b, addr)
	}
	for addr := range s.own {
		b = appendAddr(b, addr)
	}
	return s.topics.Say(seenTopic, b)
}

// met hears which other nodes there are.
func (s *seenElsewhere) met() {
	others := s.topics.Others(seenTopic)
	s.mu.Lock()
	defer s.mu.Unlock()
	for node := range s.nodes {
		if _, is := others[node]; !is {
			delete(s.nodes, node)
		}
	}
	news := false
	for node := range others {
		if s.nodes[node] == nil {
			s.nodes[node] = &seenThere{addrs: make(map[netip.Addr]struct{})}
			news = true
		}
	}
	if news {
		s.topics.Say(seenTopic, []byte{saidSeenAsk})
		s.allDueLocked() // a process that takes another's place may not ask
	}
}

// heard takes in what another node sees.
func (s *seenElsewhere) heard(node string, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(body) == 1 && body[0] == saidSeenAsk {
		s.allDueLocked()
		return
	}
	n := s.nodes[node]
	if n == nil || len(body) < 1 {
		return
	}
	kind, rest := body[0], body[1:]
	if kind == saidSeenAll {
		if len(rest) == 0 || rest[0] > maxRelays {
			return
		}
		count := int(rest[0])
		rest = rest[1:]
		relays := make([]netip.Addr, 0, count)
		for range count {
			addr, ok := cutAddr(&rest)
			if !ok {
				return
			}
			relays = append(relays, addr)
		}
		n.relays, n.addrs = relays, make(map[netip.Addr]struct{})
	}
	for len(rest) > 0 && len(n.addrs) < maxSeenOfNode {
		addr, ok := cutAddr(&rest)
		switch {
		case !ok:
			return
		case kind == saidSeenAll:
			n.addrs[addr] = struct{}{}
		case len(rest) == 0:
			return
		default:
			if rest[0] == 1 {
				n.addrs[addr] = struct{}{}
			} else {
				delete(n.addrs, addr)
			}
			rest = rest[1:]
		}
	}
}

func appendAddr(b []byte, addr netip.Addr) []byte {
	raw := netaddr.Plain(addr).AsSlice()
	return append(append(b, byte(len(raw))), raw...)
}

func cutAddr(b *[]byte) (addr netip.Addr, ok bool) {
	if len(*b) == 0 || len(*b) <= int((*b)[0]) {
		return addr, false
	}
	n := int((*b)[0])
	addr, ok = netip.AddrFromSlice((*b)[1 : 1+n])
	*b = (*b)[1+n:]
	return addr, ok
}
