package load

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"time"

	"github.com/pion/stun/v2"
)

// BindOptions say how many channels are set up. Each peer has an address of its own: the
// network must carry them all to where they are dropped in silence, or taken.
type BindOptions struct {
	Server    Server
	Secret    string
	PID       int
	Namespace string     // where the clients are
	Peers     netip.Addr // the first; the others follow
	Clients   int
	Channels  int // of each client
}

// A BindResult tells what a channel costs, and its first packet, by which it may become
// known to a faster path.
type BindResult struct {
	Channels  int     `json:"channels"`
	Failed    int     `json:"failed"`
	Refusal   string  `json:"refusal,omitempty"` // the first of them
	BindCPU   float64 `json:"bind_cpu"`          // seconds of the server's processor time for all of them
	PacketCPU float64 `json:"packet_cpu"`        // for the first packet of all of them
}

// settled is how long a server has to go to sleep before its clock is read: what a thread
// has used since it was last woken is in the clock of its process, for others, only then,
// and would be taken for a part of what comes next.
const settled = 2 * time.Millisecond

func usedAtRest(pid int) (time.Duration, error) {
	time.Sleep(settled)
	return CPUTime(pid)
}

// Bind sets channels up, one of each client at a time.
func Bind(ctx context.Context, o BindOptions) (r BindResult, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	b := newBatch(false)
	var clients []*client
	err = Within(o.Namespace, func() error {
		clients, err = newClients(o.Server, o.Secret, nil, 0, o.Clients)
		return err
	})
	if err != nil {
		return r, err
	}
	defer func() {
		_ = askAll(b, clients, stun.MethodRefresh, lifetime(0))
		for _, c := range clients {
			c.close()
		}
	}()
	if err := errors.Join(allocateAll(b, clients)...); err != nil {
		return r, err
	}
	packet := channelFrame(firstChannel, 172, false)
	peer := o.Peers
	for i := range o.Channels {
		times := [3]time.Duration{}
		if times[0], err = usedAtRest(o.PID); err != nil {
			return r, err
		}
		errs := askAll(b, clients, stun.MethodChannelBind, channelNumber(firstChannel+uint16(i)), peerAddress(netip.AddrPortFrom(peer, 9000)))
		for _, err := range errs {
			if r.Channels++; err == nil {
				continue
			}
			if r.Failed++; r.Refusal == "" {
				r.Refusal = err.Error()
			}
		}
		if times[1], err = usedAtRest(o.PID); err != nil {
			return r, err
		}
		packet.bytes[0], packet.bytes[1] = byte(0x40+i>>8), byte(i)
		for _, c := range clients {
			if err := c.write(packet.bytes); err != nil {
				return r, fmt.Errorf("send on a channel: %w", err)
			}
		}
		// An answered request says that what was sent before it has been dealt with.
		for _, c := range clients[len(clients)-1:] {
			if _, err := c.request(b, stun.MethodBinding); err != nil {
				return r, err
			}
		}
		if times[2], err = usedAtRest(o.PID); err != nil {
			return r, err
		}
		r.BindCPU += (times[1] - times[0]).Seconds()
		r.PacketCPU += (times[2] - times[1]).Seconds()
		peer = peer.Next()
		if ctx.Err() != nil {
			return r, ctx.Err()
		}
	}
	return r, nil
}
