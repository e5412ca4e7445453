package core

import (
	"crypto/rand"
	"sync"

	"turnhub/turnsrv/internal/wire"
)

// reservations holds the odd ports that EVEN-PORT with the R bit put aside (RFC
// 8656 section 7.2). The second Allocate may arrive at another worker, so they
// belong to the server. Bounded: when full, EVEN-PORT with R gets 508.
//
// A reserved port counts as an allocation of the client that asked for it, until
// it is taken or expires: else one client could put aside all ports, again and
// again.
type reservations struct {
	directory *directory

	mu      sync.Mutex
	byToken map[[8]byte]reservation
}

type reservation struct {
	space   *relaySpace
	port    uint16
	user    string
	client  wire.Endpoint
	bare    bool  // the even port has no socket
	expires int64 // seconds
}

// drop gives back the port and its place in the quotas.
func (r *reservations) drop(res reservation) {
	res.space.release(res.port)
	r.directory.cancel(res.user, res.client, 1)
}

// put keeps a claimed port under a new token, or says no.
func (r *reservations) put(now int64, res reservation) (token [8]byte, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.byToken) >= maxReservations {
		r.expire(now)
		if len(r.byToken) >= maxReservations {
			return token, false
		}
	}
	rand.Read(token[:])
	res.expires = now + wire.ReservationTime
	if r.byToken == nil {
		r.byToken = make(map[[8]byte]reservation)
	}
	r.byToken[token] = res
	return token, true
}

// take removes and returns the reservation of this user under token. Its place in
// the quotas goes along.
func (r *reservations) take(now int64, token [8]byte, user string) (reservation, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	res, ok := r.byToken[token]
	if !ok || res.expires < now || res.user != user {
		return reservation{}, false
	}
	delete(r.byToken, token)
	return res, true
}

// sweep frees the ports of reservations that nobody took.
func (r *reservations) sweep(now int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.expire(now)
}

func (r *reservations) expire(now int64) {
	for token, res := range r.byToken {
		if res.expires < now {
			delete(r.byToken, token)
			r.drop(res)
		}
	}
}
