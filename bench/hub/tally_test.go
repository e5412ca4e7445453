package hub

import (
	"testing"

	"github.com/nats-io/nats.go"
)

func TestTallyCountsByWhatItIsAbout(t *testing.T) {
	c := &counter{answers: make(map[string]*int)}
	for _, m := range []nats.Msg{
		{Subject: "turnhub.beat.a"},
		{Subject: "$JS.EVENT.ADVISORY.API"},
		{Subject: "turnhub.link.b.a"},
		{Subject: "turnhub.link.a.b"},
		{Subject: "$JS.API.DIRECT.GET.KV_turnhub-rooms.$KV.turnhub-rooms.x", Reply: "_INBOX.a.1"},
		{Subject: "_INBOX.a.1"},
		{Subject: "$KV.turnhub-rooms.x", Reply: "_INBOX.a.2"},
		{Subject: "_INBOX.a.2"},
		{Subject: "turnhub.ask.a", Reply: "_INBOX.a.3"},
		{Subject: "turnhub.events", Reply: "_INBOX.a.4"},
		{Subject: "_INBOX.a.4"},
		{Subject: "turnhub.events", Reply: "$JS.ACK.turnhub-events.x"},
		{Subject: "_INBOX.b.1"},
	} {
		c.hear(&m)
	}
	if got, want := c.take(), (Tally{Links: 2, Rooms: 5, History: 3, Others: 1}); got != want {
		t.Errorf("counted %+v, want %+v", got, want)
	}
	if got := c.take(); got.all() != 0 {
		t.Errorf("counted %+v twice", got)
	}
}
