package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os/signal"
	"syscall"
	"time"

	"turnhub/web/admin"
)

// drain has the server of a configuration, on this machine, empty and end itself.
func drain(ctx context.Context, in invocation) error {
	file, _, err := in.flags(0, nil)
	if err != nil {
		return err
	}
	cfg, err := in.load(file)
	if err != nil {
		return err
	}
	if cfg.Listen.Admin == "" {
		return errors.New("listen.admin is empty, and only there a server takes this order; send it SIGTERM instead")
	}
	at, err := whereSelfIs(cfg)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return drainAt(ctx, at, in.stdout)
}

// drainAt asks the admin listener, and waits until the process has ended.
func drainAt(ctx context.Context, at netip.AddrPort, out io.Writer) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+at.String()+"/drain", bytes.NewReader([]byte("{}")))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("nothing answers at %s; is the server running, and with this configuration? (%w)", at, err)
	}
	defer response.Body.Close()
	var begun admin.Draining
	err = json.NewDecoder(response.Body).Decode(&begun)
	if response.StatusCode != http.StatusOK || err != nil || begun.PID == 0 {
		return fmt.Errorf("what answers at %s cannot be drained (%s); run the turnhub of the server's version, or send it SIGTERM", at, response.Status)
	}
	fmt.Fprintf(out, "process %d sends %d sessions away and ends\n", begun.PID, begun.Sessions)
	_, _ = io.Copy(io.Discard, response.Body) // it ends with the server, in whatever way
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for alive(begun.PID) {
		select {
		case <-ctx.Done():
			return errors.New("interrupted; the server goes on with it")
		case <-look.C:
		}
	}
	if ctx.Err() != nil {
		return errors.New("interrupted; the server goes on with it")
	}
	fmt.Fprintln(out, "ended")
	return nil
}
