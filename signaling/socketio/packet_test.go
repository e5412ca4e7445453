package socketio

import (
	"bytes"
	"encoding/base64"
	"reflect"
	"testing"
)

// The examples are those of engine.io-protocol, "Packet encoding".
func TestDecodePacket(t *testing.T) {
	for text, want := range map[string]packet{
		"4hello":       {kind: packetMessage, data: []byte("hello")},
		"4":            {kind: packetMessage, data: []byte{}},
		"2":            {kind: packetPing, data: []byte{}},
		"2probe":       {kind: packetPing, data: []byte("probe")},
		"3":            {kind: packetPong, data: []byte{}},
		"5":            {kind: packetUpgrade, data: []byte{}},
		"bAQIDBA==":    {kind: packetMessage, binary: true, data: []byte{1, 2, 3, 4}},
		"bAQIDBA":      {kind: packetMessage, binary: true, data: []byte{1, 2, 3, 4}},
		"b":            {kind: packetMessage, binary: true, data: []byte{}},
		"4€\U0001f600": {kind: packetMessage, data: []byte("€\U0001f600")},
	} {
		got, err := decodePacket([]byte(text))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, bad := range []string{"", "7", "x", "b*", "bA", " 4", "-1"} {
		if got, err := decodePacket([]byte(bad)); err == nil {
			t.Errorf("%q was taken as %+v", bad, got)
		}
	}
}

// TestPayload holds the example of engine.io-protocol, "Packet encoding", HTTP
// long-polling.
func TestPayload(t *testing.T) {
	body := []byte("4hello\x1e2\x1e4world")
	packets, err := decodePayload(body)
	if err != nil || len(packets) != 3 || string(packets[2].data) != "world" {
		t.Fatalf("%+v, %v", packets, err)
	}
	if got := appendPayload(nil, packets); !bytes.Equal(got, body) {
		t.Fatalf("written again: %q", got)
	}
	mixed := []packet{{kind: packetMessage, data: []byte("€")}, {kind: packetMessage, binary: true, data: []byte{1, 2, 3, 4}}}
	if got := appendPayload(nil, mixed); string(got) != "4€\x1ebAQIDBA==" {
		t.Fatalf("%q", got)
	}
	for _, bad := range []string{"", "\x1e", "4a\x1e", "4a\x1e9", "4\xff"} {
		if _, err := decodePayload([]byte(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	if _, err := decodePayload(bytes.Repeat([]byte("4\x1e"), maxPayloadPackets)); err == nil {
		t.Error("a payload of too many packets was taken")
	}
}

func FuzzDecodePayload(f *testing.F) {
	for _, seed := range []string{"4hello\x1e2\x1e4world", "2probe", "bAQIDBA==\x1e451-[\"m\",{\"_placeholder\":true,\"num\":0}]", "4\xff", "\x1e\x1e"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		packets, err := decodePayload(body)
		if err != nil {
			return
		}
		again, err := decodePayload(appendPayload(nil, packets))
		if err != nil || !reflect.DeepEqual(normal(packets), normal(again)) {
			t.Fatalf("%q decodes to %+v, and that again to %+v, %v", body, packets, again, err)
		}
		for _, p := range packets {
			if p.binary {
				if p.kind != packetMessage {
					t.Fatalf("a binary packet of type %q", p.kind)
				}
				_ = base64.StdEncoding.EncodeToString(p.data)
			}
		}
	})
}

// normal makes empty and absent data the same.
func normal(packets []packet) []packet {
	out := make([]packet, len(packets))
	for i, p := range packets {
		p.data = append([]byte{}, p.data...)
		out[i] = p
	}
	return out
}
