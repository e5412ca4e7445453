package access

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// TestRoomName reads the table that the page's own rule is held against as well, in
// web/client/test/names.test.mjs.
func TestRoomName(t *testing.T) {
	content, err := os.ReadFile("testdata/rooms.json")
	if err != nil {
		t.Fatal(err)
	}
	var rows [][2]*string
	if err := json.Unmarshal(content, &rows); err != nil || len(rows) < 30 {
		t.Fatal(len(rows), err)
	}
	for _, row := range rows {
		got, ok := RoomName(*row[0])
		if want := row[1]; ok != (want != nil) || ok && got != *want {
			t.Errorf("%q: %q, %v", *row[0], got, ok)
		}
	}
	for _, name := range []string{"a\xff", "\xc3", "\xed\xa0\x80"} {
		if got, ok := RoomName(name); ok {
			t.Errorf("%q is %q", name, got)
		}
	}
	if n := testing.AllocsPerRun(100, func() { RoomName("blue-fox-42") }); n != 0 {
		t.Errorf("%v allocations for a name in ASCII", n)
	}
}

func FuzzRoomName(f *testing.F) {
	for _, name := range []string{"blue-fox-42", "cafe\u0301", "\u1112\u1161\u11ab", "c\u0430ll", "\u202e", strings.Repeat("я", 64)} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		got, ok := RoomName(name)
		if !ok {
			return
		}
		if again, ok := RoomName(got); !ok || again != got {
			t.Errorf("%q is %q, and that is %q", name, got, again)
		}
		if !utf8.ValidString(got) || len(got) > MaxRoomName || !norm.NFC.IsNormalString(got) || strings.ContainsAny(got, " /#?%\"<>&\u200b\u202e\u2068") {
			t.Errorf("%q may be a room's name", got)
		}
		if other, ok := RoomName(norm.NFD.String(name)); ok && other != got {
			t.Errorf("%q is %q, decomposed it is %q", name, got, other)
		}
	})
}

func TestRoomsOfTokenHoweverTyped(t *testing.T) {
	claims := Claims{Rooms: []string{"caf\u00e9"}}
	if !claims.AllowsRoom("cafe\u0301") || !claims.AllowsRoom("caf\u00e9") || claims.AllowsRoom("cafe") {
		t.Error("a room is another one when its name is typed in another way")
	}
	var c tokenClaims
	if err := json.Unmarshal([]byte(`{"sub":"ida","rooms":["cafe\u0301"]}`), &c); err != nil || (*c.Rooms)[0] != "caf\u00e9" {
		t.Errorf("%+v, %v", c, err)
	}
}
