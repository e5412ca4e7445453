package proxyheader

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"net/netip"
	"strings"
	"testing"
)

// v2 makes a header of version 2.
func v2(versionAndCommand, family byte, body string) string {
	return signature + string([]byte{versionAndCommand, family}) + string(binary.BigEndian.AppendUint16(nil, uint16(len(body)))) + body
}

const (
	ipv4Body = "\xcb\x00\x71\x09\xc0\x00\x02\x01\x13\x88\x01\xbb"
	ipv6Body = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x09" +
		"\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x13\x88\x01\xbb"
)

// withChecksum appends a CRC32c TLV to an IPv4 header, changed by flip.
func withChecksum(flip byte) string {
	b := []byte(v2(0x21, 0x11, ipv4Body+"\x03\x00\x04\x00\x00\x00\x00"))
	sum := crc32.Checksum(b, castagnoli)
	binary.BigEndian.PutUint32(b[len(b)-4:], sum)
	b[len(b)-1] ^= flip
	return string(b)
}

func TestParse(t *testing.T) {
	const four, six = "203.0.113.9:5000", "[2001:db8::9]:5000"
	for name, tc := range map[string]struct {
		in, want string
		err      error
	}{
		"v1 IPv4":                   {"PROXY TCP4 203.0.113.9 192.0.2.1 5000 443\r\n", four, nil},
		"v1 IPv6":                   {"PROXY TCP6 2001:db8::9 2001:db8::1 5000 443\r\n", six, nil},
		"v1 mapped":                 {"PROXY TCP6 ::ffff:203.0.113.9 ::ffff:192.0.2.1 5000 443\r\n", four, nil},
		"v1 unknown":                {"PROXY UNKNOWN\r\n", "", nil},
		"v1 unknown with addresses": {"PROXY UNKNOWN 203.0.113.9 192.0.2.1 5000 443\r\n", "", nil},
		"v1 half":                   {"PROXY TCP4 203.0.113.9 192.0", "", ErrShort},
		"v1 begun":                  {"PRO", "", ErrShort},
		"v1 no CR":                  {"PROXY TCP4 203.0.113.9 192.0.2.1 5000 443\n", "", ErrMalformed},
		"v1 too long":               {"PROXY TCP4 " + strings.Repeat("1", 100), "", ErrLong},
		"v1 UDP":                    {"PROXY UDP4 203.0.113.9 192.0.2.1 5000 443\r\n", "", ErrMalformed},
		"v1 wrong family":           {"PROXY TCP4 2001:db8::9 2001:db8::1 5000 443\r\n", "", ErrMalformed},
		"v1 two spaces":             {"PROXY TCP4  203.0.113.9 192.0.2.1 5000 443\r\n", "", ErrMalformed},
		"v1 no port":                {"PROXY TCP4 203.0.113.9 192.0.2.1 5000\r\n", "", ErrMalformed},
		"v1 port too large":         {"PROXY TCP4 203.0.113.9 192.0.2.1 65536 443\r\n", "", ErrMalformed},
		"v1 leading zero":           {"PROXY TCP4 203.0.113.9 192.0.2.1 05000 443\r\n", "", ErrMalformed},
		"v1 zone":                   {"PROXY TCP6 fe80::1%eth0 fe80::2 5000 443\r\n", "", ErrMalformed},
		"v1 name":                   {"PROXY TCP4 example.org 192.0.2.1 5000 443\r\n", "", ErrMalformed},
		"v1 unspecified":            {"PROXY TCP4 0.0.0.0 192.0.2.1 5000 443\r\n", "", ErrMalformed},
		"v1 multicast":              {"PROXY TCP4 224.0.0.1 192.0.2.1 5000 443\r\n", "", ErrMalformed},

		"v2 IPv4":                {v2(0x21, 0x11, ipv4Body), four, nil},
		"v2 IPv6":                {v2(0x21, 0x21, ipv6Body), six, nil},
		"v2 with TLVs":           {v2(0x21, 0x11, ipv4Body+"\x02\x00\x0bexample.org\x04\x00\x00"), four, nil},
		"v2 with checksum":       {withChecksum(0), four, nil},
		"v2 local":               {v2(0x20, 0x11, ipv4Body), "", nil},
		"v2 local, unspecified":  {v2(0x20, 0x00, ""), "", nil},
		"v2 half":                {v2(0x21, 0x11, ipv4Body)[:20], "", ErrShort},
		"v2 wrong checksum":      {withChecksum(1), "", ErrMalformed},
		"v2 short checksum":      {v2(0x21, 0x11, ipv4Body+"\x03\x00\x01\x00"), "", ErrMalformed},
		"v2 TLV beyond the end":  {v2(0x21, 0x11, ipv4Body+"\x02\x00\x0bexample"), "", ErrMalformed},
		"v2 half a TLV":          {v2(0x21, 0x11, ipv4Body+"\x02"), "", ErrMalformed},
		"v2 length too small":    {v2(0x21, 0x11, ipv4Body[:8]), "", ErrMalformed},
		"v2 IPv4's length for 6": {v2(0x21, 0x21, ipv4Body), "", ErrMalformed},
		"v2 length too large":    {v2(0x21, 0x11, ipv4Body+"\x04\x02\x00"+strings.Repeat("x", 512)), "", ErrLong},
		"v2 local too large":     {v2(0x20, 0, strings.Repeat("x", 521)), "", ErrLong},
		"v2 unspecified family":  {v2(0x21, 0x00, ""), "", ErrFamily},
		"v2 UDP":                 {v2(0x21, 0x12, ipv4Body), "", ErrFamily},
		"v2 UNIX":                {v2(0x21, 0x31, strings.Repeat("x", 216)), "", ErrFamily},
		"v2 another version":     {v2(0x11, 0x11, ipv4Body), "", ErrMalformed},
		"v2 another command":     {v2(0x22, 0x11, ipv4Body), "", ErrMalformed},
		"v2 wrong signature":     {"\r\n\r\n\x00\r\nQUIX\n" + "\x21\x11\x00\x0c" + ipv4Body, "", ErrMalformed},
		"v2 no client":           {v2(0x21, 0x11, "\x00\x00\x00\x00"+ipv4Body[4:]), "", ErrMalformed},
	} {
		h, n, err := Parse([]byte(tc.in + "GET "))
		if errors.Is(tc.err, ErrShort) {
			h, n, err = Parse([]byte(tc.in))
		}
		if !errors.Is(err, tc.err) {
			t.Errorf("%s: %v, want %v", name, err, tc.err)
			continue
		}
		if err != nil {
			if n != 0 || h != (Header{}) {
				t.Errorf("%s: an error, but %v of %d bytes", name, h, n)
			}
			continue
		}
		if n != len(tc.in) {
			t.Errorf("%s: %d bytes of %d", name, n, len(tc.in))
		}
		if got := h.Client; tc.want == "" && got.IsValid() || tc.want != "" && got != netip.MustParseAddrPort(tc.want) {
			t.Errorf("%s: client %v, want %q", name, got, tc.want)
		}
		// Byte by byte it is the same, and never more is asked for than it has.
		for i := range len(tc.in) {
			if _, _, err := Parse([]byte(tc.in[:i])); i > 0 && !errors.Is(err, ErrShort) {
				t.Errorf("%s: after %d bytes: %v", name, i, err)
			}
		}
	}
}

func TestBegins(t *testing.T) {
	for in, want := range map[string][2]bool{
		"": {false, true}, "P": {false, true}, "PROXY": {false, true}, "PROXY ": {true, false}, "PROXY TCP4": {true, false},
		"PO": {false, false}, "PUT ": {false, false}, "\r\n": {false, true}, "\r\n\r\n\x00\r\nQ": {true, false}, "\r\n\r\nG": {false, false},
		"GET ": {false, false}, "\x16\x03": {false, false}, "\x00\x01": {false, false},
	} {
		begins, undecided := Begins([]byte(in))
		if begins != want[0] || undecided != want[1] {
			t.Errorf("%q: %v, %v", in, begins, undecided)
		}
	}
}

// FuzzParse holds that nothing is read beyond the header, that more bytes do not
// change what fewer have said, and that what Append writes is read back.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"PROXY TCP4 203.0.113.9 192.0.2.1 5000 443\r\nGET ", "PROXY UNKNOWN\r\n", v2(0x21, 0x11, ipv4Body), v2(0x21, 0x21, ipv6Body),
		v2(0x20, 0, ""), withChecksum(0), "PROXY TCP6 ::ffff:203.0.113.9 ::1 1 2\r\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, n, err := Parse(b)
		if err != nil {
			if errors.Is(err, ErrShort) && len(b) >= MaxLength {
				t.Fatal("more than MaxLength bytes are asked for")
			}
			return
		}
		if n <= 0 || n > MaxLength || n > len(b) {
			t.Fatalf("%d bytes of %d", n, len(b))
		}
		if again, m, err := Parse(b[:n]); err != nil || again != h || m != n {
			t.Fatalf("the header alone is %v, %d, %v", again, m, err)
		}
		for _, version := range []string{V1, V2} {
			written := Append(nil, version, h)
			back, _, err := Parse(written)
			if err != nil || back != h {
				t.Fatalf("%q was read from %q, which is written for %v", back, written, h)
			}
		}
	})
}
