package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"turnhub/turnsrv"
)

// detach takes away what a killed server has left at interfaces, where the program that
// forwards packets inside the kernel is there as a filter.
func detach(_ context.Context, in invocation) error {
	if _, _, err := in.flags(0, nil); err != nil {
		return err
	}
	n, err := turnsrv.SweepKernel()
	fmt.Fprintf(in.stdout, "%d filters of servers that have ended are taken away\n", n)
	if errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("it needs CAP_NET_ADMIN; run it by sudo: %w", err)
	}
	return err
}
