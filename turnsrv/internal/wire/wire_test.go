package wire

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"

	"github.com/pion/stun/v2"
)

// FuzzXORAddress reads and writes XOR-…-ADDRESS values beside the codec's own.
func FuzzXORAddress(f *testing.F) {
	f.Add([]byte{0, 1, 0x11, 0x2b, 0x5e, 0x12, 0xa4, 0x43}, []byte("0123456789ab"))
	f.Add(bytes.Repeat([]byte{2}, 20), []byte("0123456789ab"))
	f.Add([]byte{0, 1, 2}, []byte("0123456789ab"))
	f.Fuzz(func(t *testing.T, value, id []byte) {
		m := stun.New()
		copy(m.TransactionID[:], id)
		m.WriteHeader()
		// Receivers ignore the first byte (RFC 8489 section 14.1), the codec does not.
		plain := bytes.Clone(value)
		if len(plain) > 0 {
			plain[0] = 0
		}
		m.Add(stun.AttrXORPeerAddress, plain)
		var theirs stun.XORMappedAddress
		err := theirs.GetFromAs(m, stun.AttrXORPeerAddress)
		ours, mapped, ok := XORAddress(value, m.Raw)
		if !ok {
			if err == nil && (len(value) == 8 && value[1] == FamilyIPv4 || len(value) == 20 && value[1] == FamilyIPv6) {
				t.Fatalf("%x is refused", value)
			}
			return
		}
		if err != nil {
			t.Fatalf("%x is %v, the codec says %v", value, ours.AddrPort(), err)
		}
		if !net.IP(ours.Addr().AsSlice()).Equal(theirs.IP) || int(ours.Port) != theirs.Port {
			t.Fatalf("%x is %v, the codec says %v", value, ours.AddrPort(), theirs)
		}
		if mapped != (len(value) == 20 && ours.Addr().Is4()) {
			t.Fatalf("%x: mapped %v", value, mapped)
		}
		if mapped {
			return
		}
		again := stun.New()
		again.TransactionID = m.TransactionID
		again.WriteHeader()
		AddXORAddress(again, stun.AttrXORPeerAddress, ours)
		if v, _ := again.Get(stun.AttrXORPeerAddress); len(v) != XORAddressSize(ours) || !bytes.Equal(v[1:], value[1:]) {
			t.Fatalf("%x became %x", value, v)
		}
	})
}

// TestMACAgainstTheLibrary signs random messages with random keys beside crypto/hmac,
// one after the other with the same working storage.
func TestMACAgainstTheLibrary(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	m := NewMAC()
	for range 2000 {
		key := make([]byte, rng.IntN(sha1.BlockSize+1))
		raw := make([]byte, HeaderSize+4*rng.IntN(100))
		for _, b := range [][]byte{key, raw} {
			for i := range b {
				b[i] = byte(rng.Uint32())
			}
		}
		before := bytes.Clone(raw)
		got := bytes.Clone(m.Integrity(raw, key))
		if !bytes.Equal(raw, before) {
			t.Fatal("the message was changed")
		}
		length := len(raw) - HeaderSize + AttributeSize + sha1.Size
		before[2], before[3] = byte(length>>8), byte(length)
		mac := hmac.New(sha1.New, key)
		mac.Write(before)
		if !bytes.Equal(got, mac.Sum(nil)) {
			t.Fatalf("key of %d bytes, message of %d: %x", len(key), len(raw), got)
		}
		signed := append(raw, got...)
		if !m.Verify(signed, Signature{Integrity: got, Signed: len(raw)}, key) {
			t.Fatal("its own signature does not do")
		}
		signed[rng.IntN(len(raw)-4)+4] ^= 1
		if m.Verify(signed, Signature{Integrity: got, Signed: len(raw)}, key) {
			t.Fatal("a changed message passes")
		}
	}
}

// TestNonces holds that a nonce is good for its client alone, for an hour and not before
// its time, under its key alone, and only as it is, whole.
func TestNonces(t *testing.T) {
	n, other := NewNonces(NewNonceKey()), NewNonces(NewNonceKey())
	client := EndpointFrom(netip.MustParseAddrPort("192.0.2.1:1000"))
	made := int64(100 * 86400)
	nonce := n.Make(made, client)
	for _, row := range []struct {
		name   string
		n      *Nonces
		after  int64
		client string
		nonce  []byte
		want   bool
	}{
		{"at once", n, 0, "192.0.2.1:1000", nonce[:], true},
		{"after 59 minutes", n, 59 * 60, "192.0.2.1:1000", nonce[:], true},
		{"after 62 minutes", n, 62 * 60, "192.0.2.1:1000", nonce[:], false},
		{"before its time", n, -2 * nonceTick, "192.0.2.1:1000", nonce[:], false},
		// Its time has 16 bits, the MAC has all of it.
		{"when its time comes again", n, nonceTick << 16, "192.0.2.1:1000", nonce[:], false},
		{"another port", n, 0, "192.0.2.1:1001", nonce[:], false},
		{"another address", n, 0, "192.0.2.2:1000", nonce[:], false},
		{"the same in IPv6", n, 0, "[2001:db8::1]:1000", nonce[:], false},
		{"another run of the server", other, 0, "192.0.2.1:1000", nonce[:], false},
		{"cut short", n, 0, "192.0.2.1:1000", nonce[:NonceSize-1], false},
		{"too long", n, 0, "192.0.2.1:1000", append(nonce[:NonceSize:NonceSize], 'A'), false},
		{"empty", n, 0, "192.0.2.1:1000", nil, false},
		{"not base64", n, 0, "192.0.2.1:1000", []byte("????????????"), false},
	} {
		if got := row.n.Valid(row.nonce, made+row.after, EndpointFrom(netip.MustParseAddrPort(row.client))); got != row.want {
			t.Errorf("%s: %v", row.name, got)
		}
	}
	for i := range nonce {
		changed := nonce
		changed[i] ^= 1
		if n.Valid(changed[:], made, client) {
			t.Errorf("byte %d can be changed", i)
		}
	}
}

// TestEndpoints holds endpoints against net/netip.
func TestEndpoints(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	random := func() netip.AddrPort {
		var b [16]byte
		for i := range b {
			b[i] = byte(rng.Uint32N(3)) // few values, so that many are equal
		}
		addr := netip.AddrFrom16(b)
		if rng.IntN(2) == 0 {
			addr = netip.AddrFrom4([4]byte(b[:4]))
		}
		return netip.AddrPortFrom(addr, uint16(rng.Uint32N(3)))
	}
	for range 5000 {
		a, b := random(), random()
		e, f := EndpointFrom(a), EndpointFrom(b)
		if e.AddrPort() != a || e.Addr() != a.Addr() || e.Is4() != a.Addr().Is4() || (e.Family() == IPv4) != a.Addr().Is4() {
			t.Fatalf("%v became %v", a, e.AddrPort())
		}
		if (e == f) != (a == b) || e.SameIP(f) != (a.Addr() == b.Addr()) || (e.IP() == f.IP()) != (a.Addr() == b.Addr()) {
			t.Fatalf("%v and %v are told apart otherwise", a, b)
		}
		home, net := 32, 24
		if a.Addr().Is6() {
			home, net = 64, 48
		}
		within := func(bits int) bool {
			p, _ := a.Addr().Prefix(bits)
			return p.Contains(b.Addr())
		}
		if (e.Household() == f.Household()) != within(home) || (e.Network() == f.Network()) != within(net) {
			t.Fatalf("%v and %v: one household %v, one network %v", a, b, e.Household() == f.Household(), e.Network() == f.Network())
		}
		if got := ParseIP(a.String()); got != e.IP() {
			t.Fatalf("%v read as %v", a, got)
		}
	}
	if got := ParseIP("@/tmp/socket"); got != (Endpoint{}) {
		t.Errorf("no address read as %v", got)
	}
}

// TestSegments takes headers off and looks at what is left, and who holds the memory.
func TestSegments(t *testing.T) {
	g := Copied([]byte("headpayloadpad"))
	if g.Free != Headroom || g.Spare != Tailroom || string(g.Bytes()) != "headpayloadpad" {
		t.Fatalf("%+v", g)
	}
	p := g.Strip(4, 7)
	if string(p.Bytes()) != "payload" || p.Free != Headroom+4 || p.Spare != Tailroom+3 || p.Len() != 7 {
		t.Errorf("%q, %d free, %d spare", p.Bytes(), p.Free, p.Spare)
	}
	if e := g.Strip(14, 0); e.Len() != 0 || e.Free != Headroom+14 || e.Spare != Tailroom {
		t.Errorf("an empty payload: %+v", e)
	}
	b := g.Buf
	b.Hold()
	b.Hold()
	b.Release()
	if !b.Held() {
		t.Error("free although it is held once")
	}
	if b.Release(); b.Held() {
		t.Error("held although all have released it")
	}
}

// TestErrorCodes writes ERROR-CODE as the codec reads it, in the room that was counted.
func TestErrorCodes(t *testing.T) {
	for code, reason := range CodeReasons {
		m := stun.New()
		m.WriteHeader()
		AddErrorCode(m, code, reason)
		var got stun.ErrorCodeAttribute
		if err := got.GetFrom(m); err != nil || got.Code != code || string(got.Reason) != reason {
			t.Errorf("%d %s became %v, %v", code, reason, got, err)
		}
		if n := len(m.Raw) - HeaderSize; n != ErrorCodeSize(reason) {
			t.Errorf("%d %s takes %d bytes, %d were counted", code, reason, n, ErrorCodeSize(reason))
		}
	}
}
