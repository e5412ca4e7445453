package main

import (
	"context"
	"fmt"
	"time"

	"turnhub/internal/config"
	"turnhub/internal/extaddr"
	"turnhub/internal/probe"
	"turnhub/turnsrv"
)

// check goes through every URL of the configuration as a client would.
func check(ctx context.Context, in invocation) error {
	file, _, err := in.flags(0, nil)
	if err != nil {
		return err
	}
	cfg, err := config.Load(file, in.environ)
	if err != nil {
		return err
	}
	secrets, _, err := cfg.Secrets(false)
	if err != nil {
		return err
	}
	minter, err := turnsrv.NewCredentials(secrets)
	if err != nil {
		return err
	}
	relay, _, err := extaddr.Detect(ctx, extaddrOptions(cfg))
	if err != nil {
		return err
	}
	layout, err := configuredLayout(cfg, relay)
	if err != nil {
		return err
	}
	username, password := minter.Mint(probe.User, time.Now().Add(10*time.Minute))
	failed := false
	for _, target := range probe.Targets(layout) {
		one, cancel := context.WithTimeout(ctx, 10*time.Second)
		result, err := probe.RoundTrip(one, target.URL, username, password, probe.Options{})
		cancel()
		if err != nil {
			failed = failed || !target.Optional
			fmt.Fprintf(in.stdout, "FAIL  %v\n", err)
			continue
		}
		fmt.Fprintf(in.stdout, "ok    %s  %v\n", target.URL, result.Latency.Round(time.Microsecond))
	}
	if failed {
		return errSilent
	}
	return nil
}
