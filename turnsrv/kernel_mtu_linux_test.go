//go:build linux && (amd64 || arm64)

package turnsrv

import (
	"bytes"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"turnhub/turnsrv/internal/turntest"
	"turnhub/turnsrv/internal/wire"
)

// narrowNetwork adds a network behind one of the two others, which becomes its router, with
// a smaller MTU between them. It returns the namespace of a host there.
func narrowNetwork(t *testing.T, name, behind string, mtu int) string {
	t.Helper()
	subnet := map[string]string{"c": "1", "p": "2"}[behind]
	far := name + "-" + behind + "-far"
	commands := strings.NewReplacer("FAR", far, "NAME", name, "BEHIND", behind, "SUBNET", subnet, "MTU", fmt.Sprint(mtu)).Replace(`
		ip netns add FAR
		ip link add far netns NAME-BEHIND type veth peer name eth0 netns FAR
		ip -n NAME-BEHIND link set far addrgenmode none mtu MTU; ip -n FAR link set eth0 addrgenmode none mtu MTU
		ip -n NAME-BEHIND addr add 10.78.SUBNET.1/24 dev far; ip -n NAME-BEHIND addr add fd78:SUBNET::1/64 dev far nodad
		ip -n FAR addr add 10.78.SUBNET.2/24 dev eth0; ip -n FAR addr add fd78:SUBNET::2/64 dev eth0 nodad
		ip -n NAME-BEHIND link set far up; ip -n FAR link set eth0 up
		ip -n FAR route add default via 10.78.SUBNET.1; ip -n FAR -6 route add default via fd78:SUBNET::1
		# without addresses of these no router asks for neighbours
		ip -n NAME-BEHIND addr add fe80::1/64 dev far nodad; ip -n NAME-BEHIND addr add fe80::2/64 dev eth0 nodad
		ip netns exec NAME-BEHIND sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding'
		ip route add 10.78.SUBNET.0/24 via 10.77.SUBNET.2; ip -6 route add fd78:SUBNET::/64 via fd77:SUBNET::2`)
	t.Cleanup(func() {
		if out, err := exec.Command("ip", "netns", "del", far).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	if out, err := exec.Command("sh", "-ec", commands).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return far
}

// TestKernelPathMTU has packets pass inside the kernel that are as long as the way takes,
// and more than every way must: where a router on it then says that it takes less, those
// that it takes go on passing there, and the longer ones through the process, in fragments.
func TestKernelPathMTU(t *testing.T) {
	name := needsKernel(t)
	if name == "" {
		return
	}
	const mtu = 1400
	for _, behind := range []string{"c", "p"} {
		far := narrowNetwork(t, name, behind, mtu)
		for _, family := range []wire.Family{wire.IPv4, wire.IPv6} {
			t.Run(fmt.Sprintf("behind %s, %s", behind, family), func(t *testing.T) {
				s := startKernel(t, name, nil)
				c := &call{kernelServer: s}
				allocate := turntest.Family(wire.FamilyIPv4)
				if family == wire.IPv6 {
					allocate = turntest.Family(wire.FamilyIPv6)
				}
				if behind == "c" {
					var conn net.Conn
					within(t, far, func() (err error) {
						conn, err = net.Dial("udp", [...]string{"10.77.1.1:3478", "[fd77:1::1]:3478"}[family])
						return err
					})
					c.client, c.peer = newRaw(t, s.testServer, conn, "alice", false), s.peer(family)
				} else {
					c.client = s.client("alice", family)
					within(t, far, func() (err error) {
						c.peer, err = net.ListenPacket("udp", [...]string{"10.78.2.2:0", "[fd78:2::2]:0"}[family])
						return err
					})
					t.Cleanup(func() { c.peer.Close() })
				}
				c.relayed = c.client.Allocate(allocate)[0]
				c.bind()
				c.begin()
				// Of the long way alone: the client adds four bytes, and takes them off.
				head := [...]int{28, 48}[family]
				if behind == "c" {
					head += 4
				}
				wait := 200 * time.Millisecond // for what does not arrive
				send := func(n int) (arrived bool) {
					t.Helper()
					payload := bytes.Repeat([]byte{byte(n)}, n)
					if behind == "c" {
						if _, err := c.peer.WriteTo(payload, net.UDPAddrFromAddrPort(c.relayed)); err != nil {
							t.Fatal(err)
						}
						c.client.Conn.SetReadDeadline(time.Now().Add(wait))
						b := make([]byte, 2000)
						for {
							got, err := c.client.Conn.Read(b)
							if err != nil {
								return false
							}
							if got == n+4 {
								return bytes.Equal(b[4:got], payload)
							}
						}
					}
					c.client.Send(turntest.ChannelData(testChannel, payload, false))
					c.peer.SetReadDeadline(time.Now().Add(wait))
					b := make([]byte, 2000)
					got, _, err := c.peer.ReadFrom(b)
					return err == nil && bytes.Equal(b[:got], payload)
				}
				long, fits := 1420-head, mtu-head
				n := s.inKernel()
				if send(long) {
					t.Fatal("a packet has passed that is too long")
				}
				if s.inKernel() != n+1 {
					t.Fatal("a packet that the first part of the way takes has not passed inside the kernel")
				}
				wait = 5 * time.Second
				// The router has said so: from now on it comes in fragments, at once and after the
				// process has asked how wide the way is.
				pause := func() { time.Sleep(30 * time.Millisecond) }
				deadline := time.Now().Add(10 * time.Second)
				for i := 0; ; i++ {
					c.exchange([]byte("of the client, which enters the flows"), false)
					if pause(); !send(long) {
						t.Fatalf("packet %d that is too long is lost", i)
					}
					before := s.inKernel()
					pause()
					if send(fits) && s.inKernel() == before+1 {
						pause()
						if send(fits) && s.inKernel() == before+2 {
							break
						}
					}
					if time.Now().After(deadline) {
						t.Fatal("what the way takes does not pass inside the kernel any more: ", s.Stats().KernelRefused)
					}
				}
				before := s.inKernel()
				for range 3 {
					if pause(); !send(long) {
						t.Error("a packet that is too long is lost")
					}
				}
				if s.inKernel() != before {
					t.Error("a packet that is too long has passed inside the kernel")
				}
			})
		}
	}
}
