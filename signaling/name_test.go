package signaling

import (
	"encoding/json"
	"testing"
)

// TestDisplayNames: what others are told somebody is called, whatever he says; nothing
// that turns their page round, and nothing of which they see nothing.
func TestDisplayNames(t *testing.T) {
	_, url := newServer(t, Config{})
	here := openClient(t, url, `{"type":"hello"}`)
	here.join("names")
	for said, want := range map[string]string{
		"Jose\u0301":      "José",
		"\u202egnp.exe":   "gnp.exe",
		"a\u2066b\u2028c": "abc",
		"\u200b\u200d":    "",
		"\u3164":          "", // Hangul filler
		"\u2800 \u2800":   "", // blank Braille
		"\U000e0041":      "", // a tag
		"\ufe0f":          "",
		"   ":             "",
		"👩\u200d🚀":        "👩\u200d🚀", // joined, and seen
	} {
		text, err := json.Marshal(said)
		if err != nil {
			t.Fatal(err)
		}
		c := openClient(t, url, `{"type":"hello","name":`+string(text)+`}`)
		c.join("names")
		m := here.expect("peer-joined")
		if got, told := m["name"]; told != (want != "") || told && got != want {
			t.Errorf("%q is told as %v, want %q", said, got, want)
		}
		c.say(`{"type":"bye"`)
		here.expect("peer-left")
	}
}
