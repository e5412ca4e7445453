package push

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

const (
	saltSize   = 16   // RFC 8188, 2.1
	recordSize = 4096 // bytes of a record, which is all that a service must take (RFC 8291, 4)
	tagSize    = 16   // of AES-GCM
	// paddedSize is what every message is padded to, so that its length tells a push
	// service nothing. The longest, with two names of 64 characters, has some 800 bytes.
	paddedSize = 1024
)

// encrypt returns what only the browser that has made a subscription can read (RFC 8291,
// 3), as one record of the coding aes128gcm (RFC 8188).
func encrypt(message []byte, receiver *ecdh.PublicKey, auth []byte) ([]byte, error) {
	if len(message) >= paddedSize {
		return nil, fmt.Errorf("a message of %d bytes is too long", len(message))
	}
	private, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	salt := make([]byte, saltSize)
	rand.Read(salt) // never fails: crypto/rand
	return seal(message, paddedSize-len(message)-1, receiver, auth, private, salt)
}

// seal is encrypt with a key and a salt that are given. Each is used once.
func seal(message []byte, padding int, receiver *ecdh.PublicKey, auth []byte, private *ecdh.PrivateKey, salt []byte) ([]byte, error) {
	shared, err := private.ECDH(receiver)
	if err != nil {
		return nil, err
	}
	own := private.PublicKey().Bytes()
	// RFC 8291, 3.4: the authentication secret and both public keys go into the key.
	info := "WebPush: info\x00" + string(receiver.Bytes()) + string(own)
	ikm, err := hkdf.Key(sha256.New, shared, auth, info, sha256.Size)
	if err != nil {
		return nil, err
	}
	return seal8188(message, padding, ikm, salt, own)
}

// seal8188 writes a message as the one record of an encrypted content (RFC 8188, 2).
func seal8188(message []byte, padding int, ikm, salt, keyID []byte) ([]byte, error) {
	key, err := hkdf.Key(sha256.New, ikm, salt, "Content-Encoding: aes128gcm\x00", 16)
	if err != nil {
		return nil, err
	}
	nonce, err := hkdf.Key(sha256.New, ikm, salt, "Content-Encoding: nonce\x00", 12)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	// Section 2.1: salt, size of records, and the key's name, here the sender's public key.
	out := make([]byte, 0, saltSize+5+len(keyID)+len(message)+padding+1+tagSize)
	out = append(out, salt...)
	out = binary.BigEndian.AppendUint32(out, recordSize)
	out = append(out, byte(len(keyID)))
	out = append(out, keyID...)
	// Section 2: 2 ends the last record; zeros pad it. The first record's number is 0.
	plain := append(append(make([]byte, 0, len(message)+1+padding), message...), 2)
	plain = append(plain, make([]byte, padding)...)
	return gcm.Seal(out, nonce, plain, nil), nil
}
