package e2e

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestUclient sends messages through the relay with coturn's own client and expects every one to arrive: client
// to client, so that both ends of the path are relayed, at a moderate rate. Over TLS turnutils_uclient 4.6.1 loses
// up to a tenth of them by itself, against coturn too; so there it speaks TCP to a small front that puts its stream
// into TLS, and only TestUclientTLS lets it do its own.
func TestUclient(t *testing.T) {
	t.Parallel() // it waits most of the time
	if _, err := exec.LookPath("turnutils_uclient"); err != nil {
		t.Skip("turnutils_uclient is missing; install the Debian package coturn")
	}
	s := start(t, nil)
	families := []struct{ name, server, relay string }{
		{"IPv4", "127.0.0.1", "-X"},
		{"IPv6", "::1", "-x"},
	}
	transports := []struct {
		name  string
		flags []string
		port  func(t *testing.T, host string) int
	}{
		{"UDP", nil, func(*testing.T, string) int { return s.port }},
		{"TCP", []string{"-t"}, func(*testing.T, string) int { return s.port }},
		{"TLS", []string{"-t"}, s.frontTLS},
	}
	for _, family := range families {
		for _, transport := range transports {
			t.Run(family.name+"/"+transport.name, func(t *testing.T) {
				t.Parallel()
				user := strings.ReplaceAll(t.Name(), "/", "-") // each has a quota of its own
				// -s: Send indications. Its channels have numbers of RFC 5766, up to
				// 0x7FFF, which RFC 8656 section 12 no longer has.
				args := []string{"-s", "-y", "-c", "-m", "4", "-n", "200", "-l", "170", "-z", "10", "-u", user, "-W", secret, "-p", strconv.Itoa(transport.port(t, family.server)), family.relay}
				args = append(args, transport.flags...)
				uclient(t, 4*200, append(args, family.server)...)
			})
		}
	}
}

// TestUclientTLS has coturn's client do its own TLS, and asks for no more than that messages arrive.
func TestUclientTLS(t *testing.T) {
	t.Parallel() // it waits most of the time
	if _, err := exec.LookPath("turnutils_uclient"); err != nil {
		t.Skip("turnutils_uclient is missing; install the Debian package coturn")
	}
	s := start(t, nil)
	report := runUclient(t, "-s", "-y", "-c", "-m", "2", "-n", "20", "-u", "uclient", "-W", secret, "-p", strconv.Itoa(s.port), "-X", "-t", "-S", "-E", s.caFile, "127.0.0.1")
	if report.sent != 40 || report.received == 0 {
		t.Errorf("sent %d of 40, received %d\n%s", report.sent, report.received, report.output)
	}
}

// frontTLS listens on loopback and carries every stream in TLS to the server.
func (s *server) frontTLS(t *testing.T, host string) int {
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			plain, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer plain.Close()
				secure, err := tls.Dial("tcp", net.JoinHostPort(host, strconv.Itoa(s.port)), &tls.Config{RootCAs: s.roots, ServerName: "localhost"})
				if err != nil {
					return
				}
				defer secure.Close()
				go func() { _, _ = io.Copy(secure, plain); _ = secure.CloseWrite() }()
				_, _ = io.Copy(plain, secure)
			}()
		}
	}()
	return listener.Addr().(*net.TCPAddr).Port
}

var (
	totals = regexp.MustCompile(`(?s).*tot_send_msgs=(\d+), tot_recv_msgs=(\d+)`)
	lost   = regexp.MustCompile(`Total lost packets (\d+)`)
)

// uclient runs turnutils_uclient and fails the test unless it sent as many messages as expected and lost none.
func uclient(t *testing.T, expected int, args ...string) {
	t.Helper()
	report := runUclient(t, args...)
	if report.sent != expected || report.received != expected || report.lost != 0 {
		t.Errorf("turnutils_uclient %v: sent %d of %d, received %d, lost %d\n%s", args, report.sent, expected, report.received, report.lost, report.output)
	}
}

type uclientReport struct {
	sent, received, lost int
	output               []byte
}

func runUclient(t *testing.T, args ...string) uclientReport {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	output, err := exec.CommandContext(ctx, "turnutils_uclient", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("turnutils_uclient %v: %v\n%s", args, err, output)
	}
	total, loss := totals.FindSubmatch(output), lost.FindSubmatch(output)
	if total == nil || loss == nil {
		t.Fatalf("turnutils_uclient %v did not finish its report:\n%s", args, output)
	}
	number := func(digits []byte) int {
		n, err := strconv.Atoi(string(digits))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	return uclientReport{number(total[1]), number(total[2]), number(loss[1]), output}
}
