package turnsrv

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"hash"
)

// nonces makes and verifies the NONCE values of RFC 8489 section 9.2 without
// keeping any: each is a time and a MAC over that time and the client's address.
// A valid one also proves that the client receives at its address. They are short
// on purpose, since they are the bulk of the answer that a spoofed request gets.
//
// All shards share the key; each has its own working storage.
type nonces struct {
	mac hash.Hash
	sum [sha256.Size]byte
	in  [8 + 16 + 2]byte
}

const (
	nonceSize = 12      // base64 of 2 bytes of time and 7 of MAC
	nonceTick = 64      // seconds in one step of the time
	nonceLife = 60 * 60 // seconds that a nonce is good for
)

// newNonceKey returns the key under which one run of the server makes its nonces.
func newNonceKey() []byte {
	key := make([]byte, sha256.Size)
	rand.Read(key)
	return key
}

func newNonces(key []byte) *nonces { return &nonces{mac: hmac.New(sha256.New, key)} }

// make returns a nonce for a client's address. now is in seconds.
func (n *nonces) make(now int64, client endpoint) [nonceSize]byte {
	return n.at(now/nonceTick, client)
}

func (n *nonces) at(tick int64, client endpoint) (nonce [nonceSize]byte) {
	in := n.in[:]
	binary.BigEndian.PutUint64(in, uint64(tick))
	binary.BigEndian.PutUint64(in[8:], client.hi)
	binary.BigEndian.PutUint64(in[16:], client.lo)
	binary.BigEndian.PutUint16(in[24:], client.port)
	n.mac.Reset()
	n.mac.Write(in)
	sum := n.mac.Sum(n.sum[:0])
	var raw [9]byte
	binary.BigEndian.PutUint16(raw[:], uint16(tick))
	copy(raw[2:], sum)
	base64.RawURLEncoding.Encode(nonce[:], raw[:])
	return nonce
}

// valid reports whether nonce was made for this client within the last hour.
func (n *nonces) valid(nonce []byte, now int64, client endpoint) bool {
	if len(nonce) != nonceSize {
		return false
	}
	var raw [9]byte
	if _, err := base64.RawURLEncoding.Decode(raw[:], nonce); err != nil {
		return false
	}
	tick := now / nonceTick
	age := uint16(tick) - binary.BigEndian.Uint16(raw[:])
	if age > nonceLife/nonceTick {
		return false
	}
	want := n.at(tick-int64(age), client)
	return subtle.ConstantTimeCompare(want[:], nonce) == 1
}
