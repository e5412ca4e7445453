package media

import "encoding/binary"

// What two nodes say to each other of pairs whose ends they have, one record after the other
// in a datagram:
//
//	open   the socket here, the one there or 0, the two sessions: here, there
//	ask    a guest's socket here, whether it has been let in before, its session, the peer
//	       and the token: may it be here?
//	yes    that socket; or no, and whether another one has taken its place
//	guest  a socket, its session, the peer, and the node where it is a guest
//	close  the socket there, the one here: it is gone
//	key    likewise: a picture did not get through
//	lost   likewise: a message may have been lost
//	flood  likewise: more messages wait than may
//	frame  likewise, a number, how many messages came before, since when the server has it,
//	       whether it goes on, its length, and a frame or a part of one
//
// A socket is known by a number that is drawn at random and told to the one other node, again
// and again, which says by that that it is there still.
type record struct {
	what     byte
	to, from uint64 // sockets
	// Of open, ask and guest.
	session, peer string
	token         string // of ask; of guest the node
	// Of frame.
	number, messages uint32
	at               int64 // by the clock of the node that says it, nanoseconds
	part             byte
	frame            []byte
}

const (
	sayOpen  = 'o'
	sayClose = 'c'
	sayKey   = 'k'
	sayLost  = 'l'
	sayFlood = 'x'
	sayFrame = 'f'
	sayAsk   = 'a'
	sayYes   = 'y'
	sayNo    = 'n'
	sayGuest = 'g'

	partMore      = 1 // the next one goes on with it
	partContinues = 2 // it goes on with the last one

	// frameHead is how long a record of a frame is beside that, in bytes.
	frameHead = 1 + 8 + 8 + 4 + 4 + 8 + 1 + 2
)

// append writes a record.
func (r *record) append(b []byte) []byte {
	b = append(b, r.what)
	b = binary.BigEndian.AppendUint64(b, r.to)
	b = binary.BigEndian.AppendUint64(b, r.from)
	switch r.what {
	case sayOpen, sayAsk, sayGuest:
		for _, s := range []string{r.session, r.peer, r.token} {
			b = append(append(b, byte(len(s))), s...)
		}
	case sayFrame:
		b = binary.BigEndian.AppendUint32(b, r.number)
		b = binary.BigEndian.AppendUint32(b, r.messages)
		b = binary.BigEndian.AppendUint64(b, uint64(r.at))
		b = append(b, r.part)
		b = binary.BigEndian.AppendUint16(b, uint16(len(r.frame)))
		b = append(b, r.frame...)
	}
	return b
}

// read takes the first record of a packet, of which its frame is a part. !ok: it is none.
func (r *record) read(packet []byte) (rest []byte, ok bool) {
	if len(packet) < 17 {
		return nil, false
	}
	*r = record{what: packet[0], to: binary.BigEndian.Uint64(packet[1:]), from: binary.BigEndian.Uint64(packet[9:])}
	rest = packet[17:]
	switch r.what {
	case sayOpen, sayAsk, sayGuest:
		for _, s := range []*string{&r.session, &r.peer, &r.token} {
			if len(rest) == 0 || len(rest) <= int(rest[0]) {
				return nil, false
			}
			*s, rest = string(rest[1:1+rest[0]]), rest[1+rest[0]:]
		}
	case sayClose, sayKey, sayLost, sayFlood, sayYes, sayNo:
	case sayFrame:
		if len(rest) < frameHead-17 {
			return nil, false
		}
		r.number, r.messages = binary.BigEndian.Uint32(rest), binary.BigEndian.Uint32(rest[4:])
		r.at, r.part = int64(binary.BigEndian.Uint64(rest[8:])), rest[16]
		n := int(binary.BigEndian.Uint16(rest[17:]))
		if rest = rest[19:]; len(rest) < n || r.part > partMore|partContinues {
			return nil, false
		}
		r.frame, rest = rest[:n], rest[n:]
	default:
		return nil, false
	}
	return rest, true
}
