package extaddr

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// hostKinds are hosts as they stand in the world, each made in a network
// namespace of its own: the real interfaces, the real routes, and the metadata
// service at its real address.
var hostKinds = map[string]struct {
	setup    []string
	provider string
	want     string
	warning  string
}{
	"public": {
		setup: []string{"link add eth0 type veth peer name far0", "link set far0 up", "link set eth0 up", "addr add 8.8.4.7/24 dev eth0", "-6 addr add 2a00:1::7/64 dev eth0 nodad",
			"route add default via 8.8.4.1", "-6 route add default dev eth0"},
		want: "8.8.4.7=8.8.4.7 2a00:1::7=2a00:1::7",
	},
	"nat": {
		setup: []string{"link add eth0 type veth peer name far0", "link set far0 up", "link set eth0 up", "addr add 10.0.0.5/24 dev eth0", "route add default via 10.0.0.1",
			"addr add 169.254.169.254/32 dev lo"},
		provider: "AWS",
		want:     "10.0.0.5=8.8.4.7",
	},
	"lan": {
		setup:   []string{"link add eth0 type veth peer name far0", "link set far0 up", "link set eth0 up", "addr add 192.168.1.5/24 dev eth0", "route add default via 192.168.1.1"},
		want:    "192.168.1.5=192.168.1.5",
		warning: "only the private address 192.168.1.5",
	},
	"unrouted": { // a LAN without a router
		setup:   []string{"link add eth0 type veth peer name far0", "link set far0 up", "link set eth0 up", "addr add 192.168.1.5/24 dev eth0"},
		want:    "192.168.1.5=192.168.1.5",
		warning: "only the private address 192.168.1.5",
	},
	"two": { // the default route is private, the public address on another interface
		setup: []string{"link add eth0 type veth peer name far0", "link set far0 up", "link set eth0 up", "addr add 10.0.0.5/24 dev eth0", "route add default via 10.0.0.1",
			"link add eth1 type veth peer name far1", "link set far1 up", "link set eth1 up", "addr add 8.8.4.7/24 dev eth1"},
		want: "8.8.4.7=8.8.4.7",
	},
	"temporary": { // RFC 8981 addresses change every day
		setup: []string{"link add eth0 type veth peer name far0", "link set far0 up", "link set eth0 up", "-6 addr add 2a00:1::7/64 dev eth0 nodad",
			"-6 addr add 2a00:1::8/64 dev eth0 nodad preferred_lft 0", "-6 route add default dev eth0"},
		want: "2a00:1::7=2a00:1::7",
	},
	"none": {want: "127.0.0.1=127.0.0.1", warning: "no network"},
}

const insideNamespace = "TURNHUB_TEST_HOST_KIND"

func TestHostKinds(t *testing.T) {
	if kind := os.Getenv(insideNamespace); kind != "" {
		detectInside(t, kind)
		return
	}
	if _, err := exec.LookPath("ip"); os.Geteuid() != 0 || err != nil {
		t.Skip("SKIPPED: external address detection in network namespaces needs root and iproute2")
	}
	for kind := range hostKinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			command := exec.Command(os.Args[0], "-test.run=^TestHostKinds$", "-test.count=1")
			command.Env = append(os.Environ(), insideNamespace+"="+kind)
			command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
			if output, err := command.CombinedOutput(); err != nil {
				if strings.Contains(err.Error(), "operation not permitted") {
					t.Skip("SKIPPED: this machine allows no network namespaces")
				}
				t.Errorf("%v\n%s", err, output)
			}
		})
	}
}

func detectInside(t *testing.T, kind string) {
	k := hostKinds[kind]
	for _, command := range append([]string{"link set lo up"}, k.setup...) {
		if output, err := exec.Command("ip", strings.Fields(command)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", command, err, output)
		}
	}
	if k.provider != "" {
		listener, err := net.Listen("tcp", "169.254.169.254:80")
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: cloudServer(k.provider)}
		go server.Serve(listener)
		defer server.Close()
	}
	// Patience for a loaded test machine; where nobody answers, 300 ms are enough.
	patience := 300 * time.Millisecond
	if k.provider != "" {
		patience = 30 * time.Second
	}
	relay, warnings, err := Detect(context.Background(), Options{PortMin: 49152, PortMax: 65535, Patience: patience})
	if err != nil {
		t.Fatal(err)
	}
	if got := show(relay); got != k.want {
		t.Errorf("relay %q, want %q", got, k.want)
	}
	text := fmt.Sprint(warnings)
	if k.warning == "" && len(warnings) > 0 || k.warning != "" && (len(warnings) != 1 || !strings.Contains(text, k.warning)) {
		t.Errorf("warnings %s, want %q", text, k.warning)
	}
}
