//go:build linux && (amd64 || arm64)

package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"turnhub/turnsrv/internal/wire"
)

// routes asks the kernel which way packets go, and remembers it until something changes.
type routes struct {
	events   *os.File // rtnetlink: what changes
	policies *os.File // of IPsec; nil: the kernel has none
	asks     bool     // this process may ask which policies there are

	mu    sync.Mutex // guards:
	ask   int        // a socket; -1: closed
	seq   uint32
	known map[way]answer
	links map[uint32]widths // those where the program can be have some; nil: not known
	own   map[uint32]bool   // links with an address of this host
	ipsec bool
}

type way struct{ to, from wire.Endpoint } // ports are 0

type answer struct {
	route
	refused string
}

// widths are an interface's MTUs, by family.
type widths [wire.Families]uint32

// route is how a packet leaves, and where one that comes back comes in.
type route struct {
	index  uint32
	source wire.Endpoint
	next   wire.Endpoint // the neighbour; zero: the kernel looks for it
	mtu    uint16        // at most mostMTU
	passes bool          // what is known of it ends by itself
	asked  int64         // when, by the kernel's clock
}

const (
	maxRoutes = 1 << 16
	// groups are links, addresses, routes and rules of both families.
	groups = unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV4_ROUTE | unix.RTMGRP_IPV4_RULE |
		unix.RTMGRP_IPV6_IFADDR | unix.RTMGRP_IPV6_ROUTE | 1<<(unix.RTNLGRP_IPV6_RULE-1)
	policyGroup = 1 << (4 - 1) // XFRMNLGRP_POLICY
)

// newRoutes asks for routes. Policies is a socket from another process, or -1: this one
// may not be allowed to make its own. It is closed by close.
func newRoutes(policies int) (*routes, error) {
	r := &routes{ask: -1, known: make(map[way]answer)}
	events, err := netlink(unix.NETLINK_ROUTE, groups, unix.SOCK_NONBLOCK)
	if err != nil {
		return nil, err
	}
	r.events = os.NewFile(uintptr(events), "rtnetlink")
	if r.ask, err = netlink(unix.NETLINK_ROUTE, 0, 0); err != nil {
		r.close()
		return nil, err
	}
	own, err := netlink(unix.NETLINK_XFRM, policyGroup, unix.SOCK_NONBLOCK)
	switch {
	case err == nil:
		r.policies, r.asks = os.NewFile(uintptr(own), "xfrm"), true
		if policies >= 0 {
			unix.Close(policies)
		}
	case policies >= 0:
		unix.SetNonblock(policies, true)
		r.policies = os.NewFile(uintptr(policies), "xfrm")
		_, _, err := unix.Recvfrom(policies, make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
		r.ipsec = !errors.Is(err, unix.EAGAIN) // it has heard of one
	default:
		r.ipsec = errors.Is(err, unix.EPERM) // a kernel without it has no policies
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.look(); err != nil {
		r.events.Close()
		if r.policies != nil {
			r.policies.Close()
		}
		unix.Close(r.ask)
		return nil, err
	}
	return r, nil
}

func netlink(protocol int, groups uint32, flags int) (int, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|flags, protocol)
	if err != nil {
		return -1, fmt.Errorf("open netlink: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("bind netlink: %w", err)
	}
	unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 1})
	return fd, nil
}

func (r *routes) close() {
	r.events.Close()
	if r.policies != nil {
		r.policies.Close()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ask >= 0 {
		unix.Close(r.ask)
		r.ask = -1
	}
}

// watch calls changed after each change, until close. What was known is forgotten before.
func (r *routes) watch(changed func()) {
	buf := make([]byte, 1<<16)
	for {
		_, err := r.events.Read(buf)
		if err != nil && !errors.Is(err, unix.ENOBUFS) { // which says that there was more
			return
		}
		r.mu.Lock()
		clear(r.known)
		failed := r.look()
		r.mu.Unlock()
		if failed != nil {
			r.forgetLinks()
		}
		changed()
	}
}

// watchPolicies is watch for IPsec's policies.
func (r *routes) watchPolicies(changed func()) {
	if r.policies == nil {
		return
	}
	buf := make([]byte, 1<<15)
	for {
		_, err := r.policies.Read(buf)
		if err != nil && !errors.Is(err, unix.ENOBUFS) {
			return
		}
		r.mu.Lock()
		clear(r.known)
		r.ipsec = !r.asks || ipsec()
		r.mu.Unlock()
		changed()
	}
}

func (r *routes) forgetLinks() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.links)
}

// link reports whether an interface is there, and the program can be at it.
func (r *routes) link(index uint32) (usable, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w, ok := r.links[index]
	return w != widths{}, ok
}

// addressed are the interfaces with an address of this host.
func (r *routes) addressed() []uint32 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Keys(r.own))
}

// forget forgets all routes.
func (r *routes) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.known)
}

// narrower asks for the routes to addresses again, and returns those to which one is narrower
// than it was, or may be.
func (r *routes) narrower(to []wire.Endpoint) (changed []wire.Endpoint) {
	type found struct{ asked, changed bool }
	of := make(map[wire.Endpoint]*found, len(to))
	for _, e := range to {
		of[e.IP()] = new(found)
	}
	r.mu.Lock()
	for w, was := range r.known {
		f := of[w.to.IP()]
		if f == nil {
			continue
		}
		f.asked = true
		now := r.answer(w)
		was.asked = now.asked
		if f.changed = f.changed || now != was; !now.passes {
			r.known[w] = now
		} else {
			delete(r.known, w)
		}
	}
	r.mu.Unlock()
	for e, f := range of {
		if f.changed || !f.asked {
			changed = append(changed, e)
		}
	}
	return changed
}

// look sees which interfaces there are: those with Ethernet's header and whole packets
// do. mu is held.
func (r *routes) look() error {
	raw, err := syscall.NetlinkRIB(syscall.RTM_GETLINK, syscall.AF_UNSPEC)
	if err != nil {
		return fmt.Errorf("list interfaces: %w", err)
	}
	messages, err := syscall.ParseNetlinkMessage(raw)
	if err != nil {
		return fmt.Errorf("list interfaces: %w", err)
	}
	addresses, err := syscall.NetlinkRIB(syscall.RTM_GETADDR, syscall.AF_UNSPEC)
	if err != nil {
		return fmt.Errorf("list addresses: %w", err)
	}
	all, err := syscall.ParseNetlinkMessage(addresses)
	if err != nil {
		return fmt.Errorf("list addresses: %w", err)
	}
	r.own = make(map[uint32]bool)
	for _, m := range all {
		// One of the link alone is at the interface of every container.
		if m.Header.Type == syscall.RTM_NEWADDR && len(m.Data) >= syscall.SizeofIfAddrmsg && m.Data[3] != unix.RT_SCOPE_LINK {
			r.own[binary.LittleEndian.Uint32(m.Data[4:])] = true
		}
	}
	r.links = make(map[uint32]widths)
	for _, m := range messages {
		if m.Header.Type != syscall.RTM_NEWLINK || len(m.Data) < syscall.SizeofIfInfomsg {
			continue
		}
		kind := binary.LittleEndian.Uint16(m.Data[2:])
		index := binary.LittleEndian.Uint32(m.Data[4:])
		flags := binary.LittleEndian.Uint32(m.Data[8:])
		var w widths
		attributes := m.Data[syscall.SizeofIfInfomsg:]
		if v, ok := attribute(attributes, syscall.IFLA_MTU); ok && len(v) >= 4 {
			mtu := binary.LittleEndian.Uint32(v)
			w = widths{mtu, min(mtu, mtu6(attributes))}
		}
		// The loopback has Ethernet's header too, and no neighbours.
		ethernet := kind == syscall.ARPHRD_ETHER && flags&syscall.IFF_NOARP == 0
		if !ethernet && flags&syscall.IFF_LOOPBACK == 0 || w[wire.IPv4] < leastMTU {
			w = widths{}
		}
		r.links[index] = w
	}
	if r.asks {
		r.ipsec = ipsec()
	}
	return nil
}

// mtu6 is the MTU for IPv6 of an interface, of which a router may have told.
func mtu6(attributes []byte) uint32 {
	const inet6Conf, mtuIndex = 2, 2 // IFLA_INET6_CONF, DEVCONF_MTU6
	families, _ := attribute(attributes, unix.IFLA_AF_SPEC)
	six, _ := attribute(families, unix.AF_INET6)
	if conf, ok := attribute(six, inet6Conf); ok && len(conf) >= 4*(mtuIndex+1) {
		return binary.LittleEndian.Uint32(conf[4*mtuIndex:])
	}
	return leastMTU
}

// ipsec reports whether the host encrypts some packets by their addresses: the program
// would send them in the clear.
func ipsec() bool {
	fd, err := netlink(unix.NETLINK_XFRM, 0, 0)
	if err != nil {
		return errors.Is(err, unix.EPERM) // a kernel without it has no policies
	}
	defer unix.Close(fd)
	const getPolicy, newPolicy, identity = 0x15, 0x13, 64
	m := request(getPolicy, unix.NLM_F_REQUEST|unix.NLM_F_DUMP, 1, make([]byte, identity))
	if unix.Sendto(fd, m, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}) != nil {
		return true
	}
	buf := make([]byte, 1<<15)
	n, _, err := unix.Recvfrom(fd, buf, 0)
	if err != nil || n < unix.SizeofNlMsghdr {
		return true
	}
	return binary.LittleEndian.Uint16(buf[4:]) == newPolicy
}

func request(kind, flags uint16, seq uint32, body []byte) []byte {
	m := make([]byte, unix.SizeofNlMsghdr, unix.SizeofNlMsghdr+len(body))
	binary.LittleEndian.PutUint32(m, uint32(unix.SizeofNlMsghdr+len(body)))
	binary.LittleEndian.PutUint16(m[4:], kind)
	binary.LittleEndian.PutUint16(m[6:], flags)
	binary.LittleEndian.PutUint32(m[8:], seq)
	return append(m, body...)
}

// attribute returns one of a message's attributes, which have lengths of multiples of four.
func attribute(b []byte, wanted uint16) (v []byte, ok bool) {
	for len(b) >= 4 {
		n := int(binary.LittleEndian.Uint16(b))
		if n < 4 || n > len(b) {
			break
		}
		if binary.LittleEndian.Uint16(b[2:])&^0xc000 == wanted {
			return b[4:n], true
		}
		b = b[min((n+3)&^3, len(b)):]
	}
	return nil, false
}

// to returns how packets go to an address, from one of this host's or, where its IP is
// zero, from the one that the system chooses. Refused says why they cannot pass in the
// kernel.
func (r *routes) to(to, from wire.Endpoint) (_ route, refused string) {
	key := way{to.IP(), from.IP()}
	r.mu.Lock()
	defer r.mu.Unlock()
	if a, ok := r.known[key]; ok {
		return a.route, a.refused
	}
	if r.ask < 0 {
		return route{}, "closed"
	}
	if r.ipsec {
		return route{}, "ipsec"
	}
	a := r.answer(key)
	if len(r.known) >= maxRoutes {
		clear(r.known)
	}
	if !a.passes {
		r.known[key] = a
	}
	return a.route, a.refused
}

// answer asks, and looks at the interface. mu is held.
func (r *routes) answer(key way) (a answer) {
	asked := monotonic()
	a.route, a.refused = r.query(key)
	a.asked = asked
	if a.refused != "" {
		return a
	}
	w := r.links[a.index]
	if w == (widths{}) {
		a.refused = "interface"
		return a
	}
	if a.mtu = uint16(min(w[key.to.Family()], uint32(a.mtu))); a.mtu < leastMTU {
		a.refused = "mtu"
	}
	return a
}

// query asks the kernel. mu is held.
func (r *routes) query(w way) (_ route, refused string) {
	family, size := byte(unix.AF_INET), 4
	if !w.to.Is4() {
		family, size = unix.AF_INET6, 16
	}
	body := make([]byte, unix.SizeofRtMsg, 64)
	body[0], body[1] = family, byte(8*size)
	add := func(kind uint16, e wire.Endpoint) {
		raw := e.Bytes16()
		body = binary.LittleEndian.AppendUint16(body, uint16(4+size))
		body = binary.LittleEndian.AppendUint16(body, kind)
		body = append(body, raw[16-size:]...)
	}
	add(unix.RTA_DST, w.to)
	if w.from != (wire.Endpoint{}) {
		if w.from.Is4() != w.to.Is4() {
			return route{}, "route"
		}
		body[2] = byte(8 * size)
		add(unix.RTA_SRC, w.from)
	}
	r.seq++
	m := request(unix.RTM_GETROUTE, unix.NLM_F_REQUEST, r.seq, body)
	if unix.Sendto(r.ask, m, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}) != nil {
		return route{}, "route"
	}
	var buf [4096]byte
	for {
		n, _, err := unix.Recvfrom(r.ask, buf[:], 0)
		if err != nil || n < unix.SizeofNlMsghdr+unix.SizeofRtMsg {
			return route{}, "route"
		}
		b := buf[:n]
		if binary.LittleEndian.Uint32(b[8:]) != r.seq {
			continue // of a request that was given up; the socket's timeout bounds this
		}
		if binary.LittleEndian.Uint16(b[4:]) != unix.RTM_NEWROUTE {
			return route{}, "route"
		}
		return read(b[unix.SizeofNlMsghdr:], w)
	}
}

// read takes a route out of the kernel's answer.
func read(b []byte, w way) (found route, refused string) {
	local := b[7] == unix.RTN_LOCAL // an address of this host, over the loopback
	if b[7] != unix.RTN_UNICAST && !local {
		return route{}, "route"
	}
	b = b[unix.SizeofRtMsg:]
	if _, tunnel := attribute(b, unix.RTA_ENCAP); tunnel {
		return route{}, "tunnel"
	}
	if !local {
		found.next = w.to
		if gateway, ok := attribute(b, unix.RTA_GATEWAY); ok {
			found.next = wire.EndpointBytes(gateway)
		} else if _, ok := attribute(b, unix.RTA_VIA); ok { // of the other family: left to the kernel
			found.next = wire.Endpoint{}
		}
	}
	index, ok := attribute(b, unix.RTA_OIF)
	if !ok || len(index) < 4 {
		return route{}, "route"
	}
	found.index = binary.LittleEndian.Uint32(index)
	found.source = w.from
	if source, ok := attribute(b, unix.RTA_PREFSRC); ok && w.from == (wire.Endpoint{}) {
		found.source = wire.EndpointBytes(source)
	}
	if found.source == (wire.Endpoint{}) {
		return route{}, "route"
	}
	found.mtu = mostMTU
	if metrics, ok := attribute(b, unix.RTA_METRICS); ok {
		if mtu, ok := attribute(metrics, unix.RTAX_MTU); ok && len(mtu) >= 4 {
			found.mtu = uint16(min(binary.LittleEndian.Uint32(mtu), mostMTU))
		}
		// What the kernel was told by a router it forgets (rta_expires).
		if info, ok := attribute(b, unix.RTA_CACHEINFO); ok && len(info) >= 12 && binary.LittleEndian.Uint32(info[8:]) != 0 {
			found.passes = true
		}
	}
	return found, ""
}
