package differential

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"turnhub/internal/freeport"
)

func freePort(t *testing.T, ip netip.Addr) netip.AddrPort {
	return netip.AddrPortFrom(ip, uint16(freeport.Any(t)))
}

// waitForAnswer asks until a Binding request is answered.
func waitForAnswer(t *testing.T, addr netip.AddrPort) {
	buffer := make([]byte, 1500)
	for begin := time.Now(); time.Since(begin) < 20*time.Second; {
		c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(addr))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write(newMessage(methodBinding, [12]byte{1}))
		_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		n, _ := c.Read(buffer)
		c.Close()
		if n > 0 {
			return
		}
	}
	t.Fatalf("no answer from %s", addr)
}
