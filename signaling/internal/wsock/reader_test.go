package wsock

import (
	"bufio"
	"bytes"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// masked is a client's frame with a key of its own.
func masked(first byte, payload string) []byte {
	key := [4]byte{0x5A, 0xC3, 0x96, byte(len(payload))}
	wire := newFrame(first&0xF, []byte(payload)).wire
	head := len(wire) - len(payload)
	wire[0] = first
	wire[1] |= 0x80
	for i := range payload {
		wire[head+i] ^= key[i%4]
	}
	return slices.Insert(wire, head, key[:]...)
}

// gorillaOn is gorilla's server side of a WebSocket whose client has sent wire.
func gorillaOn(t *testing.T, wire []byte) *websocket.Conn {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header = http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
	}
	ws, err := new(websocket.Upgrader).Upgrade(&recorded{wire: bytes.NewReader(wire)}, r, nil)
	if err != nil {
		t.Fatal(err)
	}
	ws.SetPingHandler(func(string) error { return nil })
	ws.SetCloseHandler(func(int, string) error { return nil })
	return ws
}

// recorded is a connection that has ended: what came is there to be read.
type recorded struct {
	http.ResponseWriter
	net.Conn
	wire *bytes.Reader
}

func (r *recorded) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return r, bufio.NewReadWriter(bufio.NewReader(r), bufio.NewWriter(r)), nil
}
func (r *recorded) Write(b []byte) (int, error)      { return len(b), nil }
func (r *recorded) Read(b []byte) (int, error)       { return r.wire.Read(b) }
func (r *recorded) Close() error                     { return nil }
func (r *recorded) SetDeadline(time.Time) error      { return nil }
func (r *recorded) SetWriteDeadline(time.Time) error { return nil }

type event struct {
	opcode  byte
	payload string
}

// readAll feeds wire to a Reader in pieces of the given lengths, over and over.
func readAll(wire []byte, limit int, pieces []byte) (events []event, err error) {
	var r Reader
	for i := 0; len(wire) > 0; i++ {
		n := len(wire)
		if len(pieces) > 0 {
			n = min(n, 1+int(pieces[i%len(pieces)]))
		}
		r.Add(bytes.Clone(wire[:n]))
		wire = wire[n:]
		for {
			opcode, payload, err := r.Next(limit)
			if err != nil {
				return events, err
			}
			if opcode == 0 {
				break
			}
			events = append(events, event{opcode, string(payload)})
		}
	}
	return events, nil
}

// TestReader reads messages whole, byte by byte and in odd pieces: at every
// boundary of the length encoding, in several frames, with control frames between.
func TestReader(t *testing.T) {
	const final = 0x80
	var wire []byte
	var want []event
	for _, n := range []int{0, 1, 7, 8, 9, 125, 126, 127, 65535, 65536} {
		text := strings.Repeat("0123456789abcdef!", n/17+1)[:n]
		wire = append(wire, masked(final|OpBinary, text)...)
		want = append(want, event{OpBinary, text})
	}
	wire = append(wire, masked(OpText, "a message ")...)
	wire = append(wire, masked(0, "in ")...)
	wire = append(wire, masked(final|OpPing, "are you there")...)
	wire = append(wire, masked(0, "")...)
	wire = append(wire, masked(final, "fragments")...)
	wire = append(wire, masked(final|OpPong, "")...)
	want = append(want, event{OpPing, "are you there"}, event{OpText, "a message in fragments"}, event{OpPong, ""})
	wire = append(wire, masked(final|opClose, "\x10\xE1bye")...)
	for _, pieces := range [][]byte{nil, {0}, {1}, {2, 0, 4, 9}, {255}} {
		got, err := readAll(wire, 1<<17, pieces)
		var closed *CloseError
		if !errors.As(err, &closed) || closed.Code != 4321 || closed.Reason != "bye" {
			t.Errorf("pieces %v: ended with %v", pieces, err)
		}
		if len(got) != len(want) {
			t.Fatalf("pieces %v: %d messages, want %d", pieces, len(got), len(want))
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("pieces %v: message %d has opcode %d and %d bytes, want %d and %d", pieces, i, got[i].opcode, len(got[i].payload), want[i].opcode, len(want[i].payload))
			}
		}
	}
}

// TestReaderRefuses goes through the rules of RFC 6455 sections 5 and 7.4.
func TestReaderRefuses(t *testing.T) {
	const key = "\x00\x00\x00\x00"
	for name, c := range map[string]struct {
		wire string
		want error
	}{
		"not masked":                   {"\x81\x01a", ErrProtocol},
		"a reserved bit":               {"\xC1\x81" + key + "a", ErrProtocol},
		"an unknown opcode":            {"\x83\x80" + key, ErrProtocol},
		"an unknown control opcode":    {"\x8B\x80" + key, ErrProtocol},
		"a control frame in two":       {"\x09\x80" + key, ErrProtocol},
		"a control frame of 126 bytes": {"\x89\xFE\x00\x7E" + key, ErrProtocol},
		"a continuation of nothing":    {"\x80\x80" + key, ErrProtocol},
		"a message inside another":     {"\x01\x81" + key + "a\x81\x81" + key + "b", ErrProtocol},
		"too big":                      {"\x81\xFE\x04\x01", ErrTooBig},
		"far too big":                  {"\x81\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", ErrTooBig},
		"too big in sum":               {"\x01\x81" + key + "a\x80\xFE\x04\x00", ErrTooBig},
		"a Close with half a code":     {"\x88\x81" + key + "\x03", ErrProtocol},
		"a Close with 1005":            {"\x88\x82" + key + "\x03\xED", ErrProtocol},
		"a Close with 999":             {"\x88\x82" + key + "\x03\xE7", ErrProtocol},
		"a Close, reason not UTF-8":    {"\x88\x83" + key + "\x03\xE8\xFF", ErrProtocol},
	} {
		for _, pieces := range [][]byte{nil, {0}} {
			if got, err := readAll([]byte(c.wire), 1024, pieces); !errors.Is(err, c.want) {
				t.Errorf("%s: %v and %v, want %v", name, got, err, c.want)
			}
		}
	}
	for wire, code := range map[string]int{"\x88\x80" + key: codeNone, "\x88\x82" + key + "\x03\xE8": 1000, "\x88\x82" + key + "\x0F\xA0": 4000} {
		var closed *CloseError
		if _, err := readAll([]byte(wire), 1024, nil); !errors.As(err, &closed) || closed.Code != code {
			t.Errorf("%q ended with %v, want code %d", wire, err, code)
		}
	}
}

// FuzzReader holds that how the bytes are cut changes nothing, and that gorilla
// reads the same messages.
func FuzzReader(f *testing.F) {
	f.Add([]byte("\x81\x82abcdxy\x09\x80\x00\x00\x00\x00"), []byte{0})
	f.Add([]byte("\x01\x81\x00\x00\x00\x00a\x89\x80\x00\x00\x00\x00\x80\x81\x00\x00\x00\x00b\x88\x82\x00\x00\x00\x00\x03\xE8"), []byte{3, 1})
	f.Fuzz(func(t *testing.T, wire, pieces []byte) {
		const limit = 1 << 10
		whole, err := readAll(wire, limit, nil)
		cut, cutErr := readAll(wire, limit, pieces)
		if len(whole) != len(cut) || (err == nil) != (cutErr == nil) || err != nil && err.Error() != cutErr.Error() {
			t.Fatalf("%q: %v, %v; cut: %v, %v", wire, whole, err, cut, cutErr)
		}
		ws := gorillaOn(t, wire)
		for i, e := range whole {
			if e != cut[i] {
				t.Fatalf("%q: message %d is %v, cut %v", wire, i, e, cut[i])
			}
			if e.opcode >= opClose {
				continue
			}
			kind, payload, err := ws.ReadMessage()
			if err != nil || byte(kind) != e.opcode || string(payload) != e.payload {
				t.Fatalf("%q: message %d is %v, gorilla's %d %q, %v", wire, i, e, kind, payload, err)
			}
		}
	})
}
