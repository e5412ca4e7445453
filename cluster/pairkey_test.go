package cluster

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// TestPairKeys: what one process says opens for the one that it is said to, once, and for no
// other process, node, secret or version; and no two packets of a process share a nonce.
func TestPairKeys(t *testing.T) {
	const a, b, b2 = "AAAAAAAAAAAA", "BBBBBBBBBBBB", "BBBBBBBBBBB2"
	ring, rotated := newKeyring([]string{"one"}), newKeyring([]string{"two", "one"})
	var n numbers
	subject := linkSubject("b", "a")
	ours := newPairKey(asLink, "a", a, "b", b)
	packet := bytes.Clone(ours.encrypt(ring, &n, subject, a, b, []byte("hello")))
	opens := func(p *pairKey, k *keyring, subject string, packet []byte) string {
		from, to, why := asLink.envelope(packet)
		if why == "" && (from != a || to != b) {
			t.Fatalf("the envelope says %s to %s", from, to)
		}
		if why != "" {
			return why
		}
		body, number, why := p.decrypt(k, subject, bytes.Clone(packet))
		if why == "" && (string(body) != "hello" || number == 0) {
			t.Fatalf("it says %q, number %d", body, number)
		}
		return why
	}
	change := func(at int, to byte) []byte {
		c := bytes.Clone(packet)
		c[at] = to
		return c
	}
	its := newPairKey(asLink, "a", a, "b", b)
	for name, c := range map[string]struct{ got, want string }{
		"it":                 {opens(its, ring, subject, packet), ""},
		"rotated":            {opens(its, rotated, subject, packet), ""},
		"other secret":       {opens(its, newKeyring([]string{"two"}), subject, packet), badSecret},
		"a datagram":         {opens(newPairKey(asDatagram, "a", a, "b", b), ring, subject, packet), badSeal},
		"later process":      {opens(newPairKey(asLink, "a", a, "b", b2), ring, subject, packet), badSeal},
		"back to its sender": {opens(newPairKey(asLink, "b", b, "a", a), ring, subject, packet), badSeal},
		"other subject":      {opens(its, ring, linkSubject("c", "a"), packet), badSeal},
		"version":            {opens(its, ring, subject, change(1, 3)), badVersion},
		"form":               {opens(its, ring, subject, change(0, 'x')), badForm},
		"number":             {opens(its, ring, subject, change(numberAt+7, 99)), badSeal},
		"short":              {opens(its, ring, subject, packet[:linkHeader]), badForm},
		"long":               {opens(its, ring, subject, make([]byte, maxPacket+1)), badSize},
	} {
		if c.got != c.want {
			t.Errorf("%s: %q, not %q", name, c.got, c.want)
		}
	}
	again := ours.encrypt(rotated, &n, subject, a, b, []byte("hello"))
	other := newPairKey(asLink, "a", a, "c", b).encrypt(ring, &n, subject, a, b, []byte("hello"))
	for _, p := range [][]byte{again, other} {
		if bytes.Equal(p[numberAt:linkHeader], packet[numberAt:linkHeader]) {
			t.Error("a number has come twice")
		}
	}
}

// TestReplays holds the window against a set of all that has come.
func TestReplays(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	var r replays
	came := make(map[uint64]bool)
	last := uint64(0)
	for range 200_000 {
		n := last + 1
		switch rng.IntN(20) {
		case 0:
			n += rng.Uint64N(3 * windowSize)
		case 1, 2, 3, 4, 5, 6, 7, 8:
			n = max(1, n-min(n, rng.Uint64N(2*windowSize)))
		}
		want := !came[n] && (n > last || last-n < windowSize)
		if got := r.fresh(n); got != want {
			t.Fatalf("%d after %d: %v", n, last, got)
		}
		came[n], last = true, max(last, n)
	}
}
