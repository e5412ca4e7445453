package signaling

import (
	"encoding/json"
	"math"
	"strconv"
	"unicode/utf8"
)

// message is one client message: its members as raw JSON, parts of the buffer
// it was read into and valid as long as that. nil: absent.
type message struct {
	typ, id, seq, ack              []byte
	name, user, userSecret, resume []byte
	room, to, data, first          []byte
	users, call, reason, token     []byte
	peer, path, rtt, loss          []byte
	bitrate, firstFrame            []byte
}

func (m *message) set(key, value []byte) {
	switch string(key) {
	case "type":
		m.typ = value
	case "id":
		m.id = value
	case "seq":
		m.seq = value
	case "ack":
		m.ack = value
	case "to":
		m.to = value
	case "data":
		m.data = value
	case "room":
		m.room = value
	case "first":
		m.first = value
	case "call":
		m.call = value
	case "name":
		m.name = value
	case "user":
		m.user = value
	case "userSecret":
		m.userSecret = value
	case "resume":
		m.resume = value
	case "users":
		m.users = value
	case "reason":
		m.reason = value
	case "token":
		m.token = value
	case "peer":
		m.peer = value
	case "path":
		m.path = value
	case "rtt":
		m.rtt = value
	case "loss":
		m.loss = value
	case "bitrate":
		m.bitrate = value
	case "firstFrame":
		m.firstFrame = value
	}
}

// parse reads a frame. The fault names the member that is wrong.
func (m *message) parse(b []byte) *fault {
	if !scanObject(b, m) {
		if !utf8.Valid(b) {
			return faultf(CodeBadMessage, "the message is not UTF-8")
		}
		return faultf(CodeBadMessage, "the message is not one JSON object (nested at most %d deep)", maxDepth)
	}
	if m.id != nil {
		if n, ok := integer(m.id); !ok || n == 0 {
			m.id = nil
			return faultf(CodeBadMessage, "id must be a positive integer")
		}
	}
	return nil
}

// maxInteger is the largest integer that every JSON reader keeps exact
// (RFC 8259 section 6).
const maxInteger = 1<<53 - 1

// integer reads a plain non-negative integer.
func integer(raw []byte) (uint64, bool) {
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

// text reads a string without copying it where it holds no escapes.
func text(raw []byte) ([]byte, bool) {
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

// number reads a finite number of at least 0.
func number(raw []byte) (float64, bool) {
	if len(raw) == 0 || raw[0] != '0' && (raw[0] < '1' || raw[0] > '9') {
		return 0, false
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	return f, err == nil && f >= 0 && !math.IsInf(f, 0)
}

// needText reads a string member that must be there.
func needText(member string, raw []byte) ([]byte, *fault) {
	s, ok := text(raw)
	if !ok {
		return nil, faultf(CodeBadMessage, "%s must be a string", member)
	}
	return s, nil
}

// roomName reads and checks a room's name.
func roomName(raw []byte) (string, *fault) {
	s, f := needText("room", raw)
	if f != nil {
		return "", f
	}
	if len(s) < 1 || len(s) > maxRoomName {
		return "", faultf(CodeBadName, "room must have 1 to %d characters", maxRoomName)
	}
	for _, c := range s {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '.', c == '_', c == '~', c == '-':
		default:
			return "", faultf(CodeBadName, "room may hold A-Z a-z 0-9 . _ ~ - only")
		}
	}
	return string(s), nil
}

// displayName reads and checks what others see.
func displayName(raw []byte) (string, *fault) {
	if raw == nil {
		return "", nil
	}
	s, f := needText("name", raw)
	if f != nil {
		return "", f
	}
	if utf8.RuneCount(s) > maxName {
		return "", faultf(CodeBadName, "name must have at most %d characters", maxName)
	}
	for _, r := range string(s) {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return "", faultf(CodeBadName, "name must not hold control characters")
		}
	}
	return string(s), nil
}

// textList reads a list of strings.
func textList(raw []byte) ([]string, bool) {
	if len(raw) == 0 || raw[0] != '[' {
		return nil, false
	}
	var list []*string // null is no string
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
