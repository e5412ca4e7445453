package wire

import (
	"net/netip"
	"testing"

	"github.com/pion/stun/v2"
)

// The test vectors of RFC 5769.
const (
	vectorRequest = "\x00\x01\x00\x58\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae" +
		"\x80\x22\x00\x10STUN test client" +
		"\x00\x24\x00\x04\x6e\x00\x01\xff" +
		"\x80\x29\x00\x08\x93\x2f\xf9\xb1\x51\x26\x3b\x36" +
		"\x00\x06\x00\x09\x65\x76\x74\x6a\x3a\x68\x36\x76\x59\x20\x20\x20" +
		"\x00\x08\x00\x14\x9a\xea\xa7\x0c\xbf\xd8\xcb\x56\x78\x1e\xf2\xb5\xb2\xd3\xf2\x49\xc1\xb5\x71\xa2" +
		"\x80\x28\x00\x04\xe5\x7a\x3b\xcf"
	vectorIPv4 = "\x01\x01\x00\x3c\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae" +
		"\x80\x22\x00\x0btest vector " +
		"\x00\x20\x00\x08\x00\x01\xa1\x47\xe1\x12\xa6\x43" +
		"\x00\x08\x00\x14\x2b\x91\xf5\x99\xfd\x9e\x90\xc3\x8c\x74\x89\xf9\x2a\xf9\xba\x53\xf0\x6b\xe7\xd7" +
		"\x80\x28\x00\x04\xc0\x7d\x4c\x96"
	vectorIPv6 = "\x01\x01\x00\x48\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae" +
		"\x80\x22\x00\x0btest vector " +
		"\x00\x20\x00\x14\x00\x02\xa1\x47\x01\x13\xa9\xfa\xa5\xd3\xf1\x79\xbc\x25\xf4\xb5\xbe\xd2\xb9\xd9" +
		"\x00\x08\x00\x14\xa3\x82\x95\x4e\x4b\xe6\x7b\xf1\x17\x84\xc9\x7c\x82\x92\xc2\x75\xbf\xe3\xed\x41" +
		"\x80\x28\x00\x04\xc8\xfb\x0b\x4c"
	vectorLongTerm = "\x00\x01\x00\x60\x21\x12\xa4\x42\x78\xad\x34\x33\xc6\xad\x72\xc0\x29\xda\x41\x2e" +
		"\x00\x06\x00\x12\xe3\x83\x9e\xe3\x83\x88\xe3\x83\xaa\xe3\x83\x83\xe3\x82\xaf\xe3\x82\xb9\x00\x00" +
		"\x00\x15\x00\x1cf//499k954d6OL34oL9FSTvy64sA" +
		"\x00\x14\x00\x0bexample.org\x00" +
		"\x00\x08\x00\x14\xf6\x70\x24\x65\x6d\xd6\x4a\x3e\x02\xb8\xe0\x71\x2e\x85\xc9\xa2\x8c\xa8\x96\x66"
)

// TestVectors runs our own parts of the codec over RFC 5769's messages.
func TestVectors(t *testing.T) {
	const shortTerm = "VOkJxbRl1RmTxUk/WvJxBt"
	longTerm := string(stun.NewLongTermIntegrity("マトリックス", "example.org", "TheMatrIX"))
	for _, v := range []struct {
		name, raw, key string
		fingerprint    bool
		mapped         string
	}{
		{"2.1 request", vectorRequest, shortTerm, true, ""},
		{"2.2 IPv4 response", vectorIPv4, shortTerm, true, "192.0.2.1:32853"},
		{"2.3 IPv6 response", vectorIPv6, shortTerm, true, "[2001:db8:1234:5678:11:2233:4455:6677]:32853"},
		{"2.4 long-term request", vectorLongTerm, longTerm, false, ""},
	} {
		t.Run(v.name, func(t *testing.T) {
			m := new(stun.Message)
			if err := stun.Decode([]byte(v.raw), m); err != nil {
				t.Fatal(err)
			}
			s, ok := SignatureOf(m)
			if !ok || s.Fingerprint != v.fingerprint || s.Integrity == nil {
				t.Fatalf("signature: %+v", s)
			}
			if !NewMAC().Verify(m.Raw, s, []byte(v.key)) {
				t.Error("MESSAGE-INTEGRITY does not match")
			}
			if NewMAC().Verify(m.Raw, s, []byte(v.key+"x")) {
				t.Error("MESSAGE-INTEGRITY matches another key")
			}
			if v.mapped != "" {
				value, err := m.Get(stun.AttrXORMappedAddress)
				if err != nil {
					t.Fatal(err)
				}
				e, _, ok := XORAddress(value, m.Raw)
				if want := netip.MustParseAddrPort(v.mapped); !ok || e.AddrPort() != want {
					t.Errorf("XOR-MAPPED-ADDRESS %v, want %v", e.AddrPort(), want)
				}
				var again [20]byte
				if n := PutXORAddress(again[:], e, m.Raw); string(again[:n]) != string(value) {
					t.Errorf("encoded again: %x, want %x", again[:n], value)
				}
			}
			for i := range s.Signed { // every signed byte counts
				if i == 2 || i == 3 {
					continue // the length is set for the computation
				}
				m.Raw[i] ^= 1
				if NewMAC().Verify(m.Raw, s, []byte(v.key)) {
					t.Fatalf("byte %d can be changed", i)
				}
				m.Raw[i] ^= 1
			}
		})
	}
}
