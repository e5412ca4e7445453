package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"turnhub/cluster/natstest"
)

func list(subjects []string) string { return `["` + strings.Join(subjects, `", "`) + `"]` }

// rightsFile writes the configuration of a server whose user may do all that a node needs, but
// nothing that has this in its name.
func rightsFile(t *testing.T, file, without string) {
	t.Helper()
	less := func(subjects ...string) []string {
		return slices.DeleteFunc(subjects, func(s string) bool { return without != "" && strings.Contains(s, without) })
	}
	text := fmt.Sprintf("authorization { users: [ { user: node, password: secret, permissions: { publish: %s, subscribe: %s } } ] }\n",
		list(less(slices.Concat(heardSubjects, stowedSubjects)...)), list(less(slices.Clone(heardSubjects)...)))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func asNode(s *natstest.Server) string { return strings.Replace(s.URL(), "//", "//node:secret@", 1) }

// TestDenied: what NATS does not let a node is told by name, whatever it is; nothing is where all is
// given; and nobody has heard or kept anything of how it was tried.
func TestDenied(t *testing.T) {
	t.Parallel()
	for _, without := range []string{"", "turnhub.datagram", "turnhub.topic", "turnhub-leases", "turnhub.events", "turnhub.beat", "INBOX"} {
		t.Run(without, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "nats.conf")
			rightsFile(t, file, without)
			s := natstest.Start(t, true, "--config", file)
			var want []string
			for what, subjects := range map[string][]string{"subscribe": heardSubjects, "publish": slices.Concat(saidSubjects, stowedSubjects)} {
				for _, subject := range subjects {
					if without != "" && strings.Contains(subject, without) {
						want = append(want, what+" "+subject)
					}
				}
			}
			conn, err := nats.Connect(asNode(s))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			got, err := denied(conn)
			slices.Sort(got)
			if slices.Sort(want); err != nil || !slices.Equal(got, want) {
				t.Errorf("%v, %v, want %v", got, err, want)
			}
		})
	}
}

func TestDeniedDisturbsNobody(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, true)
	n := meet(t, s, "a")[0]
	n.Place(context.Background(), "blue")
	conn, err := nats.Connect(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	rooms, err := js.KeyValue(t.Context(), roomsBucket)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := denied(conn); err != nil || len(got) > 0 {
		t.Errorf("%v, %v", got, err)
	}
	keys, err := rooms.Keys(t.Context())
	if err != nil || slices.Contains(keys, "check") {
		t.Errorf("the store has %v, %v", keys, err)
	}
	for why, count := range n.Stats().Refused {
		if count > 0 {
			t.Errorf("%d refused: %v", count, why)
		}
	}
}

// TestRightsOfDeploy: the server's configuration that people copy, and the list in the document,
// give what a node needs, and nothing else.
func TestRightsOfDeploy(t *testing.T) {
	quoted := func(text string, mark string) (list []string) {
		for _, m := range regexp.MustCompile(mark+`([^`+mark+`]+)`+mark).FindAllStringSubmatch(text, -1) {
			list = append(list, m[1])
		}
		slices.Sort(list)
		return list
	}
	sorted := func(all ...[]string) []string { return slices.Sorted(slices.Values(slices.Concat(all...))) }
	check := func(where, text, begin, mark string, want []string) {
		_, text, is := strings.Cut(text, begin)
		text, _, _ = strings.Cut(text, map[string]string{`"`: "]", "`": ";"}[mark])
		if mark == "`" && begin == "subscribe " {
			text, _, _ = strings.Cut(text, ". ")
		}
		if got := quoted(text, mark); !is || !slices.Equal(got, want) {
			t.Errorf("%s, %s: %v, want %v", where, begin, got, want)
		}
	}
	conf, err := os.ReadFile("../deploy/cluster/nats.conf")
	if err != nil {
		t.Fatal(err)
	}
	check("nats.conf", string(conf), "publish: [", `"`, sorted(heardSubjects, stowedSubjects))
	check("nats.conf", string(conf), "subscribe: [", `"`, sorted(heardSubjects))
	doc, err := os.ReadFile("../docs/cluster.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rights, _ := strings.Cut(string(doc), "A node needs: ")
	check("cluster.md", rights, "publish ", "`", sorted(heardSubjects, stowedSubjects))
	check("cluster.md", rights, "subscribe ", "`", sorted(heardSubjects))
}

// TestDatagramsDenied: a node that NATS does not let send datagrams reaches nobody by them, and does
// so once it may, without being started anew.
func TestDatagramsDenied(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "nats.conf")
	rightsFile(t, file, "turnhub.datagram")
	s := natstest.Start(t, true, "--config", file)
	var all []*looseNode
	for _, name := range []string{"a", "b"} {
		n := &looseNode{}
		n.testNode = start(t, s, name, func(c *Config) { c.NATS, c.refused = []string{asNode(s)}, 200*time.Millisecond }, func(c *Cluster) {
			n.Datagrams = c.Datagrams(func(node, _ string, body []byte) {
				n.mu.Lock()
				defer n.mu.Unlock()
				n.heard = append(n.heard, node+" "+string(body))
			}, func() {})
		})
		all = append(all, n)
	}
	a, b := all[0], all[1]
	until(t, "they know each other", func() bool { return a.live() == "a b" && b.live() == "a b" })
	until(t, "and that they reach nobody", func() bool { return a.Process("b") == "" && b.Process("a") == "" })
	if v, err := Look(t.Context(), Config{NATS: []string{asNode(s)}, beat: 100 * time.Millisecond}, secrets, nil); err != nil || !slices.Equal(v.Denied, []string{
		"subscribe turnhub.datagram.*.*", "publish turnhub.datagram.*.*",
	}) {
		t.Errorf("%v, %v", v.Denied, err)
	}
	rightsFile(t, file, "")
	if err := syscall.Kill(s.PID(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	until(t, "what is said is heard", func() bool {
		a.say(b, "x")
		return len(b.all()) > 0
	})
}
