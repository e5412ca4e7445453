package wire

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"hash"
)

// Nonces makes and verifies the NONCE values of RFC 8489 section 9.2 without
// keeping any: each is a time and a MAC over that time and the client's address.
// A valid one also proves that the client receives at its address. They are short
// on purpose, since they are the bulk of the answer that a spoofed request gets.
//
// All shards share the key; each has its own working storage.
type Nonces struct {
	mac hash.Hash
	sum [sha256.Size]byte
	in  [8 + 16 + 2]byte
}

const (
	NonceSize = 12      // base64 of 2 bytes of time and 7 of MAC
	nonceTick = 64      // seconds in one step of the time
	nonceLife = 60 * 60 // seconds that a nonce is good for
)

// NewNonceKey returns the key under which one run of the server makes its nonces.
func NewNonceKey() []byte {
	key := make([]byte, sha256.Size)
	rand.Read(key)
	return key
}

func NewNonces(key []byte) *Nonces { return &Nonces{mac: hmac.New(sha256.New, key)} }

// Make returns a nonce for a client's address. now is in seconds.
func (n *Nonces) Make(now int64, client Endpoint) [NonceSize]byte {
	return n.at(now/nonceTick, client)
}

func (n *Nonces) at(tick int64, client Endpoint) (nonce [NonceSize]byte) {
	in := n.in[:]
	binary.BigEndian.PutUint64(in, uint64(tick))
	binary.BigEndian.PutUint64(in[8:], client.Hi)
	binary.BigEndian.PutUint64(in[16:], client.Lo)
	binary.BigEndian.PutUint16(in[24:], client.Port)
	n.mac.Reset()
	n.mac.Write(in)
	sum := n.mac.Sum(n.sum[:0])
	var raw [9]byte
	binary.BigEndian.PutUint16(raw[:], uint16(tick))
	copy(raw[2:], sum)
	base64.RawURLEncoding.Encode(nonce[:], raw[:])
	return nonce
}

// Valid reports whether nonce was made for this client within the last hour.
func (n *Nonces) Valid(nonce []byte, now int64, client Endpoint) bool {
	if len(nonce) != NonceSize {
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
