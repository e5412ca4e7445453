package signaling

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"turnhub/internal/access"
	"turnhub/internal/netaddr"
	"turnhub/signaling/internal/delivery"
)

func (s *still) pass(d time.Duration) {
	to := s.at.Add(d)
	for {
		next := s.hub.timers.Run(s.at)
		if next.IsZero() || next.After(to) {
			break
		}
		s.at = next
	}
	s.at = to
}

func (s *still) hello(text string) *carried {
	s.t.Helper()
	c := carryFrom(s.hub, "203.0.113.1", "8.8.8.8", access.Claims{})
	c.Say([]byte(text), s.at)
	if !c.open() {
		s.t.Fatalf("%s is refused with %v", text, c.Code())
	}
	return c
}

func (s *still) say(c *carried, text string) { c.Say([]byte(text), s.at) }

// types pulls what waits for a socket.
func (s *still) types(c *carried) (types []string) {
	for _, f := range pullFrames(s.t, c) {
		types = append(types, f.str("type"))
	}
	return types
}

func (s *still) expect(c *carried, want ...string) {
	s.t.Helper()
	if got := s.types(c); !slices.Equal(got, want) {
		s.t.Fatalf("got %q, want %q", got, want)
	}
}

func TestAwayBackLost(t *testing.T) {
	s := newStill(t, Config{Timing: Timing{Heartbeat: time.Hour}})
	var changed []string
	s.hub.cfg.OnChange = func(ids ...string) { changed = append(changed, ids...) }
	a, b := s.hello(`{"type":"hello"}`), s.hello(`{"type":"hello"}`)
	for _, c := range []*carried{a, b} {
		s.say(c, `{"type":"join","room":"r","seq":1}`)
	}
	s.expect(a, "welcome", "joined", "peer-joined")
	s.types(b)

	// A short loss is nobody's business.
	resume := func(c *carried, seq int) *carried {
		return s.hello(fmt.Sprintf(`{"type":"hello","resume":{"session":%q,"token":%q,"seq":%d}}`, c.id(), c.token(), seq))
	}
	b.Lost(false)
	s.pass(1900 * time.Millisecond)
	b = resume(b, 1)
	s.pass(time.Minute)
	s.expect(a)

	b.Lost(false)
	s.pass(2 * time.Second)
	s.expect(a, "peer-away")
	c := s.hello(`{"type":"hello"}`)
	s.say(c, `{"type":"join","room":"r","seq":1,"first":1}`)
	if f := pullFrames(t, c); f[1]["first"] != a.id() || f[1]["peers"].([]any)[1].(map[string]any)["away"] != true {
		t.Fatalf("joined %v", f)
	}
	s.expect(a, "peer-joined")
	b = resume(b, 1)
	s.expect(b, "welcome", "peer-joined")
	s.expect(a, "peer-back")
	s.expect(c, "peer-back")

	b.Lost(false)
	s.pass(59 * time.Second)
	if !s.hub.Together(a.id(), b.id()) || !s.hub.Seen(a.id(), mustAddr("8.8.8.8")) {
		t.Fatal("an away session is not in its room any more")
	}
	changed = nil
	s.pass(time.Second)
	if f := pullFrames(t, a); f[len(f)-1].str("type") != "peer-left" || f[len(f)-1].str("reason") != "lost" {
		t.Fatalf("heard %v", f)
	}
	if s.hub.Together(a.id(), b.id()) || !slices.Contains(changed, a.id()) || !slices.Contains(changed, b.id()) {
		t.Fatalf("the relay was told of %q", changed)
	}
	if w := pullFrames(t, resume(b, 1)); w[0]["resumed"] != false {
		t.Fatalf("resumed after the window: %v", w)
	}

	// A page that goes has a short window.
	s.types(a)
	c.Lost(true)
	s.pass(5 * time.Second)
	if f := pullFrames(t, a); f[len(f)-1].str("type") != "peer-left" {
		t.Fatalf("heard %v", f)
	}
}

func TestAcknowledgement(t *testing.T) {
	s := newStill(t, Config{Timing: Timing{Heartbeat: time.Hour}})
	a, b := s.hello(`{"type":"hello"}`), s.hello(`{"type":"hello"}`)
	for _, c := range []*carried{a, b} {
		s.say(c, `{"type":"join","room":"r","seq":1}`)
		s.types(c)
	}
	s.types(a)
	for i := range delivery.AckEvery - 1 {
		s.say(a, fmt.Sprintf(`{"type":"signal","to":%q,"data":%d,"seq":%d}`, b.id(), i, i+2))
	}
	s.expect(a) // not yet
	s.pass(time.Second)
	if f := pullFrames(t, a); len(f) != 1 || f[0].num("ack") != delivery.AckEvery {
		t.Fatalf("after a second came %v", f)
	}
	for i := range delivery.AckEvery {
		s.say(a, fmt.Sprintf(`{"type":"signal","to":%q,"data":%d,"seq":%d}`, b.id(), i, i+1+delivery.AckEvery))
	}
	if f := pullFrames(t, a); len(f) != 1 || f[0].num("ack") != 2*delivery.AckEvery {
		t.Fatalf("after %d messages came %v", delivery.AckEvery, f)
	}
	s.say(a, `{"type":"ping","ack":2}`)
	if f := pullFrames(t, a); len(f) != 1 || f[0].str("type") != "pong" || f[0].num("ack") != 2*delivery.AckEvery {
		t.Fatalf("pong is %v", f)
	}
	waiting := func() int {
		_, n := s.hub.node.Look(s.hub.directory.members.Get(b.id()).ref)
		return n
	}
	if n := waiting(); n != 2*delivery.AckEvery {
		t.Fatalf("%d messages wait for b, want %d", n, 2*delivery.AckEvery)
	}
	frames := pullFrames(t, b)
	s.say(b, fmt.Sprintf(`{"type":"ack","ack":%d}`, frames[len(frames)-1].num("seq")))
	if waiting() != 0 {
		t.Fatal("acknowledged messages are kept")
	}
}

// A queue holds so much and no more, socket or not: then its session ends.
func TestQueueBounds(t *testing.T) {
	for _, size := range []int{1, 50_000} {
		s := newStill(t, Config{Timing: Timing{Heartbeat: time.Hour}, Limits: Limits{MessagesPerSecond: 1 << 20}})
		a, b := s.hello(`{"type":"hello"}`), s.hello(`{"type":"hello"}`)
		s.say(a, `{"type":"join","room":"r"}`)
		s.say(b, `{"type":"join","room":"r"}`)
		b.Lost(false)
		data, _ := json.Marshal(string(make([]byte, size)))
		for n := 0; s.hub.directory.members.Get(b.id()) != nil; n++ {
			if most := min(1024, (1<<20)/len(data)); n > most+1 {
				t.Fatalf("%d messages of %d bytes wait", n, len(data))
			}
			s.say(a, fmt.Sprintf(`{"type":"signal","to":%q,"data":%s}`, b.id(), data))
			s.pass(0)
		}
	}
}

func TestCredentialRenewal(t *testing.T) {
	life := 12 * time.Hour
	s := newStill(t, Config{Timing: Timing{Heartbeat: 1000 * time.Hour}, IceConfig: func(session, user string, _ uint16) (json.RawMessage, time.Duration) {
		return json.RawMessage(`{"iceServers":[]}`), life
	}})
	a := s.hello(`{"type":"hello"}`)
	s.expect(a, "welcome")
	s.pass(life*3/4 - time.Second)
	s.expect(a)
	s.pass(time.Second)
	s.expect(a, "config")
	// An absent client gets it on its return, in the welcome.
	a.Lost(false)
	s.hub.RefreshConfig()
	s.pass(time.Second)
	b := s.hello(fmt.Sprintf(`{"type":"hello","resume":{"session":%q,"token":%q,"seq":1}}`, a.id(), a.token()))
	s.expect(b, "welcome")
	s.hub.RefreshConfig()
	s.pass(0)
	s.expect(b, "config")
	s.say(b, `{"type":"config","id":1}`)
	s.expect(b, "config")
}

func TestTogetherAndSeen(t *testing.T) {
	s := newStill(t, Config{})
	a, b := s.hello(`{"type":"hello"}`), s.hello(`{"type":"hello"}`)
	addr := netip.MustParseAddr("1.2.3.4")
	s.hub.directory.members.Get(b.id()).addr.Store(&addr)
	id := func(c *carried) string { return c.id() }
	if s.hub.Together(id(a), id(b)) || s.hub.Seen(id(a), addr) {
		t.Fatal("together in no room")
	}
	s.say(a, `{"type":"join","room":"r"}`)
	s.say(b, `{"type":"join","room":"r"}`)
	for _, x := range []struct {
		a, b string
		want bool
	}{
		{id(a), id(b), true}, {id(b), id(a), true}, {id(a), id(a), true},
		{"s_gone", "s_gone", true}, {"s_gone", id(a), false}, {id(a), "s_gone", false},
		{"vasya", "petya", true}, {"vasya", id(a), false}, {id(a), "vasya", false}, {"", "", true},
	} {
		if got := s.hub.Together(x.a, x.b); got != x.want {
			t.Errorf("Together(%q, %q) = %v", x.a, x.b, got)
		}
	}
	if !s.hub.Seen(id(a), addr) || !s.hub.Seen(id(a), netip.AddrFrom16(addr.As16())) || s.hub.Seen(id(b), addr) {
		t.Error("Seen does not follow the room")
	}
	if s.hub.Seen("vasya", addr) || s.hub.Seen("s_gone", addr) {
		t.Error("Seen by people who are not there")
	}
	x, err := s.hub.Attach(ClientInfo{Dialect: "relay", Remote: netip.MustParseAddrPort("9.9.9.9:1"), Direct: true}, func() {})
	if err != nil {
		t.Fatal(err)
	}
	if !s.hub.Seen("vasya", mustAddr("9.9.9.9")) || s.hub.Seen(id(a), mustAddr("9.9.9.9")) {
		t.Error("a dialect's socket is seen by the wrong people")
	}
	x.Join("relay/r")
	if st := s.hub.Stats(); st.DialectClients != 1 || st.Rooms != 2 {
		t.Errorf("stats %+v", st)
	}
	x.Detach()
	if s.hub.Seen("vasya", mustAddr("9.9.9.9")) || s.hub.Stats().Rooms != 1 {
		t.Error("a detached socket is still there")
	}
	// Moving takes the old address away.
	b.Lost(false)
	s.hello(fmt.Sprintf(`{"type":"hello","resume":{"session":%q,"token":%q,"seq":0}}`, id(b), b.token()))
	if s.hub.Seen(id(a), addr) || !s.hub.Seen(id(a), mustAddr("8.8.8.8")) {
		t.Error("the address of the lost socket is still seen")
	}
}

func TestSeenAddress(t *testing.T) {
	for _, x := range []struct {
		addr            string
		direct, proxied bool
	}{
		{"8.8.8.8", true, true}, {"2a00:1450::1", true, true}, {"::ffff:8.8.8.8", true, true},
		{"10.1.2.3", true, false}, {"192.168.1.1", true, false}, {"100.64.0.1", true, false},
		{"fd00::1", true, false}, {"198.18.0.1", true, false}, {"203.0.113.7", true, false},
		{"127.0.0.1", false, false}, {"::1", false, false}, {"::ffff:127.0.0.1", false, false},
		{"0.0.0.0", false, false}, {"224.0.0.1", false, false}, {"169.254.169.254", false, false}, {"fe80::1", false, false},
	} {
		addr := netip.MustParseAddr(x.addr)
		if got := netaddr.SeenAddress(addr, true).IsValid(); got != x.direct {
			t.Errorf("%s, direct: seen %v", addr, got)
		}
		if got := netaddr.SeenAddress(addr, false).IsValid(); got != x.proxied {
			t.Errorf("%s, through a proxy: seen %v", addr, got)
		}
	}
}

func TestSocketLimits(t *testing.T) {
	s := newStill(t, Config{Limits: Limits{ConnectionsPerIP: 1, MessageSize: 10, MessagesPerSecond: 1}})
	info := ClientInfo{Dialect: "relay", Remote: netip.MustParseAddrPort("[2001:db8::1]:1")}
	x, err := s.hub.Attach(info, func() {})
	if err != nil {
		t.Fatal(err)
	}
	info.Remote = netip.MustParseAddrPort("[2001:db8::2]:1") // the same household
	if _, err := s.hub.Attach(info, func() {}); !errors.Is(err, ErrFull) {
		t.Fatalf("got %v, want ErrFull", err)
	}
	if err := x.Allow(11); !errors.Is(err, ErrTooBig) {
		t.Fatalf("got %v, want ErrTooBig", err)
	}
	var last error
	seen := map[error]int{}
	for range 400 {
		last = x.Allow(1)
		seen[last]++
	}
	if !errors.Is(last, ErrFlood) || seen[nil] != 258 || seen[ErrRate] == 0 {
		t.Fatalf("got %v", seen)
	}
	s.hub.Restart(0)
	select {
	case <-x.Done():
	default:
		t.Fatal("the socket was not told of the restart")
	}
	if _, err := s.hub.Attach(info, func() {}); !errors.Is(err, ErrDrain) {
		t.Fatalf("got %v, want ErrDrain", err)
	}
}
