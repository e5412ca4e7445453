package core

import "turnhub/turnsrv/internal/wire"

// The permissions and channels of an allocation are found in their slices one
// after the other, which for the few of a call is the quickest. An allocation with
// many has an index besides: else each packet of one with thousands of channels
// would cost a worker as much as a hundred others.
type peerIndex struct {
	perms    map[wire.Endpoint]int32 // by IP address; positions in the slices
	peers    map[wire.Endpoint]int32
	channels map[uint16]int32
}

func (a *allocation) permission(ip wire.Endpoint) *permission {
	if a.index != nil {
		if i, ok := a.index.perms[ip.IP()]; ok {
			return &a.perms[i]
		}
		return nil
	}
	for i := range a.perms {
		if a.perms[i].ip.SameIP(ip) {
			return &a.perms[i]
		}
	}
	return nil
}

func (a *allocation) channelByNumber(number uint16) *channel {
	if a.index != nil {
		if i, ok := a.index.channels[number]; ok {
			return &a.chans[i]
		}
		return nil
	}
	for i := range a.chans {
		if a.chans[i].number == number {
			return &a.chans[i]
		}
	}
	return nil
}

func (a *allocation) channelByPeer(peer wire.Endpoint) *channel {
	if a.index != nil {
		if i, ok := a.index.peers[peer.Unscoped()]; ok {
			return &a.chans[i]
		}
		return nil
	}
	for i := range a.chans {
		if c := &a.chans[i]; c.peer.Port == peer.Port && c.peer.SameIP(peer) {
			return c
		}
	}
	return nil
}

// addPermission appends a permission for an IP address that has none.
func (a *allocation) addPermission(peer wire.Endpoint) *permission {
	a.perms = append(a.perms, permission{ip: peer.IP(), sent: a.forgot})
	last := len(a.perms) - 1
	if a.index != nil {
		a.index.perms[peer.IP()] = int32(last)
	} else {
		a.reindex()
	}
	return &a.perms[last]
}

// addChannel appends a channel whose number and peer have none.
func (a *allocation) addChannel(c channel) {
	a.chans = append(a.chans, c)
	if a.index != nil {
		a.index.channels[c.number] = int32(len(a.chans) - 1)
		a.index.peers[c.peer.Unscoped()] = int32(len(a.chans) - 1)
	} else {
		a.reindex()
	}
}

// reindex makes the index anew, or drops it where there are few.
func (a *allocation) reindex() {
	a.index = nil
	if len(a.perms) <= few && len(a.chans) <= few {
		return
	}
	a.index = &peerIndex{make(map[wire.Endpoint]int32), make(map[wire.Endpoint]int32), make(map[uint16]int32)}
	for i := range a.perms {
		a.index.perms[a.perms[i].ip.IP()] = int32(i)
	}
	for i := range a.chans {
		a.index.channels[a.chans[i].number] = int32(i)
		a.index.peers[a.chans[i].peer.Unscoped()] = int32(i)
	}
}
