package main

import (
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"turnhub/events"
	"turnhub/internal/config"
	"turnhub/signaling"
	"turnhub/turnsrv"
)

// TestEventTypes: the configuration knows each type of event, and no other.
func TestEventTypes(t *testing.T) {
	cfg, err := config.Load("", []string{"TURNHUB_STATE_DIR=" + t.TempDir(), "TURNHUB_EVENTS_WEBHOOKS=url=https://a.example/ types=" + strings.Join(events.Types, "+")})
	if err != nil || len(cfg.Events.Webhooks[0].Types) != len(events.Types) {
		t.Error(err)
	}
	_, err = config.Load("", []string{"TURNHUB_STATE_DIR=" + t.TempDir(), "TURNHUB_EVENTS_WEBHOOKS=url=https://a.example/ types=none"})
	if err == nil || !strings.Contains(err.Error(), strings.Join(events.Types, ", ")) {
		t.Error(err)
	}
}

// TestRefusals: a flood of them is one event for each household and reason, and one a
// minute later with how many there were; what is remembered of them is bounded.
func TestRefusals(t *testing.T) {
	var turns refusals
	turns.start = time.Now()
	told := 0
	times := 0
	tell := func(_ refusal, who refused) { told++; times += who.times }
	who := refused{client: netip.MustParseAddr("192.0.2.1")}
	for range 1000 {
		turns.add(refusal{netip.MustParsePrefix("192.0.2.1/32"), "user"}, who, tell)
		turns.add(refusal{netip.MustParsePrefix("192.0.2.1/32"), "rate"}, who, tell)
	}
	turns.flush(tell)
	if told != 2 || times != 2 {
		t.Errorf("%d events of %d", told, times)
	}
	turns.start = turns.start.Add(-refusalsEvery)
	turns.flush(tell)
	if told != 4 || times != 2000 {
		t.Errorf("%d events of %d a minute later", told, times)
	}
	turns.start = turns.start.Add(-refusalsEvery)
	turns.flush(tell)
	if told != 4 || len(turns.seen) != 0 {
		t.Errorf("%d events, %d remembered after two", told, len(turns.seen))
	}
	for i := range 2 * maxRefusals {
		turns.add(refusal{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 32), "user"}, who, tell)
	}
	if len(turns.seen) != maxRefusals {
		t.Errorf("%d remembered", len(turns.seen))
	}
}

func testRecorder(t *testing.T) *recorder {
	r := &recorder{
		journal: events.NewJournal(t.TempDir(), "", slog.New(slog.DiscardHandler)), notes: make(chan func(), 3),
		relayed: func(users ...string) []uint64 { return make([]uint64, len(users)) },
		calls:   make(map[string]*running), users: make(map[string]string),
	}
	r.turns.start = time.Now()
	return r
}

// TestRecorderNeverWaits, whatever is told to it while nobody works it off.
func TestRecorderNeverWaits(t *testing.T) {
	r := testRecorder(t)
	for i := range 10 {
		r.ended(turnsrv.AllocationInfo{User: fmt.Sprint("u", i)})
		r.noRoom("u", netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), turnsrv.TransportUDP, "user")
		r.called(signaling.CallStep{Step: signaling.CallBegan, Address: netip.MustParseAddr("192.0.2.1")})
	}
	if n := r.journal.Stats().Dropped["busy"]; n != 27 {
		t.Errorf("%d dropped", n)
	}
}

// TestRecorderIsBounded: what it remembers of sessions does not grow for ever, and what is
// remembered longest goes first.
func TestRecorderIsBounded(t *testing.T) {
	r := testRecorder(t)
	for i := range maxSessions + 10 {
		r.remember(&signaling.Participant{Session: fmt.Sprint("s_", i), User: "anna"})
	}
	for i := range maxPast + 10 {
		r.past.add(fmt.Sprint("s_", i), 1)
	}
	if len(r.users) > maxSessions || len(r.users) != len(r.order) || len(r.past.bytes) > maxPast || len(r.past.bytes) != len(r.past.order) {
		t.Error(len(r.users), len(r.order), len(r.past.bytes))
	}
	last := fmt.Sprint("s_", maxSessions+9)
	if user, session := r.userOf(last); user != "anna" || session != last {
		t.Error(user, session)
	}
	if user, session := r.userOf("s_0"); user != "" || session != "s_0" {
		t.Error(user, session)
	}
	if user, session := r.userOf("asterisk"); user != "asterisk" || session != "" {
		t.Error(user, session)
	}
	if r.past.of("s_0") != 0 || r.past.of(fmt.Sprint("s_", maxPast+9)) != 1 {
		t.Error("not the oldest was forgotten")
	}
}
