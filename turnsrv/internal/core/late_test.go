package core

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pion/stun/v2"

	"turnhub/turnsrv/internal/turntest"
	"turnhub/turnsrv/internal/wire"
)

// lateDriver is a driver whose sends complete some time after the round in which they
// were asked for, in any order, as the kernel may: it holds each buffer until then, and
// looks whether the bytes are still those that were handed over.
type lateDriver struct {
	t        testing.TB
	shard    *Shard
	rng      *rand.Rand
	inFlight []lateSend
	sent     int
}

type lateSend struct {
	g    wire.Segment
	want []byte
}

func (d *lateDriver) BindRelay(*Relay, uint16) error    { return nil }
func (d *lateDriver) CloseRelay(*Relay)                 {}
func (d *lateDriver) CloseClient(*Client)               {}
func (d *lateDriver) LocalIP(*Client) (e wire.Endpoint) { return e }
func (d *lateDriver) Flush()                            { d.shard.Reclaim() }
func (d *lateDriver) Wake()                             {}
func (d *lateDriver) Post(f func(*Shard))               { f(d.shard) }

func (d *lateDriver) ToPeer(_ *Relay, _ wire.Endpoint, g wire.Segment, _ bool) { d.send(g) }
func (d *lateDriver) ToClient(_ *Client, g wire.Segment, _ bool)               { d.send(g) }

func (d *lateDriver) send(g wire.Segment) {
	g.Buf.Hold()
	d.inFlight = append(d.inFlight, lateSend{g, bytes.Clone(g.Bytes())})
	d.sent++
}

// complete ends some of the sends.
func (d *lateDriver) complete(n int) {
	for ; n > 0 && len(d.inFlight) > 0; n-- {
		i := d.rng.IntN(len(d.inFlight))
		s := d.inFlight[i]
		if !bytes.Equal(s.g.Bytes(), s.want) {
			d.t.Fatalf("%d bytes were written over while they were being sent", len(s.want))
		}
		s.g.Buf.Release()
		d.inFlight[i] = d.inFlight[len(d.inFlight)-1]
		d.inFlight = d.inFlight[:len(d.inFlight)-1]
	}
}

// received returns a datagram in a receive buffer that nobody reads any more.
func received(pool *[]*wire.Buffer, payload []byte, room int) wire.Segment {
	var free *wire.Buffer
	for _, b := range *pool {
		if !b.Held() {
			free = b
			break
		}
	}
	if free == nil {
		free = &wire.Buffer{Mem: make([]byte, wire.Headroom+2048+wire.Tailroom)}
		*pool = append(*pool, free)
	}
	copy(free.Mem[wire.Headroom:], payload)
	return wire.Segment{Buf: free, Lo: wire.Headroom, Hi: wire.Headroom + len(payload), Free: room, Spare: min(room, wire.Tailroom)}
}

// TestSendsThatCompleteLater plays random schedules with a driver whose sends complete
// late: packets to peers and from them, with room for their headers and without, between
// clients on one worker and on two, and requests. Nothing may be written over while it
// is being sent, whoever owns the memory; and when all has completed, all the memory is
// free again.
func TestSendsThatCompleteLater(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 7))
		of := NewShared(deskConfig(t))
		desks := []*desk{deskOn(t, of), deskOn(t, of)}
		users := []*user{desks[0].user("anna", 1000), desks[0].user("boris", 1001), desks[1].user("carol", 1002)}
		var relays []*Relay
		for _, u := range users {
			relays = append(relays, u.relayed())
		}
		for i, u := range users {
			u.must(stun.MethodChannelBind, turntest.Peer(far), turntest.ChannelNumber(wire.ChannelMin))
			u.must(stun.MethodCreatePermission, turntest.Peer("198.51.100.8:1"))
			for j, r := range relays {
				if i != j {
					u.must(stun.MethodChannelBind, turntest.Peer(r.addr.AddrPort().String()), turntest.ChannelNumber(wire.ChannelMin+1+uint16(j)))
				}
			}
		}
		drivers := make([]*lateDriver, len(desks))
		for i, d := range desks {
			drivers[i] = &lateDriver{t: t, shard: d.Shard, rng: rng}
			d.Attach(drivers[i], true)
		}
		of4 := []int{0, 0, 1} // whose shard each user is on
		var pool []*wire.Buffer
		payload := make([]byte, 1400)
		number := uint32(0)
		for range 600 {
			u := rng.IntN(len(users))
			d, c := desks[of4[u]], users[u].c
			number++
			size := 4 + rng.IntN(1200)
			for i := range size {
				payload[i] = byte(rng.Uint32())
			}
			binary.BigEndian.PutUint32(payload, number)
			room := []int{0, 4, wire.Headroom}[rng.IntN(3)]
			switch rng.IntN(6) {
			case 0:
				d.FromClient(c, received(&pool, turntest.ChannelData(wire.ChannelMin, payload[:size], false), room))
			case 1, 2:
				to := wire.ChannelMin + 1 + uint16((u+1+rng.IntN(2))%3)
				d.FromClient(c, received(&pool, turntest.ChannelData(to, payload[:size], false), room))
			case 3:
				d.FromPeer(relays[u], farPeer, received(&pool, payload[:size], room))
			case 4:
				near := wire.EndpointIPv4(0xC6336408, 1) // 198.51.100.8
				d.FromPeer(relays[u], near, received(&pool, payload[:size], room))
			case 5:
				c.control.Charge(0, controlUnits, 0)
				d.FromClient(c, received(&pool, users[u].Signed(stun.MethodRefresh, turntest.Lifetime(600)).Raw, room))
			}
			for i, d := range desks {
				if rng.IntN(4) == 0 {
					d.Drain()
				}
				if rng.IntN(3) == 0 { // the round ends
					drivers[i].Flush()
					d.WakeOthers()
					d.tick(d.now + int64(time.Millisecond))
				}
				drivers[i].complete(rng.IntN(3))
			}
		}
		for range 2 {
			for i, d := range desks {
				d.Drain()
				drivers[i].complete(1 << 20)
				drivers[i].Flush()
				d.Drain()
			}
		}
		for i, d := range desks {
			if d.Waiting() || drivers[i].sent == 0 {
				t.Fatalf("seed %d: waiting %v, %d sent", seed, d.Waiting(), drivers[i].sent)
			}
			for _, block := range d.arena.blocks {
				if block.Held() {
					t.Fatalf("seed %d: a block is held after all has been sent", seed)
				}
			}
			if d.arena.used != 0 {
				t.Fatalf("seed %d: %d bytes of the arena are in use after all has been sent", seed, d.arena.used)
			}
			for _, r := range d.rings {
				if r != nil && (r.open != 0 || r.head.Load() != r.tail.Load()) {
					t.Fatalf("seed %d: %d batches, slots %d to %d of a ring are in use", seed, r.open, r.tail.Load(), r.head.Load())
				}
			}
		}
	}
}

// TestArenaIsNotWrittenOver fills the arena while a driver holds all that was in it: what
// does not fit is memory of its own.
func TestArenaIsNotWrittenOver(t *testing.T) {
	d := newDesk(t, deskConfig(t))
	late := &lateDriver{t: t, shard: d.Shard, rng: rand.New(rand.NewPCG(1, 1))}
	d.Attach(late, true)
	message := make([]byte, 60000)
	for i := range 100 {
		message[0] = byte(i)
		late.send(d.placed(message))
		if i%7 == 0 {
			late.Flush()
		}
	}
	if n := len(d.arena.blocks); n != arenaBlocks {
		t.Errorf("%d blocks, want %d", n, arenaBlocks)
	}
	late.complete(100)
	late.Flush()
	if g := d.placed(message); g.Lo != wire.Headroom {
		t.Errorf("after all was sent the next message lies at %d", g.Lo)
	}
}
