package load

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestHistogramQuantiles(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var h Histogram
	values := make([]time.Duration, 20000)
	for i := range values {
		values[i] = time.Duration(rng.ExpFloat64() * float64(time.Millisecond))
		h.Add(values[i])
	}
	slices.Sort(values)
	for _, q := range []float64{0, 0.5, 0.9, 0.99, 0.999} {
		want := values[int(q*float64(len(values)))]
		got := h.Quantile(q)
		if got < want || float64(got) > float64(want)*1.017+1 {
			t.Errorf("quantile %v: got %v, want %v and at most 1.6 %% more", q, got, want)
		}
	}
}

func TestHistogramBucketBounds(t *testing.T) {
	for _, v := range []uint64{0, 1, 63, 64, 65, 127, 128, 1000, 1 << 20, 1<<40 + 12345} {
		i := bucket(v)
		if upper(i) < v || i > 0 && upper(i-1) >= v {
			t.Errorf("value %d falls into bucket %d, which ends at %d", v, i, upper(i))
		}
	}
}
