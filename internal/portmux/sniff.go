package portmux

import "turnhub/internal/proxyheader"

// Protocol is what the first bytes of a stream say it is.
type Protocol int

const (
	// Undecided: more bytes are needed, never more than sniffLength.
	Undecided Protocol = iota
	Unknown
	TLS
	STUN // STUN or TURN
	HTTP // HTTP/1, and WebSocket with it
	// Proxied: a header of the PROXY protocol stands before what the client says.
	Proxied
)

func (p Protocol) String() string {
	return [...]string{"undecided", "unknown", "tls", "stun", "http", "proxied"}[p]
}

// sniffLength is how many bytes decide at most: a STUN header up to its magic
// cookie, "OPTIONS ", and what tells a PROXY header.
const sniffLength = proxyheader.PrefixLength

// methods of HTTP/1 (RFC 9110 section 9.3, RFC 5789) with the space after them.
var methods = []string{"GET ", "HEAD ", "POST ", "PUT ", "PATCH ", "DELETE ", "OPTIONS ", "CONNECT ", "TRACE "}

// Sniff tells what a stream is that begins with b.
//
//   - TLS: a handshake record (0x16) of major version 3, RFC 8446 section 5.1.
//   - STUN: two zero bits, and the magic cookie 0x2112A442 at offset 4,
//     RFC 8489 section 5.
//   - HTTP: the letters of a method and a space, RFC 9112 section 3.
//   - Proxied: "PROXY ", or the signature of version 2.
//
// A stream cannot begin with TURN ChannelData: it needs an allocation first.
func Sniff(b []byte) Protocol {
	if len(b) == 0 {
		return Undecided
	}
	switch begins, undecided := proxyheader.Begins(b); {
	case begins:
		return Proxied
	case undecided:
		return Undecided
	}
	if b[0] == 0x16 { // no STUN message type begins so, RFC 8489 section 18.2
		switch {
		case len(b) == 1:
			return Undecided
		case b[1] == 3:
			return TLS
		}
		return Unknown
	}
	if b[0]&0xC0 == 0 {
		for i, want := range [4]byte{0x21, 0x12, 0xA4, 0x42} {
			switch {
			case len(b) <= 4+i:
				return Undecided
			case b[4+i] != want:
				return Unknown
			}
		}
		return STUN
	}
	for _, m := range methods {
		n := min(len(b), len(m))
		if string(b[:n]) != m[:n] {
			continue
		}
		if n == len(m) {
			return HTTP
		}
		return Undecided
	}
	return Unknown
}
