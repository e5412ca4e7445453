package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// delay joins two namespaces by a link that takes its time: labtool delay -each-way 100ms NAMESPACE-A NAMESPACE-B DEVICE.
// Each end is a TUN device of that name, still without addresses. Order is kept; nothing is lost until 4096
// packets are under way.
func delay(args []string) error {
	flags := flag.NewFlagSet("delay", flag.ContinueOnError)
	eachWay := flags.Duration("each-way", 100*time.Millisecond, "how long a packet is under way")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 3 {
		return fmt.Errorf("usage: labtool delay [-each-way 100ms] NAMESPACE-A NAMESPACE-B DEVICE")
	}
	a, err := openTUN(flags.Arg(0), flags.Arg(2))
	if err != nil {
		return err
	}
	b, err := openTUN(flags.Arg(1), flags.Arg(2))
	if err != nil {
		return err
	}
	carry(a, b, *eachWay)
	carry(b, a, *eachWay)
	untilInputEnds()
	return nil
}

type packet struct {
	due  time.Time
	data []byte
}

func carry(from, to *os.File, eachWay time.Duration) {
	under := make(chan packet, 4096)
	go func() {
		buffer := make([]byte, 65536)
		for {
			n, err := from.Read(buffer)
			if err != nil {
				close(under)
				return
			}
			select {
			case under <- packet{time.Now().Add(eachWay), append([]byte(nil), buffer[:n]...)}:
			default: // a full link loses packets
			}
		}
	}()
	go func() {
		for p := range under {
			time.Sleep(time.Until(p.due))
			_, _ = to.Write(p.data)
		}
	}()
}

// openTUN makes a TUN device inside a network namespace and returns its file.
func openTUN(namespace, device string) (*os.File, error) {
	type result struct {
		file *os.File
		err  error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine, in its strange namespace
		file, err := openTUNHere(namespace, device)
		done <- result{file, err}
	}()
	r := <-done
	if r.err != nil {
		return nil, fmt.Errorf("make %s in namespace %s: %w", device, namespace, r.err)
	}
	return r.file, nil
}

func openTUNHere(namespace, device string) (*os.File, error) {
	ns, err := os.Open(namespaces + "/" + namespace)
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, err
	}
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	request, err := unix.NewIfreq(device)
	if err != nil {
		return nil, err
	}
	request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), device), nil
}
