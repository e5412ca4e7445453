package signaling_test

import (
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"time"

	"turnhub/signaling"
	"turnhub/signaling/internal/wstest"
)

// TestRevokedWhileItsBodyComes: a POST of PeerJS whose user is revoked after its token
// was checked, and before its body has come, is refused; and what such a POST has left
// before is not said for the user any more.
func TestRevokedWhileItsBodyComes(t *testing.T) {
	d := startDialects(t, func(c *signaling.Config) { c.Limits.ConnectionsPerIP = 100 })
	token := d.mint("vasya")
	post := func(body io.Reader, heard func()) int {
		request, err := http.NewRequest("POST", d.base+"/peerjs/a/t/offer?token="+token, body)
		if err != nil {
			t.Fatal(err)
		}
		if heard != nil { // the server asks for the body once it has let the request in
			request.Header.Set("Expect", "100-continue")
			request = request.WithContext(httptrace.WithClientTrace(request.Context(), &httptrace.ClientTrace{Got100Continue: heard}))
		}
		client := http.Client{Timeout: wstest.Patience, Transport: &http.Transport{ExpectContinueTimeout: time.Minute}}
		defer client.CloseIdleConnections()
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response.StatusCode
	}
	const offer = `{"type":"OFFER","dst":"b"}`
	if status := post(strings.NewReader(offer), nil); status != http.StatusOK {
		t.Fatalf("before: %d", status)
	}
	if n := d.hub.Stats().DialectClients; n != 1 {
		t.Fatalf("%d wait for their socket, want 1", n)
	}
	body, fill := io.Pipe()
	let := make(chan struct{})
	go func() {
		<-let
		if _, err := d.hub.Revoke("vasya"); err != nil {
			t.Error(err)
		}
		_, _ = io.WriteString(fill, offer)
		fill.Close()
	}()
	if status := post(body, func() { close(let) }); status != http.StatusUnauthorized {
		t.Errorf("the body came after the revocation: %d, want 401", status)
	}
	d.until(func() bool { return d.hub.Stats().DialectClients == 0 })
}
