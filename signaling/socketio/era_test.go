package socketio

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/gorilla/websocket"

	"turnhub/signaling"
	"turnhub/signaling/internal/wstest"
)

// framed is a text payload.
func framed(packets ...string) (body string) {
	for _, p := range packets {
		body += fmt.Sprintf("%d:%s", len(utf16.Encode([]rune(p))), p)
	}
	return body
}

const polling3 = "?EIO=3&transport=polling"

// Payloads as engine.io-parser 2.2 writes them.
func TestPayload3(t *testing.T) {
	binary := packet{kind: packetMessage, binary: true, data: []byte{1, 2, 255}}
	packets := []packet{{kind: packetMessage, data: []byte(`2["message","é😀"]`)}, binary, {kind: packetPing}}
	const text = `34:42["message","\u00e9\ud83d\ude00"]6:b4AQL/1:2`
	if got := string(appendText3(nil, packets)); got != text {
		t.Errorf("text payload %q", got)
	}
	const binaryText = "\x00\x03\x04\xFF" + `42["message","\u00e9\ud83d\ude00"]` + "\x01\x04\xFF\x04\x01\x02\xFF" + "\x00\x01\xFF2"
	if got := string(appendBinary3(nil, packets)); got != binaryText {
		t.Errorf("binary payload %q", got)
	}
	for _, x := range []struct {
		name   string
		decode func([]byte) ([]packet, error)
		body   string
	}{
		{"text", decodeText3, framed(`42["message","é😀"]`, "b4AQL/", "2")},
		{"text with an empty packet", decodeText3, framed("", `42["message","é😀"]`, "b4AQL/", "2")},
		{"binary", decodeBinaryPayload3, "\x00\x02\x02\xFF" + `42["message","é😀"]` + "\x01\x04\xFF\x04\x01\x02\xFF" + "\x00\x01\xFF2"},
	} {
		got, err := x.decode([]byte(x.body))
		if err != nil || len(got) != len(packets) {
			t.Errorf("%s: %v, %v", x.name, got, err)
			continue
		}
		for i, p := range packets {
			if got[i].kind != p.kind || got[i].binary != p.binary || !bytes.Equal(got[i].data, p.data) {
				t.Errorf("%s: packet %d is %+v", x.name, i, got[i])
			}
		}
	}
}

func TestBadPayload3(t *testing.T) {
	for _, body := range []string{
		"", ":", "2", "3:2", "-1:2", "1", "1:", "a:2", "9999999999:2", "99999999999999999999:2", "1:9", "1:b", "2:b4x", "3:b5A", "2:b9",
		"1:é", "1:😀", "\xff", strings.Repeat("0:", maxPayloadPackets+1),
	} {
		if p, err := decodeText3([]byte(body)); err == nil && body != "1:é" {
			t.Errorf("text %.40q is taken: %+v", body, p)
		}
	}
	for _, body := range []string{
		"", "\x00", "\x01", "\x02\x01\xFF2", "\x00\xFF", "\x00\x01", "\x00\x02\xFF2", "\x00\x0A\xFF2", "\x01\x00\xFF", "\x01\x01\xFF\x02",
		"\x00\x01\xFF\x80", "\x00" + strings.Repeat("\x09", 10) + "\xFF2", "\x00" + strings.Repeat("\x09", 400) + "\xFF",
		strings.Repeat("\x00\x00\xFF", maxPayloadPackets+1),
	} {
		if p, err := decodeBinaryPayload3([]byte(body)); err == nil {
			t.Errorf("binary %.40q is taken: %+v", body, p)
		}
	}
}

// The form of JSONP gives back what the client's two replacements have made of a text.
func TestFormData(t *testing.T) {
	for _, text := range []string{"", "plain", `a\nb`, "a\nb", `a\\nb`, `\\\n`, `{"x":"\\n"}`, "+&=%"} {
		sent := strings.ReplaceAll(text, `\n`, "\\\n") // rEscapedNewline
		sent = strings.ReplaceAll(sent, "\n", `\n`)    // rNewline
		if got, err := formData([]byte("d=" + url.QueryEscape(sent))); err != nil || string(got) != text {
			t.Errorf("%q came as %q, %v", text, got, err)
		}
	}
	for _, body := range []string{"", "x=1", "d", "%zz"} {
		if got, err := formData([]byte(body)); body != "d" && err == nil {
			t.Errorf("%q: %q", body, got)
		}
	}
}

// handshake3 opens a session and returns its query.
func (f *fixture) handshake3(extra string) string {
	f.t.Helper()
	status, _, body := f.request("GET", polling3+"&b64=1"+extra, "")
	_, after, ok := strings.Cut(body, `"sid":"`)
	if status != http.StatusOK || !ok || !strings.HasSuffix(body, "2:40") {
		f.t.Fatalf("handshake: %d %s", status, body)
	}
	sid, _, _ := strings.Cut(after, `"`)
	return polling3 + "&b64=1" + extra + "&sid=" + sid
}

// What the client of that time hears: the namespace unasked, pongs for its pings, what
// the others say; and what it says, whichever way its text is encoded.
func TestSession3(t *testing.T) {
	f := start(t, signaling.Limits{})
	now := f.socket("&channel=era")
	old := f.handshake3("&channel=era")
	post := func(query, body string) {
		t.Helper()
		if status, _, got := f.request("POST", query, body); status != http.StatusOK || got != "ok" {
			t.Fatalf("POST %q: %d %s", body, status, got)
		}
	}
	get := func(query, want string) {
		t.Helper()
		if status, _, got := f.request("GET", query, ""); status != http.StatusOK || got != want {
			t.Fatalf("GET: %d %q, want %q", status, got, want)
		}
	}
	post(old, "1:2")
	get(old, "1:3")
	f.send(now, `42["message","ę"]`)
	get(old, framed(`42["message","\u0119"]`))
	post(old, framed(`42["message","Ä\u0099"]`)) // an escape alone is what it says
	f.want(now, `42["message","Ä\u0099"]`)
	twiceOld := f.handshake3("&channel=era")
	post(twiceOld, framed("42[\"message\",\"Ä\u0099\"]")) // ę as the parsers before 2.0 write it
	f.want(now, `42["message","ę"]`)
	get(old, framed(`42["message","\u0119"]`))
	post(twiceOld, framed("42[\"message\",\"€\"]")) // but this they cannot
	f.want(now, `42["message","€"]`)
	post(twiceOld, framed("42[\"message\",\"Ä\u0099\"]"))
	f.want(now, "42[\"message\",\"Ä\u0099\"]")
	post(old, framed(`451-["message",{"_placeholder":true,"num":0}]`, "b4AQID"))
	f.want(now, `451-["message",{"_placeholder":true,"num":0}]`)
	if kind, data, err := wstest.Read(now); err != nil || kind != websocket.BinaryMessage || !bytes.Equal(data, []byte{1, 2, 3}) {
		t.Fatalf("%d %q %v", kind, data, err)
	}
	post(old, framed("40/admin?x=1"))
	get(old, framed(`42["message","\u20ac"]`, `42["message","\u00c4\u0099"]`, `44/admin,"Invalid namespace"`))
	post(old, "1:1")
	if status, _, _ := f.request("GET", old, ""); status != http.StatusBadRequest {
		t.Errorf("after its end the session answers %d", status)
	}
}

// Bad payloads end their session and nobody else's.
func TestBadSession3(t *testing.T) {
	f := start(t, signaling.Limits{MessageSize: 1000})
	a, b := f.socket("&channel=era"), f.socket("&channel=era")
	for _, body := range []string{"", "5:2", "x", "1:5:", "3:b4!", "2:49", "6:b4AQID", "1012:42[\"message\",\"" + strings.Repeat("x", 1000), "999999999:4"} {
		query := f.handshake3("&channel=era")
		if status, _, got := f.request("POST", query, body); status != http.StatusBadRequest || !strings.Contains(got, `"code":3`) {
			t.Errorf("POST %.40q: %d %s", body, status, got)
		}
		if status, _, _ := f.request("GET", query, ""); status != http.StatusBadRequest {
			t.Errorf("POST %.40q: the session goes on", body)
		}
	}
	query := f.handshake3("&channel=era")
	if status, _, _ := f.request("POST", query, strings.Repeat("x", f.maxPayload3(false)+1)); status != http.StatusRequestEntityTooLarge {
		t.Errorf("a large body: %d", status)
	}
	for _, message := range [][]byte{{1}, {}, {4}, []byte("\x05x")} {
		ws, _, err := websocket.DefaultDialer.Dial(f.ws+"/socket.io/?EIO=3&transport=websocket", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer ws.Close()
		_ = ws.WriteMessage(websocket.BinaryMessage, message)
		for err == nil {
			_, _, err = wstest.Read(ws)
		}
		var closed *websocket.CloseError
		if !errors.As(err, &closed) || closed.Code != websocket.ClosePolicyViolation {
			t.Errorf("binary %q: %v", message, err)
		}
	}
	f.send(a, `42["message","nobody else is affected"]`)
	f.want(b, `42["message","nobody else is affected"]`)
}

// A page that may not connect cannot do so by a script either, which is asked for
// without Origin.
func TestJSONPOrigin(t *testing.T) {
	f := start(t, signaling.Limits{}, "https://good.example")
	for referer, want := range map[string]int{"https://good.example/page": 200, "https://evil.example/": 403, "": 403} {
		r, _ := http.NewRequest("GET", f.http+"/socket.io/"+polling3+"&j=0", nil)
		r.Header.Set("Referer", referer)
		response, err := wstest.Client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("from %q: %d, want %d", referer, response.StatusCode, want)
		}
	}
}

// Old clients that go on without a ping are gone.
func TestPingTimeout3(t *testing.T) {
	f := start(t, signaling.Limits{})
	query := f.handshake3("")
	sid := query[strings.Index(query, "&sid=")+5:]
	f.session(sid).beat() // the timer's
	if status, _, _ := f.request("GET", query, ""); status != http.StatusBadRequest {
		t.Errorf("the session answers %d", status)
	}
}

// FuzzPayload3 holds that what was taken can be written and taken again, alike.
func FuzzPayload3(f *testing.F) {
	for _, seed := range []string{"1:2", framed(`42["message","é😀"]`, "b4AQL/", "2"), "0:", "99:x", "\x00\x01\xFF2", "\x01\x04\xFF\x04\x01\x02\xFF", "\x00\x09\x09\x09\xFF"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, x := range []struct {
			decode func([]byte) ([]packet, error)
			encode func([]byte, []packet) []byte
		}{{decodeText3, appendText3}, {decodeBinaryPayload3, appendBinary3}} {
			packets, err := x.decode(append([]byte(nil), body...))
			if err != nil || len(packets) == 0 {
				continue
			}
			again, err := x.decode(x.encode(nil, packets))
			if err != nil || len(again) != len(packets) {
				t.Fatalf("%q became %d packets, %v", body, len(again), err)
			}
			for i, p := range packets {
				if !p.binary {
					p.data = ascii(p.data)
				}
				if again[i].kind != p.kind || again[i].binary != p.binary || !bytes.Equal(again[i].data, p.data) {
					t.Fatalf("%q: %+v became %+v", body, p, again[i])
				}
			}
		}
		_, _ = formData(body)
	})
}
