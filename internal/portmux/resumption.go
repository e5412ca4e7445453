package portmux

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"slices"
)

// A session's keys come from two exchanges at once, X25519 and ML-KEM, for which clients
// of today ask, so that nobody who records them now can read them with a quantum computer
// later. ML-KEM is a fifth of what a handshake by a ticket costs, and thousands come with
// tickets after a restart. Such a session's keys come from the ticket's secret as well
// (RFC 8446 section 7.1), and where that was made with ML-KEM, nobody can read them who
// cannot read that: X25519 alone is enough beside it, against whoever steals the keys that
// tickets are sealed with. Tickets are marked for that, and a ticket without a mark, one
// that nobody can open any more, or several at once get the usual handshake.

// quantumSafe marks a ticket whose secret comes from ML-KEM, in this session or in the one
// that it has resumed.
var quantumSafe = []byte("turnhub: ml-kem")

// Codes of TLS (RFC 8446 sections 4 and 4.2).
const (
	handshakeRecord = 22
	clientHelloType = 1
	keyShareCode    = 51
	presharedCode   = 41
)

// markTickets has cfg mark its tickets and returns the configuration for those who come
// with a marked one.
func markTickets(cfg *tls.Config) (resuming *tls.Config) {
	seal := func(state tls.ConnectionState, session *tls.SessionState, safe bool) ([]byte, error) {
		if safe {
			session.Extra = append(session.Extra, quantumSafe)
		}
		return cfg.EncryptTicket(state, session)
	}
	resuming = cfg.Clone() // without keys of its own: crypto/tls takes those of cfg
	resuming.CurvePreferences = []tls.CurveID{tls.X25519}
	resuming.WrapSession = func(state tls.ConnectionState, session *tls.SessionState) ([]byte, error) {
		return seal(state, session, state.DidResume) // by no other ticket: see marked
	}
	cfg.WrapSession = func(state tls.ConnectionState, session *tls.SessionState) ([]byte, error) {
		return seal(state, session, state.CurveID == tls.X25519MLKEM768)
	}
	return resuming
}

// marked reports whether a ClientHello comes with one ticket, which cfg can open and which
// is marked, and with a share of X25519.
func marked(cfg *tls.Config, records []byte) bool {
	ticket, x25519 := offer(records)
	if ticket == nil || !x25519 {
		return false
	}
	session, err := cfg.DecryptTicket(ticket, tls.ConnectionState{})
	return err == nil && session != nil && slices.ContainsFunc(session.Extra, func(extra []byte) bool { return bytes.Equal(extra, quantumSafe) })
}

// offer returns the ticket of a ClientHello in one record, nil if it has none, or several,
// and whether it has a share of X25519.
func offer(records []byte) (ticket []byte, x25519 bool) {
	extensions, _ := extensionsOf(records)
	for len(extensions) > 0 {
		code := extensions.number(2)
		body := extensions.vector(2)
		switch code {
		case keyShareCode:
			for shares := body.vector(2); len(shares) > 0; shares.vector(2) {
				if shares.number(2) == int(tls.X25519) {
					x25519 = true
				}
			}
		case presharedCode:
			identities := body.vector(2)
			ticket = identities.vector(2)
			if identities.take(4); len(identities) > 0 { // after the age
				return nil, false
			}
		}
	}
	return ticket, x25519
}

// extensionsOf returns the extensions of a ClientHello that is whole and in one record (RFC
// 8446 section 4.1.2); false: it is not.
func extensionsOf(records []byte) (reader, bool) {
	b := reader(records)
	kind := b.take(3)
	hello := b.vector(2)
	if len(kind) == 0 || kind[0] != handshakeRecord || len(hello) < 4 || hello[0] != clientHelloType {
		return nil, false
	}
	hello.take(1)
	whole := hello.vector(3)
	if len(hello) > 0 || len(whole) == 0 {
		return nil, false
	}
	whole.take(2 + 32) // version and random
	whole.vector(1)    // session
	whole.vector(2)    // suites
	whole.vector(1)    // compression
	return whole.vector(2), true
}

// reader takes apart what TLS has put together; what is too short is empty.
type reader []byte

func (r *reader) take(n int) reader {
	if n > len(*r) {
		*r = nil
		return nil
	}
	taken := (*r)[:n]
	*r = (*r)[n:]
	return taken
}

// number is one of so many bytes.
func (r *reader) number(bytes int) int {
	var b [4]byte
	copy(b[4-bytes:], r.take(bytes))
	return int(binary.BigEndian.Uint32(b[:]))
}

// vector is what has its length before it, in so many bytes.
func (r *reader) vector(bytes int) reader { return r.take(r.number(bytes)) }
