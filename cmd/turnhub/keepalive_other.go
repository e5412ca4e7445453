//go:build !linux

package main

import "net"

// keepalive is Go's own.
func keepalive() *net.ListenConfig { return new(net.ListenConfig) }
