package e2e

import (
	"context"
	"os/exec"
	"regexp"
	"strconv"
	"testing"
	"time"
)

// TestUclient sends messages through the relay with coturn's own client and expects every one to arrive: client
// to client, so that both ends of the path are relayed, at a moderate rate.
func TestUclient(t *testing.T) {
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
	}{
		{"UDP", nil},
		{"TCP", []string{"-t"}},
		{"TLS", []string{"-t", "-S", "-E", s.caFile}},
	}
	methods := []struct {
		name  string
		flags []string
	}{
		{"channels", nil},
		{"indications", []string{"-s"}},
	}
	for _, family := range families {
		for _, transport := range transports {
			for _, method := range methods {
				t.Run(family.name+"/"+transport.name+"/"+method.name, func(t *testing.T) {
					t.Parallel()
					args := []string{"-y", "-c", "-m", "4", "-n", "200", "-l", "170", "-z", "10", "-u", "coturn", "-W", secret, "-p", strconv.Itoa(s.port), family.relay}
					args = append(args, transport.flags...)
					args = append(args, method.flags...)
					uclient(t, 4*200, append(args, family.server)...)
				})
			}
		}
	}
}

var (
	totals = regexp.MustCompile(`(?s).*tot_send_msgs=(\d+), tot_recv_msgs=(\d+)`)
	lost   = regexp.MustCompile(`Total lost packets (\d+)`)
)

// uclient runs turnutils_uclient and fails the test unless it sent as many messages as expected and lost none.
func uclient(t *testing.T, expected int, args ...string) {
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
	if string(total[1]) != strconv.Itoa(expected) || string(total[2]) != string(total[1]) || string(loss[1]) != "0" {
		t.Errorf("turnutils_uclient %v: sent %s of %d, received %s, lost %s\n%s", args, total[1], expected, total[2], loss[1], output)
	}
}
