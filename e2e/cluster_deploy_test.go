package e2e

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"turnhub/cluster/natstest"
)

// TestClusterOfDeploy runs the configuration files of deploy/cluster: three nodes, three
// NATS servers with no more rights than a node needs, and HAProxy in front, which leads
// people by one name to any node and by its own to each. They meet in their rooms, also
// when a NATS server and a node have been killed.
func TestClusterOfDeploy(t *testing.T) {
	if os.Getenv("E2E_LONG") == "" {
		t.Skip("E2E_LONG=1 (make soak) runs this")
	}
	haproxy := program(t, "haproxy", "haproxy")
	const password = "n0123456789abcdef"
	t.Setenv("NATS_PASSWORD", password)
	dir, err := filepath.Abs("../deploy/cluster")
	if err != nil {
		t.Fatal(err)
	}
	var servers []*natstest.Server
	var brokers []string
	routes := []int{freePort(t), freePort(t), freePort(t)}
	for i := range routes {
		var others []string
		for k, port := range routes {
			if k != i {
				others = append(others, fmt.Sprintf("nats://route:%s@127.0.0.1:%d", password, port))
			}
		}
		t.Setenv("NATS_DATA", t.TempDir())
		s := natstest.Start(t, false, "--config", filepath.Join(dir, "nats.conf"), "--name", fmt.Sprint("nats-", i+1),
			"--cluster", fmt.Sprintf("nats://127.0.0.1:%d", routes[i]), "--routes", strings.Join(others, ","))
		servers = append(servers, s)
		brokers = append(brokers, strings.Replace(s.URL(), "nats://", "nats://turnhub:"+password+"@", 1))
	}

	names := []string{"a", "b", "c"}
	nodes := make(map[string]*server)
	front := freePort(t)
	environ := []string{"HOST=calls.test", fmt.Sprintf("BIND=127.0.0.1:%d", front)}
	for _, name := range names {
		own := t.TempDir()
		s := &server{port: freePort(t), log: &lockedBuffer{}, file: filepath.Join(dir, "config.yaml")}
		s.certificate(t, own)
		admin := freePort(t)
		s.admin = fmt.Sprintf("http://127.0.0.1:%d", admin)
		for key, value := range map[string]string{
			"LISTEN_TCP": fmt.Sprintf("127.0.0.1:%d", s.port), "LISTEN_UDP": fmt.Sprintf("127.0.0.1:%d", s.port), "LISTEN_ADMIN": fmt.Sprintf("127.0.0.1:%d", admin),
			"LISTEN_TRUSTED_PROXIES": "127.0.0.1/32", "STATE_DIR": filepath.Join(own, "state"), "PUBLIC_HOST": "localhost", "RELAY_EXTERNAL_IP": "127.0.0.1",
			"TLS_CERT_FILE": filepath.Join(own, "cert.pem"), "TLS_KEY_FILE": filepath.Join(own, "key.pem"), "CREDENTIALS_SECRETS": secret,
			"CLUSTER_NATS": strings.Join(brokers, ","), "CLUSTER_NODE": name, "CLUSTER_URL": "https://" + name + ".calls.test",
		} {
			s.environ = append(s.environ, "TURNHUB_"+key+"="+value)
		}
		environ = append(environ, fmt.Sprintf("NODE_%s=127.0.0.1:%d", strings.ToUpper(name), s.port))
		s.run(t)
		t.Cleanup(func() {
			if s.process != nil {
				s.end(t)
			}
		})
		nodes[name] = s
	}
	run(t, []int{front}, "env", append(environ, haproxy, "-f", filepath.Join(dir, "haproxy.cfg"))...)

	store := func() bool { // the servers have found a leader
		for _, n := range nodes {
			if n.process != nil && !strings.Contains(n.log.String(), "the cluster's store is open") {
				return false
			}
		}
		return true
	}
	until(t, "all nodes have the store", store)
	ctx, cancel := context.WithCancel(context.Background())
	var all []*walker
	var group sync.WaitGroup
	urls := []string{"wss://calls.test/ws", "wss://a.calls.test/ws", "wss://b.calls.test/ws", "wss://c.calls.test/ws"}
	for r := range 4 {
		for p := range 3 {
			w := &walker{
				name: fmt.Sprintf("w%d%d", r, p), room: fmt.Sprint("room-", r),
				tls: &tls.Config{InsecureSkipVerify: true}, through: fmt.Sprintf("127.0.0.1:%d", front),
				answered: make(map[string]map[string]bool), heard: make(map[string]bool),
			}
			all = append(all, w)
			group.Go(func() { w.walk(ctx, urls) })
		}
	}
	defer group.Wait()
	defer cancel()
	wholeRooms(t, all, "at first")
	servers[0].Kill()
	nodes["b"].kill(t)
	const when = "after a NATS server and a node have been killed"
	talkOn(t, all, when)
	wholeRooms(t, all, when)
	for name, n := range nodes {
		if strings.Contains(n.log.String(), "NATS refuses something") {
			t.Errorf("%s has not the rights that it needs:\n%s", name, n.log)
		}
	}
	for _, w := range all {
		w.get(func() {
			if w.fault != nil {
				t.Errorf("%s: %v", w.name, w.fault)
			}
		})
	}
}
