package main

import (
	"fmt"
	"testing"
)

// TestGateways reads the kernel's tables of routes.
func TestGateways(t *testing.T) {
	four := "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n" +
		"eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n" +
		"eth0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n" +
		"tun0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000080\t0\t0\t0\nlo\n"
	if got := fmt.Sprint(gateways4(four)); got != "[172.17.0.1]" {
		t.Errorf("IPv4: %s", got)
	}
	six := "00000000000000000000000000000000 00 00000000000000000000000000000000 00 fd000000000000000000000000000001 00000400 00000001 00000000 00000003     eth0\n" +
		"fd000000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0\n" +
		"00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo\nx\n"
	if got := fmt.Sprint(gateways6(six)); got != "[fd00::1]" {
		t.Errorf("IPv6: %s", got)
	}
}

// TestContained knows a container by what its engine leaves in it.
func TestContained(t *testing.T) {
	for entry, want := range map[string]bool{"container=podman": true, "KUBERNETES_SERVICE_HOST=10.0.0.1": true, "container=": contained(nil), "containers=x": contained(nil)} {
		if got := contained([]string{"PATH=/", entry}); got != want {
			t.Errorf("%s: %v", entry, got)
		}
	}
}
