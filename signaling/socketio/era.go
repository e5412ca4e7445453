package socketio

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"turnhub/signaling/internal/wsock"
)

// Engine.IO protocol 3, which socket.io-client 1.x and 2.x speak; those before 1.4 call
// it 2. It differs from 4 in
// how packets are framed, in that the client pings, and in that a client is in the
// default namespace without asking. Source: engine.io-protocol, branch v3, and
// engine.io-parser 1.0 to 2.2.
//
// A payload of long-polling is text or binary:
//
//	<length>:<packet>…                          length in UTF-16 units, decimal
//	<0 text, 1 binary><length><0xFF><packet>…   length in bytes, each digit a byte 0 to 9
//
// A binary packet has its type as a byte of that value before the data; in text it is
// "b", the type and base64.
//
// The parsers before 2.0 encoded text as UTF-8 once more, some on long-polling and the
// first ones everywhere, and do not say so. What we send is therefore ASCII alone, which
// both read alike (see ascii); what they send is known by its bytes (see session.once).

const (
	// maxLengthDigits holds more than any payload that is taken.
	maxLengthDigits = 9

	payloadText   = 0
	payloadBinary = 1
	lengthEnd     = 0xFF
)

var errLength = errors.New("payload: the length of a packet is wrong")

// decodePacket3 reads one text packet of protocol 3.
func decodePacket3(text []byte) (packet, error) {
	if len(text) < 2 || text[0] != 'b' {
		p, err := decodePacket(text)
		if p.binary { // "b" alone, which is nothing here
			err = errors.New("binary packet without a type")
		}
		return p, err
	}
	if text[1] != packetMessage {
		return packet{}, fmt.Errorf("unknown type %q of a binary packet", text[1])
	}
	data, err := decodeBase64(text[2:])
	if err != nil {
		return packet{}, fmt.Errorf("binary packet: %w", err)
	}
	return packet{kind: packetMessage, binary: true, data: data}, nil
}

// decodeBinary3 reads one binary packet of protocol 3.
func decodeBinary3(data []byte) (packet, error) {
	if len(data) == 0 || data[0] != packetMessage-'0' {
		return packet{}, errors.New("a binary packet is a message and begins with 4")
	}
	return packet{kind: packetMessage, binary: true, data: data[1:]}, nil
}

// decodeText3 reads a text payload. Empty packets, with which clients say that they
// have nothing to say, are left out.
func decodeText3(body []byte) ([]packet, error) {
	if !utf8.Valid(body) {
		return nil, errors.New("payload is not UTF-8")
	}
	if len(body) == 0 {
		return nil, errors.New("empty payload")
	}
	var packets []packet
	for n := 0; len(body) > 0; n++ {
		if n == maxPayloadPackets {
			return nil, fmt.Errorf("more than %d packets in one payload", maxPayloadPackets)
		}
		colon := bytes.IndexByte(body[:min(len(body), maxLengthDigits+1)], ':')
		if colon < 1 {
			return nil, errLength
		}
		length, err := strconv.ParseUint(string(body[:colon]), 10, 31)
		if err != nil {
			return nil, errLength
		}
		body = body[colon+1:]
		size := units(body, int(length))
		if size < 0 {
			return nil, errLength
		}
		if size > 0 {
			p, err := decodePacket3(body[:size])
			if err != nil {
				return nil, err
			}
			packets = append(packets, p)
		}
		body = body[size:]
	}
	return packets, nil
}

// units returns how many bytes the first n UTF-16 units of a text take; -1: it has not
// as many, or they end within a character.
func units(text []byte, n int) (size int) {
	for n > 0 {
		r, bytes := utf8.DecodeRune(text[size:])
		if bytes == 0 {
			return -1
		}
		size += bytes
		n -= utf16.RuneLen(r)
	}
	if n < 0 {
		return -1
	}
	return size
}

// decodeBinaryPayload3 reads a binary payload.
func decodeBinaryPayload3(body []byte) ([]packet, error) {
	if len(body) == 0 {
		return nil, errors.New("empty payload")
	}
	var packets []packet
	for n := 0; len(body) > 0; n++ {
		if n == maxPayloadPackets {
			return nil, fmt.Errorf("more than %d packets in one payload", maxPayloadPackets)
		}
		kind := body[0]
		length, digits := 0, 0
		for body = body[1:]; digits < len(body) && body[digits] != lengthEnd; digits++ {
			if body[digits] > 9 || digits == maxLengthDigits {
				return nil, errLength
			}
			length = 10*length + int(body[digits])
		}
		if digits == 0 || digits == len(body) || length > len(body)-digits-1 {
			return nil, errLength
		}
		data := body[digits+1:][:length]
		body = body[digits+1+length:]
		var p packet
		var err error
		switch {
		case kind == payloadText && length == 0:
			continue
		case kind == payloadText && !utf8.Valid(data):
			err = errors.New("payload is not UTF-8")
		case kind == payloadText:
			p, err = decodePacket3(data)
		case kind == payloadBinary:
			p, err = decodeBinary3(data)
		default:
			err = fmt.Errorf("payload: %d is neither text nor binary", kind)
		}
		if err != nil {
			return nil, err
		}
		packets = append(packets, p)
	}
	return packets, nil
}

// text3 is the packet as text: for long-polling, or a WebSocket of a client that takes
// no binary.
func (p packet) text3() []byte {
	if p.binary {
		return base64.StdEncoding.AppendEncode([]byte{'b', p.kind}, p.data)
	}
	return append([]byte{p.kind}, ascii(p.data)...)
}

// appendText3 writes a text payload.
func appendText3(body []byte, packets []packet) []byte {
	for _, p := range packets {
		text := p.text3() // ASCII: as many UTF-16 units as bytes
		body = strconv.AppendInt(body, int64(len(text)), 10)
		body = append(body, ':')
		body = append(body, text...)
	}
	return body
}

// appendBinary3 writes a binary payload.
func appendBinary3(body []byte, packets []packet) []byte {
	for _, p := range packets {
		data, kind := p.text3, byte(payloadText)
		if p.binary {
			data, kind = p.binary3, payloadBinary
		}
		bytes := data()
		body = append(body, kind)
		for _, digit := range strconv.Itoa(len(bytes)) {
			body = append(body, byte(digit-'0'))
		}
		body = append(body, lengthEnd)
		body = append(body, bytes...)
	}
	return body
}

func (p packet) binary3() []byte { return append([]byte{p.kind - '0'}, p.data...) }

// frame3 is the packet as one WebSocket message.
func (p packet) frame3(base64 bool) wsock.Frame {
	if p.binary && !base64 {
		return wsock.Binary(p.binary3())
	}
	return wsock.Text(p.text3())
}

// ascii writes what is not ASCII as JSON escapes. In every packet of the server it is
// inside a JSON string, so that it means the same.
func ascii(text []byte) []byte {
	if isASCII(text) {
		return text
	}
	out := make([]byte, 0, 2*len(text))
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		switch {
		case r < utf8.RuneSelf:
			out = append(out, byte(r))
		case r > 0xFFFF:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		text = text[size:]
	}
	return out
}

func isASCII(text []byte) bool {
	return !slices.ContainsFunc(text, func(b byte) bool { return b >= utf8.RuneSelf })
}

// twice undoes UTF-8 that was encoded once more, as the parsers before 2.0 did. ok is
// false where it was not: a character beyond U+00FF, or bytes that are no UTF-8.
func twice(text []byte) (once []byte, ok bool) {
	once = make([]byte, 0, len(text))
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		if r > 0xFF {
			return nil, false
		}
		once = append(once, byte(r))
		text = text[size:]
	}
	return once, utf8.Valid(once)
}
