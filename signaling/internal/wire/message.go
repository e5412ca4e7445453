package wire

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// Message is one client message: its members as raw JSON, parts of the buffer it
// was read into and valid as long as that. nil: absent.
type Message struct {
	Type, ID, Seq, Ack             []byte
	Name, User, UserSecret, Resume []byte
	Room, To, Data, First          []byte
	Users, Call, Reason, Token     []byte
	Peer, Path, RTT, Loss          []byte
	Bitrate, FirstFrame, Line      []byte
	Host, Action, Seat             []byte
	Subscription, Endpoint, Calls  []byte
}

func (m *Message) set(key, value []byte) {
	switch string(key) {
	case "type":
		m.Type = value
	case "id":
		m.ID = value
	case "seq":
		m.Seq = value
	case "ack":
		m.Ack = value
	case "to":
		m.To = value
	case "data":
		m.Data = value
	case "room":
		m.Room = value
	case "first":
		m.First = value
	case "call":
		m.Call = value
	case "name":
		m.Name = value
	case "user":
		m.User = value
	case "userSecret":
		m.UserSecret = value
	case "resume":
		m.Resume = value
	case "users":
		m.Users = value
	case "reason":
		m.Reason = value
	case "token":
		m.Token = value
	case "peer":
		m.Peer = value
	case "path":
		m.Path = value
	case "rtt":
		m.RTT = value
	case "loss":
		m.Loss = value
	case "bitrate":
		m.Bitrate = value
	case "firstFrame":
		m.FirstFrame = value
	case "line":
		m.Line = value
	case "host":
		m.Host = value
	case "action":
		m.Action = value
	case "subscription":
		m.Subscription = value
	case "endpoint":
		m.Endpoint = value
	case "calls":
		m.Calls = value
	case "seat":
		m.Seat = value
	}
}

// Parse reads a frame. The fault names the member that is wrong.
func (m *Message) Parse(b []byte) *Fault {
	if !scanObject(b, m) {
		if !utf8.Valid(b) {
			return Faultf(CodeBadMessage, "the message is not UTF-8")
		}
		return Faultf(CodeBadMessage, "the message is not one JSON object (nested at most %d deep)", maxDepth)
	}
	if m.ID != nil {
		if n, ok := Integer(m.ID); !ok || n == 0 {
			m.ID = nil
			return Faultf(CodeBadMessage, "id must be a positive integer")
		}
	}
	return nil
}

// maxDepth is how deep a message's JSON may nest: what clients send each other
// is a few levels deep, and every reader's stack stays small.
const maxDepth = 64

// scanObject checks that b is exactly one JSON object (RFC 8259) in valid UTF-8
// and puts its members into to, as raw bytes of b. It copies nothing:
// data goes on to other clients as it came, so it must be valid to the last
// byte. A key that is written with escapes is an unknown one.
func scanObject(b []byte, to *Message) bool {
	if !utf8.Valid(b) {
		return false
	}
	s := scanner{b: b}
	s.space()
	if !s.object(maxDepth, to) {
		return false
	}
	s.space()
	return s.i == len(b)
}

type scanner struct {
	b []byte
	i int
}

func (s *scanner) space() {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ' ', '\t', '\n', '\r':
			s.i++
		default:
			return
		}
	}
}

func (s *scanner) eat(c byte) bool {
	if s.i < len(s.b) && s.b[s.i] == c {
		s.i++
		return true
	}
	return false
}

func (s *scanner) object(depth int, to *Message) bool {
	if depth == 0 || !s.eat('{') {
		return false
	}
	s.space()
	if s.eat('}') {
		return true
	}
	for {
		s.space()
		start := s.i
		if !s.str() {
			return false
		}
		key := s.b[start+1 : s.i-1]
		s.space()
		if !s.eat(':') {
			return false
		}
		s.space()
		start = s.i
		if !s.value(depth - 1) {
			return false
		}
		if to != nil {
			to.set(key, s.b[start:s.i])
		}
		s.space()
		if s.eat('}') {
			return true
		}
		if !s.eat(',') {
			return false
		}
	}
}

func (s *scanner) array(depth int) bool {
	if depth == 0 || !s.eat('[') {
		return false
	}
	s.space()
	if s.eat(']') {
		return true
	}
	for {
		s.space()
		if !s.value(depth - 1) {
			return false
		}
		s.space()
		if s.eat(']') {
			return true
		}
		if !s.eat(',') {
			return false
		}
	}
}

func (s *scanner) value(depth int) bool {
	if s.i >= len(s.b) {
		return false
	}
	switch c := s.b[s.i]; {
	case c == '"':
		return s.str()
	case c == '{':
		return s.object(depth, nil)
	case c == '[':
		return s.array(depth)
	case c == '-' || '0' <= c && c <= '9':
		return s.number()
	case c == 't':
		return s.word("true")
	case c == 'f':
		return s.word("false")
	case c == 'n':
		return s.word("null")
	}
	return false
}

func (s *scanner) word(w string) bool {
	if len(s.b)-s.i < len(w) || string(s.b[s.i:s.i+len(w)]) != w {
		return false
	}
	s.i += len(w)
	return true
}

// unescaped says which bytes stand for themselves in a string.
var unescaped = func() (t [256]bool) {
	for c := 0x20; c < 256; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

func (s *scanner) str() bool {
	if !s.eat('"') {
		return false
	}
	b, i := s.b, s.i
	for {
		if i = nextSpecial(b, i); i == len(b) {
			return false
		}
		c := b[i]
		if c == '"' {
			s.i = i + 1
			return true
		}
		if c != '\\' || i+1 >= len(b) {
			return false
		}
		switch b[i+1] {
		case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			i += 2
		case 'u':
			if i+6 > len(b) {
				return false
			}
			for _, h := range b[i+2 : i+6] {
				if !('0' <= h && h <= '9' || 'a' <= h && h <= 'f' || 'A' <= h && h <= 'F') {
					return false
				}
			}
			i += 6
		default:
			return false
		}
	}
}

// nextSpecial returns where the first byte from i on is that does not stand for
// itself in a string, or len(b). Strings make up most of what the hub carries, so
// it looks at eight bytes at once.
func nextSpecial(b []byte, i int) int {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	for ; i+8 <= len(b); i += 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		quote, slash := x^ones*'"', x^ones*'\\'
		// The high bit of the lowest byte that is zero, or below 0x20, is set, and
		// none before it.
		if m := ((quote-ones)&^quote | (slash-ones)&^slash | (x-ones*0x20)&^x) & high; m != 0 {
			return i + bits.TrailingZeros64(m)/8
		}
	}
	for ; i < len(b); i++ {
		if !unescaped[b[i]] {
			return i
		}
	}
	return i
}

func (s *scanner) digits() bool {
	start := s.i
	for s.i < len(s.b) && '0' <= s.b[s.i] && s.b[s.i] <= '9' {
		s.i++
	}
	return s.i > start
}

func (s *scanner) number() bool {
	s.eat('-')
	if !s.eat('0') && !s.digits() {
		return false
	}
	if s.eat('.') && !s.digits() {
		return false
	}
	if s.eat('e') || s.eat('E') {
		if !s.eat('+') {
			s.eat('-')
		}
		return s.digits()
	}
	return true
}
