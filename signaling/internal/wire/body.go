package wire

import (
	"encoding/json"
	"strconv"
)

// Object is a JSON object that is being written, without its closing brace. A
// server message stays so: the numbers of the session that gets it (seq, ack) are
// added when it is sent, so that a message to many is built once.
type Object []byte

// Begin begins a message of a type; size is how many more bytes will come.
func Begin(typ string, size int) Object {
	b := make(Object, 0, len(typ)+size+24)
	b = append(b, `{"type":"`...)
	b = append(b, typ...)
	return append(b, '"')
}

// Answer begins the answer to a request with this id, which may be nil.
func Answer(typ string, id []byte, size int) Object {
	b := Begin(typ, size+len(id)+8)
	if id != nil {
		b = b.Raw("id", id)
	}
	return b
}

// Inner begins an object, with one string member, that is a value of another.
func Inner(key, value string) Object {
	b := append(Object(nil), '{', '"')
	b = append(b, key...)
	b = append(b, '"', ':')
	return AppendString(b, value)
}

// End closes the object.
func (b Object) End() []byte { return append(b, '}') }

// Raw adds a member whose value is JSON already.
func (b Object) Raw(key string, value []byte) Object {
	return append(b.key(key), value...)
}

// Text adds a string member.
func (b Object) Text(key, value string) Object {
	return AppendString(b.key(key), value)
}

// Number adds a member that is a non-negative integer.
func (b Object) Number(key string, n uint64) Object {
	return strconv.AppendUint(b.key(key), n, 10)
}

// Bool adds a member that is true or false.
func (b Object) Bool(key string, v bool) Object {
	return strconv.AppendBool(b.key(key), v)
}

// key adds a member up to its colon. Keys are ours and need no escaping.
func (b Object) key(key string) Object {
	b = append(b, ',', '"')
	b = append(b, key...)
	return append(b, '"', ':')
}

// AppendString adds a JSON string. Most of ours need no escaping.
func AppendString(b []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if !unescaped[s[i]] || s[i] >= 0x80 {
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

// Message is what the client that sent the request with this id is told.
func (f *Fault) Message(id []byte) Object {
	b := Answer("error", id, len(f.Text)+80).Text("code", string(f.Code)).Text("message", f.Text).Bool("retry", f.After > 0)
	if f.After > 0 {
		b = b.Number("after", uint64(f.After.Milliseconds()))
	}
	return b
}
