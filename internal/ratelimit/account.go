// Package ratelimit is how everything that is counted by time is bounded: bytes of an
// allocation, messages of a socket, credentials for a household, lines in the log. It
// is the generic cell rate algorithm (ITU-T I.371 annex A), a token bucket that keeps
// one number for each account.
package ratelimit

import "sync/atomic"

// second is what one second is on the clocks here, which count nanoseconds from any
// start that is not after the first use.
const second = 1e9

// Rate is how many units an account gets each second and how many it can save.
type Rate struct {
	PerSecond float64 // 0 or less: there is no limit
	Burst     float64 // units
}

// Account is one client's account of units. The zero value is full: the whole burst
// can be taken. Its owner serializes its use.
type Account struct {
	// full is when all that can be saved will be there, in nanoseconds. What is
	// missing of the burst is the time from now until then. So what is missing when the
	// rate changes takes as long to come back as it would have: a second where that is
	// what can be saved. Where it is much more, use a Meter.
	full int64
}

// Take removes n units at the time now, or nothing when there are fewer.
func (a *Account) Take(now int64, rate Rate, n float64) bool {
	if rate.PerSecond <= 0 {
		return true
	}
	unit := second / rate.PerSecond
	burst := int64(rate.Burst * unit)
	full := max(a.full, now) + int64(n*unit)
	if full-now > burst {
		return false
	}
	a.full = full
	return true
}

// Charge removes n units even when they are not there. It returns for how many
// nanoseconds what is left lasts at the rate; below zero, in how many the debt will
// be paid off. A debt is kept as a time, so it is a debt at that rate alone: see Meter.
func (a *Account) Charge(now int64, rate Rate, n float64) int64 {
	if rate.PerSecond <= 0 {
		return 0
	}
	unit := second / rate.PerSecond
	a.full = max(a.full, now) + int64(n*unit)
	return int64(rate.Burst*unit) - (a.full - now)
}

// Meter is an Account that is charged whatever there is, at a rate that may change
// while it is used: with another rate it begins anew.
type Meter struct {
	account Account
	rate    Rate
}

// Charge is Account.Charge.
func (m *Meter) Charge(now int64, rate Rate, n float64) int64 {
	if m.rate != rate {
		*m = Meter{rate: rate}
	}
	return m.account.Charge(now, rate, n)
}

// Open is an account that has so many units of its burst at the time now.
func Open(now int64, rate Rate, saved float64) Account {
	if rate.PerSecond <= 0 {
		return Account{}
	}
	return Account{full: now + int64((rate.Burst-saved)*second/rate.PerSecond)}
}

// Shared is an Account that any number of goroutines use without a lock.
type Shared struct {
	full atomic.Int64 // as in Account
}

// sharedTries is how often Take looks again when others take in between; that often
// they have come first only where nobody is refused for long.
const sharedTries = 16

// Continue makes it go on from what another account has, before it is shared.
func (a *Shared) Continue(from Account) { a.full.Store(from.full) }

// ContinueShared is Continue for one that is shared no more.
func (a *Shared) ContinueShared(from *Shared) { a.full.Store(from.full.Load()) }

// Take is Account.Take.
func (a *Shared) Take(now int64, rate Rate, n float64) bool {
	for range sharedTries {
		old := a.full.Load()
		account := Account{full: old}
		if !account.Take(now, rate, n) {
			return false
		}
		if account.full == old || a.full.CompareAndSwap(old, account.full) {
			return true
		}
	}
	return true
}
