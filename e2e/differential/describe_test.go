package differential

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/pion/stun/v2"
)

// describe puts a response into words that are the same for the same answer of
// both servers, and learns nonce, relayed addresses and token from it.
func (s *side) describe(c *sideClient, m *stun.Message) string {
	words := []string{m.Type.String()}
	if m.Type == stun.NewType(stun.MethodAllocate, stun.ClassSuccessResponse) && len(c.relayed) > 0 {
		words = append(words, "second allocation")
	}
	if m.Type.Class == stun.ClassErrorResponse {
		var code stun.ErrorCodeAttribute
		if err := code.GetFrom(m); err != nil {
			return words[0] + " without ERROR-CODE"
		}
		words = append(words, fmt.Sprintf("%d", code.Code))
	}
	for _, a := range m.Attributes {
		words = append(words, s.attribute(c, m, a)...)
	}
	slices.Sort(words[1:])
	if m.Type == stun.NewType(stun.MethodRefresh, stun.ClassSuccessResponse) {
		if v, err := m.Get(stun.AttrLifetime); err == nil && len(v) == 4 && binary.BigEndian.Uint32(v) == 0 {
			c.ended = true
		}
	}
	return strings.Join(words, " ")
}

func (s *side) attribute(c *sideClient, m *stun.Message, a stun.RawAttribute) []string {
	switch a.Type {
	case stun.AttrXORMappedAddress:
		if xorAddress(m, a.Type) != local(c.UDPConn) {
			return []string{"mapped=wrong"}
		}
		return []string{"mapped"}
	case stun.AttrXORRelayedAddress:
		return []string{s.relayedAddress(c, m, a)}
	case stun.AttrLifetime:
		return []string{fmt.Sprintf("lifetime=%d", binary.BigEndian.Uint32(a.Value))}
	case stun.AttrUnknownAttributes:
		return []string{fmt.Sprintf("unknown=% x", a.Value)}
	case stun.AttrReservationToken:
		c.token = slices.Clone(a.Value)
		return []string{"token"}
	case stun.AttrRealm:
		return []string{"realm=" + string(a.Value)}
	case stun.AttrNonce:
		c.nonce = slices.Clone(a.Value)
		return []string{"nonce"}
	case stun.AttrMessageIntegrity:
		if stun.MessageIntegrity(c.key).Check(m) != nil {
			return []string{"integrity=wrong"}
		}
		return []string{"integrity"}
	case stun.AttrFingerprint:
		if stun.Fingerprint.Check(m) != nil {
			return []string{"fingerprint=wrong"}
		}
		return nil // a responder may add one
	case stun.AttrErrorCode, stun.AttrSoftware:
		return nil
	case stun.AttrMappedAddress, stun.AttrResponseOrigin, stun.AttrOtherAddress:
		return nil // for clients of RFC 3489 and RFC 5780; coturn adds them in some modes
	}
	return []string{fmt.Sprintf("%v", a.Type)}
}

// relayedAddress notes the address; what is the same on both sides is its family
// and, where EVEN-PORT was asked for, that it is even.
func (s *side) relayedAddress(c *sideClient, m *stun.Message, a stun.RawAttribute) string {
	one := &stun.Message{Raw: m.Raw, TransactionID: m.TransactionID, Attributes: stun.Attributes{a}}
	addr := xorAddress(one, a.Type)
	if addr.Port() == 0 {
		return fmt.Sprintf("relayed=nonsense(% x)", a.Value)
	}
	if m.Type == stun.NewType(stun.MethodAllocate, stun.ClassSuccessResponse) && !slices.Contains(c.relayed, addr) {
		c.relayed = append(c.relayed, addr)
	}
	if addr.Addr().Is6() {
		return "relayed=IPv6"
	}
	return "relayed=IPv4"
}

func xorAddress(m *stun.Message, t stun.AttrType) netip.AddrPort {
	var x stun.XORMappedAddress
	if x.GetFromAs(m, t) != nil {
		return netip.AddrPort{}
	}
	ip, _ := netip.AddrFromSlice(x.IP)
	return netip.AddrPortFrom(ip.Unmap(), uint16(x.Port))
}
