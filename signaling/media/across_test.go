package media

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"turnhub/signaling/internal/wire"
	"turnhub/signaling/internal/wstest"
)

// TestAcross: the two of a pair whose sessions are on two nodes meet, frames of all kinds and
// sizes come whole and in order, also where they do not fit into a datagram, and each is
// counted once as passed on.
func TestAcross(t *testing.T) {
	for name, most := range map[string]int{"48 KiB": 48 << 10, "1 KiB": 1 << 10} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := startNodes(t, Config{}, "a", "b")
			b.mu.Lock()
			b.most = most
			b.mu.Unlock()
			_, _, x, y := b.pair()
			b.still()
			n := 0
			for _, size := range []int{leastFrame, 100, 1200, most - frameHead - 1, most - frameHead, most - frameHead + 1, most, 60_000, FrameSize} {
				for _, kind := range []Kind{Sound, Key, Message, Report} {
					n++
					frame := numbered(kind, n, size)
					for i := range frame[leastFrame:] {
						frame[leastFrame+i] = byte(i * n)
					}
					if size > 50_000 && kind == Sound { // more than may wait
						continue
					}
					for _, ends := range [][2]*end{{x, y}, {y, x}} {
						ends[0].send(frame)
						if text, got := ends[1].next(); !bytes.Equal(got, frame) {
							t.Fatalf("%s of %d bytes came as %q and %d bytes", kindNames[kind], size, text, len(got))
						}
					}
				}
			}
			one, two := b.nodes["a"].media.Stats(), b.nodes["b"].media.Stats()
			if one.Across != 1 || two.Across != 1 || one.Paths+two.Paths != 0 {
				t.Errorf("pairs: %+v %+v", one, two)
			}
			if one.Crossed["said"] != two.Crossed["heard"] || one.Crossed["said"] == 0 || one.Crossed["said"] != one.Crossed["heard"] {
				t.Errorf("frames: %v %v", one.Crossed, two.Crossed)
			}
			if len(one.Dropped["unknown"])+len(two.Dropped["unknown"]) > 0 {
				t.Errorf("dropped: %v %v", one.Dropped, two.Dropped)
			}
		})
	}
}

// TestAcrossEnds: who closes, comes anew, or shares nothing any more is noticed on the other
// node.
func TestAcrossEnds(t *testing.T) {
	t.Parallel()
	b := startNodes(t, Config{}, "a", "b")
	p, q, x, y := b.pair()
	y.ws.Close()
	x.want(`{"type":"peer","here":false}`)
	y = q.open(p)
	y.want(`{"type":"ready","here":false}`)
	y.want(`{"type":"peer","here":true}`)
	x.want(`{"type":"peer","here":true}`)
	// A second socket of one takes the place of the first at once.
	x2 := p.open(q)
	x.closed(wire.CloseReplaced)
	x2.want(`{"type":"ready","here":true}`)
	y.want(`{"type":"peer","here":true}`)
	b.still()
	y.send(numbered(Sound, 7, 100))
	if _, frame := x2.next(); frame == nil || frame[8] != 7 {
		t.Errorf("%x came", frame)
	}
	x2.send(numbered(Sound, 8, 100))
	if _, frame := y.next(); frame == nil || frame[8] != 8 {
		t.Errorf("%x came", frame)
	}
	q.say(`{"type":"leave","room":"room"}`)
	if why := x2.closed(wire.CloseRefused); why != string(wire.CodeNotInRoom) {
		t.Errorf("error %q", why)
	}
	y.closed(wire.CloseRefused)
}

// TestAcrossStrangers: a node is not heard of sessions that are not on it, or share nothing
// with the one here, and neither of sockets that it does not know.
func TestAcrossStrangers(t *testing.T) {
	t.Parallel()
	b := startNodes(t, Config{}, "a", "b", "c")
	p, q := b.together()
	c := b.nodes["c"].person("another")
	x := p.open(q)
	x.want(`{"type":"ready","here":false}`)
	a := b.nodes["a"].media
	open := func(node, session string) {
		a.Heard(node, "run of "+node, (&record{what: sayOpen, from: 99, session: session, peer: p.id}).append(nil))
	}
	open("c", q.id)       // it is on b
	open("b", c.id)       // p shares nothing with it
	open("c", c.id)       // likewise
	open("b", "s_no-one") // nobody
	a.Heard("b", "another run", (&record{what: sayOpen, from: 99, session: q.id, peer: p.id}).append(nil))
	k := b.nodes["a"].of(p.id)
	if k.pair.far.Load() != nil {
		t.Fatal("it has met somebody")
	}
	y := q.open(p)
	y.want(`{"type":"ready","here":false}`)
	x.want(`{"type":"peer","here":true}`)
	y.want(`{"type":"peer","here":true}`)
	f := k.pair.far.Load()
	frame := record{what: sayFrame, to: k.id, from: f.id, frame: numbered(Sound, 1, 100)}
	before := a.Stats().Dropped["unknown"]["stray"]
	wrong := 0
	for _, say := range []func(*record) (node, run string){
		func(r *record) (string, string) { r.to++; return "b", "run of b" },
		func(r *record) (string, string) { r.from++; return "b", "run of b" },
		func(*record) (string, string) { return "c", "run of c" },
		func(*record) (string, string) { return "b", "run of c" },
		func(r *record) (string, string) { r.frame = numbered(0, 1, 100); return "b", "run of b" },
		func(r *record) (string, string) { r.frame = nil; return "b", "run of b" },
	} {
		r := frame
		node, run := say(&r)
		a.Heard(node, run, r.append(nil))
		wrong++
	}
	for _, garbage := range [][]byte{{1}, bytes.Repeat([]byte{'f'}, 50), bytes.Repeat([]byte{'o'}, 20), frame.append(nil)[:60]} {
		a.Heard("b", "run of b", garbage)
		wrong++
	}
	if got := a.Stats().Dropped["unknown"]["stray"] - before; got != uint64(wrong) {
		t.Errorf("%d of %d counted", got, wrong)
	}
	b.still()
	y.send(numbered(Sound, 7, 100))
	if text, frame := x.next(); frame == nil || frame[8] != 7 {
		t.Errorf("%q, %x came", text, frame)
	}
}

// TestAcrossCut: while nothing goes between the nodes both ends are told, nothing is kept,
// and they meet again.
func TestAcrossCut(t *testing.T) {
	t.Parallel()
	b := startNodes(t, Config{}, "a", "b")
	_, _, x, y := b.pair()
	set := func(cut bool) {
		b.mu.Lock()
		b.cut = cut
		b.mu.Unlock()
		for _, n := range b.nodes {
			n.media.NodesChanged()
		}
	}
	set(true)
	x.want(`{"type":"peer","here":false}`)
	y.want(`{"type":"peer","here":false}`)
	for i := range 50 {
		x.send(numbered(Message, i, 10_000))
	}
	a := b.nodes["a"].media
	wstest.Until(t, "all is dropped", func() bool { return a.Stats().Dropped["message"]["alone"] == 50 })
	set(false)
	x.want(`{"type":"peer","here":true}`)
	y.want(`{"type":"peer","here":true}`)
	b.still()
	x.send(numbered(Sound, 7, 100))
	if _, frame := y.next(); frame == nil || frame[8] != 7 {
		t.Errorf("%x came", frame)
	}
}

// TestAcrossLoss: what is lost between the nodes is found out: a key picture is asked for,
// and both ends are told that a message may be missing.
func TestAcrossLoss(t *testing.T) {
	t.Parallel()
	b := startNodes(t, Config{}, "a", "b")
	_, _, x, y := b.pair()
	b.still()
	lost := make(chan struct{})
	loseNext := func() {
		lost = make(chan struct{})
		over := lost
		b.mu.Lock()
		defer b.mu.Unlock()
		b.lose = func(from string, packet []byte) bool {
			if from != "a" || packet[0] != sayFrame {
				return false
			}
			b.lose = nil
			close(over)
			return true
		}
	}
	gets := func(e *end, number byte) {
		t.Helper()
		if text, frame := e.next(); frame == nil || frame[8] != number {
			t.Fatalf("%q, %x came, not %d", text, frame, number)
		}
	}
	x.send(numbered(Key, 1, 1000))
	gets(y, 1)
	loseNext()
	x.send(numbered(Picture, 2, 1000))
	wstest.Wait(t, lost, "it is lost")
	x.send(numbered(Picture, 3, 1000)) // builds on it
	x.want(`{"type":"key"}`)
	x.send(numbered(Key, 4, 1000))
	gets(y, 4)
	loseNext()
	x.send(numbered(Message, 5, 1000))
	wstest.Wait(t, lost, "it is lost")
	x.send(numbered(Report, 6, 1000))
	for { // it is told, before the frame or after it
		text, frame := y.next()
		if text == `{"type":"peer","here":true}` {
			break
		}
		if frame == nil || frame[8] != 6 {
			t.Fatalf("%q, %x came", text, frame)
		}
	}
	x.want(`{"type":"peer","here":true}`)
}

// TestAcrossLimits: the account of the one who gets it is on his own node: what it does not
// let through is dropped there, and a message waits, in order.
func TestAcrossLimits(t *testing.T) {
	t.Parallel()
	t.Run("account", func(t *testing.T) {
		t.Parallel()
		gets := &limit{from: 1 << 20}
		b := startNodes(t, Config{Timing: Timing{Hold: 300 * time.Millisecond}, Account: func(string, netip.Addr) Account { return gets }}, "a", "b")
		_, _, x, y := b.pair()
		there := b.nodes["b"].media
		for i := range 3 {
			x.send(numbered(Message, i, 100))
		}
		x.send(numbered(Sound, 9, 100))
		x.send(numbered(Key, 9, 100))
		wstest.Until(t, "they are counted", func() bool {
			d := there.Stats().Dropped
			return d["sound"]["bandwidth"] == 1 && d["key"]["bandwidth"] == 1
		})
		gets.mu.Lock()
		gets.to = 1 << 20
		gets.mu.Unlock()
		for i := range 3 {
			if text, frame := y.next(); frame == nil || int(frame[8]) != i {
				t.Fatalf("%q, %x came, not message %d", text, frame, i)
			}
		}
		x.send(numbered(Picture, 4, 100)) // builds on what was dropped
		x.want(`{"type":"key"}`)
	})
	t.Run("flood", func(t *testing.T) {
		t.Parallel()
		b := startNodes(t, Config{Timing: Timing{Write: time.Minute}}, "a", "b")
		_, _, x, _ := b.pair()
		go func() { // the other one reads nothing
			for i := 0; x.ws.WriteMessage(websocket.BinaryMessage, numbered(Message, i, 60_000)) == nil; i++ {
			}
		}()
		if why := x.closed(wire.CloseFlood); why != string(wire.CodeRate) {
			t.Errorf("error %q", why)
		}
	})
}

// TestAcrossLate: what has waited on its way is as late as it would be on one node.
func TestAcrossLate(t *testing.T) {
	t.Parallel()
	b := startNodes(t, Config{}, "a", "b")
	p, _, _, y := b.pair()
	b.still()
	a, k := b.nodes["b"].media, b.nodes["a"].of(p.id)
	f := k.pair.far.Load()
	now := a.hub.Now().UnixNano()
	say := func(number uint32, age time.Duration, kind Kind) {
		r := record{what: sayFrame, to: f.id, from: k.id, number: number, at: now - int64(age), frame: numbered(kind, int(number), 100)}
		a.Heard("a", "run of a", r.append(nil))
	}
	const way = time.Hour // the clocks of the two are apart
	say(0, way, Sound)
	say(1, way+time.Second, Sound)
	say(2, way, Key)
	say(3, way+3*time.Second, Picture)
	say(4, way, Sound)
	came := map[byte]bool{}
	for range 3 {
		if _, frame := y.next(); frame != nil {
			came[frame[8]] = true
		}
	}
	if !came[0] || !came[2] || !came[4] {
		t.Errorf("%v came", came)
	}
	if d := a.Stats().Dropped; d["sound"]["late"] != 1 || d["picture"]["late"] != 1 {
		t.Errorf("dropped: %v", d)
	}
}

// TestAcrossGuests: wherever a balancer brings the sockets of two, to the node of their
// session or to another one, they meet, get each other's frames, and end when the two share
// nothing any more.
func TestAcrossGuests(t *testing.T) {
	for _, at := range []string{"aa", "ab", "ac", "ba", "bb", "bc", "ca", "cb", "cc"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			b := startNodes(t, Config{}, "a", "b", "c")
			p, q := b.together()
			open := func(node string, who, peer *person) *end {
				e := b.nodes[node].end()
				e.hello(who.id, who.token, peer.id)
				return e
			}
			meets := func(e *end, here bool) {
				t.Helper()
				for {
					text, _ := e.next()
					if text == `{"type":"peer","here":true}` && here || text == `{"type":"ready","here":true}` && here || text == `{"type":"peer","here":false}` && !here {
						return
					}
				}
			}
			passes := func(x, y *end) {
				t.Helper()
				defer b.still()()
				for i, frame := range [][]byte{numbered(Sound, 1, 100), numbered(Key, 2, 60_000), numbered(Message, 3, 100)} {
					x.send(frame)
					for {
						if text, got := y.next(); bytes.Equal(got, frame) {
							break
						} else if text == "" {
							t.Fatalf("frame %d came as %d bytes", i, len(got))
						}
					}
				}
			}
			x, y := open(at[:1], p, q), open(at[1:], q, p)
			meets(x, true)
			meets(y, true)
			passes(x, y)
			passes(y, x)
			// The next one comes to another node.
			next := string("abc"[(at[0]-'a'+1)%3])
			x2 := open(next, p, q)
			x.closed(wire.CloseReplaced)
			meets(x2, true)
			passes(x2, y)
			passes(y, x2)
			q.leaves(x2, y)
		})
	}
}

// TestAcrossGuestsRefused: who has no session anywhere, another one's token, or shares nothing
// with the peer is not let in at another node.
func TestAcrossGuestsRefused(t *testing.T) {
	t.Parallel()
	b := startNodes(t, Config{}, "a", "b", "c")
	p, q := b.together()
	alone := b.nodes["a"].person("elsewhere")
	for name, hello := range map[string][3]string{
		"no session": {"s_nobody", "token", q.id}, "another token": {p.id, q.token, q.id},
		"shares nothing": {alone.id, alone.token, q.id}, "itself": {p.id, p.token, p.id}, "no peer": {p.id, p.token, "s_nobody"},
	} {
		e := b.nodes["c"].end()
		e.hello(hello[0], hello[1], hello[2])
		if why := e.closed(wire.CloseRefused); why == "" {
			t.Errorf("%s: no error", name)
		}
	}
	c := b.nodes["c"].media
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.guests)+len(c.pairs) > 0 {
		t.Errorf("left: %d guests, %d pairs", len(c.guests), len(c.pairs))
	}
}
