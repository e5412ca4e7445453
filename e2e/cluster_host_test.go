package e2e

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"testing"

	"turnhub/cluster/natstest"
)

// TestHostAcrossNodes: on three real nodes, with a real NATS server, a host lets in who knocks
// at another node; a lock and a removal hold on all; and when the host's node is killed while
// two knock he is the host still, on another one, and hears of each once.
func TestHostAcrossNodes(t *testing.T) {
	t.Parallel()
	nats := natstest.Start(t, true)
	nodes := startNodes(t, nats, nil)
	knowEachOther(t, nodes)
	const key, prefix = "Vn3pXq0c6TgkQmW1r8YhZA", "fox~host."
	sum := sha256.Sum256([]byte(prefix + key))
	room := prefix + base64.RawURLEncoding.EncodeToString(sum[:])
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
	join(host, `,"host":"`+key+`"`)
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
