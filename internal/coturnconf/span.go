package coturnconf

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// span is a range of addresses of one family, both ends included.
type span struct{ from, to netip.Addr }

// parseSpan reads coturn's ip, ip-ip and ip/bits.
func parseSpan(text string) (span, error) {
	if prefix, err := netip.ParsePrefix(text); err == nil && !prefix.Addr().Is4In6() {
		return span{prefix.Masked().Addr(), last(prefix)}, nil
	}
	first, second, ranged := strings.Cut(text, "-")
	from, err := plainAddr(first)
	if err != nil {
		return span{}, fmt.Errorf("%q is not an address", first)
	}
	if !ranged {
		return span{from, from}, nil
	}
	to, err := plainAddr(second)
	if err != nil {
		return span{}, fmt.Errorf("%q is not an address", second)
	}
	if from.BitLen() != to.BitLen() || to.Less(from) {
		return span{}, fmt.Errorf("%s is not a range", text)
	}
	return span{from, to}, nil
}

// plainAddr reads an address without a zone.
func plainAddr(text string) (netip.Addr, error) {
	addr, err := netip.ParseAddr(strings.TrimSpace(text))
	return addr.Unmap().WithZone(""), err
}

// last is the highest address of a prefix.
func last(p netip.Prefix) netip.Addr {
	bytes := p.Masked().Addr().AsSlice()
	for bit := p.Bits(); bit < len(bytes)*8; bit++ {
		bytes[bit/8] |= 0x80 >> (bit % 8)
	}
	addr, _ := netip.AddrFromSlice(bytes)
	return addr
}

// subtract takes the second spans out of the first.
func subtract(from, out []span) []span {
	left := slices.Clone(from)
	for _, o := range out {
		var next []span
		for _, s := range left {
			if s.from.BitLen() != o.from.BitLen() || o.to.Less(s.from) || s.to.Less(o.from) {
				next = append(next, s)
				continue
			}
			if s.from.Less(o.from) {
				next = append(next, span{s.from, o.from.Prev()})
			}
			if o.to.Less(s.to) {
				next = append(next, span{o.to.Next(), s.to})
			}
		}
		left = next
	}
	return left
}

// prefixes covers spans exactly, each by as few CIDRs as it takes.
func prefixes(spans []span) []string {
	var all []string
	seen := make(map[string]bool)
	for _, s := range spans {
		for from := s.from; ; {
			bits := from.BitLen()
			for bits > 0 {
				wider := netip.PrefixFrom(from, bits-1)
				if wider.Masked().Addr() != from || s.to.Less(last(wider)) {
					break
				}
				bits--
			}
			prefix := netip.PrefixFrom(from, bits)
			if text := prefix.String(); !seen[text] {
				seen[text] = true
				all = append(all, text)
			}
			end := last(prefix)
			if !end.Less(s.to) {
				break
			}
			from = end.Next()
		}
	}
	return all
}
