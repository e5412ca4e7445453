package access

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// MaxRoomName is the longest name of a room, in bytes: the hub's, a dialect's, and that an
// invitation names.
const MaxRoomName = 128

// RoomLetters says in an error what RoomName takes.
const RoomLetters = "letters of any script, digits and . _ ~ -"

// lookalikes are the scripts with letters that look like those of another one of them. A
// word in two of them is not what it looks like: "cаll" with a Cyrillic а is another room.
var lookalikes = []*unicode.RangeTable{
	unicode.Latin, unicode.Greek, unicode.Cyrillic, unicode.Armenian, unicode.Cherokee, unicode.Coptic, unicode.Lisu,
}

// RoomName returns a room's name in Unicode's normal form C, in which it is the same room
// however it was typed, or reports that no room of the hub may have it
// (signaling/protocol.md). The page has the same rule, in static/rooms.js.
func RoomName(name string) (string, bool) {
	ascii := true
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', isJoiner(rune(c)):
		case c >= utf8.RuneSelf:
			ascii = false
		default:
			return "", false
		}
	}
	if !ascii {
		if len(name) > 4*MaxRoomName { // normal form C makes nothing shorter than a third
			return "", false
		}
		name = norm.NFC.String(name)
		if !readable(name) {
			return "", false
		}
	}
	return name, 1 <= len(name) && len(name) <= MaxRoomName
}

// isJoiner reports what may stand between words.
func isJoiner(r rune) bool { return r == '.' || r == '_' || r == '~' || r == '-' }

// readable reports whether a name is letters and digits that are what they look like.
func readable(name string) bool {
	if first, _ := utf8.DecodeRuneInString(name); unicode.Is(unicode.M, first) {
		return false // it would sit on what stands before the name
	}
	for word := range strings.FieldsFuncSeq(name, isJoiner) {
		script := -1
		for _, r := range word {
			if r >= utf8.RuneSelf && !isLetter(r) {
				return false
			}
			for i, table := range lookalikes {
				if unicode.Is(table, r) {
					if script >= 0 && script != i {
						return false
					}
					script = i
				}
			}
		}
	}
	return true
}

// isLetter reports whether a rune outside ASCII is a letter, a mark or a digit, is seen,
// and is no other form of an ASCII character, such as a letter of full width.
func isLetter(r rune) bool {
	if r == utf8.RuneError || !unicode.In(r, unicode.L, unicode.M, unicode.Nd) || unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) {
		return false
	}
	return !strings.ContainsFunc(norm.NFKC.String(string(r)), func(r rune) bool { return r < utf8.RuneSelf })
}
