package core

import (
	"strings"
	"unicode/utf8"
)

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
