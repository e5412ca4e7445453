package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/pion/stun/v2"
)

// serveSTUN answers Binding requests on every address given: labtool stun ADDRESS:PORT…
func serveSTUN(args []string) error {
	for _, address := range args {
		conn, err := net.ListenPacket("udp", address)
		if err != nil {
			return err
		}
		go answerBindings(conn)
	}
	untilInputEnds()
	return nil
}

func answerBindings(conn net.PacketConn) {
	buffer := make([]byte, 1500)
	for {
		n, from, err := conn.ReadFrom(buffer)
		if err != nil {
			return
		}
		request := &stun.Message{Raw: append([]byte(nil), buffer[:n]...)}
		if request.Decode() != nil || request.Type != stun.BindingRequest {
			continue
		}
		client := from.(*net.UDPAddr)
		response, err := stun.Build(request, stun.BindingSuccess, &stun.XORMappedAddress{IP: client.IP, Port: client.Port}, stun.Fingerprint)
		if err == nil {
			_, _ = conn.WriteTo(response.Raw, from)
		}
	}
}

// answer is how a server sees us; Mapped is empty where no answer came in time.
type answer struct {
	Mapped      string  `json:"mapped"`
	RoundTripMS float64 `json:"roundTrip"`
}

// probe asks each server from one and the same socket how it sees us and prints the answers as a JSON array:
// labtool probe ADDRESS:PORT…
func probe(args []string) error {
	conn, err := net.ListenPacket("udp", ":0")
	if err != nil {
		return err
	}
	defer conn.Close()
	answers := make([]answer, len(args))
	for i, server := range args {
		if answers[i], err = ask(conn, server); err != nil {
			return fmt.Errorf("ask %s: %w", server, err)
		}
	}
	return json.NewEncoder(os.Stdout).Encode(answers)
}

func ask(conn net.PacketConn, server string) (answer, error) {
	to, err := net.ResolveUDPAddr("udp", server)
	if err != nil {
		return answer{}, err
	}
	request, err := stun.Build(stun.TransactionID, stun.BindingRequest)
	if err != nil {
		return answer{}, err
	}
	buffer := make([]byte, 1500)
	for wait := 250 * time.Millisecond; wait <= time.Second; wait *= 2 {
		sent := time.Now()
		if _, err := conn.WriteTo(request.Raw, to); err != nil {
			return answer{}, nil // no route is an answer too: nothing gets out
		}
		_ = conn.SetReadDeadline(time.Now().Add(wait))
		n, _, err := conn.ReadFrom(buffer)
		if err != nil {
			continue
		}
		response := &stun.Message{Raw: buffer[:n]}
		var address stun.XORMappedAddress
		if response.Decode() == nil && response.TransactionID == request.TransactionID && address.GetFrom(response) == nil {
			return answer{address.String(), time.Since(sent).Seconds() * 1000}, nil
		}
	}
	return answer{}, nil
}
