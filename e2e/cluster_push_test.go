package e2e

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"turnhub/cluster/natstest"
)

// pushes is a push service that counts what comes for each browser, and says of those that
// are gone that they are. What is in the messages is held by the package's own tests.
type pushes struct {
	server *httptest.Server
	mu     sync.Mutex
	got    map[string][]map[string]any // by path
	keys   map[string]*ecdh.PrivateKey
	gone   map[string]bool
}

// opened is what a message says, along RFC 8291, whose auth secret is of zeros here.
func opened(body []byte, private *ecdh.PrivateKey) (said map[string]any, err error) {
	if len(body) < 86+17 {
		return nil, fmt.Errorf("%d bytes", len(body))
	}
	sender, err := ecdh.P256().NewPublicKey(body[21:86])
	if err != nil {
		return nil, err
	}
	shared, err := private.ECDH(sender)
	if err != nil {
		return nil, err
	}
	derive := func(secret, salt []byte, info string, size int) []byte {
		root, _ := hkdf.Extract(sha256.New, secret, salt)
		out, _ := hkdf.Expand(sha256.New, root, info, size)
		return out
	}
	ikm := derive(shared, make([]byte, 16), "WebPush: info\x00"+string(private.PublicKey().Bytes())+string(body[21:86]), 32)
	block, err := aes.NewCipher(derive(ikm, body[:16], "Content-Encoding: aes128gcm\x00", 16))
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	text, err := gcm.Open(nil, derive(ikm, body[:16], "Content-Encoding: nonce\x00", 12), body[86:], nil)
	if err != nil {
		return nil, err
	}
	return said, json.Unmarshal(bytes.TrimRight(text, "\x00\x02"), &said)
}

func newPushes(t *testing.T) (p *pushes, config map[string]map[string]any) {
	p = &pushes{got: make(map[string][]map[string]any), keys: make(map[string]*ecdh.PrivateKey), gone: make(map[string]bool)}
	p.server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.gone[r.URL.Path] {
			w.WriteHeader(http.StatusGone)
			return
		}
		body, _ := io.ReadAll(r.Body)
		said, err := opened(body, p.keys[r.URL.Path])
		if err != nil {
			t.Errorf("%s: %v", r.URL, err)
		}
		p.got[r.URL.Path] = append(p.got[r.URL.Path], said)
		w.WriteHeader(http.StatusCreated)
	}))
	t.Cleanup(p.server.Close)
	authority := filepath.Join(t.TempDir(), "authority.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.server.Certificate().Raw})
	if err := os.WriteFile(authority, text, 0o644); err != nil {
		t.Fatal(err)
	}
	host := strings.TrimPrefix(p.server.URL, "https://")
	t.Setenv("SSL_CERT_FILE", authority)
	return p, map[string]map[string]any{"push": {"services": []string{host}, "allow": []string{"127.0.0.0/8"}, "contact": "mailto:op@example.org"}}
}

// subscription is one of a browser.
func (p *pushes) subscription(t *testing.T, name string) string {
	private, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys["/"+name] = private
	text := base64.RawURLEncoding.EncodeToString
	return fmt.Sprintf(`{"endpoint":%q,"keys":{"p256dh":%q,"auth":%q}}`, p.server.URL+"/"+name, text(private.PublicKey().Bytes()), text(make([]byte, 16)))
}

func (p *pushes) count(name string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.got["/"+name])
}

func (p *pushes) last(name string) map[string]any {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := p.got["/"+name]
	return all[len(all)-1]
}

func (p *pushes) set(name string, gone bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gone["/"+name] = gone
}

// TestPushAcrossNodes: on three real nodes, with a real NATS server, a device that has
// subscribed at one node rings for a call that another one has, once; a call whose node is
// killed while it rings is missed, and told, by one of the others; what was missed is told
// at whichever node its user comes to, until he has seen it at any; and what is gone at one
// node, by the user's wish or the push service's word, is gone at all.
func TestPushAcrossNodes(t *testing.T) {
	nats := natstest.Start(t, true)
	service, config := newPushes(t)
	var nodes []*server
	for _, name := range []string{"a", "b", "c"} {
		with := map[string]map[string]any{"cluster": {"nats": []string{nats.URL()}, "node": name, "url": "http://127.0.0.1:$PORT"}}
		for section, values := range config {
			with[section] = values
		}
		nodes = append(nodes, start(t, with))
	}
	for _, n := range nodes {
		until(t, "all nodes are known", func() bool { p, _ := n.config(t, "room=first"); return len(p.Signalings) == 3 })
	}
	a, b, c := nodes[0], nodes[1], nodes[2]
	key := func(n *server) string {
		text, _ := os.ReadFile(filepath.Join(filepath.Dir(n.file), "state", "push-key"))
		return string(text)
	}
	until(t, "all have the key of one", func() bool { return key(a) != "" && key(a) == key(b) && key(b) == key(c) })
	const secret = "the secret of bob"

	// Subscribed at a; at b it is known before he is called, and that he has gone.
	ann := callAs(t, b, "ann", "the secret of ann")
	ann.hears(map[string]any{"type": "welcome"})
	ann.say(`"type":"subscribe","users":["bob"]`)
	bob := callAs(t, a, "bob", secret)
	bob.hears(map[string]any{"type": "welcome"})
	ann.hears(map[string]any{"type": "presence", "users": map[string]any{"bob": "online"}})
	bob.say(`"type":"push-subscribe","subscription":%s,"id":1`, service.subscription(t, "phone"))
	bob.hears(map[string]any{"type": "ok", "id": 1})
	bob.say(`"type":"bye"`)
	ann.hears(map[string]any{"type": "presence", "users": map[string]any{"bob": "offline"}})
	for _, n := range []*server{b, c} {
		until(t, "all know his phone", func() bool { return n.metric(t, "turnhub_push_subscriptions") == 1 })
	}

	// Called at b: it rings, once.
	call := func(d *device, id int) string {
		d.say(`"type":"invite","user":"bob","id":%d`, id)
		return fmt.Sprint(d.hears(map[string]any{"type": "calling", "id": id})["call"])
	}
	first := call(ann, 1)
	ann.hears(map[string]any{"state": "ringing", "call": first})
	if n, last := service.count("phone"), service.last("phone"); n != 1 || last["type"] != "ring" || last["call"] != first || last["user"] != "ann" {
		t.Errorf("%d pushes, the last is %v", n, last)
	}
	// Not taken, it was missed.
	ann.say(`"type":"hangup","call":%q,"id":2`, first)
	ann.hears(map[string]any{"type": "ok", "id": 2})
	until(t, "it stops", func() bool { return service.count("phone") == 2 })
	// Declined by the browser at c, which has not got the call.
	declined := call(ann, 3)
	ann.hears(map[string]any{"state": "ringing", "call": declined})
	decline := func(secret any) int {
		body, _ := json.Marshal(map[string]any{"call": declined, "decline": secret, "endpoint": service.server.URL + "/phone"})
		answer, err := http.Post(fmt.Sprintf("http://127.0.0.1:%d/push/decline", c.port), "application/json", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer.StatusCode
	}
	until(t, "it is declined as soon as c has heard of it", func() bool {
		if status := decline("a guess"); status != http.StatusNotFound {
			t.Errorf("a guess declines: %d", status)
		}
		status := decline(service.last("phone")["decline"])
		if status != http.StatusNoContent && status != http.StatusNotFound {
			t.Fatalf("it is declined with %d", status)
		}
		return status == http.StatusNoContent
	})
	ann.hears(map[string]any{"state": "ended", "reason": "declined", "call": declined})

	// The node of the next one is killed while it rings.
	second := call(ann, 5)
	ann.hears(map[string]any{"state": "ringing", "call": second})
	until(t, "it rings", func() bool { return service.count("phone") == 4 })
	b.kill(t)
	until(t, "another node says that it was missed", func() bool { return service.count("phone") == 5 && service.last("phone")["type"] == "stop" })

	// Told at c.
	bob = callAs(t, c, "bob", secret)
	bob.hears(map[string]any{"type": "missed", "call": first, "user": "ann"})
	bob.hears(map[string]any{"type": "missed", "call": second, "user": "ann", "reason": "lost"})
	bob.say(`"type":"seen","calls":[%q,%q],"id":1`, first, second)
	bob.hears(map[string]any{"type": "ok", "id": 1})
	// Not again at a, once it has heard that he has seen it.
	var again *device
	until(t, "he is told nothing more", func() bool {
		again = callAs(t, a, "bob", secret)
		again.hears(map[string]any{"type": "welcome"})
		again.say(`"type":"push-unsubscribe","endpoint":%q,"id":1`, "https://elsewhere.example.org/")
		again.hears(map[string]any{"type": "ok", "id": 1})
		told := again.everHeard(map[string]any{"type": "missed"})
		if told {
			again.say(`"type":"bye"`)
			_ = again.socket.Close()
		}
		return !told
	})
	thief := callAs(t, a, "bob", "another secret")
	until(t, "the other secret is refused", func() bool { thief.mu.Lock(); defer thief.mu.Unlock(); return thief.ended != nil })

	// Both away; the service says that the phone is gone; then nobody is called any more, at
	// the node that has come back too.
	for _, d := range []*device{bob, again} {
		d.say(`"type":"bye"`)
		_ = d.socket.Close()
	}
	b.run(t)
	service.set("phone", true)
	eve := callAs(t, a, "eve", "the secret of eve")
	eve.hears(map[string]any{"type": "welcome"})
	until(t, "nobody is rung at a", func() bool {
		id := call(eve, 1)
		return eve.hears(map[string]any{"state": "ended", "call": id})["reason"] == "unavailable"
	})
	for _, n := range []*server{b, c} {
		other := callAs(t, n, "eve2", "the secret of eve")
		other.hears(map[string]any{"type": "welcome"})
		id := call(other, 1)
		if m := other.hears(map[string]any{"state": "ended", "call": id}); m["reason"] != "unavailable" {
			t.Errorf("%v", m)
		}
		_ = other.socket.Close()
	}
}
