package core

import (
	"slices"
	"testing"

	"turnhub/turnsrv/internal/wire"
)

// fakeOffload remembers what is in it.
type fakeOffload struct{ in map[FlowKey]Flow }

func (o *fakeOffload) Share() (*Share, uint32, bool) { return new(Share), 0, true }
func (o *fakeOffload) Release(uint32)                {}
func (o *fakeOffload) User() (*Usage, uint32, bool)  { return new(Usage), 0, true }
func (o *fakeOffload) ReleaseUser(uint32)            {}
func (o *fakeOffload) SetRates(OffloadRates)         {}
func (o *fakeOffload) Enter(f *Flow) string {
	o.in[f.FlowKey] = *f
	return ""
}

func (o *fakeOffload) Remove(keys []FlowKey) {
	for _, key := range keys {
		delete(o.in, key)
	}
}

// side is one end of a call between two relayed addresses, to which the peer is port.
func side(a *allocation, own, peer *Relay, port uint16) half {
	return half{
		owner: a, relay: own, target: peer, channel: 0x4000 + port, until: 100, exact: true,
		client: wire.EndpointIPv4(1, port), local: wire.EndpointIPv4(2, 3478),
	}
}

// TestOffloadOwners holds that the flows of a call between two clients are there when both
// sides are known, that they end with either, and that whoever gets the port of one that
// has ended gets nothing of the call.
func TestOffloadOwners(t *testing.T) {
	fake := &fakeOffload{in: make(map[FlowKey]Flow)}
	o := newOffload(fake)
	a, b, c := new(allocation), new(allocation), new(allocation)
	ra, rb := &Relay{addr: wire.EndpointIPv4(9, 50000)}, &Relay{addr: wire.EndpointIPv4(9, 50001)}
	o.pair(side(a, ra, rb, 1))
	if len(fake.in) != 0 {
		t.Error("one side alone has flows")
	}
	o.pair(side(b, rb, ra, 2))
	if len(fake.in) != 2 {
		t.Fatalf("%d flows, want 2", len(fake.in))
	}
	for key, f := range fake.in {
		if f.From == nil || f.To == nil || key.Channel == f.As || f.Target.Port == key.Remote.Port {
			t.Errorf("%+v", f)
		}
	}
	before := [2]uint32{a.flushed.Load(), b.flushed.Load()}
	o.forget([]*allocation{a}, false)
	if len(fake.in) != 0 || len(o.flows) != 0 || len(o.of[b].flows) != 0 {
		t.Error("a call goes on of which one side has ended")
	}
	if a.flushed.Load() == before[0] || b.flushed.Load() == before[1] {
		t.Error("a side does not know that it must enter its channel again")
	}
	again := &Relay{addr: ra.addr}
	o.pair(side(c, again, rb, 3))
	if len(fake.in) != 0 {
		t.Error("the other side's channel was to somebody else at that address")
	}
	o.pair(side(b, rb, again, 2))
	if len(fake.in) != 2 {
		t.Errorf("%d flows, want 2", len(fake.in))
	}
	o.forgetAll(1)
	if len(fake.in) != 0 || o.barred != 1 {
		t.Error("something is left")
	}
}

// TestOffloadFlushOf takes out the flows of those that have one with an address.
func TestOffloadFlushOf(t *testing.T) {
	fake := &fakeOffload{in: make(map[FlowKey]Flow)}
	s := &Shared{offload: newOffload(fake)}
	var allocs [3]*allocation
	for i := range allocs {
		allocs[i] = new(allocation)
		client := FlowKey{Remote: wire.EndpointIPv4(1, uint16(i)), Local: wire.EndpointIPv4(2, 3478), Channel: 0x4000}
		peer := FlowKey{Remote: wire.EndpointIPv4(uint32(100+i), 7), Local: wire.EndpointIPv4(2, uint16(50000+i))}
		for _, key := range []FlowKey{client, peer} {
			s.offload.put(flowOwners{allocs[i]}, &Flow{FlowKey: key})
		}
	}
	before := [2]uint32{allocs[0].flushed.Load(), allocs[1].flushed.Load()}
	s.FlushOffloadOf([]wire.Endpoint{wire.EndpointIPv4(101, 0), wire.EndpointIPv4(99, 0)})
	if len(fake.in) != 4 || len(s.offload.flows) != 4 {
		t.Errorf("%d flows are left, want 4", len(fake.in))
	}
	if allocs[0].flushed.Load() != before[0] || allocs[1].flushed.Load() == before[1] {
		t.Error("not the one alone must enter its channels again")
	}
	s.FlushOffloadOf([]wire.Endpoint{wire.EndpointIPv4(1, 0)})
	if len(fake.in) != 0 {
		t.Errorf("%d flows are left of clients at an address", len(fake.in))
	}
}

// TestOffloadNotExact leaves the way to a client with the process that has its channel at
// another address than that from which packets come.
func TestOffloadNotExact(t *testing.T) {
	fake := &fakeOffload{in: make(map[FlowKey]Flow)}
	o := newOffload(fake)
	ra, rb := &Relay{addr: wire.EndpointIPv4(9, 50000)}, &Relay{addr: wire.EndpointIPv4(9, 50001)}
	first := side(new(allocation), ra, rb, 1)
	first.exact = false
	o.pair(first)
	second := side(new(allocation), rb, ra, 2)
	o.pair(second)
	var to []uint16
	for _, f := range fake.in {
		to = append(to, f.Target.Port)
	}
	if !slices.Equal(to, []uint16{2}) {
		t.Errorf("flows to the clients at the ports %v, want 2 alone", to)
	}
}

// TestUsageIsShared has the kernel take from what a user has used while somebody holds it,
// and keeps that for the day when nobody does.
func TestUsageIsShared(t *testing.T) {
	d := newDirectory(nil, nil)
	d.offload = newOffload(&fakeOffload{in: make(map[FlowKey]Flow)})
	anna := holder{user: "anna"}
	u := d.hold(anna, 1)
	if u.number == NoUser || u.Usage == &u.own || d.hold(anna, 1) != u {
		t.Fatalf("%+v", u)
	}
	u.take(5, 100, 1000)
	place := u.Usage
	d.letGo(anna, u)
	if u.Usage != place {
		t.Error("it was moved while it is held")
	}
	place.Volume.Add(50) // inside the kernel
	d.letGo(anna, u)
	if u.number != NoUser || u.own.Volume.Load() != 150 || u.own.Began.Load() != 5 {
		t.Errorf("when nobody holds it: %+v", u)
	}
	if again := d.hold(anna, 2); again != u || u.Usage == &u.own || u.Volume.Load() != 150 || u.Began.Load() != 5 {
		t.Errorf("held again: %+v", u)
	}
}
