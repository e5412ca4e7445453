package core

import "turnhub/turnsrv/internal/wire"

// tombstones remember the last few allocations that a Refresh with lifetime 0
// ended, so that its retransmission gets the same answer.
type tombstones struct {
	ring [maxTombstones]tombstone
	next int
}

type tombstone struct {
	transaction [12]byte
	client      wire.FiveTuple
	username    string
}

func (t *tombstones) add(transaction [12]byte, client wire.FiveTuple, username string) {
	t.ring[t.next%len(t.ring)] = tombstone{transaction, client, username}
	t.next++
}

func (t *tombstones) has(transaction [12]byte, client wire.FiveTuple, username string) bool {
	for i := range t.ring {
		if e := &t.ring[i]; e.transaction == transaction && e.client == client && e.username == username {
			return e.username != ""
		}
	}
	return false
}
