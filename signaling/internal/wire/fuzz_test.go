package wire

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf8"
)

// What the scanner takes is exactly what encoding/json takes, but for the
// stricter rules: one object, valid UTF-8, bounded depth.
func FuzzScan(f *testing.F) {
	for _, s := range []string{
		`{}`, ` { "a" : [1, -0.5e+7, "\u00e9\n", true, false, null, {}, []] } `, `{"a":01}`, `{"a":1.}`, `{"a":"\x"}`,
		`{"a":"\ud800"}`, `{"a":}`, `{"a":1,}`, `[]`, `{"type":"join"}{}`, "{\"a\":\"\x01\"}", "{\"a\":\"\xff\"}", `{"\u0061":1}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var m Message
		got := scanObject(b, &m)
		trimmed := bytes.TrimLeft(b, " \t\r\n")
		want := json.Valid(b) && utf8.Valid(b) && len(trimmed) > 0 && trimmed[0] == '{'
		if got && !want {
			t.Fatalf("%q is taken", b)
		}
		// The depth counts every bracket, those in strings too: a coarse bound.
		if want && !got && bytes.Count(b, []byte{'{'})+bytes.Count(b, []byte{'['}) < maxDepth {
			t.Fatalf("%q is refused", b)
		}
		if !got {
			return
		}
		var members map[string]json.RawMessage
		if json.Unmarshal(b, &members) != nil {
			return
		}
		if data, ok := members["data"]; ok && m.Data != nil && !json.Valid(m.Data) || ok && m.Data == nil && !bytes.Contains(b, []byte(`\`)) {
			t.Fatalf("data of %q is %q, want %q", b, m.Data, data)
		}
	})
}
