package turnsrv

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/pion/stun/v2"

	"turnhub/turnsrv/internal/turntest"
	"turnhub/turnsrv/internal/wire"
)

// churnCaller is a client as browsers have them: what is not answered over UDP is sent
// again, as RFC 8489 section 6.2.1 has it, and given up after the seventh time.
type churnCaller struct {
	turntest.Client
	buf     []byte
	held    []byte   // of a stream, not a whole message yet
	came    [][]byte // data that came while an answer was waited for
	again   *atomic.Int64
	relayed netip.AddrPort
}

// errSilent is the end of a client's patience.
var errSilent = errors.New("no answer after seven retransmissions")

const (
	firstPatience = 500 * time.Millisecond // RFC 8489 section 6.2.1: RTO
	sendings      = 7                      // Rc
)

// patience is how long the client waits after its nth sending, over streams all the way or
// not.
func patience(n int, streams bool) time.Duration {
	if streams {
		return 39500 * time.Millisecond // section 6.2.2
	}
	if n == sendings-1 {
		return 16 * firstPatience // Rm
	}
	return firstPatience << n
}

// next returns the next message. At the end of time its error is a timeout.
func (c *churnCaller) next(until time.Time) ([]byte, error) {
	for {
		if c.Stream {
			if length, message, err := wire.Frame(c.held); err != nil {
				return nil, err
			} else if length > 0 && length <= len(c.held) {
				b := c.held[:message:message]
				c.held = c.held[length:]
				return b, nil
			}
		}
		c.Conn.SetReadDeadline(until)
		n, err := c.Conn.Read(c.buf)
		if err != nil {
			return nil, err
		}
		if !c.Stream {
			return append([]byte(nil), c.buf[:n]...), nil
		}
		c.held = append(c.held, c.buf[:n]...)
	}
}

// persist sends something until take has taken what it waits for; over streams all the way
// nothing is lost, and so it is sent once.
func (c *churnCaller) persist(streams bool, send func() error, take func([]byte) (bool, error)) error {
	for n := range sendings {
		if err := send(); err != nil {
			return err
		}
		if n > 0 {
			c.again.Add(1)
		}
		until := time.Now().Add(patience(n, streams))
		for {
			b, err := c.next(until)
			var late net.Error
			if errors.As(err, &late) && late.Timeout() {
				break
			}
			if err != nil {
				return err
			}
			if done, err := take(b); done || err != nil {
				return err
			}
		}
		if streams {
			break
		}
	}
	return errSilent
}

// do is a request with its answer, which is a success or, as long as the server hands its
// listeners over, one that asks to try again.
func (c *churnCaller) do(method stun.Method, attrs ...turntest.Attr) (*stun.Message, error) {
	for until := time.Now().Add(time.Minute); time.Now().Before(until); {
		key := c.Key()
		all := append(attrs[:len(attrs):len(attrs)], c.CredentialAttrs()...)
		if c.Nonce == "" {
			key, all = nil, attrs
		}
		m, res := turntest.Build(turntest.Request(method), key, all...), new(stun.Message)
		err := c.persist(c.Stream, func() error { _, err := c.Conn.Write(m.Raw); return err }, func(b []byte) (bool, error) {
			if !stun.IsMessage(b) || b[0]&1 == 0 {
				c.came = append(c.came, b)
				return false, nil
			}
			if err := stun.Decode(b, res); err != nil {
				return false, err
			}
			return res.TransactionID == m.TransactionID, nil
		})
		if err != nil {
			return nil, fmt.Errorf("%v: %w", method, err)
		}
		switch code := turntest.CodeOf(res); code {
		case 0:
			return res, nil
		case 401, 438:
			nonce, err := res.Get(stun.AttrNonce)
			if err != nil {
				return nil, err
			}
			c.Nonce = string(nonce)
		case 508, 300: // the server hands over
			// Without a pause a client asks, on a machine that is long about it, until it has
			// used up what one may ask for, and is not answered any more.
			time.Sleep(firstPatience / 20)
		default:
			return nil, fmt.Errorf("%v: error %d", method, code)
		}
	}
	return nil, fmt.Errorf("%v: refused time and again", method)
}

func (c *churnCaller) allocate() error {
	res, err := c.do(stun.MethodAllocate, turntest.Transport(wire.ProtocolUDP))
	if err != nil {
		return err
	}
	all := turntest.RelayedOf(res)
	if len(all) != 1 {
		return fmt.Errorf("%d relayed addresses", len(all))
	}
	c.relayed = all[0]
	return nil
}

// data is the payload of ChannelData or of a Data indication, nil of anything else.
func data(b []byte) []byte {
	if !stun.IsMessage(b) {
		if len(b) < 4 {
			return nil
		}
		return b[4:min(len(b), 4+int(binary.BigEndian.Uint16(b[2:])))]
	}
	m := new(stun.Message)
	if stun.Decode(b, m) != nil {
		return nil
	}
	v, _ := m.Get(stun.AttrData)
	return v
}

// expect waits for a packet of the call, which is sent again until it comes. What comes
// beside it is one of the same call.
func (c *churnCaller) expect(call, number uint32, from *churnEnd, channel bool, p []byte) error {
	mine := func(b []byte) (bool, error) {
		if c.Username != "" {
			b = data(b)
		}
		if len(b) < 8 {
			return false, nil // an answer that came twice
		}
		if got := binary.BigEndian.Uint32(b); got != call {
			return false, fmt.Errorf("call %d got a packet of call %d", call, got)
		}
		n := binary.BigEndian.Uint32(b[4:])
		if n > number {
			return false, fmt.Errorf("call %d got packet %d before it was sent", call, n)
		}
		return n == number, nil
	}
	for _, b := range c.came {
		if done, err := mine(b); done || err != nil {
			return err
		}
	}
	c.came = c.came[:0]
	streams := c.Stream && from.caller != nil && from.caller.Stream
	if err := c.persist(streams, func() error { return from.send(p, channel) }, mine); err != nil {
		return fmt.Errorf("packet %d: %w", number, err)
	}
	return nil
}
