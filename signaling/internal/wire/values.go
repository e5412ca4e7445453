package wire

import (
	"encoding/json"
	"math"
	"strconv"
)

// maxInteger is the largest integer that every JSON reader keeps exact
// (RFC 8259 section 6).
const maxInteger = 1<<53 - 1

// Integer reads a plain non-negative integer.
func Integer(raw []byte) (uint64, bool) {
	if len(raw) == 0 || len(raw) > 16 {
		return 0, false
	}
	var n uint64
	for _, c := range raw {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, n <= maxInteger
}

// Text reads a string without copying it where it holds no escapes.
func Text(raw []byte) ([]byte, bool) {
	if len(raw) < 2 || raw[0] != '"' {
		return nil, false
	}
	inner := raw[1 : len(raw)-1]
	for _, c := range inner {
		if c == '\\' {
			var s string
			if json.Unmarshal(raw, &s) != nil {
				return nil, false
			}
			return []byte(s), true
		}
	}
	return inner, true
}

// Number reads a finite number of at least 0.
func Number(raw []byte) (float64, bool) {
	if len(raw) == 0 || raw[0] != '0' && (raw[0] < '1' || raw[0] > '9') {
		return 0, false
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	return f, err == nil && f >= 0 && !math.IsInf(f, 0)
}

// NeedText reads a string member that must be there.
func NeedText(member string, raw []byte) ([]byte, *Fault) {
	s, ok := Text(raw)
	if !ok {
		return nil, Faultf(CodeBadMessage, "%s must be a string", member)
	}
	return s, nil
}

// TextList reads a list of strings.
func TextList(raw []byte) ([]string, bool) {
	if len(raw) == 0 || raw[0] != '[' {
		return nil, false
	}
	var list []*string // null is not a string
	if json.Unmarshal(raw, &list) != nil {
		return nil, false
	}
	out := make([]string, len(list))
	for i, s := range list {
		if s == nil {
			return nil, false
		}
		out[i] = *s
	}
	return out, true
}

// Member returns a member of an object, as raw JSON; nil: there is none, or it is no
// object.
func Member(object []byte, name string) []byte {
	var members map[string]json.RawMessage
	if json.Unmarshal(object, &members) != nil {
		return nil
	}
	return members[name]
}
