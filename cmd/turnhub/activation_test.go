package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"turnhub/internal/probe"
	turncred "turnhub/turnsrv/credentials"
)

// TestSocketActivation hands the program its sockets as systemd does (sd_listen_fds(3)):
// it takes them in place of its own, on ports that it could not bind.
func TestSocketActivation(t *testing.T) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	at := ln.Addr().(*net.TCPAddr).AddrPort()
	pc, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(at))
	if err != nil {
		t.Skipf("port %d is taken over UDP: %v", at.Port(), err)
	}
	defer pc.Close()
	tcp, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	udp, err := pc.File()
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	for _, f := range []*os.File{tcp, udp} { // systemd's are blocking unless NonBlocking=yes
		if err := syscall.SetNonblock(int(f.Fd()), false); err != nil {
			t.Fatal(err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var log output
	server := exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$0"`, self) // the variable must name the very process
	server.ExtraFiles = []*os.File{tcp, udp}
	server.Env = append(os.Environ(), asProgram+"=1", "LISTEN_FDS=2", "TURNHUB_LISTEN_TCP="+at.String(), "TURNHUB_LISTEN_UDP="+at.String(),
		"TURNHUB_LISTEN_ADMIN=", "TURNHUB_RELAY_EXTERNAL_IP=127.0.0.1", "TURNHUB_CREDENTIALS_SECRETS=a-good-secret", "STATE_DIRECTORY="+t.TempDir())
	server.Stdout, server.Stderr = &log, &log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Wait() }()
	t.Cleanup(func() { server.Process.Kill() })
	ln.Close() // from here on the ports are the program's alone
	pc.Close()

	until(t, "ready", &log, func() bool { return strings.Contains(log.String(), "msg=ready") || len(ended) > 0 })
	credentials, err := turncred.New([]string{"a-good-secret"})
	if err != nil {
		t.Fatal(err)
	}
	username, password := credentials.Mint("anna", time.Now().Add(time.Hour))
	for _, transport := range []string{"udp", "tcp"} {
		url := fmt.Sprintf("turn:%s?transport=%s", at, transport)
		if _, err := probe.RoundTrip(t.Context(), url, username, password, probe.Options{Address: at}); err != nil {
			t.Errorf("%v\n%s", err, &log)
		}
	}
	res, err := http.Get("http://" + at.String() + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(res.Body)
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Errorf("%s: %s", res.Status, body)
	}
	server.Process.Signal(syscall.SIGTERM)
	if err := <-ended; err != nil {
		t.Errorf("%v\n%s", err, &log)
	}
}
