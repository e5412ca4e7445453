package differential

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"net/netip"

	"github.com/pion/stun/v2"
)

const (
	realm  = "parallel" // as many bytes as fit into the shortest challenge
	secret = "the secret that both servers share"

	magicCookie = 0x2112A442
	headerSize  = 20
)

// Attribute types by RFC 8489 section 18.3 and RFC 8656 section 18.
const (
	attrUsername       = 0x0006
	attrIntegrity      = 0x0008
	attrChannelNumber  = 0x000C
	attrLifetime       = 0x000D
	attrXORPeer        = 0x0012
	attrData           = 0x0013
	attrRealm          = 0x0014
	attrNonce          = 0x0015
	attrFamily         = 0x0017
	attrEvenPort       = 0x0018
	attrTransport      = 0x0019
	attrDontFragment   = 0x001A
	attrToken          = 0x0022
	attrUnknownMust    = 0x7F21 // unassigned, comprehension-required
	attrUnknownMay     = 0xFF21 // unassigned, comprehension-optional
	attrAdditional     = 0x8000
	attrFingerprint    = 0x8028
	fingerprintXOR     = 0x5354554E
	methodBinding      = 0x001
	methodAllocate     = 0x003
	methodRefresh      = 0x004
	methodSend         = 0x006
	methodPermission   = 0x008
	methodChannelBind  = 0x009
	methodNobodyKnows  = 0x0F1
	classRequest       = 0x000
	classIndication    = 0x010
	classSuccess       = 0x100
	typeDataIndication = 0x017
)

// A message is a STUN message under construction. Nothing is checked, so that
// it can be wrong in any way.
type message []byte

func newMessage(kind uint16, id [12]byte) message {
	m := make(message, headerSize)
	binary.BigEndian.PutUint16(m, kind)
	binary.BigEndian.PutUint32(m[4:], magicCookie)
	copy(m[8:], id[:])
	return m
}

func (m message) add(kind uint16, value []byte) message {
	m = binary.BigEndian.AppendUint16(m, kind)
	m = binary.BigEndian.AppendUint16(m, uint16(len(value)))
	m = append(m, value...)
	for len(m)%4 != 0 {
		m = append(m, 0)
	}
	return m.sized(0)
}

// sized writes the length as if so many more bytes followed.
func (m message) sized(more int) message {
	binary.BigEndian.PutUint16(m[2:], uint16(len(m)-headerSize+more))
	return m
}

// sign adds MESSAGE-INTEGRITY (RFC 8489 section 14.5).
func (m message) sign(key []byte) message {
	mac := hmac.New(sha1.New, key)
	mac.Write(m.sized(24))
	return m.add(attrIntegrity, mac.Sum(nil))
}

// print adds FINGERPRINT (section 14.7).
func (m message) print() message {
	value := stun.FingerprintValue(m.sized(8))
	return m.add(attrFingerprint, binary.BigEndian.AppendUint32(nil, value))
}

// address encodes an XOR address (section 14.2).
func address(a netip.AddrPort, id [12]byte) []byte {
	mask := binary.BigEndian.AppendUint32(nil, magicCookie)
	mask = append(mask, id[:]...)
	v := []byte{0, 1}
	if a.Addr().Is6() {
		v[1] = 2
	}
	v = binary.BigEndian.AppendUint16(v, a.Port()^uint16(magicCookie>>16))
	for i, b := range a.Addr().AsSlice() {
		v = append(v, b^mask[i])
	}
	return v
}

func channelData(channel uint16, length int, payload []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, channel)
	b = binary.BigEndian.AppendUint16(b, uint16(length))
	return append(b, payload...)
}

func password(username, secret string) string {
	mac := hmac.New(sha1.New, []byte(secret))
	mac.Write([]byte(username))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func longTermKey(username, realm, password string) []byte {
	sum := md5.Sum([]byte(username + ":" + realm + ":" + password))
	return sum[:]
}
