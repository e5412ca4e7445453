package ratelimit

import (
	"math"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestAccountIsATokenBucket holds an account against the plain form of a token bucket
// over random schedules, whose rate changes under way.
func TestAccountIsATokenBucket(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Log("seed", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	for range 2000 {
		rate := Rate{PerSecond: math.Exp(r.Float64()*18 - 2)}
		rate.Burst = rate.PerSecond * (0.5 + 4*r.Float64())
		var account Account
		now := int64(r.IntN(1e9))
		tokens, last := rate.Burst, now
		if r.IntN(2) == 0 {
			tokens = rate.Burst * r.Float64()
			account = Open(now, rate, tokens)
		}
		for range 100 {
			now += int64(r.ExpFloat64() * second * rate.Burst / rate.PerSecond / 8)
			tokens, last = min(rate.Burst, tokens+float64(now-last)*rate.PerSecond/second), now
			n := rate.Burst * r.Float64() / 4
			// Both count in numbers that end somewhere: what is due to that is let pass.
			slack := rate.Burst*1e-6 + rate.PerSecond*1e-7
			if r.IntN(4) == 0 {
				left := account.Charge(now, rate, n)
				tokens -= n
				if math.Abs(float64(left)*rate.PerSecond/second-tokens) > slack {
					t.Fatalf("seed %d: %v left, want %v of %v", seed, float64(left)*rate.PerSecond/second, tokens, rate)
				}
				tokens = float64(left) * rate.PerSecond / second
				continue
			}
			taken := account.Take(now, rate, n)
			if taken != (tokens >= n) && math.Abs(tokens-n) > slack {
				t.Fatalf("seed %d: taken %v, %v of %v there, %v", seed, taken, n, tokens, rate)
			}
			if taken {
				tokens -= n
			}
		}
	}
}

// TestRateChanges: who is full, or in debt, at one rate is not held to that at another,
// as after a reload.
func TestRateChanges(t *testing.T) {
	slow, quick := Rate{PerSecond: 0.1, Burst: 100}, Rate{PerSecond: 100, Burst: 200}
	table := NewTable[int](4)
	table.Take(1, 1e9, Rate{PerSecond: 0.001, Burst: 1})
	table.Take(1, 4e9, quick)
	if !table.Take(1, 6e9, quick) {
		t.Error("a table keeps the time of the slow rate")
	}
	var meter Meter
	if left := meter.Charge(1e9, slow, 150); left >= 0 {
		t.Fatal(left)
	}
	if left := meter.Charge(1e9, quick, 1); left < 0 {
		t.Errorf("in debt for %d ns at a rate that began just now", -left)
	}
}

func TestNoLimit(t *testing.T) {
	var a Account
	if !a.Take(1, Rate{}, 1e18) || a.Charge(1, Rate{}, 1e18) != 0 || a != (Account{}) || Open(1, Rate{}, 5) != (Account{}) {
		t.Error("an account without a rate is charged")
	}
	if !NewTable[int](4).Take(1, 1, Rate{}) {
		t.Error("a table without a rate refuses")
	}
}

// TestAccountsOfATable gives each key what an account of its own would get.
func TestAccountsOfATable(t *testing.T) {
	table := NewTable[int](1 << 12)
	rate := Rate{PerSecond: 10, Burst: 20}
	for second := range int64(5) {
		for key := range 100 {
			got := 0
			for range 50 {
				if table.Take(key, second*1e9, rate) {
					got++
				}
			}
			if want := map[bool]int{true: 20, false: 10}[second == 0]; got != want {
				t.Fatalf("key %d got %d in second %d, want %d", key, got, second, want)
			}
		}
	}
	if !table.Take(-1, 5e9, Rate{PerSecond: 0.1, Burst: 0.1}) || table.Take(-1, 5e9, Rate{PerSecond: 0.1, Burst: 0.1}) {
		t.Error("a burst of less than one is not one")
	}
}

// TestTableUnderAFloodOfKeys still holds a busy key to its rate, and does not grow.
func TestTableUnderAFloodOfKeys(t *testing.T) {
	table := NewTable[uint32](1 << 14)
	rate := Rate{PerSecond: 5, Burst: 5}
	taken := 0
	for i := range uint32(200_000) {
		table.Take(i, 1e9, rate)
		if i%1000 == 0 {
			for range 20 {
				if table.Take(math.MaxUint32, 1e9, rate) {
					taken++
				}
			}
		}
	}
	if taken > 5*200/4 {
		t.Errorf("one key took %d at one instant", taken)
	}
	if len(table.entries) != 1<<14 {
		t.Error("the table grew")
	}
}

// TestTableOfMany is for the race detector: no unit is given twice.
func TestTableOfMany(t *testing.T) {
	table := NewTable[string](4)
	var mu sync.Mutex
	var wait sync.WaitGroup
	taken := 0
	for range 8 {
		wait.Go(func() {
			for range 1000 {
				if table.Take("one", 1e9, Rate{PerSecond: 100, Burst: 100}) {
					mu.Lock()
					taken++
					mu.Unlock()
				}
			}
		})
	}
	wait.Wait()
	if taken != 100 {
		t.Errorf("%d units of 100 were taken", taken)
	}
}

func TestLinesAreBounded(t *testing.T) {
	var l Lines
	if !l.Due(netip.IPv4Unspecified()) {
		t.Error("the first event is none")
	}
	addr := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}) }
	if !l.due(addr(1), 5e9) || l.due(addr(1), 5e9) || !l.due(addr(1), 6e9) {
		t.Error("not one line for each address and second")
	}
	lines := 0
	for i := range 1000 {
		if l.due(addr(i), 8e9) {
			lines++
		}
	}
	if lines != 10 {
		t.Errorf("%d lines in one second", lines)
	}
	for i := range 100_000 {
		l.due(addr(i), 9e9)
	}
	if n := testing.AllocsPerRun(100, func() { l.due(addr(3), 10e9) }); n != 0 {
		t.Errorf("%v allocations for each event", n)
	}
}

// TestShared is for the race detector: many goroutines get what one would.
func TestShared(t *testing.T) {
	var account Shared
	var taken atomic.Int64
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for range 1000 {
				if account.Take(1e9, Rate{PerSecond: 100, Burst: 100}, 1) {
					taken.Add(1)
				}
			}
		})
	}
	wait.Wait()
	if n := taken.Load(); n < 100 || n > 100+8*sharedTries {
		t.Errorf("%d units of 100 were taken", n)
	}
}
