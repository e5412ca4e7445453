package cluster

import (
	"crypto/cipher"
	"crypto/rand"
	"encoding/hex"
)

// What nodes keep in the store of people, and ask each other about them, is not for whoever
// runs NATS: it is encrypted by a key that follows from the secret that all nodes share (HKDF,
// RFC 5869) and what it is for. A box:
//
//	"B", the version, 4 bytes that name the secret, 12 random bytes of the nonce, the sealed rest
//
// Everything before the rest, and the place where it stands, are sealed with it: taken from
// one key of the store and put under another, it does not open.
const (
	boxMagic   = 'B'
	boxVersion = 1
	boxHeader  = 2 + keyDigits/2 + 12
)

func boxKey(root []byte, use string) cipher.AEAD { return aead(root, "turnhub box 1 "+use) }

// box closes something that stands at a place, for a use.
func (k *keyring) box(use, place string, body []byte) []byte {
	secret := k.ids[0]
	out := make([]byte, boxHeader, boxHeader+len(body)+16)
	out[0], out[1] = boxMagic, boxVersion
	_, _ = hex.Decode(out[2:], []byte(secret)) // it is hexadecimal
	_, _ = rand.Read(out[2+keyDigits/2:])      // never fails: crypto/rand
	return boxKey(k.roots[secret], use).Seal(out, out[2+keyDigits/2:boxHeader], body, append([]byte(place), out[:boxHeader]...))
}

// unbox opens it, or says why it is not to be believed.
func (k *keyring) unbox(use, place string, box []byte) (body []byte, wrong string) {
	switch {
	case len(box) < boxHeader+16 || box[0] != boxMagic:
		return nil, badForm
	case box[1] != boxVersion:
		return nil, badVersion
	}
	root := k.roots[hex.EncodeToString(box[2:2+keyDigits/2])]
	if root == nil {
		return nil, badSecret
	}
	body, err := boxKey(root, use).Open(nil, box[2+keyDigits/2:boxHeader], box[boxHeader:], append([]byte(place), box[:boxHeader]...))
	if err != nil {
		return nil, badSeal
	}
	return body, ""
}

// newest reports whether a box is sealed by the first of the secrets.
func (k *keyring) newest(box []byte) bool {
	return len(box) >= boxHeader && hex.EncodeToString(box[2:2+keyDigits/2]) == k.ids[0]
}
