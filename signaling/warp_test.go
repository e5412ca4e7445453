package signaling

import (
	"strings"
	"testing"
)

// TestDescriptionPassesAsItCame passes lines and ICE options that no server knows (the
// first flights of DTLS and SCTP, which browsers are beginning to put there) on byte for
// byte, with the escapes, spaces and big numbers that their sender chose.
func TestDescriptionPassesAsItCame(t *testing.T) {
	_, url := newServer(t, Config{})
	a, b := openClient(t, url, `{"type":"hello"}`), openClient(t, url, `{"type":"hello"}`)
	a.join("warp")
	b.join("warp")
	a.expect("peer-joined")
	data := `{ "description" : {"type":"offer","sdp":"v=0\r\na=ice-options:trickle sped ice2 x-unheard\r\na=sctp-init:AQAA` + strings.Repeat("Zm9v", 400) +
		`\r\na=x-new:\u00e9\u0000 \/ <&>\r\n"},"n":12345678901234567890.50,"n":1e3,"unheard":[null, {}]}`
	b.say(`{"type":"signal","to":"` + a.id + `","data":` + data)
	for {
		_, text, err := a.ws.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), `"signal"`) {
			continue
		}
		if !strings.Contains(string(text), data) {
			t.Fatalf("came as %s", text)
		}
		return
	}
}
