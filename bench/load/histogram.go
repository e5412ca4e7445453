package load

import (
	"math/bits"
	"time"
)

// subBits fixes the resolution of a Histogram: 2^subBits steps per power of
// two, so that a quantile is at most 1.6 % too high.
const subBits = 6

// Histogram counts durations in log-linear buckets. It allocates nothing.
type Histogram struct {
	count   uint64
	max     uint64
	buckets [(64 - subBits + 1) << subBits]uint32
}

// Add counts one duration; a negative one counts as zero.
func (h *Histogram) Add(d time.Duration) {
	v := uint64(max(d, 0))
	h.buckets[bucket(v)]++
	h.count++
	h.max = max(h.max, v)
}

// Reset forgets everything.
func (h *Histogram) Reset() { *h = Histogram{} }

// Merge adds what other has counted.
func (h *Histogram) Merge(other *Histogram) {
	for i, n := range other.buckets {
		h.buckets[i] += n
	}
	h.count += other.count
	h.max = max(h.max, other.max)
}

// Quantile returns the duration below which the fraction q (0 to 1) of all
// durations lies, or 0 when there are none.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.count == 0 {
		return 0
	}
	rank := uint64(q * float64(h.count))
	var seen uint64
	for i, n := range h.buckets {
		seen += uint64(n)
		if seen > rank {
			return time.Duration(min(upper(i), h.max))
		}
	}
	return time.Duration(h.max)
}

func bucket(v uint64) int {
	if v < 1<<subBits {
		return int(v)
	}
	shift := bits.Len64(v) - subBits - 1
	return (shift+1)<<subBits + int(v>>shift) - 1<<subBits
}

// upper is the largest value that falls into bucket i.
func upper(i int) uint64 {
	if i < 1<<subBits {
		return uint64(i)
	}
	shift := i>>subBits - 1
	base := uint64(i&(1<<subBits-1)) + 1<<subBits
	return (base+1)<<shift - 1
}
