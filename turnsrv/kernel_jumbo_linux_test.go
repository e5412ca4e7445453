//go:build linux && (amd64 || arm64)

package turnsrv

import (
	"bytes"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"turnhub/turnsrv/internal/turntest"
	"turnhub/turnsrv/internal/wire"
)

// jumbo is the MTU of networks that carry large frames.
const jumbo = 9000

// widen sets the MTU of the way to the clients ("c") or to the peers ("p").
func widen(t *testing.T, name, which string, mtu int) {
	t.Helper()
	for _, args := range [][]string{{"-n", name + "-s", "link", "set", which}, {"-n", name + "-" + which, "link", "set", "eth0"}} {
		if out, err := exec.Command("ip", append(args, "mtu", strconv.Itoa(mtu))...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
}

// up sends a payload to the peer, and down one to the client: it must arrive as it was, and
// inside the kernel or not.
func (c *call) up(n int, inside bool) {
	c.t.Helper()
	c.sends(n, inside, "to the peer", func(payload []byte) {
		c.client.Send(turntest.ChannelData(testChannel, payload, false))
		b := make([]byte, 1<<16)
		c.peer.SetReadDeadline(time.Now().Add(10 * time.Second))
		if got, _, err := c.peer.ReadFrom(b); err != nil || !bytes.Equal(b[:got], payload) {
			c.t.Fatalf("%d bytes to the peer: %d came, %v", n, got, err)
		}
	})
}

func (c *call) down(n int, inside bool) {
	c.t.Helper()
	c.sends(n, inside, "to the client", func(payload []byte) {
		if _, err := c.peer.WriteTo(payload, net.UDPAddrFromAddrPort(c.relayed)); err != nil {
			c.t.Fatal(err)
		}
		b := make([]byte, 1<<16)
		c.client.Conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		if got, err := c.client.Conn.Read(b); err != nil || !bytes.Equal(b[:got], turntest.ChannelData(testChannel, payload, false)) {
			c.t.Fatalf("%d bytes to the client: %d came, %v", n, got, err)
		}
	})
}

// sends sends a payload after a pause (PAUSE in relay.c), again where flows were entered
// anew meanwhile: an interface that has changed may be told of later.
func (c *call) sends(n int, inside bool, where string, send func(payload []byte)) {
	c.t.Helper()
	payload := make([]byte, n)
	for i := range payload {
		payload[i] = byte(i*7 + i>>8 + n)
	}
	const tries = 10
	for try := range tries {
		time.Sleep(20 * time.Millisecond)
		before := c.inKernel()
		send(payload)
		if passed := c.inKernel() != before; passed == inside {
			return
		} else if passed || try == tries-1 {
			c.t.Errorf("%d bytes %s: inside the kernel %v, want %v: %v", n, where, passed, inside, c.Stats().KernelRefused)
			return
		}
	}
}

// TestKernelJumbo has large frames pass inside the kernel where both sides' interfaces take
// them, to the byte; what the way out does not take goes through the process, which makes
// fragments of it.
func TestKernelJumbo(t *testing.T) {
	name := needsKernel(t)
	if name == "" {
		return
	}
	header := [...]int{28, 48}
	for _, mtu := range []struct{ c, p int }{{jumbo, jumbo}, {jumbo, 1500}, {1500, jumbo}} {
		widen(t, name, "c", mtu.c)
		widen(t, name, "p", mtu.p)
		for i, families := range [][2]wire.Family{{wire.IPv4, wire.IPv4}, {wire.IPv6, wire.IPv6}, {wire.IPv4, wire.IPv6}, {wire.IPv6, wire.IPv4}} {
			if i > 1 && mtu.c != mtu.p {
				break
			}
			// Every other one with checksums that the sender has made.
			for _, which := range []string{"c", "p"} {
				offloadsChecksums(t, which, false)
				within(t, name+"-"+which, func() error { offloadsChecksums(t, "eth0", i%2 == 0); return nil })
			}
			t.Run(fmt.Sprintf("clients %d peers %d %s to %s", mtu.c, mtu.p, families[0], families[1]), func(t *testing.T) {
				s := startKernel(t, name, nil)
				c := s.call("alice", families[0], families[1])
				c.begin()
				// What a client can send and get in one packet, and a peer: ChannelData has four
				// bytes more than it carries.
				client, peer := mtu.c-header[families[0]]-4, mtu.p-header[families[1]]
				both := min(client, peer)
				for _, n := range []int{1200, both} {
					c.up(n, true)
					c.down(n, true)
				}
				// It comes whole where the way in takes it, and does not leave whole.
				c.up(both+1, false)
				c.down(both+1, false)
				c.up(max(client, peer), false)
				c.down(max(client, peer), false)
				c.up(both, true)
				c.down(both, true)
			})
		}
	}
}
