package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"turnhub/internal/access"
	"turnhub/internal/config"
	"turnhub/internal/extaddr"
	"turnhub/internal/probe"
	"turnhub/signaling"
	turncred "turnhub/turnsrv/credentials"
	"turnhub/web"
)

const userMeaning = "whose it is: a `NAME` of 1 to 64 of A-Z a-z 0-9 _ . @ - that does not begin with s_"

// credentials prints an RTCConfiguration. It is not the running server, so it
// names every URL that the configuration gives, proved or not.
func credentials(ctx context.Context, in invocation) error {
	var user string
	var ttl time.Duration
	file, _, err := in.flags(0, func(f *flag.FlagSet) {
		f.StringVar(&user, "user", "", userMeaning)
		f.DurationVar(&ttl, "ttl", 0, "for how `LONG` it opens allocations, such as 1h or 8760h; a call that outlives it goes on. Without it credentials.ttl")
	})
	switch {
	case err != nil:
		return err
	case !access.ValidUser(user):
		return usageError{"--user needs 1 to 64 characters of A-Z a-z 0-9 _ . @ - that do not begin with s_"}
	case ttl < 0:
		return usageError{"--ttl must not be negative"}
	}
	cfg, err := in.load(file)
	if err != nil {
		return err
	}
	if ttl == 0 {
		ttl = cfg.Credentials.TTL
	}
	secrets, _, err := cfg.Secrets(false)
	if err != nil {
		return err
	}
	minter, err := turncred.New(secrets)
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
	out := json.NewEncoder(in.stdout)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	return out.Encode(web.NewRTCConfiguration(urlsOf(probe.Targets(layout)), minter.Mint, user, ttl))
}

func urlsOf(targets []probe.Target) []string {
	urls := make([]string, len(targets))
	for i, t := range targets {
		urls[i] = t.URL
	}
	return urls
}

// token prints an access token.
func token(_ context.Context, in invocation) error {
	var user string
	var rooms []string
	var host bool
	ttl := time.Hour
	file, _, err := in.flags(0, func(f *flag.FlagSet) {
		f.StringVar(&user, "user", "", userMeaning)
		f.BoolVar(&host, "host", false, "its bearer is the host of those rooms: the others wait until they are let in. Each --room that has no host gets one, by the end of its name")
		f.DurationVar(&ttl, "ttl", ttl, "for how `LONG` it is valid, such as 30m or 720h, at most 366 days")
		f.Func("room", "a `ROOM` that it opens; write it several times for several rooms. Without it, every room", func(room string) error {
			rooms = append(rooms, room)
			return nil
		})
	})
	switch {
	case err != nil:
		return err
	case !access.ValidUser(user):
		return usageError{"--user needs 1 to 64 characters of A-Z a-z 0-9 _ . @ - that do not begin with s_"}
	case ttl <= 0:
		return usageError{"--ttl must be positive"}
	case slices.Contains(rooms, ""):
		return usageError{"--room needs a name"}
	case host && len(rooms) == 0:
		return usageError{"--host needs a --room"}
	}
	cfg, err := in.load(file)
	if err != nil {
		return err
	}
	if cfg.Access.TokenSecretFile == "" {
		return fmt.Errorf("access.token_secret_file is empty; make a secret with `openssl rand -base64 48 > token-secret` and name the file there")
	}
	mint := access.Mint
	if host {
		mint = access.MintHost
		for i, room := range rooms {
			if rooms[i], err = signaling.HostedRoom(room); err != nil {
				return usageError{"--room: " + err.Error()}
			}
		}
	}
	signed, err := mint(cfg.Access.TokenSecretFile, user, rooms, time.Now().Add(ttl))
	if err != nil {
		return err
	}
	fmt.Fprintln(in.stdout, strings.TrimSpace(signed))
	if link := linkWith(cfg, signed, rooms); link != "" {
		fmt.Fprintln(in.stderr, "to open:", link) // beside the output, which programs take as the token
	}
	return nil
}

// linkWith returns a link that lets its reader in, where the configuration says how
// the server is reached, else "".
func linkWith(cfg *config.Config, token string, rooms []string) string {
	if cfg.PublicHost == "" {
		return ""
	}
	layout, err := configuredLayout(cfg, nil)
	if err != nil || layout.Site() == "" {
		return ""
	}
	link := strings.TrimSuffix(layout.Site(), "/") + "/?" + url.Values{"token": {token}}.Encode()
	if len(rooms) > 0 {
		link += "#" + url.PathEscape(rooms[0])
	}
	return link
}
