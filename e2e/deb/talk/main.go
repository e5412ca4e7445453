// Command talk relays a conversation between two of its own allocations, over UDP
// and over TCP, until it is killed or a packet is lost: then it fails. It is run
// beside a server that is upgraded and killed.
//
//	talk SECRET-FILE [HOST:PORT]
package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/pion/turn/v4"
)

func main() {
	address := "127.0.0.1:3478"
	if len(os.Args) > 2 {
		address = os.Args[2]
	}
	fmt.Println("lost:", talk(os.Args[1], address))
	os.Exit(1)
}

// talk goes on until something is lost.
func talk(secretFile, address string) error {
	text, err := os.ReadFile(secretFile)
	if err != nil {
		return err
	}
	var secret string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			secret = line
			break
		}
	}
	username, password, err := turn.GenerateLongTermTURNRESTCredentials(secret, "talk", time.Hour)
	if err != nil {
		return err
	}
	var ends []net.PacketConn
	var clients []*turn.Client
	for _, network := range []string{"udp", "tcp"} {
		var conn net.PacketConn
		if network == "udp" {
			conn, err = net.ListenPacket("udp4", "127.0.0.1:0")
		} else {
			var stream net.Conn
			if stream, err = net.Dial("tcp4", address); err == nil {
				conn = turn.NewSTUNConn(stream)
			}
		}
		if err != nil {
			return err
		}
		client, err := turn.NewClient(&turn.ClientConfig{TURNServerAddr: address, Conn: conn, Username: username, Password: password})
		if err != nil {
			return err
		}
		if err := client.Listen(); err != nil {
			return err
		}
		end, err := client.Allocate()
		if err != nil {
			return err
		}
		clients, ends = append(clients, client), append(ends, end)
	}
	for i, client := range clients {
		if err := client.CreatePermission(ends[1-i].LocalAddr()); err != nil {
			return err
		}
	}
	buf := make([]byte, 100)
	for n := 0; ; n++ {
		from, to := ends[n%2], ends[1-n%2]
		payload := fmt.Appendf(nil, "packet %d", n)
		if _, err := from.WriteTo(payload, to.LocalAddr()); err != nil {
			return err
		}
		_ = to.SetReadDeadline(time.Now().Add(5 * time.Second))
		got, _, err := to.ReadFrom(buf)
		if err != nil || !bytes.Equal(buf[:got], payload) {
			return fmt.Errorf("%s: %q, %w", payload, buf[:got], err)
		}
		if n%100 == 0 {
			fmt.Println("talking")
		}
		time.Sleep(5 * time.Millisecond) // the pace of a conversation
	}
}
