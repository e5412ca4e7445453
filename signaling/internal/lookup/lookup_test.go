package lookup

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestByNumber plays adds, removals and looks at random beside a map.
func TestByNumber(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 3))
	var x, mirror ByNumber[int] // the mirror takes the numbers of x, as the floor above does
	want := make(map[uint64]*int)
	var numbers []uint64
	for step := range 100_000 {
		switch {
		case rng.IntN(2) == 0 && len(want) < 5*blockSize || len(numbers) == 0:
			var given uint64
			v := x.Add(func(number uint64) *int { given = number; return &step })
			if given == 0 || want[given] != nil || x.Get(given) != v {
				t.Fatalf("number %d is given out twice, or finds another one", given)
			}
			mirror.Set(given, v)
			want[given] = v
			numbers = append(numbers, given)
		case rng.IntN(2) == 0:
			n := numbers[rng.IntN(len(numbers))]
			x.Remove(n)
			mirror.Remove(n)
			delete(want, n)
		default:
			n := numbers[rng.IntN(len(numbers))] // perhaps of a place that has another value now
			if x.Get(n) != want[n] || mirror.Get(n) != want[n] {
				t.Fatalf("number %d finds %v and %v, want %v", n, x.Get(n), mirror.Get(n), want[n])
			}
		}
	}
	for _, n := range []uint64{0, 1 << 40, 1<<64 - 1, 7} {
		if x.Get(n) != nil {
			t.Errorf("number %d, which nobody gave out, finds something", n)
		}
	}
}

// TestByNumberIsNeverWrong looks numbers up while their places change hands: what is
// found has that number.
func TestByNumberIsNeverWrong(t *testing.T) {
	type value struct{ number uint64 }
	var x ByNumber[value]
	var newest atomic.Uint64
	var workers sync.WaitGroup
	for range 2 {
		workers.Go(func() {
			for range 50_000 {
				v := x.Add(func(number uint64) *value { return &value{number} })
				newest.Store(v.number)
				x.Remove(v.number)
				x.Remove(v.number)
			}
		})
	}
	for range 100_000 {
		n := newest.Load()
		if v := x.Get(n); v != nil && v.number != n {
			t.Fatalf("number %d finds the value of %d", n, v.number)
		}
	}
	workers.Wait()
	if x.used > 2 {
		t.Errorf("%d places for two values at once", x.used)
	}
}

// TestByName holds each call to what a map would do.
func TestByName(t *testing.T) {
	x := NewByName[int]()
	values := make([]int, 1000)
	for i := range values {
		x.Put(fmt.Sprint(i), &values[i])
	}
	if x.Len() != len(values) || len(x.All()) != len(values) {
		t.Fatalf("%d and %d of %d", x.Len(), len(x.All()), len(values))
	}
	for i := range values {
		name := fmt.Sprint(i)
		if x.Get(name) != &values[i] || x.Find([]byte(name)) != &values[i] {
			t.Fatalf("%s finds another one", name)
		}
		if v := x.GetOrPut(name, func() *int { t.Error("made anew"); return nil }); v != &values[i] {
			t.Fatalf("%s is made anew", name)
		}
	}
	x.Remove("7", &values[8]) // its name, but another value
	if x.Get("7") == nil {
		t.Error("another's name is taken away")
	}
	x.Remove("7", &values[7])
	fresh := new(int)
	if x.Get("7") != nil || x.Find([]byte("x")) != nil || x.GetOrPut("7", func() *int { return fresh }) != fresh {
		t.Error("a name that was taken away")
	}
}
