package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/coreos/go-systemd/v22/activation"

	"turnhub/turnsrv"
)

// takeoverVariable names what a predecessor hands over, in the order of the file
// descriptors from 3: control, then tcp, admin and udp.
const takeoverVariable = "_TURNHUB_TAKEOVER"

// kernelVariable says what a predecessor hands over of the path inside the kernel: its
// process, the first file descriptor, the program's identity and what each is, with commas
// between them. It is beside takeoverVariable for binaries that do not know it.
const kernelVariable = "_TURNHUB_KERNEL"

// inherited are sockets that this process has got at its start: from a
// predecessor that it replaces, or from systemd (socket activation).
type inherited struct {
	control     *os.File // to the predecessor; nil when there is none
	tcp         []net.Listener
	udp         []*os.File
	unused      []string                   // names of those that nobody has asked for, see boundName
	kernel      *turnsrv.KernelInheritance // nil: none
	fromSystemd bool
}

// inherit takes the sockets out of the environment.
func inherit(environ []string) (*inherited, error) {
	in := new(inherited)
	for _, entry := range environ {
		if list, ok := strings.CutPrefix(entry, kernelVariable+"="); ok {
			os.Unsetenv(kernelVariable)
			in.kernel = parseKernel(list)
		}
	}
	for _, entry := range environ {
		list, ok := strings.CutPrefix(entry, takeoverVariable+"=")
		if !ok {
			continue
		}
		os.Unsetenv(takeoverVariable)
		for i, kind := range strings.Split(list, ",") {
			f := os.NewFile(uintptr(3+i), kind)
			if err := in.take(kind, f); err != nil {
				return nil, fmt.Errorf("take over from the running server: %w; restart it instead", err)
			}
		}
		return in, nil
	}
	for _, f := range activation.Files(true) {
		in.fromSystemd = true
		if ln, err := net.FileListener(f); err == nil {
			f.Close()
			in.tcp = append(in.tcp, ln)
		} else {
			in.udp = append(in.udp, f)
		}
	}
	return in, nil
}

// kernelEntry is what kernelVariable is for a successor whose files from the number first on
// are those.
func kernelEntry(first int, k *turnsrv.KernelInheritance) string {
	list := []string{strconv.Itoa(os.Getpid()), strconv.Itoa(first), k.Identity}
	for _, f := range k.Files {
		list = append(list, f.Name())
	}
	return kernelVariable + "=" + strings.Join(list, ",")
}

// parseKernel takes over what kernelEntry says. What another than the process before has
// said, and a version between that did not know it has passed on, is of other files.
func parseKernel(list string) *turnsrv.KernelInheritance {
	words := strings.Split(list, ",")
	if len(words) < 3 || words[0] != strconv.Itoa(os.Getppid()) {
		return nil
	}
	first, err := strconv.Atoi(words[1])
	if err != nil || first < 3 {
		return nil
	}
	k := &turnsrv.KernelInheritance{Identity: words[2]}
	for i, name := range words[3:] {
		k.Files = append(k.Files, os.NewFile(uintptr(first+i), name))
	}
	return k
}

func (in *inherited) take(kind string, f *os.File) error {
	switch kind {
	case "control":
		in.control = f
	case "udp":
		in.udp = append(in.udp, f)
	case "tcp":
		ln, err := net.FileListener(f)
		if err != nil {
			return err
		}
		f.Close()
		in.tcp = append(in.tcp, ln)
	default:
		return fmt.Errorf("unknown kind of socket %q", kind)
	}
	return nil
}

// takeTCP returns the inherited listeners of an address.
func (in *inherited) takeTCP(w wish) (taken []net.Listener) {
	in.tcp = slices.DeleteFunc(in.tcp, func(ln net.Listener) bool {
		bound, ok := ln.Addr().(*net.TCPAddr)
		if ok = ok && w.matches(bound.AddrPort()); ok {
			taken = append(taken, ln)
		}
		return ok
	})
	return taken
}

// takeUDP returns the inherited sockets of an address, and which families they
// are of.
func (in *inherited) takeUDP(w wish) (files []*os.File, ipv4, ipv6 bool) {
	in.udp = slices.DeleteFunc(in.udp, func(f *os.File) bool {
		bound, err := udpAddress(f)
		if err != nil || !w.matches(bound) {
			return false
		}
		if bound.Addr().Unmap().Is4() {
			ipv4 = true
		} else {
			ipv6 = true
		}
		files = append(files, f)
		return true
	})
	return files, ipv4, ipv6
}

// udpAddress is what a UDP socket is bound to.
func udpAddress(f *os.File) (netip.AddrPort, error) {
	pc, err := net.FilePacketConn(f) // a duplicate
	if err != nil {
		return netip.AddrPort{}, err
	}
	defer pc.Close()
	bound, ok := pc.LocalAddr().(*net.UDPAddr)
	if !ok {
		return netip.AddrPort{}, errors.New("not a UDP socket")
	}
	return bound.AddrPort(), nil
}

// boundName is how two processes of a server call a listener: "tcp" or "udp", and
// the address that it is bound to.
func boundName(kind string, f *os.File) string {
	if kind == "udp" {
		bound, _ := udpAddress(f)
		return "udp " + bound.String()
	}
	ln, err := net.FileListener(f) // a duplicate
	if err != nil {
		return ""
	}
	defer ln.Close()
	return "tcp " + ln.Addr().String()
}

// rest closes what nobody has asked for. From systemd that is a mistake.
func (in *inherited) rest() error {
	var unused []string
	for _, ln := range in.tcp {
		unused = append(unused, "tcp "+ln.Addr().String())
		ln.Close()
	}
	for _, f := range in.udp {
		unused = append(unused, boundName("udp", f))
		f.Close()
	}
	in.tcp, in.udp, in.unused = nil, nil, unused
	if in.fromSystemd && unused != nil {
		return fmt.Errorf("systemd hands over sockets that the configuration does not name: %s; write them in listen.tcp and listen.udp, or take them out of turnhub.socket", strings.Join(unused, ", "))
	}
	return nil
}
