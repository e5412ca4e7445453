// Command pion4 is pion/turn v4 as a rival in the benchmark: its examples
// "simple-multithreaded", "tls" and "lt-cred-turn-rest" in one.
package main

import (
	"log"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/pion/turn/v4"

	"turnhub/bench/rivals/sockets"
)

func main() {
	o := sockets.Flags()
	packets, streams, err := o.Open()
	if err != nil {
		log.Fatal(err)
	}
	relay := &turn.RelayAddressGeneratorPortRange{
		RelayAddress: net.ParseIP(o.IP()), Address: o.IP(), MinPort: 10000, MaxPort: 65535,
	}
	config := turn.ServerConfig{Realm: o.Realm, AuthHandler: turn.LongTermTURNRESTAuthHandler(o.Secret, nil)}
	for _, p := range packets {
		config.PacketConnConfigs = append(config.PacketConnConfigs,
			turn.PacketConnConfig{PacketConn: p, RelayAddressGenerator: relay})
	}
	for _, l := range streams {
		config.ListenerConfigs = append(config.ListenerConfigs,
			turn.ListenerConfig{Listener: l, RelayAddressGenerator: relay})
	}
	server, err := turn.NewServer(config)
	if err != nil {
		log.Fatal(err)
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	<-stop
	if err := server.Close(); err != nil {
		log.Fatal(err)
	}
}
