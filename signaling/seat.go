package signaling

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"sync"
	"time"

	"turnhub/signaling/internal/wire"
)

// A seat lets somebody back into a hosted room after a restart of the server, which has
// forgotten whom the host let in: everybody would knock, and those who could open may
// have been made host by one who has gone home. Each member is given a seat with every
// word about the room: what they are in it, signed by this server. The next process, or
// another node, takes it for a while after its start; this one never does, since it
// knows.
//
// A seat has the edition of the room, which rises whenever a host changes something and
// whenever somebody leaves. Whoever has left or was removed has one that is older than
// those of the others, and is out when the first of them comes.

const (
	// seatsFor is for how long after its start a hub takes seats: clients come back
	// within a minute.
	seatsFor = 5 * time.Minute
	// seatLife is the longest that one is good: it is made anew with each change, and a
	// call lasts no longer.
	seatLife = 24 * time.Hour

	seatForm   = 1
	issuerSize = 8
	seatMAC    = 16
	seatFixed  = 1 + issuerSize + 8 + 8 + 1 // form, issuer, edition, expiry, flags; the session follows
	maxSeat    = 256                        // characters
)

const (
	seatHost = 1 << iota
	seatMuted
	seatLocked
)

// seat is what one says.
type seat struct {
	issuer              [issuerSize]byte
	edition             uint64
	expires             int64 // Unix seconds
	host, muted, locked bool
	session             string // whose it was
}

// seats signs and reads them.
type seats struct {
	issuer [issuerSize]byte // this process

	mu    sync.RWMutex
	since time.Time // its start, or the last death of a node, by the hub's clock
	keys  [][]byte  // the first signs; none: no seats
}

func newSeats(secrets []string, now time.Time) *seats {
	s := &seats{since: now}
	_, _ = rand.Read(s.issuer[:]) // never fails
	s.set(secrets)
	return s
}

// set makes the keys of the secrets that every process and node of this server has.
func (s *seats) set(secrets []string) {
	keys := make([][]byte, len(secrets))
	for i, secret := range secrets {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte("turnhub seats in hosted rooms"))
		keys[i] = mac.Sum(nil)
	}
	s.mu.Lock()
	s.keys = keys
	s.mu.Unlock()
}

func (s *seats) all() [][]byte {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.keys
}

func sealSeat(key []byte, room string, b []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(room))
	mac.Write([]byte{0})
	mac.Write(b)
	return mac.Sum(nil)[:seatMAC]
}

// sign returns a seat as text; "" where there is no key.
func (s *seats) sign(room string, of seat) string {
	keys := s.all()
	if len(keys) == 0 {
		return ""
	}
	b := make([]byte, 0, seatFixed+len(of.session)+seatMAC)
	b = append(append(b, seatForm), s.issuer[:]...)
	b = binary.BigEndian.AppendUint64(b, of.edition)
	b = binary.BigEndian.AppendUint64(b, uint64(of.expires))
	var flags byte
	for i, on := range []bool{of.host, of.muted, of.locked} {
		if on {
			flags |= 1 << i
		}
	}
	b = append(append(b, flags), of.session...)
	return base64.RawURLEncoding.EncodeToString(append(b, sealSeat(keys[0], room, b)...))
}

// reopen has seats taken for a while, as after the start: those of a node that has died
// come here.
func (s *seats) reopen(now time.Time) {
	s.mu.Lock()
	s.since = now
	s.mu.Unlock()
}

// fresh reports whether seats are taken on their own word.
func (s *seats) fresh(now time.Time) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return now.Sub(s.since) <= seatsFor
}

// read returns what a seat says, if another process of this server has given it to
// somebody of that room.
func (s *seats) read(room string, text []byte, day time.Time) (of seat, ok bool) {
	if len(text) > maxSeat {
		return of, false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(string(text))
	if err != nil || len(b) < seatFixed+seatMAC || b[0] != seatForm {
		return of, false
	}
	b, sum := b[:len(b)-seatMAC], b[len(b)-seatMAC:]
	signed := false
	for _, key := range s.all() {
		signed = signed || hmac.Equal(sealSeat(key, room, b), sum)
	}
	if !signed {
		return of, false
	}
	b = b[1:]
	b = b[copy(of.issuer[:], b):]
	of.edition, of.expires = binary.BigEndian.Uint64(b), int64(binary.BigEndian.Uint64(b[8:]))
	flags := b[16]
	of.host, of.muted, of.locked = flags&seatHost != 0, flags&seatMuted != 0, flags&seatLocked != 0
	of.session = string(b[17:])
	return of, of.issuer != s.issuer && day.Unix() < of.expires
}

// SetSecrets replaces credentials.secrets, by which seats in hosted rooms are signed.
func (h *Hub) SetSecrets(secrets []string) { h.seats.set(secrets) }

// seatFor is the seat of somebody in a hosted room. hostings.mu is held.
func (d *directory) seatFor(h *hosting, p *member) string {
	st := h.people[p]
	if st == nil {
		return ""
	}
	return d.hub.seats.sign(h.room, seat{
		edition: h.edition, expires: d.hub.day().Add(seatLife).Unix(), session: p.id,
		host: st.host, muted: st.muted, locked: h.locked,
	})
}

// bring takes a seat that somebody comes with; nil: it is none, or not good any more.
// hostings.mu is held.
func (d *directory) bring(h *hosting, m *wire.Message) (*seat, *wire.Fault) {
	if m.Seat == nil {
		return nil, nil
	}
	text, f := wire.NeedText("seat", m.Seat)
	if f != nil {
		return nil, f
	}
	return d.seatBy(h, text), nil
}

// seatBy is bring for the text of a seat. hostings.mu is held.
func (d *directory) seatBy(h *hosting, text []byte) *seat {
	of, ok := d.hub.seats.read(h.room, text, d.hub.day())
	_, taken := h.seated[of.session]
	if !ok || taken || of.edition < h.brought || len(h.seated) >= maxRemoved || h.marks[sessionMark(of.session)].Out {
		return nil
	}
	if h.across.met {
		// Other nodes know the room, and so does this one by them.
		if of.edition < h.edition {
			return nil
		}
		if of.edition > h.edition { // its node has died before it could say so
			h.edition = of.edition
			h.setLocked(of.locked)
		}
		return &of
	}
	// Once a host has put somebody out here, who comes later is looked at again.
	if !d.hub.seats.fresh(d.hub.now()) || h.sealed {
		return nil
	}
	if of.edition > h.brought {
		if h.edition <= max(h.brought, 1) { // no host has changed anything since
			h.locked = of.locked
		}
		h.brought, h.edition = of.edition, max(h.edition, of.edition)
		d.unseat(h)
	}
	return &of
}

// unseat puts out who came with a seat that is older than another one, to knock.
// hostings.mu is held.
func (d *directory) unseat(h *hosting) {
	for _, p := range d.present(h.room) {
		st := h.people[p]
		if st == nil || p.node != nil || st.seat == 0 || st.seat >= h.brought {
			continue
		}
		if r := p.inRoom(h.room); r != nil {
			others := append(r.others(p), p.id)
			d.quitRoom(p, r, "lost")
			h.drop(p)
			p.push(wireOut(h.room, "again"))
			h.unseated = append(h.unseated, others...)
		}
	}
}
