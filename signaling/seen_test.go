package signaling

import (
	"net/http"
	"net/netip"
	"testing"

	"turnhub/internal/forwarded"
)

// TestForgedAddressIsNotSeen joins with a header that says where one is: that is
// seen only where a proxy that is named has said it, and a special address not even
// then. It is what the peer policy of the relay rests on.
func TestForgedAddressIsNotSeen(t *testing.T) {
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("::1/128")}
	for _, x := range []struct {
		named         []netip.Prefix
		header, value string
		at            string
		want          bool
	}{
		{nil, "X-Forwarded-For", "8.8.8.8", "8.8.8.8", false},
		{nil, "Forwarded", "for=8.8.8.8", "8.8.8.8", false},
		{nil, "X-Real-IP", "8.8.8.8", "8.8.8.8", false},
		{nil, "X-Forwarded-For", "8.8.8.8", "127.0.0.1", false},
		{loopback, "X-Forwarded-For", "8.8.8.8", "8.8.8.8", true},
		{loopback, "Forwarded", `for="[2606:4700::1111]:47"`, "2606:4700::1111", true},
		{loopback, "X-Forwarded-For", "6.6.6.6, 8.8.8.8", "6.6.6.6", false},
		{loopback, "X-Forwarded-For", "10.1.2.3", "10.1.2.3", false},
		{loopback, "X-Forwarded-For", "169.254.169.254", "169.254.169.254", false},
		{loopback, "X-Forwarded-For", "::ffff:10.1.2.3", "10.1.2.3", false},
		{loopback, "X-Forwarded-For", "127.0.0.1", "127.0.0.1", false},
		{loopback, "X-Forwarded-For", "fe80::1%eth0", "fe80::1", false},
	} {
		h, url := newServer(t, Config{ClientAddress: forwarded.New(x.named, nil).ClientAddress})
		ws, _, err := dialer.Dial(url, http.Header{x.header: {x.value}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ws.Close() })
		liar := &client{t: t, ws: ws}
		liar.send(`{"type":"hello"}`)
		liar.welcome()
		partner := openClient(t, url, `{"type":"hello"}`)
		for _, c := range []*client{liar, partner} {
			c.say(`{"type":"join","room":"fox"`)
			c.expect("joined")
		}
		if got := h.Seen(partner.id, netip.MustParseAddr(x.at)); got != x.want {
			t.Errorf("%s: %s, named %v: %s seen %v", x.header, x.value, x.named, x.at, got)
		}
	}
}
