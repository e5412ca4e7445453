package turnsrv

import (
	"strings"
	"unicode/utf8"
)

// RealmBytes is the longest realm, in bytes, that fits into every 401. The
// shortest first Allocate of a client has 28 bytes, over IPv4 56 with its headers;
// 1.5 times that is 84 bytes. The headers (28 and 20), ERROR-CODE without a phrase
// (8), NONCE (16) and the head of REALM (4) leave 8.
const RealmBytes = 8

// shortRealm is what such a client is told instead of a longer realm: the
// beginning of it. To a client the realm is just a text from which it makes its key
// (RFC 8489 section 9.2.2), and with passwords made from a shared secret any will
// do; the alternative would be no answer, and so no relay over UDP and IPv4.
func shortRealm(realm string) string {
	if len(realm) <= RealmBytes {
		return realm
	}
	n := RealmBytes
	for !utf8.RuneStart(realm[n]) {
		n--
	}
	if short := strings.TrimRight(realm[:n], " .-_"); short != "" {
		return short
	}
	return "turn"
}

// ShortRealm is the realm that the shortest requests over UDP are answered with,
// where the realm is longer than RealmBytes and would make the answer more than
// 1.5 times as long as the request.
func (s *Server) ShortRealm() string { return s.shortRealm }
