package e2e

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os"
	"slices"
	"syscall"
	"testing"

	"turnhub/cluster/natstest"
)

const hostKey = "Vn3pXq0c6TgkQmW1r8YhZA"

// hosted is the name of a room whose host hostKey makes.
func hosted(prefix string) string {
	sum := sha256.Sum256([]byte(prefix + hostKey))
	return prefix + base64.RawURLEncoding.EncodeToString(sum[:])
}

// TestHostAcrossNodes: on three real nodes, with a real NATS server, a host lets in who knocks
// at another node; a lock and a removal hold on all; and when the host's node is killed while
// two knock he is the host still, on another one, and hears of each once.
func TestHostAcrossNodes(t *testing.T) {
	t.Parallel()
	nats := natstest.Start(t, true)
	nodes := startNodes(t, nats, nil)
	knowEachOther(t, nodes)
	room := hosted("fox~host.")
	enter := func(at int, user string) (d *device, id string) {
		d = callAs(t, nodes[at], user, "the secret of "+user)
		return d, fmt.Sprint(d.hears(map[string]any{"type": "welcome"})["session"])
	}
	order := func(d *device, action, peer string) {
		d.say(`"type":"host","room":%q,"action":%q,"peer":%q,"id":9`, room, action, peer)
		d.hears(map[string]any{"type": "ok", "id": 9})
	}
	join := func(d *device, more string) { d.say(`"type":"join","room":%q,"id":1%s`, room, more) }
	host, hostID := enter(0, "ann")
	join(host, `,"host":"`+hostKey+`"`)
	host.hears(map[string]any{"type": "joined"})
	admit := func(at int, user string) (d *device, id string) {
		d, id = enter(at, user)
		join(d, "")
		d.hears(map[string]any{"type": "error", "code": "knocking"})
		host.hears(map[string]any{"type": "knock", "peer": id, "user": user})
		order(host, "admit", id)
		d.hears(map[string]any{"type": "admitted"})
		join(d, "")
		d.hears(map[string]any{"type": "hosting", "hosts": []string{hostID}})
		host.hears(map[string]any{"type": "peer-joined", "peer": id})
		return d, id
	}
	guest, guestID := admit(1, "bob")
	bad, badID := admit(2, "mallory")
	order(host, "mute", guestID)
	seat := bad.hears(map[string]any{"type": "hosting", "muted": []string{guestID}})["seat"]
	if seat == nil {
		t.Fatal("there is no seat")
	}
	order(host, "remove", badID)
	bad.hears(map[string]any{"type": "out", "reason": "removed"})
	guest.hears(map[string]any{"type": "peer-left", "peer": badID, "reason": "removed"})
	for at := range nodes {
		again, _ := enter(at, "mallory")
		join(again, fmt.Sprintf(`,"seat":%q`, seat))
		if at < 2 {
			again.hears(map[string]any{"type": "error", "code": "forbidden"})
		} else { // nobody is here any more who knows; the others tell
			until(t, "he hears that he is out", func() bool {
				again.mu.Lock()
				defer again.mu.Unlock()
				return slices.ContainsFunc(again.all, func(m map[string]any) bool { return m["type"] == "out" || m["code"] == "forbidden" })
			})
		}
		again.say(`"type":"bye"`)
		_ = again.socket.Close()
	}
	order(host, "lock", "")
	guest.hears(map[string]any{"type": "hosting", "locked": true})
	stranger, strangerID := enter(1, "eve")
	join(stranger, "")
	stranger.hears(map[string]any{"type": "error", "code": "locked"})
	order(host, "unlock", "")
	guest.hears(map[string]any{"type": "hosting", "locked": false})

	// The host's node is killed, while somebody knocks. Nobody has left, nor come; the knock, and
	// what was said to the host meanwhile, comes to him where his session goes on.
	stranger.say(`"type":"join","room":%q,"id":2`, room)
	stranger.hears(map[string]any{"type": "error", "code": "knocking"})
	host.hears(map[string]any{"type": "knock", "peer": strangerID})
	for _, n := range nodes {
		until(t, "another node could go on", func() bool { return covered(n) })
	}
	begins := make(map[*device]int)
	for _, d := range []*device{host, guest} {
		d.mu.Lock()
		begins[d] = len(d.ever)
		d.mu.Unlock()
	}
	nodes[0].kill(t)
	late, lateID := enter(2, "fay")
	join(late, "")
	late.hears(map[string]any{"type": "error", "code": "knocking"})
	host.comesBack(nodes[1], nodes[2])
	host.hears(map[string]any{"type": "knock", "peer": lateID})
	order(host, "admit", strangerID)
	stranger.hears(map[string]any{"type": "admitted"})
	order(host, "unmute", guestID)
	guest.hears(map[string]any{"type": "hosting", "hosts": []string{hostID}, "muted": []string{}})
	for d, from := range begins {
		d.mu.Lock()
		for _, m := range d.ever[from:] {
			if typ := m["type"]; typ == "peer-left" || typ == "peer-joined" || typ == "knock" && m["peer"] != lateID {
				t.Errorf("the death is heard: %v", m)
			}
		}
		d.mu.Unlock()
	}
}

// TestHostMeanwhile: what a host wants of people whose node is dead, or stands still, is done by
// the time that they are back, on another node or on that one: who was removed is out, who was
// let in comes in, the room is locked for those who knocked, and over once it has been ended.
func TestHostMeanwhile(t *testing.T) {
	t.Parallel()
	all := []meanwhile{{}, {freezes: true, ends: true}, {ends: true}, {freezes: true, moves: true}}
	if os.Getenv("E2E_LONG") == "" {
		all = all[:2]
	}
	for _, c := range all {
		c.play(t)
	}
}

// meanwhile is how a node falls silent, and what a host wants then.
type meanwhile struct {
	freezes bool // else it is killed
	moves   bool // its people come to other nodes before it goes on
	ends    bool // the host ends the room
}

func (c meanwhile) play(t *testing.T) {
	t.Helper()
	nats := natstest.Start(t, true)
	nodes := startNodes(t, nats, nil)
	logsOf(t, nodes)
	t.Cleanup(func() { _ = nodes[0].process.Signal(syscall.SIGCONT) })
	for _, n := range nodes {
		until(t, "all nodes are known", func() bool { return n.metric(t, `turnhub_cluster_nodes{state="alive"}`) == 3 })
	}
	room := hosted("fox~host.")
	enter := func(at int, user string) *device {
		d := callAs(t, nodes[at], user, "the secret of "+user)
		d.hears(map[string]any{"type": "welcome"})
		return d
	}
	host := enter(1, "ann")
	order := func(action string, of *device) {
		peer := ""
		if of != nil {
			peer = of.session
		}
		host.say(`"type":"host","room":%q,"action":%q,"peer":%q,"id":%d`, room, action, peer, host.seq+1)
		id := host.seq
		until(t, "the host is answered", func() bool { return host.everHeard(map[string]any{"type": "ok", "id": id}) })
	}
	join := func(d *device, more string) { d.say(`"type":"join","room":%q,"id":1%s`, room, more) }
	join(host, `,"host":"`+hostKey+`"`)
	host.hears(map[string]any{"type": "joined"})
	knock := func(d *device) {
		join(d, "")
		d.hears(map[string]any{"type": "error", "code": "knocking"})
		host.hears(map[string]any{"type": "knock", "peer": d.session})
	}
	guest, bad, late, slow, witness := enter(0, "bob"), enter(0, "mal"), enter(0, "eve"), enter(0, "fay"), enter(2, "gus")
	for _, d := range []*device{guest, bad, witness} {
		knock(d)
		order("admit", d)
		d.hears(map[string]any{"type": "admitted"})
		join(d, "")
		d.hears(map[string]any{"type": "joined"})
		host.hears(map[string]any{"type": "peer-joined", "peer": d.session})
	}
	knock(late)
	knock(slow)
	for _, n := range nodes {
		until(t, "another node could go on", func() bool { return covered(n) })
	}
	saysOf(t, fmt.Sprintf("%+v", c), host, guest, bad, late, slow, witness)
	if c.freezes {
		_ = nodes[0].process.Signal(syscall.SIGSTOP)
	} else {
		nodes[0].kill(t)
	}
	if c.ends {
		order("end", nil)
	} else {
		order("remove", bad)
		order("admit", late)
		order("lock", nil)
	}
	if c.freezes && !c.moves {
		for _, n := range nodes[1:] {
			until(t, "a node is missed", func() bool { return n.metric(t, `turnhub_cluster_nodes{state="alive"}`) == 2 })
		}
		_ = nodes[0].process.Signal(syscall.SIGCONT)
	} else {
		for _, d := range []*device{guest, bad, late, slow} {
			d.comesBack(nodes[1], nodes[2])
		}
	}
	hears := func(d *device, want map[string]any) {
		t.Helper()
		until(t, fmt.Sprint("one hears ", want), func() bool { return d.everHeard(want) })
	}
	if c.ends {
		for _, d := range []*device{host, guest, bad, late, slow, witness} {
			hears(d, map[string]any{"type": "out", "reason": "ended"})
		}
	} else {
		hears(bad, map[string]any{"type": "out", "reason": "removed"})
		hears(late, map[string]any{"type": "admitted"})
		hears(slow, map[string]any{"type": "out", "reason": "locked"})
		for _, d := range []*device{host, witness, guest} {
			hears(d, map[string]any{"type": "hosting", "locked": true})
			hears(d, map[string]any{"type": "peer-left", "peer": bad.session, "reason": "removed"})
		}
		late.say(`"type":"join","room":%q,"id":2`, room)
		hears(late, map[string]any{"type": "joined"})
		bad.say(`"type":"join","room":%q,"id":2`, room)
		hears(bad, map[string]any{"type": "error", "code": "forbidden", "id": 2})
		for _, d := range []*device{host, witness, guest} {
			for _, o := range []*device{guest, late} {
				if d.everHeard(map[string]any{"type": "peer-left", "peer": o.session}) {
					t.Errorf("%+v: somebody is told to have left who has not", c)
				}
			}
		}
	}
	if !c.freezes {
		nodes[0].run(t) // the test's end ends it
	}
}
