package wire

import (
	"bytes"
	"testing"

	"github.com/pion/stun/v2"
)

// FuzzFrame cuts a stream into messages, whole and byte by byte: both must find
// the same ones, and never more than there is.
func FuzzFrame(f *testing.F) {
	binding := stun.MustBuild(stun.TransactionID, stun.BindingRequest).Raw
	evil := bytes.Clone(binding)
	evil[2], evil[3] = 0xFF, 0xEC
	f.Add(binding)
	f.Add(evil)
	f.Add(append([]byte("\x40\x00\x00\x03abc\x00"), binding...))
	f.Add([]byte{0x4F, 0xFF, 0xFF, 0xFF})
	f.Fuzz(func(t *testing.T, b []byte) {
		var whole [][]byte
		at := 0
		bad := false
		for at < len(b) {
			length, message, err := Frame(b[at:])
			if bad = err != nil; bad || length == 0 || at+length > len(b) {
				break
			}
			if length < message || length > message+3 || length < ChannelHeaderSize || length > MaxFrame+ChannelHeaderSize+3 {
				t.Fatalf("length %d, message %d", length, message)
			}
			whole = append(whole, b[at:at+message])
			at += length
		}
		var single [][]byte
		start := 0
		for end := 1; end <= len(b); end++ {
			length, message, err := Frame(b[start:end])
			if err != nil {
				if !bad {
					t.Fatalf("an error at %d that the whole does not have", end)
				}
				break
			}
			if length > 0 && start+length == end {
				single = append(single, b[start:start+message])
				start = end
			}
		}
		if len(whole) != len(single) {
			t.Fatalf("%d messages at once, %d by the byte", len(whole), len(single))
		}
	})
}
