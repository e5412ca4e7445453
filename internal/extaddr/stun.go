package extaddr

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/pion/stun/v2"
)

// stunRetransmit is the first retransmission timeout of a Binding request, RFC
// 8489 section 6.2.1; it doubles each time.
const stunRetransmit = 250 * time.Millisecond

// reflexive is what a STUN server saw of us.
type reflexive struct {
	server string
	local  netip.AddrPort
	mapped netip.AddrPort
}

// preserved reports whether the NAT kept the port, as every 1:1 NAT does.
func (r reflexive) preserved() bool { return r.local.Port() == r.mapped.Port() }

// askSTUN asks all servers at once from local and returns the first answer. The
// socket is bound inside the relay's own port range, so that the answer says what
// happens to relayed traffic.
func askSTUN(ctx context.Context, servers []string, local netip.Addr, portMin, portMax uint16) (reflexive, error) {
	if len(servers) == 0 {
		return reflexive{}, errors.New("no STUN server is configured")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type answer struct {
		reflexive
		err error
	}
	answers := make(chan answer, len(servers))
	for _, server := range servers {
		go func() {
			r, err := binding(ctx, server, local, portMin, portMax)
			answers <- answer{r, err}
		}()
	}
	var found reflexive
	var failures []error
	for range servers {
		a := <-answers
		if a.err != nil {
			failures = append(failures, a.err)
		} else if !found.mapped.IsValid() {
			found = a.reflexive
			cancel()
		}
	}
	if found.mapped.IsValid() {
		return found, nil
	}
	return reflexive{}, errors.Join(failures...)
}

// binding makes one Binding request to a server "host", "host:port" or
// "stun:host:port".
func binding(ctx context.Context, server string, local netip.Addr, portMin, portMax uint16) (reflexive, error) {
	address := strings.TrimPrefix(server, "stun:")
	if _, _, err := net.SplitHostPort(address); err != nil {
		address = net.JoinHostPort(strings.Trim(address, "[]"), "3478")
	}
	conn, err := dialFromRange(ctx, address, local, portMin, portMax)
	if err != nil {
		return reflexive{}, fmt.Errorf("STUN server %s: %w", server, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()

	request, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.Fingerprint)
	if err != nil {
		return reflexive{}, err
	}
	buffer := make([]byte, 1500)
	for timeout := stunRetransmit; ctx.Err() == nil; timeout *= 2 {
		if _, err := conn.Write(request.Raw); err != nil {
			return reflexive{}, fmt.Errorf("STUN server %s: %w", server, err)
		}
		conn.SetReadDeadline(time.Now().Add(timeout))
		if ctx.Err() != nil {
			break // the deadline of the AfterFunc may just have been overwritten
		}
		for {
			n, err := conn.Read(buffer)
			if errors.Is(err, net.ErrClosed) || err != nil && !isTimeout(err) {
				return reflexive{}, fmt.Errorf("STUN server %s: %w", server, err)
			}
			if err != nil {
				break // retransmit
			}
			answer := &stun.Message{Raw: append([]byte(nil), buffer[:n]...)}
			if answer.Decode() != nil || answer.TransactionID != request.TransactionID || answer.Type != stun.BindingSuccess {
				continue
			}
			var mapped stun.XORMappedAddress
			if err := mapped.GetFrom(answer); err != nil {
				return reflexive{}, fmt.Errorf("STUN server %s answered without an address", server)
			}
			addr, _ := netip.AddrFromSlice(mapped.IP)
			return reflexive{
				server: server,
				local:  conn.LocalAddr().(*net.UDPAddr).AddrPort(),
				mapped: netip.AddrPortFrom(addr.Unmap(), uint16(mapped.Port)),
			}, nil
		}
	}
	return reflexive{}, fmt.Errorf("STUN server %s did not answer", server)
}

// dialFromRange connects a UDP socket from a free port of the range, or from any
// port when a few tries have not found one.
func dialFromRange(ctx context.Context, address string, local netip.Addr, portMin, portMax uint16) (net.Conn, error) {
	network := "udp4"
	if local.Is6() {
		network = "udp6"
	}
	var err error
	for try := range 4 {
		from := netip.AddrPortFrom(local, 0)
		if portMax > portMin && try < 3 {
			span := uint32(portMax) - uint32(portMin) + 1
			from = netip.AddrPortFrom(local, portMin+uint16(uint32(time.Now().UnixNano())%span))
		}
		dialer := net.Dialer{LocalAddr: net.UDPAddrFromAddrPort(from)}
		var conn net.Conn
		if conn, err = dialer.DialContext(ctx, network, address); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}
