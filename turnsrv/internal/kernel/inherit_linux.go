//go:build linux && (amd64 || arm64)

package kernel

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// layout is to be another with each change of the tables in relay.c, or of what the
// processes that share them keep to.
const layout = 5

// What an inheritance's files are called, beside the tables, whose names are relay.c's.
const (
	fileProgram  = "program"
	filePolicies = "policies" // a socket that hears of IPsec's
	fileLink     = "link-"    // and the interface's index
	fileLife     = "life"     // by which filters are there, where there are no links
)

var tables = []string{"flows", "slots", "settings", "users", "claims", "scratches", "narrow"}

// identity is the layout, and which program it is.
func identity() string { return fmt.Sprintf("%d:%x", layout, sha256.Sum256(object)) }

// same reports whether it is of the very program that this process has.
func (i *Inheritance) same() bool { return i != nil && i.Identity == identity() }

// compatible reports whether the tables are those that this process knows. The program may
// be older, and is then taken over only by a process that may not load its own.
func (i *Inheritance) compatible() bool {
	return i != nil && strings.HasPrefix(i.Identity, strconv.Itoa(layout)+":")
}

// file returns a duplicate of one of the files.
func (i *Inheritance) file(name string) (fd int, err error) {
	for _, f := range i.Files {
		if f.Name() == name {
			return duplicate(int(f.Fd()))
		}
	}
	return -1, fmt.Errorf("the process before has handed over no %s", name)
}

func duplicate(fd int) (int, error) {
	return unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
}

// Bequeath returns what the next process of this server takes over, while this one goes on
// with its own calls. The caller closes it.
func (k *Kernel) Bequeath() (_ *Inheritance, err error) {
	i := &Inheritance{Identity: identity()}
	if k.inherited != "" {
		i.Identity = k.inherited
	}
	defer func() {
		if err != nil {
			i.Close()
		}
	}()
	add := func(name string, of int) error {
		fd, err := duplicate(of)
		if err == nil {
			i.Files = append(i.Files, os.NewFile(uintptr(fd), name))
		}
		return err
	}
	err = add(fileProgram, k.program.FD())
	for _, name := range tables {
		err = errors.Join(err, add(name, k.maps[name].FD()))
	}
	k.mu.Lock()
	for index, l := range k.attached {
		if l, ok := l.(interface{ FD() int }); ok {
			err = errors.Join(err, add(fileLink+strconv.Itoa(int(index)), l.FD()))
		}
	}
	k.mu.Unlock()
	if k.filters != nil {
		err = errors.Join(err, add(fileLife, k.filters.life.fd))
	}
	if err != nil {
		return nil, fmt.Errorf("hand the kernel's program over: %w", err)
	}
	// Nobody without CAP_NET_ADMIN can ask for IPsec's policies, but may hear of them.
	if fd, err := netlink(unix.NETLINK_XFRM, policyGroup, unix.SOCK_NONBLOCK); err == nil {
		if ipsec() {
			unix.Close(fd)
		} else {
			i.Files = append(i.Files, os.NewFile(uintptr(fd), filePolicies))
		}
	}
	return i, nil
}

// takeOver takes the program and its tables from the process before; n is for how many
// allocations at least.
func (k *Kernel) takeOver(n uint32) error {
	from := k.cfg.Inherited
	k.inherited = from.Identity
	fd, err := from.file(fileProgram)
	if err != nil {
		return err
	}
	if k.program, err = ebpf.NewProgramFromFD(fd); err != nil {
		return err
	}
	for _, name := range tables {
		if fd, err = from.file(name); err != nil {
			return err
		}
		if k.maps[name], err = ebpf.NewMapFromFD(fd); err != nil {
			delete(k.maps, name)
			return err
		}
	}
	if room := k.maps["slots"].MaxEntries(); room < n {
		return fmt.Errorf("its tables have room for %d allocations, and %d are wanted", room, n)
	}
	for _, f := range from.Files {
		index, ok := strings.CutPrefix(f.Name(), fileLink)
		if !ok {
			continue
		}
		at, err := strconv.ParseUint(index, 10, 32)
		if err != nil {
			return err
		}
		if fd, err = duplicate(int(f.Fd())); err != nil {
			return err
		}
		if k.attached[uint32(at)], err = link.NewFromFD(fd); err != nil {
			delete(k.attached, uint32(at))
			return err
		}
	}
	if fd, err := from.file(fileLife); err == nil {
		life, err := share(fd)
		if err != nil {
			return err
		}
		k.filters = &filters{life}
	}
	policies, err := from.file(filePolicies)
	if err != nil {
		policies = -1 // to know of none is to know nothing
	}
	if k.routes, err = newRoutes(policies); err == nil && k.filters != nil {
		k.expect()
		k.attachWanted()
	}
	return err
}
