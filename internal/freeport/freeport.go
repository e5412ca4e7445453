// Package freeport finds ports for tests that start a program, which has to be told one.
package freeport

import (
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
)

// Any returns a port that is free for TCP and UDP, below those that the system gives to
// whoever asks for any, as many tests do at the same time, and below the relay's.
func Any(t testing.TB) int {
	t.Helper()
	for range 100 {
		port := 20000 + rand.IntN(12000)
		address := ":" + strconv.Itoa(port)
		tcp, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		tcp.Close()
		if udp, err := net.ListenPacket("udp", address); err == nil {
			udp.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}
