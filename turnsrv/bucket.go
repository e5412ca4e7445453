package turnsrv

// bucket is a token bucket over bytes. The clock is the worker's coarse one, so
// it costs no system call.
type bucket struct {
	tokens int64 // bytes
	last   int64 // nanoseconds
}

// bucketBurst is how long a bucket fills: an allocation that was quiet may send a
// second's worth at once, as a key frame needs it.
const bucketBurst = int64(1e9)

// take removes n bytes, or refuses. rate is in bytes per second, 0 means no
// limit.
func (b *bucket) take(now, rate int64, n int) bool {
	if rate <= 0 {
		return true
	}
	if elapsed := now - b.last; elapsed > 0 {
		if elapsed >= bucketBurst || b.last == 0 {
			b.tokens = rate
		} else {
			b.tokens = min(rate, b.tokens+int64(float64(elapsed)*float64(rate)/1e9))
		}
		b.last = now
	}
	if b.tokens < int64(n) {
		return false
	}
	b.tokens -= int64(n)
	return true
}
