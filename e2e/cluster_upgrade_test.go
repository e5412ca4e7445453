package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"turnhub/cluster/natstest"
)

// TestUpgradeOfANode: a process of several nodes that is succeeded in place sends its clients
// to its successor, where they get fresh sessions at once: no other node goes on with them,
// as the old process lives.
func TestUpgradeOfANode(t *testing.T) {
	t.Parallel()
	nats := natstest.Start(t, true)
	nodes := startNodes(t, nats, nil)
	for _, n := range nodes {
		until(t, "another node could go on", func() bool { return covered(n) })
	}
	a := nodes[0]
	g := a.hubSocket(t)
	g.say(t, `{"type":"hello"}`)
	var welcome struct {
		Session string
		Resumed bool
		Resume  struct{ Token string }
	}
	if err := json.Unmarshal(g.hear(t, "welcome"), &welcome); err != nil {
		t.Fatal(err)
	}
	g.say(t, `{"type":"join","room":"blue","id":1,"seq":1}`)
	g.hear(t, "joined")
	pid := a.process.Pid
	if err := syscall.Kill(pid, syscall.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	child := 0
	until(t, "there is a successor", func() bool {
		if now := (&family{}).childOf(pid); now != 0 {
			child = now
		}
		return child != 0
	})
	t.Cleanup(func() {
		_ = syscall.Kill(child, syscall.SIGTERM)
		until(t, "the successor has ended", func() bool { return !running(child) })
	})
	g.hear(t, "restart")
	again := a.hubSocket(t)
	again.say(t, fmt.Sprintf(`{"type":"hello","resume":{"session":%q,"token":%q,"seq":2}}`, welcome.Session, welcome.Resume.Token))
	if err := json.Unmarshal(again.hear(t, "welcome"), &welcome); err != nil {
		t.Fatal(err)
	}
	if welcome.Resumed {
		t.Error("the session goes on")
	}
	until(t, "another node could go on with the successor's", func() bool { return covered(a) })
	for i, n := range nodes {
		for _, bad := range []string{"go on here", "has taken this one's sessions", "does not keep up"} {
			if strings.Contains(n.log.String(), bad) {
				t.Errorf("node %d says %q:\n%s", i, bad, n.log)
			}
		}
	}
}
