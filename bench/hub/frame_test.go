package hub

import (
	"bytes"
	"testing"
)

func TestFrameRoundTrip(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 127, 65535, 65536} {
		payload := bytes.Repeat([]byte("x"), n)
		frame := appendFrame(nil, opText, payload)
		// What a server would send: the same without the mask.
		head := len(frame) - n - 4
		plain := append(bytes.Clone(frame[:head]), payload...)
		plain[1] &= 0x7F
		for _, cut := range []int{0, 1, head, len(plain) - 1} {
			if _, _, size := nextFrame(plain[:min(cut, len(plain)-1)]); size != 0 {
				t.Errorf("%d bytes of a frame of %d taken for whole", cut, len(plain))
			}
		}
		opcode, got, size := nextFrame(append(plain, 0xFF))
		if opcode != opText || size != len(plain) || !bytes.Equal(got, payload) {
			t.Errorf("payload of %d bytes: opcode %d, size %d of %d", n, opcode, size, len(plain))
		}
	}
}
