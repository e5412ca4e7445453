// Package wire is the form of STUN and TURN messages: the numbers of RFC 8489 and RFC
// 8656 that the codec github.com/pion/stun does not name, ChannelData, the addresses
// and five-tuples in the form in which tables use them, MESSAGE-INTEGRITY, nonces, and
// the memory in which messages lie. It keeps no state of clients and does no I/O.
package wire

import (
	"encoding/binary"

	"github.com/pion/stun/v2"
)

// Numbers of the wire that the codec does not name.
const (
	HeaderSize    = 20         // RFC 8489 section 5
	MagicCookie   = 0x2112A442 // RFC 8489 section 5
	AttributeSize = 4          // type and length, RFC 8489 section 14

	ChannelHeaderSize = 4      // RFC 8656 section 12.4
	ChannelMin        = 0x4000 // RFC 8656 section 12
	ChannelMax        = 0x4FFF // RFC 8656 section 12; the numbers above are reserved

	// streamMax is the greatest first byte of a message on a stream. What begins as
	// ChannelData with a reserved number has a length all the same, and is skipped.
	streamMax = 0x7F

	AttrAdditionalAddressFamily stun.AttrType = 0x8000 // RFC 8656 section 18.11
	AttrAddressErrorCode        stun.AttrType = 0x8001 // RFC 8656 section 18.12

	TypeBindingRequest    = 0x0001 // RFC 8489 section 18.2
	TypeBindingIndication = 0x0011
	TypeCreatePermission  = 0x0008 // RFC 8656 section 17
	TypeSendIndication    = 0x0016 // RFC 8656 section 17
	TypeDataIndication    = 0x0017

	ProtocolTCP = 6 // REQUESTED-TRANSPORT, RFC 8656 section 18.7
	ProtocolUDP = 17

	FamilyIPv4 = 0x01 // RFC 8489 section 14.1
	FamilyIPv6 = 0x02
)

// Times of RFC 8656, in seconds.
const (
	LifetimeDefault    = 600  // section 3.2
	LifetimeMax        = 3600 // section 7.2
	PermissionLifetime = 300  // section 9
	ChannelLifetime    = 600  // section 12
	ReservationTime    = 30   // section 7.2
)

// CodeReasons are the reason phrases of RFC 8489 section 14.8 and RFC 8656
// section 19.
var CodeReasons = map[stun.ErrorCode]string{
	stun.CodeBadRequest:             "Bad Request",
	stun.CodeUnauthorized:           "Unauthorized",
	stun.CodeForbidden:              "Forbidden",
	stun.CodeUnknownAttribute:       "Unknown Attribute",
	stun.CodeAllocMismatch:          "Allocation Mismatch",
	stun.CodeStaleNonce:             "Stale Nonce",
	stun.CodeAddrFamilyNotSupported: "Address Family not Supported",
	stun.CodeWrongCredentials:       "Wrong Credentials",
	stun.CodeUnsupportedTransProto:  "Unsupported Transport Protocol",
	stun.CodePeerAddrFamilyMismatch: "Peer Address Family Mismatch",
	stun.CodeAllocQuotaReached:      "Allocation Quota Reached",
	stun.CodeServerError:            "Server Error",
	stun.CodeInsufficientCapacity:   "Insufficient Capacity",
}

// KnownRequired reports whether this server understands a comprehension-required
// attribute (RFC 8489 section 6.3.1). Those of the TCP, mobility, ICE and
// SHA-256 extensions are not among them.
func KnownRequired(t stun.AttrType) bool {
	switch t {
	case stun.AttrMappedAddress, stun.AttrUsername, stun.AttrMessageIntegrity,
		stun.AttrErrorCode, stun.AttrUnknownAttributes, stun.AttrRealm, stun.AttrNonce,
		stun.AttrXORMappedAddress, stun.AttrChannelNumber, stun.AttrLifetime,
		stun.AttrXORPeerAddress, stun.AttrData, stun.AttrXORRelayedAddress,
		stun.AttrRequestedAddressFamily, stun.AttrEvenPort, stun.AttrRequestedTransport,
		stun.AttrDontFragment, stun.AttrReservationToken:
		return true
	}
	return false
}

// Padded is the length of a value with its padding (RFC 8489 section 14).
func Padded(n int) int { return (n + 3) &^ 3 }

// XORAddressSize is the length of an XOR-…-ADDRESS value.
func XORAddressSize(e Endpoint) int {
	if e.Is4() {
		return 8
	}
	return 20
}

// PutXORAddress writes the value of an XOR-…-ADDRESS attribute (RFC 8489
// section 14.2) and returns its length. header holds the message's first 20
// bytes.
func PutXORAddress(b []byte, e Endpoint, header []byte) int {
	b[0] = 0
	binary.BigEndian.PutUint16(b[2:], e.Port^(MagicCookie>>16))
	if e.Is4() {
		b[1] = FamilyIPv4
		binary.BigEndian.PutUint32(b[4:], uint32(e.Lo)^MagicCookie)
		return 8
	}
	b[1] = FamilyIPv6
	binary.BigEndian.PutUint64(b[4:], e.Hi^binary.BigEndian.Uint64(header[4:]))
	binary.BigEndian.PutUint64(b[12:], e.Lo^binary.BigEndian.Uint64(header[12:]))
	return 20
}

// XORAddress reads the value of an XOR-…-ADDRESS attribute. mapped is true for an
// IPv4-mapped address in the IPv6 form, which is no address of a peer.
func XORAddress(v, header []byte) (e Endpoint, mapped, ok bool) {
	switch {
	case len(v) == 8 && v[1] == FamilyIPv4:
		e = EndpointIPv4(binary.BigEndian.Uint32(v[4:])^MagicCookie, 0)
	case len(v) == 20 && v[1] == FamilyIPv6:
		e.Hi = binary.BigEndian.Uint64(v[4:]) ^ binary.BigEndian.Uint64(header[4:])
		e.Lo = binary.BigEndian.Uint64(v[12:]) ^ binary.BigEndian.Uint64(header[12:])
		mapped = e.Is4()
	default:
		return Endpoint{}, false, false
	}
	e.Port = binary.BigEndian.Uint16(v[2:]) ^ (MagicCookie >> 16)
	return e, mapped, true
}

// AddXORAddress appends an XOR-…-ADDRESS attribute to a message under
// construction.
func AddXORAddress(m *stun.Message, t stun.AttrType, e Endpoint) {
	var v [20]byte
	n := PutXORAddress(v[:], e, m.Raw[:HeaderSize])
	m.Add(t, v[:n])
}

// AddUint32 appends an attribute of four bytes to a message under construction.
func AddUint32(m *stun.Message, t stun.AttrType, n uint32) {
	var v [4]byte
	binary.BigEndian.PutUint32(v[:], n)
	m.Add(t, v[:])
}

// AddErrorCode appends ERROR-CODE (RFC 8489 section 14.8).
func AddErrorCode(m *stun.Message, code stun.ErrorCode, reason string) {
	var v [4 + 64]byte
	v[2], v[3] = byte(code/100), byte(code%100)
	n := copy(v[4:], reason)
	m.Add(stun.AttrErrorCode, v[:4+n])
}

// ErrorCodeSize is the room that ERROR-CODE with this reason takes.
func ErrorCodeSize(reason string) int { return AttributeSize + Padded(4+len(reason)) }
