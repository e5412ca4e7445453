package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

// publish passes ports on as Docker's userland proxy does, so that everybody seems to come
// from this namespace's own address: labtool publish tcp|udp ADDRESS:PORT=ADDRESS:PORT…
func publish(args []string) error {
	if len(args) < 2 {
		return errors.New("usage: labtool publish tcp|udp ADDRESS:PORT=ADDRESS:PORT…")
	}
	for _, pair := range args[1:] {
		from, to, found := strings.Cut(pair, "=")
		if !found {
			return fmt.Errorf("%q has no =", pair)
		}
		var err error
		if args[0] == "udp" {
			err = publishUDP(from, to)
		} else {
			err = publishTCP(from, to)
		}
		if err != nil {
			return err
		}
	}
	untilInputEnds()
	return nil
}

func publishTCP(from, to string) error {
	listener, err := net.Listen("tcp", from)
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
				far, err := net.Dial("tcp", to)
				if err != nil {
					return
				}
				defer far.Close()
				var back sync.WaitGroup
				back.Go(func() { pour(conn, far) })
				pour(far, conn)
				back.Wait()
			}()
		}
	}()
	return nil
}

func pour(to, from net.Conn) {
	if _, err := io.Copy(to, from); err != nil {
		_ = from.Close()
	}
	_ = to.(*net.TCPConn).CloseWrite()
}

// silence is after how long without an answer a client's port is forgotten, as Docker does.
const silence = 90 * time.Second

func publishUDP(from, to string) error {
	address, err := net.ResolveUDPAddr("udp", from)
	if err != nil {
		return err
	}
	near, err := net.ListenUDP("udp", address)
	if err != nil {
		return err
	}
	go func() {
		var mutex sync.Mutex
		clients := make(map[string]net.Conn)
		packet := make([]byte, 64<<10)
		for {
			n, client, err := near.ReadFromUDPAddrPort(packet)
			if err != nil {
				return
			}
			key := client.String()
			mutex.Lock()
			far := clients[key]
			if far == nil {
				if far, err = net.Dial("udp", to); err != nil {
					mutex.Unlock()
					continue
				}
				clients[key] = far
				go func() {
					answer := make([]byte, 64<<10)
					for {
						_ = far.SetReadDeadline(time.Now().Add(silence))
						n, err := far.Read(answer)
						if err != nil {
							break
						}
						_, _ = near.WriteToUDPAddrPort(answer[:n], client)
					}
					mutex.Lock()
					delete(clients, key)
					mutex.Unlock()
					far.Close()
				}()
			}
			mutex.Unlock()
			_, _ = far.Write(packet[:n])
		}
	}()
	return nil
}
