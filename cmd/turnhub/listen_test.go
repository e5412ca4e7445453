package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pion/stun/v2"
)

// TestBothFamilies starts the program with every pair of addresses on one port that
// can go together. Over TCP and UDP alike each family is served where it is asked
// for and nowhere else: [::] is all addresses of both, but IPv6 alone beside an IPv4
// address. A successor takes the very sockets over.
func TestBothFamilies(t *testing.T) {
	const four, other, six = "127.0.0.1", "127.0.0.2", "::1"
	ports := make(map[int]bool)
	for _, row := range []struct {
		name   string
		listen []string // P stands for the port
		served []string
	}{
		{"no address", []string{":P"}, []string{four, other, six}},
		{"[::] alone", []string{"[::]:P"}, []string{four, other, six}},
		{"0.0.0.0 alone", []string{"0.0.0.0:P"}, []string{four, other}},
		{"0.0.0.0 and [::]", []string{"0.0.0.0:P", "[::]:P"}, []string{four, other, six}},
		{"[::] and 0.0.0.0", []string{"[::]:P", "0.0.0.0:P"}, []string{four, other, six}},
		{"one IPv4 address and [::]", []string{"127.0.0.1:P", "[::]:P"}, []string{four, six}},
		{"[::] and one IPv4 address", []string{"[::]:P", "localhost:P"}, []string{four, six}},
		{"one address of each", []string{"127.0.0.1:P", "[::1]:P"}, []string{four, six}},
	} {
		port := freePort(t)
		for ports[port] {
			port = freePort(t)
		}
		ports[port] = true
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			program := filepath.Join(dir, "turnhub")
			install(t, program)
			list := strings.ReplaceAll(strings.Join(row.listen, ","), "P", fmt.Sprint(port))
			var log output
			server := exec.Command(program)
			server.Env = append(os.Environ(), asProgram+"=1", "TURNHUB_LISTEN_TCP="+list, "TURNHUB_LISTEN_UDP="+list, "TURNHUB_LISTEN_ADMIN=",
				"TURNHUB_RELAY_EXTERNAL_IP=127.0.0.1", "TURNHUB_PUBLIC_HOST=127.0.0.1", "TURNHUB_CREDENTIALS_SECRETS=a-good-secret", "STATE_DIRECTORY="+dir)
			server.Stdout, server.Stderr = &log, &log
			server.WaitDelay = time.Second
			if err := server.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan struct{})
			go func() { server.Wait(); close(ended) }()
			t.Cleanup(func() { server.Process.Kill(); <-ended; killHeirs(&log) })

			check := func(when string) {
				t.Helper()
				for _, host := range []string{four, other, six} {
					want := false
					for _, s := range row.served {
						want = want || s == host
					}
					for _, network := range []string{"tcp", "udp"} {
						if got := answers(network, net.JoinHostPort(host, fmt.Sprint(port))); got != want {
							t.Errorf("%s: %s to %s is answered: %v, want %v\n%s", when, network, host, got, want, log.String())
						}
					}
				}
			}
			until(t, "the start", &log, func() bool { return answers("udp", net.JoinHostPort(row.served[0], fmt.Sprint(port))) })
			check("at start")
			server.Process.Signal(syscall.SIGUSR2)
			<-ended
			if !strings.Contains(log.String(), "a new process has taken over") {
				t.Fatalf("nobody has taken over\n%s", log.String())
			}
			check("after an upgrade")
		})
	}
}

// answers reports whether a STUN Binding request is answered.
func answers(network, address string) bool {
	conn, err := net.DialTimeout(network, address, 5*time.Second)
	if err != nil {
		return false
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	request := stun.MustBuild(stun.TransactionID, stun.BindingRequest)
	if _, err := conn.Write(request.Raw); err != nil {
		return false
	}
	b := make([]byte, 200)
	n, err := conn.Read(b) // over UDP to a closed port: refused
	return err == nil && stun.IsMessage(b[:n])
}

// TestAvailable takes for available what nobody has and what is inherited, and says why
// the rest is not.
func TestAvailable(t *testing.T) {
	pc, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	port := pc.LocalAddr().(*net.UDPAddr).Port
	file, err := pc.File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, x := range []struct {
		address string
		in      inherited
		free    bool
	}{
		{fmt.Sprint("127.0.0.1:", port), inherited{}, false},
		{fmt.Sprint(":", port), inherited{}, false},
		{fmt.Sprint("127.0.0.1:", port), inherited{udp: []*os.File{file}}, true},
		{fmt.Sprint("127.0.0.2:", port), inherited{}, true},
		{"192.0.2.77:4444", inherited{}, false}, // not this host's
	} {
		w, err := wishes([]string{x.address})
		if err != nil {
			t.Fatal(err)
		}
		if err := x.in.available(w[0]); (err == nil) != x.free {
			t.Errorf("%s, %d inherited: %v", x.address, len(x.in.udp), err)
		}
	}
}

// TestWishes are the meanings of addresses, and which inherited sockets are theirs.
func TestWishes(t *testing.T) {
	for _, row := range []struct {
		list, others string
		want         string // in order, with + where both families are meant
	}{
		{":1", "", ":1+"},
		{"[::]:1", "", "[::]:1+"},
		{"[::]:1 [::]:2 0.0.0.0:1", "", "[::]:2+ 0.0.0.0:1 [::]:1"},
		{"[::]:1", "127.0.0.1:1", "[::]:1"},
		{"[::]:1", "127.0.0.1:2", "[::]:1+"},
		{"[::]:1 [::1]:1", "", "[::]:1+ [::1]:1"},
		{"[::]:1 [::ffff:127.0.0.1]:1", "", "[::ffff:127.0.0.1]:1 [::]:1"},
		{"[::]:0 0.0.0.0:0", "", "[::]:0+ 0.0.0.0:0"},
	} {
		got, err := wishes(strings.Fields(row.list), strings.Fields(row.others)...)
		if err != nil {
			t.Fatal(err)
		}
		var text []string
		for _, w := range got {
			if w.both {
				w.address += "+"
			}
			text = append(text, w.address)
		}
		if s := strings.Join(text, " "); s != row.want {
			t.Errorf("%q beside %q: %q, want %q", row.list, row.others, s, row.want)
		}
	}
}
