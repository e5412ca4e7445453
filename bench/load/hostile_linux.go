package load

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/stun/v2"
)

// HostileOptions say what a few clients send while somebody else's Binding requests
// are timed.
type HostileOptions struct {
	Server   Server // over TCP
	Secret   string
	PID      int
	Kind     string // what they send: see HostileKinds
	Clients  int
	Rate     int // bytes per second over all clients
	Duration time.Duration
}

// HostileKinds are ordinary media, which all others are compared with, and requests
// that are as dear as can be for their bytes: one CreatePermission with 5,000
// addresses, all the same or all different; a Refresh with 60 KiB of padding in
// many attributes or in one; small requests back to back.
var HostileKinds = []string{"data", "repeated", "distinct", "attributes", "padding", "small"}

// A HostileResult tells what the others noticed.
type HostileResult struct {
	Seconds   float64 `json:"seconds"`
	Bytes     int64   `json:"bytes"` // that the clients have sent
	Pings     int     `json:"pings"`
	Lost      int     `json:"lost"`       // pings without an answer in 200 ms
	P50       float64 `json:"p50"`        // of the round trip, in microseconds
	P90       float64 `json:"p90"`        // likewise
	ServerCPU float64 `json:"server_cpu"` // seconds
}

// Hostile runs the clients and times a Binding request after the other over UDP.
func Hostile(ctx context.Context, o HostileOptions) (r HostileResult, err error) {
	ctx, cancel := context.WithTimeout(ctx, o.Duration)
	defer cancel()
	var sent atomic.Int64
	var sending sync.WaitGroup
	defer sending.Wait()
	for i := range o.Clients {
		conn, message, err := hostileClient(o, i)
		if err != nil {
			cancel()
			return r, fmt.Errorf("client %d: %w", i, err)
		}
		sending.Go(func() {
			defer conn.Close()
			go discard(conn)
			each := time.Duration(float64(len(message)*o.Clients) / float64(o.Rate) * float64(time.Second))
			for due := time.Now(); ctx.Err() == nil; due = due.Add(each) {
				if pause(ctx, time.Until(due)) != nil {
					return
				}
				_ = conn.SetWriteDeadline(time.Now().Add(o.Duration))
				n, err := conn.Write(message)
				sent.Add(int64(n))
				if err != nil {
					return
				}
			}
		})
	}
	begin, err := CPUTime(o.PID)
	if err != nil {
		return r, err
	}
	start := time.Now()
	times, lost, err := pings(ctx, o.Server.Address)
	if err != nil {
		return r, err
	}
	end, err := CPUTime(o.PID)
	if err != nil {
		return r, err
	}
	slices.Sort(times)
	if len(times) == 0 {
		return r, errors.New("no Binding request was sent")
	}
	r = HostileResult{
		Seconds: time.Since(start).Seconds(), Bytes: sent.Load(), Pings: len(times), Lost: lost,
		P50: times[len(times)/2], P90: times[len(times)*9/10], ServerCPU: (end - begin).Seconds(),
	}
	return r, nil
}

func discard(conn net.Conn) {
	b := make([]byte, 1<<16)
	for {
		if _, err := conn.Read(b); err != nil {
			return
		}
	}
}

// pings asks again a millisecond after each answer, and returns the round trips in
// microseconds.
func pings(ctx context.Context, server netip.AddrPort) (times []float64, lost int, err error) {
	const patience = 200 * time.Millisecond
	conn, err := net.Dial("udp", server.String())
	if err != nil {
		return nil, 0, err
	}
	defer conn.Close()
	b := make([]byte, 1500)
	for ctx.Err() == nil {
		m, err := stun.Build(stun.TransactionID, stun.BindingRequest)
		if err != nil {
			return nil, 0, err
		}
		start := time.Now()
		_ = conn.SetReadDeadline(start.Add(patience))
		if _, err := conn.Write(m.Raw); err != nil {
			return nil, 0, err
		}
		for {
			n, err := conn.Read(b)
			if err != nil {
				lost++
				break
			}
			if n >= 20 && string(b[8:20]) == string(m.TransactionID[:]) {
				break
			}
		}
		times = append(times, float64(time.Since(start).Nanoseconds())/1000)
		_ = pause(ctx, time.Millisecond)
	}
	return times, lost, nil
}

// hostileClient allocates over TCP and returns what it is to send over and over.
func hostileClient(o HostileOptions, i int) (net.Conn, []byte, error) {
	c, err := net.Dial("tcp", o.Server.Address.String())
	if err != nil {
		return nil, nil, err
	}
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	h := &hostile{Conn: c}
	h.username, h.password = Mint(o.Secret, "hostile"+strconv.Itoa(i))
	message, err := h.prepare(o.Kind)
	if err != nil {
		c.Close()
		return nil, nil, err
	}
	_ = c.SetDeadline(time.Time{})
	return c, message, nil
}

type hostile struct {
	net.Conn
	username, password string
	realm              stun.Realm
	nonce              stun.Nonce
	integrity          stun.MessageIntegrity
}

func (h *hostile) build(method stun.Method, attributes ...stun.Setter) (*stun.Message, error) {
	setters := append([]stun.Setter{stun.TransactionID, stun.NewType(method, stun.ClassRequest)}, attributes...)
	if h.integrity != nil {
		setters = append(setters, stun.NewUsername(h.username), h.realm, h.nonce, h.integrity)
	}
	return stun.Build(setters...)
}

func (h *hostile) ask(method stun.Method, attributes ...stun.Setter) (*stun.Message, error) {
	m, err := h.build(method, attributes...)
	if err != nil {
		return nil, err
	}
	if _, err := h.Write(m.Raw); err != nil {
		return nil, err
	}
	res := &stun.Message{Raw: make([]byte, 2048)}
	if _, err := res.ReadFrom(h); err != nil {
		return nil, err
	}
	return res, nil
}

func (h *hostile) prepare(kind string) ([]byte, error) {
	res, err := h.ask(stun.MethodAllocate, requestedUDP())
	if err != nil {
		return nil, err
	}
	if err := errors.Join(h.realm.GetFrom(res), h.nonce.GetFrom(res)); err != nil {
		return nil, err
	}
	h.integrity = stun.NewLongTermIntegrity(h.username, string(h.realm), h.password)
	if res, err = h.ask(stun.MethodAllocate, requestedUDP()); err != nil {
		return nil, err
	}
	relayed, err := relayedAddress(res)
	if err != nil {
		return nil, err
	}
	sink := netip.AddrPortFrom(relayed.Addr(), 9) // nobody there: the relay's cost alone
	addresses := func(of func(n int) netip.AddrPort) (all []stun.Setter) {
		for n := range 5000 {
			all = append(all, peerAddress(of(n)))
		}
		return all
	}
	var m *stun.Message
	switch kind {
	case "data":
		if res, err = h.ask(stun.MethodChannelBind, channelNumber(firstChannel), peerAddress(sink)); err != nil {
			return nil, err
		}
		if res.Type.Class != stun.ClassSuccessResponse {
			return nil, fmt.Errorf("ChannelBind: %v", res)
		}
		frame := make([]byte, 1204)
		binary.BigEndian.PutUint16(frame, firstChannel)
		binary.BigEndian.PutUint16(frame[2:], 1200)
		return slices.Repeat(frame, 50), nil // in writes like those of the others
	case "repeated":
		m, err = h.build(stun.MethodCreatePermission, addresses(func(int) netip.AddrPort { return sink })...)
	case "distinct":
		m, err = h.build(stun.MethodCreatePermission, addresses(func(n int) netip.AddrPort {
			return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 99, byte(n >> 8), byte(n)}), 9)
		})...)
	case "attributes":
		m, err = h.build(stun.MethodRefresh, slices.Repeat([]stun.Setter{stun.RawAttribute{Type: 0xFFF0}}, 15000)...)
	case "padding":
		m, err = h.build(stun.MethodRefresh, stun.RawAttribute{Type: 0xFFF0, Value: make([]byte, 60000)})
	case "small":
		if m, err = h.build(stun.MethodCreatePermission, peerAddress(sink)); err == nil {
			return slices.Repeat(m.Raw, 400), nil
		}
	default:
		return nil, fmt.Errorf("%q is none of %v", kind, HostileKinds)
	}
	if err != nil {
		return nil, err
	}
	return m.Raw, nil
}
