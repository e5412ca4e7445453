package signaling

import (
	"errors"
	"fmt"
	"time"
)

// ErrorCode is the code member of an error message.
type ErrorCode string

// The error codes of turnhub.v1. protocol.md holds the same table; a test
// compares the two.
const (
	CodeBadMessage  ErrorCode = "bad-message"
	CodeUnknownType ErrorCode = "unknown-type"
	CodeBadName     ErrorCode = "bad-name"
	CodeUserTaken   ErrorCode = "user-taken"
	CodeNotInRoom   ErrorCode = "not-in-room"
	CodeRoomFull    ErrorCode = "room-full"
	CodeTooMany     ErrorCode = "too-many"
	CodeNoSuchCall  ErrorCode = "no-such-call"
	CodeForbidden   ErrorCode = "forbidden"
	CodeRate        ErrorCode = "rate"
)

// ErrorCodes lists every error code, in the order of protocol.md.
var errorCodes = []ErrorCode{
	CodeBadMessage, CodeUnknownType, CodeBadName, CodeUserTaken, CodeNotInRoom,
	CodeRoomFull, CodeTooMany, CodeNoSuchCall, CodeForbidden, CodeRate,
}

// CloseCode is a WebSocket close code of the range that RFC 6455 section 7.4.2
// leaves to applications.
type CloseCode uint16

// The close codes of turnhub.v1. protocol.md holds the same table; a test
// compares the two.
const (
	CloseBadHello CloseCode = 4000
	CloseReplaced CloseCode = 4001
	CloseSilent   CloseCode = 4002
	CloseRefused  CloseCode = 4003
	CloseRevoked  CloseCode = 4004
	CloseRestart  CloseCode = 4005
	CloseFull     CloseCode = 4006
	CloseFlood    CloseCode = 4007
	CloseSlow     CloseCode = 4008
	CloseTooBig   CloseCode = 4009
)

// Codes of RFC 6455 section 7.4.1: the answer to a client's own Close, and to a
// frame that breaks the RFC.
const (
	closeNormal   CloseCode = 1000
	closeProtocol CloseCode = 1002
)

// closeCodes says of each code its name and whether the session outlives the
// socket.
var closeCodes = []struct {
	Code  CloseCode
	Name  string
	Lives bool
}{
	{CloseBadHello, "bad-hello", false},
	{CloseReplaced, "replaced", true},
	{CloseSilent, "silent", true},
	{CloseRefused, "refused", false},
	{CloseRevoked, "revoked", false},
	{CloseRestart, "restart", false},
	{CloseFull, "full", false},
	{CloseFlood, "flood", false},
	{CloseSlow, "slow", false},
	{CloseTooBig, "too-big", false},
}

// String is the code's name in protocol.md.
func (c CloseCode) String() string {
	for _, row := range closeCodes {
		if row.Code == c {
			return row.Name
		}
	}
	switch c {
	case closeNormal:
		return "normal"
	case closeProtocol:
		return "protocol"
	}
	return fmt.Sprint(uint16(c))
}

// Errors of Attach and Allow; a dialect says them in its own words.
var (
	ErrFull   = errors.New("too many connections from this address: come back later")
	ErrTooBig = errors.New("the message is larger than limits.message_size")
	ErrRate   = errors.New("more messages than limits.messages_per_second: the message is dropped")
	ErrFlood  = errors.New("far more messages than limits.messages_per_second: the socket ends")
	ErrDrain  = errors.New("the server is going down: come back in a moment")
)

// fault is a request that failed: what the client is told.
type fault struct {
	code  ErrorCode
	text  string
	after time.Duration // retry is true when positive
}

func (f *fault) Error() string { return f.text }

func faultf(code ErrorCode, format string, args ...any) *fault {
	return &fault{code: code, text: fmt.Sprintf(format, args...)}
}

// lives reports whether a session outlives a socket that was closed with c.
func (c CloseCode) lives() bool {
	for _, row := range closeCodes {
		if row.Code == c {
			return row.Lives
		}
	}
	return true
}

// flushes reports whether what waits is still sent before a Close with c.
func (c CloseCode) flushes() bool { return c == CloseRestart || c == closeNormal }
