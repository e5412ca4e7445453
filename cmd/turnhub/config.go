package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"

	"turnhub/internal/certs"
	"turnhub/internal/config"
	"turnhub/internal/coturnconf"
)

// printConfig prints the effective configuration, or with --from-turnserver-conf
// the one that coturn's becomes.
func printConfig(ctx context.Context, in invocation) error {
	coturn := ""
	file, _, err := in.flags(0, func(f *flag.FlagSet) {
		f.StringVar(&coturn, "from-turnserver-conf", "", "print what coturn's `FILE` becomes, often /etc/turnserver.conf; what has no counterpart goes to standard error")
	})
	switch {
	case err != nil:
		return err
	case coturn != "" && file != "":
		return usageError{"--config and --from-turnserver-conf exclude each other"}
	case coturn != "":
		return convertCoturn(in, coturn)
	}
	cfg, err := config.Load(file, in.environ)
	if err != nil {
		return err
	}
	warnings, err := inspect(cfg)
	if err == nil {
		fmt.Fprint(in.stdout, cfg.Print())
	}
	for _, w := range slices.Concat(cfg.Warnings(), warnings, doubtful(ctx, cfg)) {
		fmt.Fprintln(in.stderr, "warning:", w.Error())
	}
	return err
}

// convertCoturn prints a config.yaml, and what could not be carried over on
// standard error.
func convertCoturn(in invocation, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("%w; name coturn's configuration, often /etc/turnserver.conf", err)
	}
	defer f.Close()
	yaml, notes, err := coturnconf.Convert(f, func(cert, key string) error {
		_, err := certs.CheckFiles(cert, key)
		return err
	})
	if err != nil {
		return fmt.Errorf("read %s: %w; name coturn's configuration, often /etc/turnserver.conf", file, err)
	}
	fmt.Fprint(in.stdout, yaml)
	for _, done := range []bool{false, true} { // what is lost comes first
		for _, n := range notes {
			if n.Done == done {
				fmt.Fprintf(in.stderr, "%s:%s\n", file, n)
			}
		}
	}
	return nil
}
