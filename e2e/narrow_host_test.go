package e2e

import (
	"crypto/tls"
	encoding "encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pion/turn/v4"
	"golang.org/x/sys/unix"
)

// narrows are clients of one server, each in a network namespace of its own behind a
// link of its own rate.
//
//	server 10.66.N.1 ─ bridge N ─ rate kbit/s down, 100 ms of queue ─ 10.66.N.2 client N
//
// The bridge is a machine of its own: of a queue at its own card a kernel's TCP knows, and
// slows down, of one anywhere else it does not.
type narrows struct {
	t      *testing.T
	server string // namespace
	suffix string
	roots  *server // the certificate
	dir    string
	links  int
}

// peersAt is the server's address for the relay and for the peers.
const peersAt = "10.66.0.1"

func newNarrows(t *testing.T) *narrows {
	t.Helper()
	for _, tool := range []string{"ip", "tc"} {
		if _, err := exec.LookPath(tool); os.Geteuid() != 0 || err != nil {
			t.Skip("SKIPPED: narrow links in network namespaces need root and iproute2 (ip, tc)")
		}
	}
	n := &narrows{t: t, suffix: fmt.Sprintf("%d-%d", os.Getpid(), hostsMade.Add(1)), roots: new(server), dir: t.TempDir()}
	n.server = n.namespace("s")
	inside(t, n.server, "ip", "link", "add", "home", "type", "veth", "peer", "name", "nowhere")
	inside(t, n.server, "ip", "link", "set", "home", "up")
	inside(t, n.server, "ip", "addr", "add", peersAt+"/32", "dev", "home")
	n.roots.certificate(t, n.dir)
	return n
}

func (n *narrows) namespace(name string) string {
	ns := "th-" + name + "-" + n.suffix
	if output, err := exec.Command("ip", "netns", "add", ns).CombinedOutput(); err != nil {
		n.t.Skipf("SKIPPED: this machine allows no network namespaces: %s", output)
	}
	n.t.Cleanup(func() { exec.Command("ip", "netns", "del", ns).Run() })
	inside(n.t, ns, "ip", "link", "set", "lo", "up")
	return ns
}

// link makes a client behind a link of so many kbit/s, 0: as fast as there is.
func (n *narrows) link(kbit int) (client, address string) {
	n.t.Helper()
	n.links++
	client = n.namespace(fmt.Sprintf("c%d", n.links))
	bridge := n.namespace(fmt.Sprintf("b%d", n.links))
	device, net := fmt.Sprintf("c%d", n.links), fmt.Sprintf("10.66.%d.", n.links)
	inside(n.t, n.server, "ip", "link", "add", device, "type", "veth", "peer", "name", "near", "netns", bridge)
	inside(n.t, bridge, "ip", "link", "add", "name", "away", "type", "veth", "peer", "name", "eth0", "netns", client)
	inside(n.t, bridge, "ip", "link", "add", "bridge", "type", "bridge", "forward_delay", "0")
	for _, port := range []string{"near", "away"} {
		inside(n.t, bridge, "ip", "link", "set", "dev", port, "master", "bridge", "up")
	}
	inside(n.t, bridge, "ip", "link", "set", "dev", "bridge", "up")
	inside(n.t, n.server, "ip", "addr", "add", net+"1/24", "dev", device)
	inside(n.t, n.server, "ip", "link", "set", device, "up")
	inside(n.t, client, "ip", "addr", "add", net+"2/24", "dev", "eth0")
	inside(n.t, client, "ip", "link", "set", "eth0", "up")
	_ = exec.Command("ip", "netns", "exec", n.server, "ethtool", "-K", device, "tso", "off", "gso", "off").Run()
	if kbit > 0 {
		if err := n.narrow(net+"1", kbit); err != nil {
			n.t.Skipf("SKIPPED: this kernel makes no link narrow (tc tbf): %v", err)
		}
	}
	return client, net + "1"
}

// bridgeOf is the namespace of the bridge on the way to the client whose link has that
// address at the server.
func (n *narrows) bridgeOf(address string) string {
	return "th-b" + strings.Split(address, ".")[2] + "-" + n.suffix
}

// narrow has the link whose server's end has that address take so many kbit/s from now on.
func (n *narrows) narrow(address string, kbit int) error {
	shape := exec.Command("ip", "netns", "exec", n.bridgeOf(address), "tc", "qdisc", "replace", "dev", "away", "root", "tbf", "rate", fmt.Sprint(kbit)+"kbit", "burst", "1540", "latency", "100ms")
	output, err := shape.CombinedOutput()
	if err != nil {
		return fmt.Errorf("tc: %w: %s", err, output)
	}
	return nil
}

// carried is how many bytes the link whose server's end has that address has let through,
// counted as its rate is: with the headers of IP, TCP and Ethernet; and how many packets
// it has dropped.
func (n *narrows) carried(address string) (bytes, dropped uint64) {
	output, err := exec.Command("ip", "netns", "exec", n.bridgeOf(address), "tc", "-s", "-j", "qdisc", "show", "dev", "away").Output()
	var qdiscs []struct {
		Kind         string
		Bytes, Drops uint64
	}
	if err == nil {
		err = json.Unmarshal(output, &qdiscs)
	}
	for _, qdisc := range qdiscs {
		if qdisc.Kind == "tbf" {
			return qdisc.Bytes, qdisc.Drops
		}
	}
	n.t.Errorf("tc counts nothing on the way to %s: %v %s", address, err, output)
	return 0, 0
}

// serve runs a relay in the server's namespace until the test ends: turnhub or, to be
// compared, a binary of coturn. Of turnhub the driver of its relay, "": its own choice.
func (n *narrows) serve(coturn, driver string) {
	n.t.Helper()
	certificate, key := filepath.Join(n.dir, "cert.pem"), filepath.Join(n.dir, "key.pem")
	var args []string
	if coturn != "" {
		args = []string{coturn, "-n", "--listening-ip=0.0.0.0", "--relay-ip=" + peersAt, "--realm=turnhub", "--use-auth-secret",
			"--static-auth-secret=" + secret, "--cert=" + certificate, "--pkey=" + key, "--tls-listening-port=3478", "--listening-port=3479",
			"--no-cli", "--log-file=stdout", "--userdb=" + filepath.Join(n.dir, "users"), "--pidfile=" + filepath.Join(n.dir, "pid")}
	} else {
		file := filepath.Join(n.dir, "config.yaml")
		text := fmt.Sprintf(`{public_host: localhost, state_dir: %q, listen: {tcp: [":3478"], udp: [":3478"], admin: "127.0.0.1:9478"},
			tls: {mode: files, cert_file: %q, key_file: %q}, credentials: {secrets: [%q]},
			log: {level: debug}, relay: {external_ip: %s, bind_ip: %[5]s, peers: any, allow_peers: [10.66.0.0/16]}}`, filepath.Join(n.dir, "state"), certificate, key, secret, peersAt)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			n.t.Fatal(err)
		}
		args = []string{binary, "serve", "--config", file}
	}
	log := &lockedBuffer{}
	command := exec.Command("ip", append([]string{"netns", "exec", n.server}, args...)...)
	command.Dir, command.Stdout, command.Stderr = n.dir, log, log
	if driver != "" {
		command.Env = append(os.Environ(), "TURNHUB_RELAY_DRIVER="+driver)
	}
	if err := command.Start(); err != nil {
		n.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { command.Wait(); close(ended) }()
	n.t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM) // ip has become the server by exec
		<-ended
		if n.t.Failed() {
			n.t.Logf("the server's log:\n%s", log)
		}
	})
	until(n.t, "the server listens", func() bool {
		select {
		case <-ended:
			n.t.Fatalf("the server ended:\n%s", log)
		default:
		}
		var conn net.Conn
		var err error
		n.within(n.server, func() { conn, err = net.Dial("tcp4", peersAt+":3478") })
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

// counted is the sum over all labels of what the server counts under that name.
func (n *narrows) counted(name string) int {
	n.t.Helper()
	var answer []byte
	var err error
	n.within(n.server, func() {
		var conn net.Conn
		if conn, err = net.Dial("tcp4", "127.0.0.1:9478"); err != nil {
			return
		}
		defer conn.Close()
		if _, err = fmt.Fprint(conn, "GET /metrics HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n"); err == nil {
			answer, err = io.ReadAll(conn)
		}
	})
	if err != nil {
		n.t.Fatal(err)
	}
	return int(metricIn(n.t, string(answer), name))
}

// within runs f on a thread in a namespace; the sockets that it opens stay there.
func (n *narrows) within(ns string, f func()) {
	if err := inNamespace(ns, f); err != nil {
		n.t.Fatal(err)
	}
}

// inNamespace is within for whoever may not end the test.
func inNamespace(ns string, f func()) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlock: the thread ends with the goroutine
		there, err := os.Open("/run/netns/" + ns)
		if err == nil {
			defer there.Close()
			if err = unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err == nil {
				f()
			}
		}
		done <- err
	}()
	return <-done
}

// trial is one measurement: a client and what its peer sends to it.
type trial struct {
	transport string
	kbit      int     // of the link
	over      float64 // how many times as much the peer sends
	lasts     time.Duration
	wide      time.Duration // so long the link takes everything, and whole pictures come besides; all that is measured is after that. As long as it lasts: it stays so
	start     bool          // what is measured is the beginning: the first second too
	reads     int           // bytes a second that the client itself reads at most, 0: all there are
}

// outcome is what arrived, after the first second or the time in which the link was wide.
type outcome struct {
	large, sound          []time.Duration // ages, sorted
	soundSent, soundHeard int             // of those in the middle
	largeSent, largeHeard int
	used                  float64       // of the link, by what it carried, headers too; of what the client reads, where that is what is bounded
	behind                time.Duration // for so long in all the peer was kept from sending by the machine
	stalled               time.Duration // at a time, at the longest
	dropped               uint64        // packets, by the link
	silent                time.Duration // for so long nothing came, at the longest
	buffered              int           // bytes that lay in the client's own receive buffer at most
}

func at(ages []time.Duration, share float64) time.Duration {
	if len(ages) == 0 {
		return time.Hour // nothing came
	}
	return ages[min(int(float64(len(ages))*share), len(ages)-1)]
}

const (
	largePacket = 1200
	soundPacket = 100
	soundEvery  = 20 * time.Millisecond
	wholeEvery  = 700 * time.Millisecond
	wholeSize   = 40 // large packets
)

// run has a peer send large packets and sound to a client behind its link, which must
// be made already, and measures how old they arrive.
func (n *narrows) run(client, address string, port int, c trial) (o outcome, err error) {
	var stream net.Conn
	at := net.JoinHostPort(address, fmt.Sprint(port))
	n.within(client, func() { stream, err = net.Dial("tcp4", at) })
	if err != nil {
		return o, err
	}
	slow := &slowConn{Conn: stream, tcp: stream.(*net.TCPConn)}
	var conn net.Conn = slow
	if c.reads > 0 {
		_ = slow.tcp.SetReadBuffer(32 << 10)
	}
	if c.transport == "tls" {
		conn = tls.Client(conn, &tls.Config{RootCAs: n.roots.roots, ServerName: "localhost"})
	}
	username, password, err := turn.GenerateLongTermTURNRESTCredentials(secret, "narrow", time.Hour)
	if err != nil {
		return o, err
	}
	packets := turn.NewSTUNConn(conn)
	defer packets.Close()
	turnClient, err := turn.NewClient(&turn.ClientConfig{STUNServerAddr: at, TURNServerAddr: at, Conn: packets, Username: username, Password: password, Realm: "turnhub"})
	if err != nil {
		return o, err
	}
	defer turnClient.Close()
	if err := turnClient.Listen(); err != nil {
		return o, err
	}
	relay, err := turnClient.Allocate()
	if err != nil {
		return o, fmt.Errorf("allocate: %w", err)
	}
	defer relay.Close()
	var peer *net.UDPConn
	n.within(n.server, func() {
		peer, err = net.DialUDP("udp4", &net.UDPAddr{IP: net.ParseIP(peersAt)}, relay.LocalAddr().(*net.UDPAddr))
	})
	if err != nil {
		return o, err
	}
	defer peer.Close()
	// pion binds a channel when it sends.
	if _, err := relay.WriteTo([]byte("from the client"), peer.LocalAddr()); err != nil {
		return o, err
	}
	if err := peer.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return o, err
	}
	if _, err := peer.Read(make([]byte, 100)); err != nil {
		return o, fmt.Errorf("from client to peer: %w", err)
	}

	warm, stays := max(time.Second, c.wide), c.wide >= c.lasts
	if stays {
		warm = time.Second
	}
	if c.start {
		warm = 0
	}
	rate := float64(c.kbit) * 1000 / 8
	if c.reads > 0 {
		rate = float64(c.reads)
		slow.pace(c.reads)
	}
	began := time.Now()
	var carriedFirst, carriedLast, droppedFirst uint64
	// On a busy machine a program such as tc is there late, so it counts when it was.
	counted, countedFrom := c.lasts-warm, warm
	missed := time.Duration(0) // of it, by the peer
	var sending sync.WaitGroup
	ended := make(chan struct{})
	sending.Go(func() {
		defer close(ended)
		<-time.After(warm) // the time that is not measured
		counts := c.reads == 0 && !stays
		if counts {
			if c.wide > 0 {
				err = n.narrow(address, c.kbit)
			}
			carriedFirst, droppedFirst = n.carried(address)
			countedFrom = time.Since(began)
		}
		<-time.After(time.Until(began.Add(c.lasts)))
		if counts {
			carriedLast, o.dropped = n.carried(address)
			o.dropped -= droppedFirst
			counted = time.Since(began) - countedFrom
		}
	})
	sending.Go(func() {
		gap := time.Duration(float64(largePacket) / (rate * c.over) * float64(time.Second))
		large, sound, whole := time.Duration(0), time.Duration(0), time.Duration(0)
		packet := make([]byte, largePacket)
		wholes := c.wide
		if c.start {
			wholes = 5 * time.Second
		}
		timer := time.NewTimer(0)
		defer timer.Stop()
		for range timer.C {
			now := time.Since(began)
			select {
			case <-ended:
				return
			default:
			}
			encoding.BigEndian.PutUint64(packet, uint64(now))
			// A microphone does not say at once what it had no time for.
			if behind := now - min(large, sound); behind > 2*soundEvery {
				large, sound = large+behind, sound+behind
				o.behind, o.stalled = o.behind+behind, max(o.stalled, behind)
				if now > warm {
					missed += min(behind, now-warm)
				}
			}
			for ; sound <= now; sound += soundEvery {
				if now > warm && now < c.lasts-time.Second {
					o.soundSent++
				}
				_, _ = peer.Write(packet[:soundPacket])
			}
			send := func() {
				if now > warm && now < c.lasts-time.Second {
					o.largeSent++
				}
				_, _ = peer.Write(packet)
			}
			for ; large <= now; large += gap {
				send()
			}
			for ; whole <= now && whole < wholes; whole += wholeEvery {
				for range map[bool]int{false: wholeSize, true: 10}[c.start] {
					send()
				}
			}
			timer.Reset(min(large, sound) - time.Since(began))
		}
	})
	bytes, last := 0, warm
	buffer := make([]byte, 2000)
	_ = relay.SetReadDeadline(began.Add(c.lasts))
	for {
		size, _, err := relay.ReadFrom(buffer)
		if late := net.Error(nil); stays && errors.As(err, &late) && late.Timeout() {
			// All has to come, however late the machine lets us see it.
			sending.Wait()
			if all := o.soundHeard == o.soundSent && o.largeHeard == o.largeSent; !all && time.Since(began) < c.lasts+20*time.Second {
				_ = relay.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
				continue
			}
		}
		if err != nil {
			break
		}
		now := time.Since(began)
		if size < soundPacket || now < warm {
			continue
		}
		sent := time.Duration(encoding.BigEndian.Uint64(buffer))
		bytes += size
		o.silent, last = max(o.silent, now-last), now
		middle := 0
		if sent > warm && sent < c.lasts-time.Second {
			middle = 1
		}
		if size == soundPacket {
			o.sound = append(o.sound, now-sent)
			o.soundHeard += middle
		} else {
			o.large = append(o.large, now-sent)
			o.largeHeard += middle
		}
	}
	sending.Wait()
	slices.Sort(o.large)
	slices.Sort(o.sound)
	if c.reads == 0 {
		bytes = int(carriedLast - carriedFirst)
	}
	o.used = float64(bytes) / max(counted-missed, time.Second).Seconds() / rate
	o.silent = max(o.silent, c.lasts-last)
	slow.mu.Lock()
	o.buffered = slow.most
	slow.mu.Unlock()
	return o, err
}

func (o outcome) String() string {
	ms := func(d time.Duration) int64 { return d.Milliseconds() }
	return fmt.Sprintf("age %d / %d / %d ms (median, 99 of 100, worst), sound %d / %d ms, %d of %d heard, nothing for %d ms, %.0f %% used, %d dropped, the peer was behind by %d ms in all, %d at a time", ms(at(o.large, 0.5)), ms(at(o.large, 0.99)),
		ms(at(o.large, 1)), ms(at(o.sound, 0.5)), ms(at(o.sound, 0.99)), o.soundHeard, o.soundSent, ms(o.silent), 100*o.used, o.dropped, ms(o.behind), ms(o.stalled))
}
