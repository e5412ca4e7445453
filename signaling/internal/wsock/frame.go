package wsock

import (
	"encoding/binary"
	"unicode/utf8"
)

// Opcodes, RFC 6455 section 5.2.
const (
	opText   = 0x1
	opBinary = 0x2
	opClose  = 0x8
	opPing   = 0x9
	opPong   = 0xA
)

// maxControl is the longest payload of a control frame in bytes, RFC 6455
// section 5.5.
const maxControl = 125

// Frame is one message in its wire form, made once and sent to any number of
// sockets. It must not be changed afterwards.
type Frame struct {
	wire []byte
}

// Text makes a text message. The payload is copied; it must be valid UTF-8, as
// a browser ends the connection on anything else.
func Text(payload []byte) Frame { return newFrame(opText, payload) }

// Binary makes a binary message. The payload is copied.
func Binary(payload []byte) Frame { return newFrame(opBinary, payload) }

// Payload is the message without its header.
func (f Frame) Payload() []byte {
	switch f.wire[1] {
	case 126:
		return f.wire[4:]
	case 127:
		return f.wire[10:]
	}
	return f.wire[2:]
}

// Size is the number of bytes that the frame takes on the wire.
func (f Frame) Size() int { return len(f.wire) }

// AppendHeader appends the header of an unfragmented, unmasked frame of so many bytes,
// as a server sends it (RFC 6455 section 5.2).
func AppendHeader(b []byte, opcode byte, length int) []byte {
	const final = 0x80
	b = append(b, final|opcode)
	switch {
	case length < 126:
		return append(b, byte(length))
	case length <= 0xFFFF:
		return binary.BigEndian.AppendUint16(append(b, 126), uint16(length))
	}
	return binary.BigEndian.AppendUint64(append(b, 127), uint64(length))
}

func newFrame(opcode byte, payload []byte) Frame {
	wire := AppendHeader(make([]byte, 0, 10+len(payload)), opcode, len(payload))
	return Frame{wire: append(wire, payload...)}
}

// closeFrame encodes a Close with a code and a reason, which is cut to what a
// control frame holds.
func closeFrame(code int, reason string) Frame {
	if len(reason) > maxControl-2 {
		reason = reason[:maxControl-2]
		for !utf8.ValidString(reason) {
			reason = reason[:len(reason)-1]
		}
	}
	payload := binary.BigEndian.AppendUint16(make([]byte, 0, maxControl), uint16(code))
	return newFrame(opClose, append(payload, reason...))
}
