package wire

import (
	"crypto/sha1" // #nosec: for its size alone
	"encoding/binary"

	"github.com/pion/stun/v2"
)

// Signature is what the attributes that protect a message say of it.
type Signature struct {
	Fingerprint bool   // the message has one, and it is right
	Integrity   []byte // the value of MESSAGE-INTEGRITY, nil if there is none
	Signed      int    // bytes in front of that attribute
}

// SignatureOf finds FINGERPRINT and MESSAGE-INTEGRITY in a decoded message, and
// takes them and what follows from its attributes: those behind MESSAGE-INTEGRITY are
// ignored, but for FINGERPRINT, which must be right, or ok is false (RFC 8489
// sections 14.5 and 14.7).
func SignatureOf(m *stun.Message) (s Signature, ok bool) {
	offset := HeaderSize
	keep := len(m.Attributes)
	for i, a := range m.Attributes {
		switch {
		case a.Type == stun.AttrMessageIntegrity && s.Integrity == nil:
			if len(a.Value) != sha1.Size {
				return s, true // section 14.5: not a valid one, so there is none: 401
			}
			s.Integrity, s.Signed, keep = a.Value, offset, i
		case a.Type == stun.AttrFingerprint:
			if i != len(m.Attributes)-1 || len(a.Value) != 4 ||
				binary.BigEndian.Uint32(a.Value) != stun.FingerprintValue(m.Raw[:offset]) {
				return s, false
			}
			s.Fingerprint = true
			keep = min(keep, i)
		}
		offset += AttributeSize + Padded(len(a.Value))
	}
	m.Attributes = m.Attributes[:keep]
	return s, true
}
