package media

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"turnhub/internal/ratelimit"
	"turnhub/signaling/internal/wire"
	"turnhub/signaling/internal/wsock"
)

const (
	// maxHello is the longest first frame in bytes.
	maxHello = 1 << 10
	// leastFrame is the shortest frame: kind, counter, and the tag of an empty AES-GCM.
	leastFrame = 1 + 8 + 16
	// maxHolds is how often a message over a limit is tried again before it is dropped.
	maxHolds = 100
)

// overRate is how many frames a sender may go on with that go to nobody, as they are over
// its limits or nobody is there, and how many pings of the protocol: each of them costs the server a read.
// A large one counts as several.
var overRate = ratelimit.Rate{PerSecond: 1000, Burst: 10_000}

// overUnit is how many bytes of such a frame count as one.
const overUnit = 1500

// socket is one media WebSocket: one end of a pair.
type socket struct {
	server  *Server
	line    *wsock.Line
	remote  netip.Addr
	request string       // the upgrade's id in the log
	heard   atomic.Int64 // when anything came last, Unix nanoseconds of the hub's clock
	over    atomic.Bool  // it ends: nothing is handled any more

	// The reader's.
	bad    int             // frames that were none
	excess ratelimit.Meter // what went to nobody
	held   []byte          // a message that waits until a limit lets it through
	holds  int             // how often it was tried again
	paid   bool            // the sender's own limit has let it through

	// Written once, under Server.mu and mu, before any other socket knows of this one.
	pair    *pair // nil: no hello yet
	side    int
	id      uint64 // by which other nodes know it, see record
	opened  int64  // when that was
	account Account
	pings   *time.Timer
	said    int64  // under Server.mu: when another node was told of it
	guest   *guest // under Server.mu: its session is on another node; nil: it is on this one

	mu     sync.Mutex
	queue  queue
	owes   owes
	fault  *wire.Fault // why it ends
	code   wire.CloseCode
	closed bool // the Close is written
}

// owes is what the server itself has to say: each of it at most once at a time.
type owes struct {
	ready, readyHere, meet, here, key, pong, ping bool
	after                                         time.Duration // until the client is to come back; 0: nothing
	wsPong                                        []byte        // the answer to a WebSocket ping
}

// Came implements wsock.User.
func (k *socket) Came(now time.Time) (limit int) {
	k.heard.Store(now.UnixNano())
	if k.pair == nil {
		return maxHello
	}
	return FrameSize
}

// Frame implements wsock.User.
func (k *socket) Frame(opcode byte, payload []byte, now time.Time) {
	switch {
	case k.over.Load():
	case opcode == wsock.OpPing:
		k.owe(func(o *owes) { o.wsPong = append(o.wsPong[:0:0], payload...) })
	case opcode == wsock.OpPong:
	case k.pair == nil:
		k.hello(opcode == wsock.OpText, payload)
	case opcode == wsock.OpText:
		k.say(payload)
	default:
		k.frame(payload, now.UnixNano())
	}
}

// say handles a text after the hello.
func (k *socket) say(text []byte) {
	var m wire.Message
	if len(text) > maxHello || m.Parse(text) != nil || string(m.Type) != `"ping"` {
		k.malformed("text")
		return
	}
	k.owe(func(o *owes) { o.pong = true })
	k.vain(len(text))
}

// frame passes a frame to the other end.
func (k *socket) frame(payload []byte, now int64) {
	if len(payload) < leastFrame {
		k.malformed("short")
		return
	}
	kind := Kind(payload[0])
	if kind < Sound || kind >= kinds {
		k.malformed("kind")
		return
	}
	to := k.other()
	if to == nil {
		k.paid, k.holds = false, 0
		k.server.counts.drop(kind, "alone")
		k.vain(len(payload))
		return
	}
	limit, ok := "", k.paid
	if !ok {
		limit, ok = k.account.From(len(payload))
		k.paid = ok
	}
	if ok {
		limit, ok = to.take(kind, payload, now, k)
	}
	switch {
	case ok:
		k.paid, k.holds = false, 0
	case kind == Message && k.holds < maxHolds:
		k.hold(payload)
	default:
		k.paid, k.holds = false, 0
		k.server.counts.drop(kind, limit)
		if kind == Picture || kind == Key || kind == Piece {
			to.miss()
		}
		k.vain(len(payload))
	}
}

// vain counts what a client sends that goes to nobody. No limit of an allocation holds for
// it, so that one who sends far more of it than anybody needs is ended.
func (k *socket) vain(bytes int) {
	now := k.server.hub.Now().UnixNano()
	if k.excess.Charge(now, overRate, 1+float64(bytes)/overUnit) < 0 {
		k.shut(wire.CloseFlood, wire.Faultf(wire.CodeRate, "far more frames than the limits of an allocation let through, or than anybody needs who is alone"))
	}
}

// hold holds a sender up whose message a limit does not let through, so that it is not
// lost and the sender sees it by its own buffer.
func (k *socket) hold(payload []byte) {
	k.holds++
	k.held = append([]byte(nil), payload...)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.code == 0 { // else its Close is waited for
		k.line.Pause(k.server.timing.Hold)
	}
}

// Resumed implements wsock.User.
func (k *socket) Resumed(now time.Time) {
	if k.guest != nil && k.pair == nil {
		k.server.comeIn(k)
	}
	held := k.held
	if k.held = nil; held != nil && !k.over.Load() {
		k.frame(held, now.UnixNano())
	}
}

// malformed counts what is no frame of the protocol, and ends a socket that goes on so.
func (k *socket) malformed(why string) {
	k.server.counts.drop(0, why)
	if k.bad++; k.bad >= maxBad {
		k.shut(wire.CloseBadHello, wire.Faultf(wire.CodeBadMessage, "%d frames were none of "+Subprotocol+"; the last one: %s", k.bad, why))
	}
}

// other is the other end of the pair; nil: it is not here.
func (k *socket) other() receiver {
	if o := k.pair.ends[1-k.side].Load(); o != nil {
		return o
	}
	if f := k.pair.far.Load(); f != nil && f.own == k {
		return f
	}
	return nil
}

// take implements receiver.
func (k *socket) take(kind Kind, payload []byte, now int64, from *socket) (limit string, ok bool) {
	limit, ok, flood, ask := k.accept(kind, payload, now, now, from.line)
	from.filled(kind, flood, ask)
	return limit, ok
}

// accept queues a frame for this socket's client that the server has since at. !ok: the limit
// does not let it through. flood: more messages wait than may. ask: a key picture is needed.
func (k *socket) accept(kind Kind, payload []byte, at, now int64, by *wsock.Line) (limit string, ok, flood, ask bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.code != 0 {
		k.server.counts.drop(kind, "alone")
		return "", true, false, false
	}
	if limit, ok = k.account.To(len(payload)); !ok {
		return limit, false, false, false
	}
	flood = k.queue.push(kind, payload, at, now)
	ask = k.queue.ask(now)
	k.line.Kick(by)
	return "", true, flood, ask
}

// filled is told what has come of a frame of this socket's client.
func (k *socket) filled(kind Kind, flood, ask bool) {
	if flood {
		k.server.counts.drop(kind, "flood")
		k.flooded()
	}
	if ask {
		k.askKey(k.line)
	}
}

// flooded ends the socket whose client has said more than may wait.
func (k *socket) flooded() {
	k.shut(wire.CloseFlood, wire.Faultf(wire.CodeRate, "more than %d bytes of messages wait for the other end: wait until it has acknowledged some", messageBytes))
}

// miss implements receiver.
func (k *socket) miss() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.queue.miss()
}

// askKey implements receiver.
func (k *socket) askKey(by *wsock.Line) {
	k.server.counts.keys.Add(1)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.owes.key = true
	k.line.Kick(by)
}

// owe has the server say something. The caller is the socket's reader.
func (k *socket) owe(what func(*owes)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	what(&k.owes)
	k.line.Kick(k.line)
}

// open makes the socket an end of a pair. Server.mu is held.
func (k *socket) open(p *pair, side int, here bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.pair, k.side = p, side
	if k.opened = k.server.hub.Now().UnixNano(); k.id == 0 {
		k.id = newID()
	}
	k.account = k.server.account(p.sessions[side], k.remote)
	k.owes.ready, k.owes.readyHere = true, here
	k.pings = time.AfterFunc(k.server.timing.Ping, k.tick)
	k.line.SetReadDeadline(time.Time{})
	k.line.Kick(k.line)
}

// meet tells the client whether the other end is here.
func (k *socket) meet(here bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.owes.meet, k.owes.here = true, here
	k.line.Kick(nil)
}

// restart tells the client when to come back.
func (k *socket) restart(after time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.owes.after = after
	k.line.Kick(nil)
}

// tick pings the client, and ends a socket of which nothing has come for two pings.
func (k *socket) tick() {
	every := k.server.timing.Ping
	if k.server.hub.Now().UnixNano()-k.heard.Load() > 2*int64(every) {
		k.shut(wire.CloseSilent, nil)
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.code == 0 {
		k.owes.ping = true
		k.line.Kick(nil)
		k.pings.Reset(every)
	}
}

// shut ends the socket with a code; f says more. What waits is not sent any more.
func (k *socket) shut(code wire.CloseCode, f *wire.Fault) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.code != 0 {
		return
	}
	k.code, k.fault = code, f
	k.over.Store(true)
	k.server.counts.closed.Add(code.String())
	k.queue.clear()
	// Whoever is stuck in a read or a write gets free, late enough for the Close to be
	// read on the other side.
	k.line.SetReadDeadline(time.Now().Add(k.server.timing.Close))
	k.line.SetWriteDeadline(time.Now().Add(k.server.timing.Close))
	k.line.Resume()
	k.line.Kick(nil)
}

// Due implements wsock.User.
func (k *socket) Due(buf []byte) (frames []byte, within time.Duration) {
	now := k.server.hub.Now().UnixNano()
	k.mu.Lock()
	if k.closed {
		k.mu.Unlock()
		return buf, k.server.timing.Close
	}
	buf = k.owes.fill(buf)
	ask := false
	within = k.server.timing.Write
	if k.code == 0 {
		buf = k.queue.pop(buf, k.line.Ahead(), now)
		ask = k.queue.ask(now)
	} else {
		if k.fault != nil {
			buf = appendText(buf, append(k.fault.Message(nil), '}'))
		}
		buf = appendClose(buf, k.code)
		k.closed, within = true, k.server.timing.Close
	}
	k.mu.Unlock()
	if ask {
		if from := k.other(); from != nil {
			from.askKey(nil)
		}
	}
	return buf, within
}

// fill appends what the server has to say.
func (o *owes) fill(b []byte) []byte {
	if o.wsPong != nil {
		b = append(wsock.AppendHeader(b, wsock.OpPong, len(o.wsPong)), o.wsPong...)
	}
	if o.ping {
		b = wsock.AppendHeader(b, wsock.OpPing, 0)
	}
	if o.ready {
		b = appendText(b, here("ready", o.readyHere))
	}
	if o.meet {
		b = appendText(b, here("peer", o.here))
	}
	if o.key {
		b = appendText(b, []byte(`{"type":"key"}`))
	}
	if o.pong {
		b = appendText(b, []byte(`{"type":"pong"}`))
	}
	if o.after > 0 {
		b = appendText(b, append(strconv.AppendInt([]byte(`{"type":"restart","after":`), o.after.Milliseconds(), 10), '}'))
	}
	*o = owes{}
	return b
}

func here(typ string, here bool) []byte {
	return wire.Begin(typ, 16).Bool("here", here).End()
}

func appendText(b, text []byte) []byte {
	return append(wsock.AppendHeader(b, wsock.OpText, len(text)), text...)
}

// appendClose appends a Close (RFC 6455 section 5.5.1).
func appendClose(b []byte, code wire.CloseCode) []byte {
	reason := code.String()
	b = wsock.AppendHeader(b, wsock.OpClose, 2+len(reason))
	b = binary.BigEndian.AppendUint16(b, uint16(code))
	return append(b, reason...)
}

// Over implements wsock.User.
func (k *socket) Over(err error) (readOn bool) {
	over := k.over.Load()
	switch {
	case errors.Is(err, wsock.ErrTooBig):
		k.shut(wire.CloseTooBig, nil)
	case errors.Is(err, wsock.ErrProtocol):
		k.shut(wire.CloseProtocol, nil)
	case errors.Is(err, wsock.ErrFlood):
		k.shut(wire.CloseFlood, wire.Faultf(wire.CodeRate, "%v", err))
	case k.pair == nil && !over && errors.Is(err, os.ErrDeadlineExceeded):
		k.shut(wire.CloseBadHello, wire.Faultf(wire.CodeBadMessage, "no hello came"))
	default:
		return false
	}
	return true
}

// Ended implements wsock.User.
func (k *socket) Ended(err error) (drain bool) {
	k.over.Store(true)
	var closed *wsock.CloseError
	k.mu.Lock()
	if k.code == 0 {
		k.code = wire.CloseNormal
		k.queue.clear()
		if errors.As(err, &closed) {
			k.line.SetWriteDeadline(time.Now().Add(k.server.timing.Close))
			k.line.Kick(k.line)
		}
	}
	k.mu.Unlock()
	k.server.part(k)
	return !errors.Is(err, os.ErrDeadlineExceeded) // a writer that is stuck is the reason
}

// Gone implements wsock.User.
func (k *socket) Gone() {
	if k.pings != nil {
		k.pings.Stop()
	}
	if k.account != nil {
		k.account.End()
	}
	k.server.gone(k)
}
