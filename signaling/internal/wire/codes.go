package wire

import (
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
	CodeKnocking    ErrorCode = "knocking"
	CodeLocked      ErrorCode = "locked"
)

// ErrorCodes lists every error code, in the order of protocol.md.
var ErrorCodes = []ErrorCode{
	CodeBadMessage, CodeUnknownType, CodeBadName, CodeUserTaken, CodeNotInRoom,
	CodeRoomFull, CodeTooMany, CodeNoSuchCall, CodeForbidden, CodeRate,
	CodeKnocking, CodeLocked,
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
	CloseNormal   CloseCode = 1000
	CloseProtocol CloseCode = 1002
)

// CloseCodes says of each code its name and whether the session outlives the
// socket.
var CloseCodes = []struct {
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
	for _, row := range CloseCodes {
		if row.Code == c {
			return row.Name
		}
	}
	switch c {
	case CloseNormal:
		return "normal"
	case CloseProtocol:
		return "protocol"
	}
	return fmt.Sprint(uint16(c))
}

// Fault is a request that failed: what the client is told.
type Fault struct {
	Code  ErrorCode
	Text  string
	After time.Duration // the client may try again then, if that is positive
}

// Error implements error.
func (f *Fault) Error() string { return f.Text }

// Faultf returns a fault with a text for the client's developer.
func Faultf(code ErrorCode, format string, args ...any) *Fault {
	return &Fault{Code: code, Text: fmt.Sprintf(format, args...)}
}

// Lives reports whether a session outlives a socket that was closed with c.
func (c CloseCode) Lives() bool {
	for _, row := range CloseCodes {
		if row.Code == c {
			return row.Lives
		}
	}
	return true
}

// Flushes reports whether what waits is still sent before a Close with c.
func (c CloseCode) Flushes() bool { return c == CloseRestart || c == CloseNormal }
