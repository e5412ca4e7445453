package turnsrv

import (
	"bufio"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/pion/stun/v2"
	"golang.org/x/sys/unix"

	"turnhub/turnsrv/internal/turntest"
)

// TestSocketsWithoutDescriptors lets a server, in a process of its own, run out of
// descriptors: by relay.sockets: auto allocations go on without sockets, and two clients
// meet over them.
func TestSocketsWithoutDescriptors(t *testing.T) {
	const child = "TURNSRV_FEW_DESCRIPTORS"
	eachDriver(t, func(t *testing.T, cfg Config) {
		cfg.Relay = cfg.Relay[:1]
		if os.Getenv(child) != "" {
			ts := startServer(t, cfg)
			open, err := os.ReadDir("/proc/self/fd")
			if err != nil {
				t.Fatal(err)
			}
			few := uint64(len(open) + 4)
			if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: few, Max: few}); err != nil {
				t.Fatal(err)
			}
			fmt.Println("udp", ts.udp)
			io.Copy(io.Discard, os.Stdin)
			fmt.Println("bare", ts.Stats().Bare)
			return
		}
		cmd := exec.Command(os.Args[0], "-test.run=^"+strings.ReplaceAll(t.Name(), "/", "$/^")+"$")
		cmd.Env = append(os.Environ(), child+"=1")
		cmd.Stderr = os.Stderr
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer cmd.Wait()
		defer in.Close()
		lines := bufio.NewScanner(out)
		said := func(what string) string {
			for lines.Scan() {
				if rest, ok := strings.CutPrefix(lines.Text(), what+" "); ok {
					return rest
				}
			}
			t.Fatal("the server ended")
			return ""
		}
		ts := &testServer{Server: &Server{cfg: cfg}, udp: netip.MustParseAddrPort(said("udp"))}
		const clients = 12
		var all []*turntest.Client
		var at []netip.AddrPort
		for i := range clients {
			c := dialRaw(t, ts, fmt.Sprint("user", i))
			all, at = append(all, c), append(at, c.Allocate()[0])
		}
		// The first has a socket, the last has none; the last two have none both.
		for _, pair := range [][2]int{{0, clients - 1}, {clients - 2, clients - 1}} {
			a, b := pair[0], pair[1]
			for _, way := range [][2]int{{a, b}, {b, a}} {
				if code := turntest.CodeOf(all[way[0]].Do(stun.MethodCreatePermission, turntest.Peer(at[way[1]].String()))); code != 0 {
					t.Fatal(code)
				}
			}
			for _, way := range [][2]int{{a, b}, {b, a}} {
				all[way[0]].Send(turntest.Send(at[way[1]].String(), []byte("here")))
				if got := all[way[1]].Receive(); !strings.Contains(string(got), "here") {
					t.Errorf("from %d to %d: %q", way[0], way[1], got)
				}
			}
		}
		in.Close()
		if bare := said("bare"); bare == "0" || bare == fmt.Sprint(clients) {
			t.Errorf("%s of %d have no socket", bare, clients)
		}
	})
}
