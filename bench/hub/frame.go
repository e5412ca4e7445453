package hub

import "encoding/binary"

// Opcodes of RFC 6455 section 5.2.
const (
	opText   = 1
	opBinary = 2
	opClose  = 8
	opPing   = 9
	opPong   = 10
)

// maskKey is the same for all frames; clients must mask (RFC 6455 section 5.3).
var maskKey = [4]byte{0x5A, 0xC3, 0x96, 0x0F}

// appendFrame appends one masked frame.
func appendFrame(b []byte, opcode byte, payload []byte) []byte {
	b = append(b, 0x80|opcode)
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = append(b, 0x80|126)
		b = binary.BigEndian.AppendUint16(b, uint16(n))
	default:
		b = append(b, 0x80|127)
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	b = append(b, maskKey[:]...)
	start := len(b)
	b = append(b, payload...)
	for i := start; i < len(b); i++ {
		b[i] ^= maskKey[(i-start)&3]
	}
	return b
}

// nextFrame takes the frame at the head of b apart. size is 0 when it is not
// complete. Servers do not mask.
func nextFrame(b []byte) (opcode byte, payload []byte, size int) {
	if len(b) < 2 {
		return 0, nil, 0
	}
	head, n := 2, int(b[1]&0x7F)
	switch n {
	case 126:
		if len(b) < 4 {
			return 0, nil, 0
		}
		head, n = 4, int(binary.BigEndian.Uint16(b[2:]))
	case 127:
		if len(b) < 10 {
			return 0, nil, 0
		}
		head, n = 10, int(binary.BigEndian.Uint64(b[2:]))
	}
	if len(b) < head+n {
		return 0, nil, 0
	}
	return b[0] & 0x0F, b[head : head+n], head + n
}
