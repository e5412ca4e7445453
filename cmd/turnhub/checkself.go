package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"turnhub/internal/config"
)

// checkSelfTimeout bounds `turnhub check --self`: the server gives its own check
// pulsePatience.
const checkSelfTimeout = pulsePatience + 5*time.Second

// checkSelf asks the server of this machine, or of this container, whether it answers
// clients: for a health check that has no other program at hand.
func checkSelf(ctx context.Context, cfg *config.Config, in invocation) error {
	ctx, cancel := context.WithTimeout(ctx, checkSelfTimeout)
	defer cancel()
	at, err := whereSelfIs(cfg)
	if err != nil {
		return err
	}
	client := http.Client{
		Transport: &http.Transport{
			DisableKeepAlives: true,
			// It is the server's own process that answers, whoever signed for it.
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, at.String())
			},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	var answer struct {
		Status  string   `json:"status"`
		Reasons []string `json:"reasons"`
	}
	for _, scheme := range []string{"http", "https"} {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+at.String()+"/healthz", nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return fmt.Errorf("nothing answers at %s; is the server running, and with this configuration? (%w)", at, err)
		}
		if response.StatusCode/100 == 3 && scheme == "http" {
			response.Body.Close()
			continue
		}
		err = json.NewDecoder(http.MaxBytesReader(nil, response.Body, 64<<10)).Decode(&answer)
		response.Body.Close()
		if err != nil || answer.Status == "" {
			return fmt.Errorf("what answers at %s is not turnhub; let listen.admin or listen.tcp name its address", at)
		}
		break
	}
	if answer.Status != "ok" {
		return fmt.Errorf("%s: %s; the server's log has the rest", answer.Status, strings.Join(answer.Reasons, "; "))
	}
	fmt.Fprintln(in.stdout, answer.Status)
	return nil
}

// whereSelfIs is an address at which the server of a configuration answers /healthz.
func whereSelfIs(cfg *config.Config) (netip.AddrPort, error) {
	for _, listen := range append([]string{cfg.Listen.Admin}, cfg.Listen.TCP...) {
		if listen == "" {
			continue
		}
		tcp, err := net.ResolveTCPAddr("tcp", listen)
		if err != nil {
			return netip.AddrPort{}, err
		}
		at := tcp.AddrPort()
		if !at.Addr().IsValid() {
			at = netip.AddrPortFrom(netip.IPv4Unspecified(), at.Port())
		}
		return local(netip.AddrPortFrom(at.Addr().Unmap(), at.Port())), nil
	}
	return netip.AddrPort{}, errors.New("neither listen.admin nor listen.tcp names an address to ask; set listen.admin")
}
