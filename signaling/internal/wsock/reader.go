package wsock

import (
	"encoding/binary"
	"errors"
	"unicode/utf8"
)

// The errors of Reader, beside a *CloseError for the other side's Close.
var (
	ErrProtocol = errors.New("the frame breaks RFC 6455")
	ErrTooBig   = errors.New("the message is too big")
	// ErrFlood is a Line's: see idleRate.
	ErrFlood = errors.New("far more pings, pongs and small fragments than anybody needs")
)

// Opcodes of the frames that Reader returns and that are sent (RFC 6455 section 5.2).
const (
	OpText   = opText
	OpBinary = opBinary
	OpClose  = opClose
	OpPing   = opPing
	OpPong   = opPong
)

// Reader takes the bytes that a client sends apart, as they come: Add, then Next
// until it has nothing more. It never waits and never reads, so that one
// goroutine can serve many sockets, and between messages it holds no memory.
// No extension is ever negotiated.
type Reader struct {
	input []byte // not taken yet
	owned bool   // input is ours, not the caller's
	text  []byte // the message's fragments so far
	kind  byte   // its opcode; 0: no message is open
	idle  int    // frames since the last Idle that brought no message
}

// Add takes bytes in. They are changed, and belong to the Reader until Next has
// returned nothing.
func (r *Reader) Add(b []byte) {
	if r.owned {
		r.input = append(r.input, b...)
	} else {
		r.input = b
	}
}

// Next returns the next whole message or control frame, valid until the next
// call; opcode 0: there is none yet. A message of more than limit bytes is
// ErrTooBig, as soon as its length is known. No call may follow an error.
func (r *Reader) Next(limit int) (opcode byte, payload []byte, err error) {
	for {
		final, op, payload, err := r.frame(limit)
		switch {
		case err != nil:
			return 0, nil, err
		case payload == nil:
			r.keep()
			return 0, nil, nil
		case op == opClose:
			return 0, nil, closeOf(payload)
		case op >= opClose:
			r.idle++
			return op, payload, nil
		case final && r.kind == 0:
			return op, payload, nil
		}
		if r.kind == 0 {
			r.kind = op
		}
		if len(payload) <= maxControl {
			r.idle++
		}
		r.text = append(r.text, payload...)
		if final {
			op, payload = r.kind, r.text
			r.kind, r.text = 0, nil
			return op, payload, nil
		}
	}
}

// Idle returns how many frames have come since it was last called that are bounded by no
// limit for messages: control frames, and fragments no longer than those. A larger fragment
// is bounded by what the message may have.
func (r *Reader) Idle() (n int) {
	n, r.idle = r.idle, 0
	return n
}

// keep holds on to what is left of the caller's bytes.
func (r *Reader) keep() {
	switch {
	case len(r.input) == 0:
		r.input, r.owned = nil, false
	case !r.owned:
		r.input, r.owned = append([]byte(nil), r.input...), true
	}
}

// frame takes one frame off the input and unmasks it; a nil payload: it is not
// complete.
func (r *Reader) frame(limit int) (final bool, opcode byte, payload []byte, err error) {
	const finalBit, reserved, masked = 0x80, 0x70, 0x80
	b := r.input
	if len(b) < 2 {
		return false, 0, nil, nil
	}
	final, opcode = b[0]&finalBit != 0, b[0]&0xF
	length, head := uint64(b[1]&^masked), 2
	switch {
	case b[0]&reserved != 0, b[1]&masked == 0: // sections 5.2 and 5.1
		return false, 0, nil, ErrProtocol
	case opcode >= opClose && (opcode > opPong || !final || length > maxControl): // section 5.5
		return false, 0, nil, ErrProtocol
	case opcode < opClose && opcode > opBinary, opcode < opClose && (opcode == 0) != (r.kind != 0): // sections 5.2 and 5.4
		return false, 0, nil, ErrProtocol
	case length == 126:
		if head = 4; len(b) < head {
			return false, 0, nil, nil
		}
		length = uint64(binary.BigEndian.Uint16(b[2:]))
	case length == 127:
		if head = 10; len(b) < head {
			return false, 0, nil, nil
		}
		length = binary.BigEndian.Uint64(b[2:])
	}
	if opcode < opClose && length > uint64(max(limit-len(r.text), 0)) {
		return false, 0, nil, ErrTooBig
	}
	whole := head + 4 + int(length)
	if len(b) < whole {
		return false, 0, nil, nil
	}
	payload = b[head+4 : whole : whole]
	unmask(payload, [4]byte(b[head:]))
	r.input = b[whole:]
	return final, opcode, payload, nil
}

// unmask undoes the client's masking, RFC 6455 section 5.3.
func unmask(b []byte, key [4]byte) {
	word := uint64(binary.LittleEndian.Uint32(key[:]))
	word |= word << 32
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^word)
		b = b[8:]
	}
	for i := range b {
		b[i] ^= key[i&3]
	}
}

// closeOf reads the payload of a Close, RFC 6455 sections 5.5.1 and 7.4.
func closeOf(payload []byte) error {
	if len(payload) == 0 {
		return &CloseError{Code: codeNone}
	}
	if len(payload) == 1 {
		return ErrProtocol
	}
	code, reason := int(binary.BigEndian.Uint16(payload)), payload[2:]
	switch {
	case code < 1000, code >= 1004 && code <= 1006, code >= 1015 && code < 3000, code >= 5000:
		return ErrProtocol
	case !utf8.Valid(reason):
		return ErrProtocol
	}
	return &CloseError{Code: code, Reason: string(reason)}
}
