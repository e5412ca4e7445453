// Command forwarder is the plainest relay there can be, as a yardstick; see
// load.Forward.
package main

import (
	"flag"
	"fmt"
	"net/netip"
	"os"

	"turnhub/bench/load"
)

func main() {
	address := flag.String("address", "127.0.0.1:3478", "IPv4 address and port")
	flag.Parse()
	at, err := netip.ParseAddrPort(*address)
	if err == nil {
		err = load.Forward(at)
	}
	fmt.Fprintln(os.Stderr, "forwarder:", err)
	os.Exit(1)
}
