package signaling

import (
	"encoding/json"
	"strconv"
)

// body is a server message without its closing brace: the numbers of the
// session that gets it (seq, ack) are added when it is sent, so that a message
// to many is built once.
type body []byte

// open begins a message; room is how many more bytes will come.
func open(typ string, room int) body {
	b := make(body, 0, len(typ)+room+24)
	b = append(b, `{"type":"`...)
	b = append(b, typ...)
	return append(b, '"')
}

// raw adds a member whose value is JSON already.
func (b body) raw(key string, value []byte) body {
	b = append(b, ',', '"')
	b = append(b, key...)
	b = append(b, '"', ':')
	return append(b, value...)
}

// str adds a string member.
func (b body) str(key, value string) body {
	b = append(b, ',', '"')
	b = append(b, key...)
	b = append(b, '"', ':')
	return appendString(b, value)
}

func (b body) num(key string, n uint64) body {
	b = append(b, ',', '"')
	b = append(b, key...)
	b = append(b, '"', ':')
	return strconv.AppendUint(b, n, 10)
}

func (b body) flag(key string, v bool) body {
	b = append(b, ',', '"')
	b = append(b, key...)
	b = append(b, '"', ':')
	return strconv.AppendBool(b, v)
}

// appendString adds a JSON string. Most of ours need no escaping.
func appendString(b []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if !plain[s[i]] || s[i] >= 0x80 {
			quoted, err := json.Marshal(s)
			if err != nil {
				return append(b, `""`...)
			}
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// answer begins the answer to a request with this id.
func answer(typ string, id []byte, room int) body {
	b := open(typ, room+len(id)+8)
	if id != nil {
		b = b.raw("id", id)
	}
	return b
}

func (f *fault) body(id []byte) body {
	b := answer("error", id, len(f.text)+80).str("code", string(f.code)).str("message", f.text).flag("retry", f.after > 0)
	if f.after > 0 {
		b = b.num("after", uint64(f.after.Milliseconds()))
	}
	return b
}

// open2 begins an object with one string member; end closes it.
func open2(key, value string) body {
	b := append(body(nil), '{', '"')
	b = append(b, key...)
	b = append(b, '"', ':')
	return appendString(b, value)
}

func (b body) end() []byte { return append(b, '}') }

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
