package delivery

import (
	"net/netip"
	"time"

	"turnhub/signaling/internal/wire"
)

// Ref names a session between the floors: a number that a node never gives out
// twice, so that finding what it names costs no more than a look into an array.
// Between machines the node's name would stand beside it. 0 names none.
type Ref uint64

// Opening is what there is to say of a session when it opens, and stays so.
type Opening struct {
	Session  Ref
	ID       string // by which clients and the relay know it
	User     string // proved by an access token or to be claimed with Secret; may be empty
	Secret   string // claims User where access.mode is open
	Name     string // what others see; may be empty
	Inviters []string
	Opener   netip.Addr // counts as the household it belongs to
	Since    time.Time  // by the hub's clock
	Standing
}

// Standing is what may change while a session lives.
type Standing struct {
	Seen  netip.Addr // at which the server itself has seen its socket; zero: nowhere
	Rooms []string   // that its access token allows; nil: all
	Host  bool       // its access token makes it a host of those of them that have one
}

// Meaning is the floor above: what sessions are to each other. Calls about one
// session never overlap, but in a call about another one. What is handed over are
// plain values, so that another machine could answer; a message is good until the
// call returns.
type Meaning interface {
	// Opened says that a session opens, before its client is welcomed. The fault
	// refuses it.
	Opened(Opening) *wire.Fault
	// Reached says that a session has a socket, after it has opened and whenever it
	// has another one or another access token.
	Reached(Ref, Standing)
	// Message is a message that delivery itself has no use for. Its answer is sent
	// by Post, so that it stands in the right order with everything else that the
	// session is told; a fault is sent by whoever calls.
	Message(Ref, *wire.Message) *wire.Fault
	// Away says that a session's socket has been lost for so long that others hear
	// of it, or that it is back.
	Away(Ref, bool)
	// Ended says that a session is no more. reason is what others are told.
	Ended(s Ref, reason string)
}

// Post is what the floor above asks of this one. Nothing in it blocks: to send is
// to append to a bounded queue, so that it may be called under locks. A Ref that
// names nobody any more is no error: the session has ended meanwhile.
type Post interface {
	// Send sends a numbered message, now or when the session has a socket again. It
	// reports whether it has one now. cause is the session whose message is being
	// handled, on its own goroutine, or 0: its socket's reader writes what it has
	// caused, once it has handled what came together.
	Send(to, cause Ref, b wire.Object) (reached bool)
	// Fits reports whether a message of cause, of so many bytes, may be sent: what one
	// may have waiting for another is bounded, or anybody could fill somebody's queue
	// and have that one ended for not reading.
	Fits(to, cause Ref, bytes int) bool
	// SendOnly is Send for a message to nobody else, unless it does not fit: false. It is
	// in a buffer of NewBuffer, which SendOnly takes over; nil: in none.
	SendOnly(to, cause Ref, b wire.Object, buffer *[]byte) (fits bool)
	// SendAs is SendOnly for a message that another machine knows by a number, see
	// Kept.Numbers; 0: it does not. must: where it does not fit it is sent all the same.
	SendAs(to, cause Ref, b wire.Object, buffer *[]byte, number uint64, must bool) (fits bool)
	// Parting reports whether a session is being sent to another node: what it is sent now
	// may reach nobody.
	Parting(s Ref) bool
	// Hold keeps the message of a session that is being handled from being acknowledged,
	// until Release is called with what Hold returns; 0: it has no number. What it was
	// acknowledged for would be lost, if another machine that has to take it died.
	Hold(s Ref) (held uint64)
	// Release ends Hold. f is what its client is told, where that has asked for no answer;
	// nil: nothing.
	Release(s Ref, held uint64, f *wire.Fault)
	// Numbered returns the number of the session's message that is being handled, 0 where it
	// has none, and whether it has been handled once already, on another node, and was not
	// done with there.
	Numbered(s Ref) (number uint64, again bool)
	// Holds reports whether messages of a session wait for Release.
	Holds(s Ref) bool
	// End ends a session. reason is what others are told, code what its client is.
	End(s Ref, reason string, code wire.CloseCode)
}

var _ Post = (*Node)(nil)
