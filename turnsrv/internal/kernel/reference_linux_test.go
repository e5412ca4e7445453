//go:build linux && (amd64 || arm64)

package kernel

import (
	"encoding/binary"
	"net/netip"
)

// The rules of relay.c once more, written from what they are for and not from how the
// program does it: what a test or the fuzzer gives to both must come out the same.

// rule is one flow: what comes from remote to local in a channel (0: plainly) leaves from
// source to target in the channel as (0: plainly).
type rule struct {
	remote, local, source, target netip.AddrPort
	channel, as                   uint16
	mtu                           int // of the way to target
}

type datagram struct {
	from, to netip.AddrPort
	payload  []byte
	sum      uint16 // of all that the UDP checksum covers, with it: 0xffff where it is right
}

func be(b []byte) int { return int(binary.BigEndian.Uint16(b)) }

// onesSum is the sum of RFC 1071, in the same class for 0 and 0xffff.
func onesSum(parts ...[]byte) uint16 {
	var n uint32
	for _, b := range parts {
		for ; len(b) > 1; b = b[2:] {
			n += uint32(be(b))
		}
		if len(b) == 1 {
			n += uint32(b[0]) << 8
		}
		n = n&0xffff + n>>16
	}
	if n = n&0xffff + n>>16; n == 0 {
		n = 0xffff
	}
	return uint16(n)
}

// plain takes a frame apart, and reports whether it is a plain UDP datagram that fills it:
// nothing else may be touched.
func plain(frame []byte) (d datagram, ok bool) {
	if len(frame) < 14 {
		return d, false
	}
	ip := frame[14:]
	var addresses, udp []byte
	switch {
	case be(frame[12:]) == 0x0800 && len(ip) >= 20:
		if ip[0] != 0x45 || ip[9] != 17 || be(ip[6:])&0x3fff != 0 || be(ip[2:]) != len(ip) || onesSum(ip[:20]) != 0xffff {
			return d, false
		}
		addresses, udp = ip[12:20], ip[20:]
	case be(frame[12:]) == 0x86dd && len(ip) >= 40:
		if ip[0]>>4 != 6 || ip[6] != 17 || be(ip[4:])+40 != len(ip) {
			return d, false
		}
		addresses, udp = ip[8:40], ip[40:]
	default:
		return d, false
	}
	if len(udp) < 8 || be(udp[4:]) != len(udp) || be(udp[6:]) == 0 {
		return d, false
	}
	half := len(addresses) / 2
	from, _ := netip.AddrFromSlice(addresses[:half])
	to, _ := netip.AddrFromSlice(addresses[half:])
	if from.Is4In6() || to.Is4In6() {
		return d, false
	}
	d.from, d.to = netip.AddrPortFrom(from, uint16(be(udp))), netip.AddrPortFrom(to, uint16(be(udp[2:])))
	d.payload = udp[8:]
	d.sum = onesSum(addresses, []byte{0, 17}, udp[4:6], udp)
	return d, true
}

// expected is what must leave, or ok is false: the frame goes on to the process unchanged.
func expected(frame []byte, rules []rule) (out datagram, n int, ok bool) {
	d, ok := plain(frame)
	if !ok || len(d.payload) < 4 { // nothing so short is ChannelData, and nothing media
		return out, 0, false
	}
	find := func(channel uint16) *rule {
		for i, r := range rules {
			if r.remote == d.from && r.local == d.to && r.channel == channel {
				return &rules[i]
			}
		}
		return nil
	}
	body := d.payload
	var r *rule
	if body[0]>>6 == 1 {
		if r = find(uint16(be(body))); r != nil {
			n, body = be(body[2:]), body[4:]
			if n > len(body) || len(body)-n > 3 {
				return out, 0, false
			}
			for _, b := range body[n:] {
				if b != 0 {
					return out, 0, false
				}
			}
			body = body[:n]
		}
	}
	if r == nil {
		r = find(0)
	}
	if r == nil || len(body) == 0 {
		return out, 0, false
	}
	out = datagram{from: r.source, to: r.target, sum: d.sum}
	if r.as != 0 {
		out.payload = binary.BigEndian.AppendUint16(nil, r.as)
		out.payload = binary.BigEndian.AppendUint16(out.payload, uint16(len(body)))
	}
	out.payload = append(out.payload, body...)
	head := 28
	if r.target.Addr().Is6() {
		head = 48
	}
	return out, len(body), head+len(out.payload) <= r.mtu
}

// frame makes a frame of a datagram, with right checksums.
func (d datagram) frame() []byte {
	udp := make([]byte, 8, 8+len(d.payload))
	binary.BigEndian.PutUint16(udp, d.from.Port())
	binary.BigEndian.PutUint16(udp[2:], d.to.Port())
	binary.BigEndian.PutUint16(udp[4:], uint16(8+len(d.payload)))
	udp = append(udp, d.payload...)
	from, to := d.from.Addr().AsSlice(), d.to.Addr().AsSlice()
	check := ^onesSum(from, to, []byte{0, 17}, udp[4:6], udp)
	if check == 0 {
		check = 0xffff
	}
	binary.BigEndian.PutUint16(udp[6:], check)
	b := make([]byte, 14, 14+40+len(udp))
	if d.from.Addr().Is4() {
		binary.BigEndian.PutUint16(b[12:], 0x0800)
		h := []byte{0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0}
		binary.BigEndian.PutUint16(h[2:], uint16(20+len(udp)))
		h = append(append(h, from...), to...)
		b = append(b, sealed(h)...)
	} else {
		binary.BigEndian.PutUint16(b[12:], 0x86dd)
		h := []byte{0x60, 0, 0, 0, 0, 0, 17, 64}
		binary.BigEndian.PutUint16(h[4:], uint16(len(udp)))
		b = append(append(append(b, h...), from...), to...)
	}
	return append(b, udp...)
}

// sealed gives an IPv4 header its checksum.
func sealed(h []byte) []byte {
	h[10], h[11] = 0, 0
	binary.BigEndian.PutUint16(h[10:], ^onesSum(h))
	return h
}
