package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// serveEcho sends back whatever comes, over TCP: labtool echo ADDRESS:PORT…
func serveEcho(args []string) error {
	for _, address := range args {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			return err
		}
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				go func() {
					defer conn.Close()
					_, _ = io.Copy(conn, conn)
				}()
			}
		}()
	}
	untilInputEnds()
	return nil
}

// say opens a TCP connection, sends bytes given in hex and prints "answered" when as many come back, "silent"
// when not: labtool say ADDRESS:PORT HEX
func say(args []string) error {
	if len(args) != 2 {
		return errors.New("usage: labtool say ADDRESS:PORT HEX")
	}
	words, err := hex.DecodeString(args[1])
	if err != nil {
		return err
	}
	answer := "silent"
	if conn, err := net.DialTimeout("tcp", args[0], time.Second); err == nil {
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(time.Second))
		if _, err := conn.Write(words); err != nil {
			return err
		}
		if _, err := io.ReadFull(conn, words); err == nil {
			answer = "answered"
		}
	}
	fmt.Println(answer)
	return nil
}
