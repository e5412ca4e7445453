package peerjs

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"turnhub/internal/access"
	"turnhub/signaling"
	"turnhub/signaling/internal/admission"
	"turnhub/signaling/internal/wstest"
)

// apart is a server whose clients come from the address in ?from=.
func apart(t *testing.T) *fixture {
	return start(t, signaling.Limits{}, func(s *Server) {
		s.expiry = time.Hour
		s.desk = admission.New("peerjs", signaling.NewHub(signaling.Config{
			Limits: signaling.Limits{MessagesPerSecond: 100_000},
			ClientAddress: func(r *http.Request) (netip.AddrPort, bool) {
				return netip.AddrPortFrom(netip.MustParseAddr(r.URL.Query().Get("from")), 1), true
			},
		}))
	})
}

// TestHeldHasShares floods what waits for one absent peer, and all that waits,
// from one household: a caller from another finds room for an offer.
func TestHeldHasShares(t *testing.T) {
	f := apart(t)
	block := strings.Repeat("x", 100_000)
	for _, id := range []string{"m1", "m2"} {
		mallory := f.dial("/peerjs?key=peerjs&token=t&from=9.9.9.1&id=" + id)
		f.want(mallory, `{"type":"OPEN"}`)
		for i := range 60 {
			f.send(mallory, fmt.Sprintf(`{"type":"OFFER","dst":"%s","payload":"%s"}`, []string{"victim", "d" + fmt.Sprint(i)}[i%2], block))
		}
		f.send(mallory, `{"type":"OFFER","dst":"`+id+`","payload":"all handled"}`)
		f.want(mallory, `{"type":"OFFER","src":"`+id+`","dst":"`+id+`","payload":"all handled"}`)
	}
	mallory := netip.MustParseAddr("9.9.9.1")
	if n := f.held.Of(mallory); n > shareOfServer.Household || n < shareOfServer.Household-len(block)*2 {
		t.Errorf("%d bytes of one household are held, its share is %d", n, shareOfServer.Household)
	}
	f.Server.mu.Lock()
	r := f.realms[""]
	f.Server.mu.Unlock()
	r.mu.Lock()
	if n := r.absent["victim"].bytes.Of(mallory); n > shareBytes.Household || n < shareBytes.Household-len(block)*2 {
		t.Errorf("%d bytes of one household wait for one peer, its share is %d", n, shareBytes.Household)
	}
	r.mu.Unlock()

	anna := f.dial("/peerjs?key=peerjs&token=t&from=8.8.8.8&id=anna")
	f.want(anna, `{"type":"OPEN"}`)
	f.send(anna, `{"type":"OFFER","dst":"victim","payload":"from anna"}`)
	f.send(anna, `{"type":"OFFER","dst":"anna","payload":"all handled"}`)
	f.want(anna, `{"type":"OFFER","src":"anna","dst":"anna","payload":"all handled"}`)
	victim := f.dial("/peerjs?key=peerjs&token=t&from=7.7.7.7&id=victim")
	for {
		_, text, err := wstest.Read(victim)
		if err != nil {
			t.Fatal("the offer of another household was not kept: ", err)
		}
		if strings.Contains(string(text), "from anna") {
			break
		}
	}
}

// TestSendersHaveShares has one household take no more of the places of senders
// than its share.
func TestSendersHaveShares(t *testing.T) {
	f := apart(t)
	r := f.enter("")
	defer f.leave(r)
	r.mu.Lock()
	defer r.mu.Unlock()
	kept := 0
	for i := range maxHeldFor {
		entrant, err := f.desk.Enter(httptest.NewRequest("GET", "/?from=9.9.9.1", nil), access.Claims{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if r.holdLocked(&client{id: fmt.Sprint(i), entrant: entrant}, "victim", true, message{kind: "OFFER", dst: "victim"}.forwarded(fmt.Sprint(i))) {
			kept++
		}
		entrant.Leave()
	}
	if a := r.absent["victim"]; kept != shareFor.Household/2 || len(a.senders) != (shareFor.Household+1)/2 {
		t.Errorf("%d messages of %d senders are kept, the share of both is %d", kept, len(a.senders), shareFor.Household)
	}
}

// TestEarlyHasShares sends before any socket is open, from one household under
// many names.
func TestEarlyHasShares(t *testing.T) {
	f := apart(t)
	body := `{"type":"OFFER","dst":"b","payload":"` + strings.Repeat("x", 200_000) + `"}`
	var refused int
	for i := range 20 {
		if status, _, _ := f.request("POST", fmt.Sprintf("/peerjs/m%d/t/offer?from=9.9.9.1", i), body); status == http.StatusTooManyRequests {
			refused++
		}
	}
	if want := 20 - shareOfServer.Household/len(body); refused != want {
		t.Errorf("%d of 20 were refused, want %d", refused, want)
	}
	if status, _, text := f.request("POST", "/peerjs/anna/t/offer?from=8.8.8.8", body); status != http.StatusOK {
		t.Errorf("another household is refused: %d %s", status, text)
	}
	r := f.realms[""]
	for k, e := range r.early {
		r.forgetEarly(k, e)
	}
	if n := f.held.Total(); n != 0 {
		t.Errorf("%d bytes still count as held", n)
	}
}
