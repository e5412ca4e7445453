//go:build linux && (amd64 || arm64)

package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// What is asked of rtnetlink about qdiscs and filters, see rtnetlink(7) and, in Linux,
// include/uapi/linux/rtnetlink.h and pkt_cls.h.

const (
	tcClsact  = 0xfffffff1 // TC_H_CLSACT, a qdisc's parent
	tcHandle  = 0xffff0000 // of that qdisc
	tcIngress = 0xfffffff2 // TC_H_MAJ(TC_H_CLSACT) | TC_H_MIN_INGRESS, a filter's parent
	tcEgress  = 0xfffffff3

	tcaBPFFD, tcaBPFName, tcaBPFFlags = 6, 7, 8
	directAction                      = 1 // TCA_BPF_FLAG_ACT_DIRECT

	sizeofTcMsg = 20
	nested      = 1 << 15                         // NLA_F_NESTED
	everything  = 0x0300                          // ETH_P_ALL, in network order
	filterInfo  = filterPriority<<16 | everything // tcm_info
	answerTime  = 10                              // seconds: the system may have to load a module first
	dumpTries   = 5                               // while it changes
)

// tc is what is known of a qdisc or filter.
type tc struct {
	index, handle, parent, info uint32
	attributes                  []byte
}

// bpfName is the name of a filter that is a program; empty: it is another one, or has none.
func (m tc) bpfName() string {
	kind, _ := attribute(m.attributes, unix.TCA_KIND)
	options, _ := attribute(m.attributes, unix.TCA_OPTIONS)
	name, _ := attribute(options, tcaBPFName)
	if text(kind) != "bpf" {
		return ""
	}
	return text(name)
}

func text(b []byte) string { return unix.ByteSliceToString(b) }

// tcMessage is struct tcmsg.
func tcMessage(index, handle, parent, info uint32) []byte {
	b := make([]byte, 4, 128)
	for _, n := range []uint32{index, handle, parent, info} {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	return b
}

func appendAttribute(b []byte, kind uint16, v []byte) []byte {
	b = binary.LittleEndian.AppendUint16(b, uint16(4+len(v)))
	b = binary.LittleEndian.AppendUint16(b, kind)
	b = append(b, v...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func appendString(b []byte, kind uint16, v string) []byte {
	return appendAttribute(b, kind, append([]byte(v), 0))
}

func appendNumber(b []byte, kind uint16, v uint32) []byte {
	return appendAttribute(b, kind, binary.LittleEndian.AppendUint32(nil, v))
}

// addQdisc makes a clsact qdisc; EEXIST: there is one, or an older ingress qdisc.
func addQdisc(index uint32) error {
	m := appendString(tcMessage(index, tcHandle, tcClsact, 0), unix.TCA_KIND, "clsact")
	return do(unix.RTM_NEWQDISC, unix.NLM_F_CREATE|unix.NLM_F_EXCL, m)
}

// removeQdisc removes it, if it is there.
func removeQdisc(index uint32) {
	m := appendString(tcMessage(index, tcHandle, tcClsact, 0), unix.TCA_KIND, "clsact")
	_ = do(unix.RTM_DELQDISC, 0, m)
}

// message is what all requests for a filter begin with.
func (f filter) message() []byte {
	return appendString(tcMessage(f.index, f.handle(), tcIngress, filterInfo), unix.TCA_KIND, "bpf")
}

// add adds it; EEXIST: it is there.
func (f filter) add(p *ebpf.Program) error {
	options := appendNumber(nil, tcaBPFFD, uint32(p.FD()))
	options = appendString(options, tcaBPFName, f.name())
	options = appendNumber(options, tcaBPFFlags, directAction)
	return do(unix.RTM_NEWTFILTER, unix.NLM_F_CREATE|unix.NLM_F_EXCL, appendAttribute(f.message(), unix.TCA_OPTIONS|nested, options))
}

func (f filter) del() error { return do(unix.RTM_DELTFILTER, 0, f.message()) }

// there reports whether it is there.
func (f filter) there() (bool, error) {
	err := do(unix.RTM_GETTFILTER, 0, f.message())
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINVAL) { // without qdisc
		return false, nil
	}
	return err == nil, err
}

// do asks for something and waits until it is done.
func do(kind, flags uint16, body []byte) error {
	_, err := ask(kind, unix.NLM_F_REQUEST|unix.NLM_F_ACK|flags, body)
	return err
}

var errChanged = errors.New("it was changing all the time")

// dump asks for all there are.
func dump(kind uint16, body []byte) (all []tc, err error) {
	for range dumpTries {
		if all, err = ask(kind, unix.NLM_F_REQUEST|unix.NLM_F_DUMP, body); !errors.Is(err, errChanged) {
			break
		}
	}
	return all, err
}

func ask(kind, flags uint16, body []byte) (all []tc, err error) {
	const seq = 1
	fd, err := netlink(unix.NETLINK_ROUTE, 0, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: answerTime})
	if err := unix.Sendto(fd, request(kind, flags, seq, body), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, fmt.Errorf("ask rtnetlink: %w", err)
	}
	buf := make([]byte, 1<<16)
	changed := false
	for {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("rtnetlink: %w", err)
		}
		for b := buf[:n]; len(b) >= unix.SizeofNlMsghdr; {
			size := int(binary.LittleEndian.Uint32(b))
			if size < unix.SizeofNlMsghdr || size > len(b) {
				return nil, errors.New("rtnetlink: a message that is cut off")
			}
			m := b[unix.SizeofNlMsghdr:size]
			changed = changed || binary.LittleEndian.Uint16(b[6:])&unix.NLM_F_DUMP_INTR != 0
			switch binary.LittleEndian.Uint16(b[4:]) {
			case unix.NLMSG_ERROR, unix.NLMSG_DONE: // with an error's number, negative, or 0
				if len(m) >= 4 {
					if code := int32(binary.LittleEndian.Uint32(m)); code < 0 {
						return nil, unix.Errno(-code)
					}
				}
				if changed {
					return nil, errChanged
				}
				return all, nil
			default:
				if len(m) >= sizeofTcMsg {
					n := func(at int) uint32 { return binary.LittleEndian.Uint32(m[at:]) }
					all = append(all, tc{index: n(4), handle: n(8), parent: n(12), info: n(16), attributes: append([]byte(nil), m[sizeofTcMsg:]...)})
				}
			}
			b = b[min((size+3)&^3, len(b)):]
		}
	}
}
