package credentials

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

var errNoExpiry = errors.New("username says no expiry: write <unix seconds>:<user>")

// ParseUsername takes a TURN username apart into its expiry and its user. The
// scheme says "<expiry>:<user>" or the expiry alone, whose user is empty. Programs
// that were written for coturn's use-auth-secret sign other forms too, all of which
// coturn takes, and whatever the form, one person is one user:
//
//	<expiry>:<user>   what follows the first colon, whatever it is
//	<user>:<expiry>   where what precedes the first colon is not all digits
//	:<expiry>         the empty user; the same for what follows as without the colon
//	<expiry>_<user>   without such a colon; any sign may stand there, or none
//	<user>_<expiry>   coturn's rest-api-separator, any sign but a colon
func ParseUsername(username string) (expires time.Time, user string, err error) {
	if len(username) > MaxUsername {
		return time.Time{}, "", fmt.Errorf("username has %d bytes, at most %d are allowed", len(username), MaxUsername)
	}
	seconds, user, err := splitUsername(strings.TrimPrefix(username, ":"))
	if err != nil {
		return time.Time{}, "", err
	}
	return time.Unix(seconds, 0), user, nil
}

func splitUsername(s string) (seconds int64, user string, err error) {
	before, after, colon := strings.Cut(s, ":")
	number, rest := leadingDigits(s)
	if colon && number == before && number != "" {
		seconds, err = expiry(number)
		return seconds, after, err
	}
	if colon && before != "" {
		if number, _ := leadingDigits(after); number != "" {
			seconds, err = expiry(number)
			return seconds, before, err
		}
	}
	if number != "" {
		if rest != "" && separates(rest[0]) {
			rest = rest[1:]
		}
		seconds, err = expiry(number)
		return seconds, rest, err
	}
	// The expiry last, behind a sign.
	at := len(s)
	for at > 0 && digit(s[at-1]) {
		at--
	}
	if at == len(s) || at < 2 || !separates(s[at-1]) {
		return 0, "", errNoExpiry
	}
	seconds, err = expiry(s[at:])
	return seconds, s[:at-1], err
}

func leadingDigits(s string) (digits, rest string) {
	n := 0
	for n < len(s) && digit(s[n]) {
		n++
	}
	return s[:n], s[n:]
}

func digit(b byte) bool { return '0' <= b && b <= '9' }

// separates reports whether a byte may separate an expiry from a user: any printable
// ASCII character that is neither letter nor digit.
func separates(b byte) bool {
	letter := 'a' <= b|0x20 && b|0x20 <= 'z'
	return ' ' <= b && b < 0x7F && !letter && !digit(b)
}

func expiry(digits string) (int64, error) {
	seconds, err := strconv.ParseUint(digits, 10, 62)
	if err != nil {
		return 0, fmt.Errorf("the expiry of the username is not a time: %w", err)
	}
	return int64(seconds), nil
}
