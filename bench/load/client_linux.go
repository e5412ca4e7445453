package load

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/pion/stun/v2"
	"golang.org/x/sys/unix"
)

// A client is one TURN client with at most one allocation.
type client struct {
	*conn
	username, password string
	realm              stun.Realm
	nonce              stun.Nonce
	integrity          stun.MessageIntegrity
	relayed            netip.AddrPort

	pending *stun.Message // the request that waits for its answer
}

const (
	answerTimeout = 500 * time.Millisecond // RFC 8489 section 6.2.1: RTO
	answerTries   = 6
)

// errorAnswer is an error response.
type errorAnswer struct {
	request stun.MessageType
	code    stun.ErrorCode
	reason  string
}

func (e errorAnswer) Error() string {
	return fmt.Sprintf("%s was answered with error %d %s", e.request, e.code, e.reason)
}

// ask sends a request and does not wait for the answer.
func (c *client) ask(method stun.Method, attributes ...stun.Setter) error {
	setters := append([]stun.Setter{stun.TransactionID, stun.NewType(method, stun.ClassRequest)}, attributes...)
	if c.integrity != nil {
		setters = append(setters, stun.NewUsername(c.username), c.realm, c.nonce, c.integrity)
	}
	m, err := stun.Build(setters...)
	if err != nil {
		return fmt.Errorf("build a %s request: %w", method, err)
	}
	c.pending = m
	return c.write(m.Raw)
}

// answer waits for the answer to the last request, sending it again over UDP
// when it does not come.
func (c *client) answer(b *batch) (*stun.Message, error) {
	for try := range answerTries {
		if try > 0 && !c.stream {
			if err := c.write(c.pending.Raw); err != nil {
				return nil, err
			}
		}
		deadline := time.Now().Add(answerTimeout << min(try, 2))
		for time.Now().Before(deadline) {
			m, err := c.poll(b)
			if m != nil || err != nil {
				return m, err
			}
			wait(c.fd, unix.POLLIN, time.Until(deadline))
		}
	}
	return nil, fmt.Errorf("no answer to %s", c.pending.Type)
}

// poll looks for the answer without waiting.
func (c *client) poll(b *batch) (*stun.Message, error) {
	var found *stun.Message
	_, err := c.messages(b, func(packet []byte) {
		if packet[0]&0xC0 != 0 || found != nil {
			return
		}
		m := &stun.Message{Raw: append([]byte(nil), packet...)}
		if m.Decode() == nil && m.TransactionID == c.pending.TransactionID {
			found = m
		}
	})
	if found == nil || err != nil {
		return nil, err
	}
	if found.Type.Class == stun.ClassErrorResponse {
		var code stun.ErrorCodeAttribute
		_ = code.GetFrom(found)
		_ = c.realm.GetFrom(found)
		_ = c.nonce.GetFrom(found)
		return nil, errorAnswer{c.pending.Type, code.Code, string(code.Reason)}
	}
	return found, nil
}

// request asks and waits, once more when the server wants credentials or a
// new nonce.
func (c *client) request(b *batch, method stun.Method, attributes ...stun.Setter) (*stun.Message, error) {
	for try := 0; ; try++ {
		if err := c.ask(method, attributes...); err != nil {
			return nil, err
		}
		m, err := c.answer(b)
		var refused errorAnswer
		if try == 0 && errors.As(err, &refused) &&
			(refused.code == stun.CodeUnauthorized || refused.code == stun.CodeStaleNonce) {
			c.authenticate()
			continue
		}
		return m, err
	}
}

// authenticate computes the long-term key from the realm of the last 401.
func (c *client) authenticate() {
	c.integrity = stun.NewLongTermIntegrity(c.username, string(c.realm), c.password)
}

func (c *client) allocate(b *batch) error {
	m, err := c.request(b, stun.MethodAllocate, requestedUDP())
	if err != nil {
		return err
	}
	c.relayed, err = relayedAddress(m)
	return err
}

func (c *client) permit(b *batch, peer netip.AddrPort) error {
	_, err := c.request(b, stun.MethodCreatePermission, peerAddress(peer))
	return err
}

func (c *client) bind(b *batch, channel uint16, peer netip.AddrPort) error {
	_, err := c.request(b, stun.MethodChannelBind, channelNumber(channel), peerAddress(peer))
	return err
}

func (c *client) refresh(b *batch, d time.Duration) error {
	_, err := c.request(b, stun.MethodRefresh, lifetime(d))
	return err
}
