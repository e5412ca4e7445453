package turnsrv

import (
	"encoding/binary"

	"github.com/pion/stun/v2"
)

// Numbers of the wire that the codec does not name.
const (
	headerSize    = 20         // RFC 8489 section 5
	magicCookie   = 0x2112A442 // RFC 8489 section 5
	attributeSize = 4          // type and length, RFC 8489 section 14

	channelHeaderSize = 4      // RFC 8656 section 12.4
	channelMin        = 0x4000 // RFC 8656 section 12
	channelMax        = 0x4FFF // RFC 8656 section 12; the numbers above are reserved

	// streamMax is the greatest first byte of a message on a stream. What begins as
	// ChannelData with a reserved number has a length all the same, and is skipped.
	streamMax = 0x7F

	attrAdditionalAddressFamily stun.AttrType = 0x8000 // RFC 8656 section 18.11
	attrAddressErrorCode        stun.AttrType = 0x8001 // RFC 8656 section 18.12

	typeBindingRequest    = 0x0001 // RFC 8489 section 18.2
	typeBindingIndication = 0x0011
	typeCreatePermission  = 0x0008 // RFC 8656 section 17
	typeSendIndication    = 0x0016 // RFC 8656 section 17
	typeDataIndication    = 0x0017

	protocolTCP = 6 // REQUESTED-TRANSPORT, RFC 8656 section 18.7
	protocolUDP = 17

	familyIPv4 = 0x01 // RFC 8489 section 14.1
	familyIPv6 = 0x02
)

// Times of RFC 8656, in seconds.
const (
	lifetimeDefault    = 600  // section 3.2
	lifetimeMax        = 3600 // section 7.2
	permissionLifetime = 300  // section 9
	channelLifetime    = 600  // section 12
	reservationTime    = 30   // section 7.2
)

// codeReasons are the reason phrases of RFC 8489 section 14.8 and RFC 8656
// section 19.
var codeReasons = map[stun.ErrorCode]string{
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

// knownRequired reports whether this server understands a comprehension-required
// attribute (RFC 8489 section 6.3.1). Those of the TCP, mobility, ICE and
// SHA-256 extensions are not among them.
func knownRequired(t stun.AttrType) bool {
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

func padded(n int) int { return (n + 3) &^ 3 }

// xorAddressSize is the length of an XOR-…-ADDRESS value.
func xorAddressSize(e endpoint) int {
	if e.is4() {
		return 8
	}
	return 20
}

// putXORAddress writes the value of an XOR-…-ADDRESS attribute (RFC 8489
// section 14.2) and returns its length. header holds the message's first 20
// bytes.
func putXORAddress(b []byte, e endpoint, header []byte) int {
	b[0] = 0
	binary.BigEndian.PutUint16(b[2:], e.port^(magicCookie>>16))
	if e.is4() {
		b[1] = familyIPv4
		binary.BigEndian.PutUint32(b[4:], uint32(e.lo)^magicCookie)
		return 8
	}
	b[1] = familyIPv6
	binary.BigEndian.PutUint64(b[4:], e.hi^binary.BigEndian.Uint64(header[4:]))
	binary.BigEndian.PutUint64(b[12:], e.lo^binary.BigEndian.Uint64(header[12:]))
	return 20
}

// xorAddress reads the value of an XOR-…-ADDRESS attribute. mapped is true for an
// IPv4-mapped address in the IPv6 form, which is no address of a peer.
func xorAddress(v, header []byte) (e endpoint, mapped, ok bool) {
	switch {
	case len(v) == 8 && v[1] == familyIPv4:
		e = endpointIPv4(binary.BigEndian.Uint32(v[4:])^magicCookie, 0)
	case len(v) == 20 && v[1] == familyIPv6:
		e.hi = binary.BigEndian.Uint64(v[4:]) ^ binary.BigEndian.Uint64(header[4:])
		e.lo = binary.BigEndian.Uint64(v[12:]) ^ binary.BigEndian.Uint64(header[12:])
		mapped = e.is4()
	default:
		return endpoint{}, false, false
	}
	e.port = binary.BigEndian.Uint16(v[2:]) ^ (magicCookie >> 16)
	return e, mapped, true
}

// addXORAddress appends an XOR-…-ADDRESS attribute to a message under
// construction.
func addXORAddress(m *stun.Message, t stun.AttrType, e endpoint) {
	var v [20]byte
	n := putXORAddress(v[:], e, m.Raw[:headerSize])
	m.Add(t, v[:n])
}

func addUint32(m *stun.Message, t stun.AttrType, n uint32) {
	var v [4]byte
	binary.BigEndian.PutUint32(v[:], n)
	m.Add(t, v[:])
}

// addErrorCode appends ERROR-CODE (RFC 8489 section 14.8).
func addErrorCode(m *stun.Message, code stun.ErrorCode, reason string) {
	var v [4 + 64]byte
	v[2], v[3] = byte(code/100), byte(code%100)
	n := copy(v[4:], reason)
	m.Add(stun.AttrErrorCode, v[:4+n])
}

// errorCodeSize is the room that ERROR-CODE with this reason takes.
func errorCodeSize(reason string) int { return attributeSize + padded(4+len(reason)) }
