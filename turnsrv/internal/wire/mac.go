package wire

import (
	"crypto/hmac"
	"crypto/sha1" // #nosec: RFC 8489 section 14.5 fixes HMAC-SHA1
	"encoding/binary"
	"hash"
)

// MAC computes MESSAGE-INTEGRITY (RFC 8489 section 14.5). It is HMAC-SHA1 (RFC
// 2104) with its working storage kept, since crypto/hmac makes a new one for every
// key, which was a tenth of the cost of an Allocate.
type MAC struct {
	hash  hash.Hash
	inner [sha1.BlockSize]byte
	outer [sha1.BlockSize]byte
	sum   [sha1.Size]byte
}

func NewMAC() *MAC { return &MAC{hash: sha1.New()} }

// Integrity returns the attribute's value for a message that ends where the
// attribute will begin or begins. The length in the header is as if it ended with
// that attribute; it is put back afterwards. The result is valid until the next
// call.
func (m *MAC) Integrity(raw, key []byte) []byte {
	if len(key) > sha1.BlockSize {
		panic("HMAC key longer than a block")
	}
	for i := range m.inner {
		var k byte
		if i < len(key) {
			k = key[i]
		}
		m.inner[i], m.outer[i] = k^0x36, k^0x5c
	}
	length := binary.BigEndian.Uint16(raw[2:])
	binary.BigEndian.PutUint16(raw[2:], uint16(len(raw)-HeaderSize+AttributeSize+sha1.Size))
	m.hash.Reset()
	m.hash.Write(m.inner[:])
	m.hash.Write(raw)
	sum := m.hash.Sum(m.sum[:0])
	binary.BigEndian.PutUint16(raw[2:], length)
	m.hash.Reset()
	m.hash.Write(m.outer[:])
	m.hash.Write(sum)
	return m.hash.Sum(m.sum[:0])
}

// Verify reports, in constant time, whether a message is signed with a key.
func (m *MAC) Verify(raw []byte, s Signature, key []byte) bool {
	return hmac.Equal(m.Integrity(raw[:s.Signed], key), s.Integrity)
}
