package web

import (
	"net/netip"
	"sync"
	"time"
)

// maxPrefixes bounds the memory of a rateLimit, about 4 MB.
const maxPrefixes = 1 << 16

// rateLimit bounds requests per network, IPv4 /24 or IPv6 /48, with token
// buckets of two seconds' worth.
type rateLimit struct {
	now func() time.Time

	mu      sync.Mutex
	buckets map[netip.Prefix]bucket
}

type bucket struct {
	tokens float64
	at     time.Time
}

func newRateLimit(now func() time.Time) *rateLimit {
	return &rateLimit{now: now, buckets: make(map[netip.Prefix]bucket)}
}

// allow takes a token of addr's network at perSecond tokens per second; 0: no
// limit.
func (l *rateLimit) allow(addr netip.Addr, perSecond float64) bool {
	if perSecond <= 0 {
		return true
	}
	bits := 24
	if addr.Is6() {
		bits = 48
	}
	prefix, err := addr.Prefix(bits)
	if err != nil {
		return false
	}
	depth := max(1, 2*perSecond)
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	b, known := l.buckets[prefix]
	if !known {
		if len(l.buckets) >= maxPrefixes {
			l.forget(now, depth, perSecond)
		}
		b = bucket{depth, now}
	}
	b.tokens = min(depth, b.tokens+now.Sub(b.at).Seconds()*perSecond)
	b.at = now
	allowed := b.tokens >= 1
	if allowed {
		b.tokens--
	}
	l.buckets[prefix] = b
	return allowed
}

// forget drops the buckets that are full again, and when none is, any.
func (l *rateLimit) forget(now time.Time, depth, perSecond float64) {
	for prefix, b := range l.buckets {
		if b.tokens+now.Sub(b.at).Seconds()*perSecond >= depth {
			delete(l.buckets, prefix)
		}
	}
	for prefix := range l.buckets {
		if len(l.buckets) < maxPrefixes {
			break
		}
		delete(l.buckets, prefix)
	}
}
