// Package proxyheader reads and writes the header of the PROXY protocol, versions 1
// and 2 (https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt), by which a
// proxy for TCP says who has connected to it. Whether it is believed is decided
// elsewhere (internal/forwarded).
package proxyheader

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"net/netip"
	"strconv"
	"strings"
)

// MaxLength is the most that a header may have in bytes: what the specification says
// that every receiver takes, and what fits one segment.
const MaxLength = 536

// PrefixLength is how many bytes tell a header from everything else.
const PrefixLength = 8

// Versions for Append.
const (
	V1 = "v1"
	V2 = "v2"
)

const (
	prefixV1 = "PROXY "
	// maxV1 is the longest line of version 1 with its end (section 2.1).
	maxV1 = 107
	// signature begins a header of version 2 (section 2.2).
	signature = "\r\n\r\n\x00\r\nQUIT\n"
	fixedV2   = 16 // signature, version and command, family, length
)

// The command and the family of version 2, section 2.2.
const (
	version2     = 0x20
	commandLocal = 0
	commandProxy = 1
	tcp4         = 0x11
	tcp6         = 0x21
	typeCRC32C   = 0x03 // of a TLV, section 2.2.3
)

// Header is what a proxy says.
type Header struct {
	// Client and Server are the ends of the connection that the proxy has accepted;
	// both are the zero value where it speaks for itself, as in a health check
	// (LOCAL, and UNKNOWN in version 1).
	Client, Server netip.AddrPort
}

// Errors of Parse, for everything but ErrShort the connection is to be closed.
var (
	// ErrShort says that the header is not whole yet.
	ErrShort = errors.New("the PROXY header is not whole yet")
	// ErrMalformed is a header that no proxy sends.
	ErrMalformed = errors.New("malformed PROXY header")
	// ErrLong is a header of more than MaxLength bytes, or a line of version 1 of more
	// than 107.
	ErrLong = errors.New("PROXY header too long")
	// ErrFamily is a client that has not come by TCP: a UNIX socket, UDP, or an
	// unspecified family.
	ErrFamily = errors.New("PROXY header of another family than TCP over IPv4 or IPv6")
)

// Begins reports whether b begins like a header; undecided while a longer b, of
// PrefixLength bytes at most, is needed.
func Begins(b []byte) (begins, undecided bool) {
	for _, prefix := range []string{prefixV1, signature[:PrefixLength]} {
		n := min(len(b), len(prefix))
		if string(b[:n]) == prefix[:n] {
			return n == len(prefix), n < len(prefix)
		}
	}
	return false, false
}

// Parse reads the header with which b begins, and returns its length in bytes.
func Parse(b []byte) (h Header, length int, err error) {
	if len(b) > 0 && b[0] == 'P' {
		return parseV1(b)
	}
	return parseV2(b)
}

// parseV1 reads "PROXY TCP4 192.0.2.1 192.0.2.2 5000 443\r\n", section 2.1.
func parseV1(b []byte) (h Header, length int, err error) {
	if n := min(len(b), len(prefixV1)); string(b[:n]) != prefixV1[:n] {
		return h, 0, ErrMalformed
	}
	end := bytes.IndexByte(b[:min(len(b), maxV1)], '\n')
	switch {
	case end < 0 && len(b) >= maxV1:
		return h, 0, ErrLong
	case end < 0:
		return h, 0, ErrShort
	case b[end-1] != '\r':
		return h, 0, ErrMalformed
	}
	length = end + 1
	words := strings.Split(string(b[len(prefixV1):end-1]), " ")
	if words[0] == "UNKNOWN" { // what follows must be ignored
		return h, length, nil
	}
	if len(words) != 5 || words[0] != "TCP4" && words[0] != "TCP6" {
		return h, 0, ErrMalformed
	}
	if h.Client, err = addrPort(words[1], words[3], words[0] == "TCP4"); err != nil {
		return Header{}, 0, err
	}
	if h.Server, err = addrPort(words[2], words[4], words[0] == "TCP4"); err != nil {
		return Header{}, 0, err
	}
	return h, length, nil
}

func addrPort(address, port string, is4 bool) (netip.AddrPort, error) {
	addr, err := netip.ParseAddr(address)
	n, bad := strconv.ParseUint(port, 10, 16)
	if err != nil || addr.Is4() != is4 || addr.Zone() != "" || bad != nil || strconv.FormatUint(n, 10) != port {
		return netip.AddrPort{}, ErrMalformed
	}
	return unicast(netip.AddrPortFrom(addr.Unmap(), uint16(n)))
}

// unicast refuses what is nobody's address.
func unicast(ap netip.AddrPort) (netip.AddrPort, error) {
	if ap.Addr().IsUnspecified() || ap.Addr().IsMulticast() || ap.Addr() == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return netip.AddrPort{}, ErrMalformed
	}
	return ap, nil
}

// parseV2 reads the binary form, section 2.2.
func parseV2(b []byte) (h Header, length int, err error) {
	if n := min(len(b), len(signature)); string(b[:n]) != signature[:n] {
		return h, 0, ErrMalformed
	}
	if len(b) < fixedV2 {
		return h, 0, ErrShort
	}
	command, family := b[12]&0x0f, b[13]
	length = fixedV2 + int(binary.BigEndian.Uint16(b[14:]))
	switch {
	case b[12]&0xf0 != version2 || command > commandProxy:
		return h, 0, ErrMalformed
	case length > MaxLength:
		return h, 0, ErrLong
	case command == commandProxy && family != tcp4 && family != tcp6:
		return h, 0, ErrFamily
	case len(b) < length:
		return h, 0, ErrShort
	}
	b = b[:length]
	if command == commandLocal { // the family and what follows must be ignored
		return h, length, nil
	}
	size := 4
	if family == tcp6 {
		size = 16
	}
	extensions := fixedV2 + 2*size + 4
	if length < extensions {
		return h, 0, ErrMalformed
	}
	read := func(at, port int) (netip.AddrPort, error) {
		addr, _ := netip.AddrFromSlice(b[at : at+size])
		return unicast(netip.AddrPortFrom(addr.Unmap(), binary.BigEndian.Uint16(b[port:])))
	}
	if h.Client, err = read(fixedV2, extensions-4); err != nil {
		return Header{}, 0, err
	}
	if h.Server, err = read(fixedV2+size, extensions-2); err != nil {
		return Header{}, 0, err
	}
	if !intact(b, extensions) {
		return Header{}, 0, ErrMalformed
	}
	return h, length, nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// intact reports whether the TLVs from at on fill the header, and whether the
// checksum is right where there is one (section 2.2.3).
func intact(b []byte, at int) bool {
	for at < len(b) {
		if len(b)-at < 3 {
			return false
		}
		kind, value := b[at], at+3
		next := value + int(binary.BigEndian.Uint16(b[at+1:]))
		if next > len(b) {
			return false
		}
		if kind == typeCRC32C {
			if next-value != 4 {
				return false
			}
			sum := crc32.Checksum(b[:value], castagnoli)
			sum = crc32.Update(sum, castagnoli, make([]byte, 4))
			sum = crc32.Update(sum, castagnoli, b[next:])
			if sum != binary.BigEndian.Uint32(b[value:]) {
				return false
			}
		}
		at = next
	}
	return true
}

// Append appends the header of a version (V1 or V2) to b. Addresses of two families
// are written as IPv6; without a client it says that there is none.
func Append(b []byte, version string, h Header) []byte {
	client, server := h.Client.Addr().Unmap(), h.Server.Addr().Unmap()
	known := client.IsValid() && server.IsValid()
	if client.Is4() != server.Is4() && known {
		client, server = netip.AddrFrom16(client.As16()), netip.AddrFrom16(server.As16())
	}
	if version == V1 {
		if !known {
			return append(b, prefixV1+"UNKNOWN\r\n"...)
		}
		word := "TCP4 "
		if client.Is6() {
			word = "TCP6 "
		}
		b = append(b, prefixV1+word+client.WithZone("").String()+" "+server.WithZone("").String()+" "...)
		b = strconv.AppendUint(b, uint64(h.Client.Port()), 10)
		b = append(b, ' ')
		b = strconv.AppendUint(b, uint64(h.Server.Port()), 10)
		return append(b, "\r\n"...)
	}
	b = append(b, signature...)
	if !known {
		return append(b, version2|commandLocal, 0, 0, 0)
	}
	family := byte(tcp4)
	if client.Is6() {
		family = tcp6
	}
	b = append(b, version2|commandProxy, family)
	b = binary.BigEndian.AppendUint16(b, uint16(len(client.AsSlice())*2+4))
	b = append(b, client.AsSlice()...)
	b = append(b, server.AsSlice()...)
	b = binary.BigEndian.AppendUint16(b, h.Client.Port())
	return binary.BigEndian.AppendUint16(b, h.Server.Port())
}
