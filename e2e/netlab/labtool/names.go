package main

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// serveNames answers DNS over UDP: labtool dns LISTEN[,LISTEN…] NAME=ADDRESS…
// Names that it does not know do not exist.
func serveNames(args []string) error {
	if len(args) < 1 {
		return fmt.Errorf("usage: labtool dns LISTEN[,LISTEN] NAME=ADDRESS…")
	}
	zone := map[string][]netip.Addr{}
	for _, entry := range args[1:] {
		name, address, _ := strings.Cut(entry, "=")
		addr, err := netip.ParseAddr(address)
		if err != nil {
			return fmt.Errorf("name %s: %w", entry, err)
		}
		zone[name+"."] = append(zone[name+"."], addr)
	}
	for _, listen := range strings.Split(args[0], ",") {
		conn, err := net.ListenPacket("udp", net.JoinHostPort(listen, "53"))
		if err != nil {
			return err
		}
		go answerNames(conn, zone)
	}
	untilInputEnds()
	return nil
}

func answerNames(conn net.PacketConn, zone map[string][]netip.Addr) {
	buffer := make([]byte, 1500)
	for {
		n, from, err := conn.ReadFrom(buffer)
		if err != nil {
			return
		}
		if answer, err := nameAnswer(buffer[:n], zone); err == nil {
			_, _ = conn.WriteTo(answer, from)
		}
	}
}

func nameAnswer(query []byte, zone map[string][]netip.Addr) ([]byte, error) {
	var parser dnsmessage.Parser
	header, err := parser.Start(query)
	if err != nil {
		return nil, err
	}
	question, err := parser.Question()
	if err != nil {
		return nil, err
	}
	addresses, known := zone[strings.ToLower(question.Name.String())]
	message := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: header.ID, Response: true, Authoritative: true, RecursionDesired: header.RecursionDesired, RecursionAvailable: true},
		Questions: []dnsmessage.Question{question},
	}
	if !known {
		message.RCode = dnsmessage.RCodeNameError
	}
	for _, addr := range addresses {
		resource := dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: question.Name, Class: dnsmessage.ClassINET, TTL: 60}}
		switch {
		case question.Type == dnsmessage.TypeA && addr.Is4():
			resource.Body = &dnsmessage.AResource{A: addr.As4()}
		case question.Type == dnsmessage.TypeAAAA && addr.Is6():
			resource.Body = &dnsmessage.AAAAResource{AAAA: addr.As16()}
		default:
			continue
		}
		message.Answers = append(message.Answers, resource)
	}
	return message.Pack()
}
