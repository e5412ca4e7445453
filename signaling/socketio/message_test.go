package socketio

import (
	"encoding/json"
	"strings"
	"testing"
)

// The good ones are the examples of socket.io-protocol, "Packet encoding".
func TestDecodeMessage(t *testing.T) {
	for text, want := range map[string]message{
		`0`:                        {kind: typeConnect, namespace: "/"},
		`0{"token":"123"}`:         {kind: typeConnect, namespace: "/", data: []byte(`{"token":"123"}`)},
		`0/admin,`:                 {kind: typeConnect, namespace: "/admin"},
		`0/admin`:                  {kind: typeConnect, namespace: "/admin"},
		`0/admin,{"a":1}`:          {kind: typeConnect, namespace: "/admin", data: []byte(`{"a":1}`)},
		`1`:                        {kind: typeDisconnect, namespace: "/"},
		`1/admin,`:                 {kind: typeDisconnect, namespace: "/admin"},
		`2["hello",1]`:             {kind: typeEvent, namespace: "/", event: "hello", data: []byte(`["hello",1]`)},
		`2/admin,456["hello"]`:     {kind: typeEvent, namespace: "/admin", ack: "456", event: "hello", data: []byte(`["hello"]`)},
		`212["m\u0065ssage",null]`: {kind: typeEvent, namespace: "/", ack: "12", event: "message", data: []byte(`["m\u0065ssage",null]`)},
		`2[7,"seven"]`:             {kind: typeEvent, namespace: "/", event: "7", data: []byte(`[7,"seven"]`)},
		`3456[]`:                   {kind: typeAck, namespace: "/", ack: "456", data: []byte(`[]`)},
		`51-["m",{"_placeholder":true,"num":0}]`: {kind: typeBinaryEvent, attachments: 1, namespace: "/", event: "m",
			data: []byte(`["m",{"_placeholder":true,"num":0}]`)},
		`61-/admin,456[{"_placeholder":true,"num":0}]`: {kind: typeBinaryAck, attachments: 1, namespace: "/admin", ack: "456",
			data: []byte(`[{"_placeholder":true,"num":0}]`)},
	} {
		got, err := decodeMessage([]byte(text))
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got.kind != want.kind || got.attachments != want.attachments || got.namespace != want.namespace ||
			got.ack != want.ack || got.event != want.event || string(got.data) != string(want.data) {
			t.Errorf("%q: %+v, want %+v", text, got, want)
		}
	}
}

func TestDecodeMessageRefuses(t *testing.T) {
	deep := `51-["m",` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `]`
	for _, bad := range []string{
		``, `7`, `x`, `9["m"]`,
		`2`, `2{}`, `2[]`, `2[null]`, `2[{}]`, `2["m"`, `2["m"]]`, `2 ["m"]`, `2"m"`,
		`2["connect"]`, `2["disconnect"]`, `2["connect_error"]`, `2["newListener"]`,
		`0[]`, `0"x"`, `1{}`, `4{"message":"x"}`,
		`3[]`, `31`, `31{}`,
		`5["m"]`, `5-["m"]`, `50-["m"]`, `511-["m"]`, `5x-["m"]`, `5-1-["m"]`, `51["m"]`,
		`51-["m",{"_placeholder":true,"num":1}]`,
		`51-["m",{"_placeholder":true,"num":-1}]`,
		`51-["m",{"_placeholder":true,"num":0.5}]`,
		`51-["m",{"_placeholder":true,"num":"0"}]`,
		`51-["m",{"_placeholder":true}]`,
		deep,
		`212345678901234567890["m"]`,
	} {
		if got, err := decodeMessage([]byte(bad)); err == nil {
			t.Errorf("%q was taken as %+v", bad, got)
		}
	}
}

// TestRelayedKeepsBytes: what is relayed is what was sent, without the
// acknowledgement id.
func TestRelayedKeepsBytes(t *testing.T) {
	for text, want := range map[string]string{
		`2["message",{"b": 1,"a":null,"n":1.0}]`:             `2["message",{"b": 1,"a":null,"n":1.0}]`,
		`27["message","<&>"]`:                                `2["message","<&>"]`,
		`51-3["message",{"_placeholder":true,"num":0}]`:      `51-["message",{"_placeholder":true,"num":0}]`,
		"2[\"message\",\"\\u2028 \u2028 \\ud83d\\ude00 😀\"]": "2[\"message\",\"\\u2028 \u2028 \\ud83d\\ude00 😀\"]",
	} {
		m, err := decodeMessage([]byte(text))
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got := string(m.relayed().data); got != want {
			t.Errorf("%q is relayed as %q", text, got)
		}
	}
}

func FuzzDecodeMessage(f *testing.F) {
	for _, seed := range []string{
		`0{"token":"123"}`, `0/admin,`, `1`, `2["message",{"a":[1,null]}]`, `2/admin,456["hello"]`, `3456[]`,
		`51-["message",{"_placeholder":true,"num":0}]`, `61-456[{"_placeholder":true,"num":0}]`, `2[1e400]`, `2["\ud800"]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := decodeMessage(text)
		if err != nil {
			return
		}
		if len(m.data) > 0 && !json.Valid(m.data) {
			t.Fatalf("%q: data %q is not JSON", text, m.data)
		}
		if m.attachments < 0 || m.attachments > maxAttachments {
			t.Fatalf("%q: %d attachments", text, m.attachments)
		}
		if m.kind != typeEvent && m.kind != typeBinaryEvent || m.namespace != "/" {
			return
		}
		again, err := decodeMessage(m.relayed().data)
		if err != nil || again.event != m.event || again.ack != "" || string(again.data) != string(m.data) || again.attachments != m.attachments {
			t.Fatalf("%q is relayed as %q, which decodes to %+v, %v", text, m.relayed().data, again, err)
		}
	})
}
