package peerjs

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"turnhub/signaling"
	"turnhub/signaling/internal/topicstest"
	"turnhub/signaling/internal/wire"
	"turnhub/signaling/internal/wsock"
	"turnhub/signaling/internal/wstest"
)

// startNodes starts servers of so many nodes.
// startNodes starts nodes on which what waits for a peer expires by expireFor alone, or when they close.
func startNodes(t *testing.T, pick func(int) int, names ...string) (net *topicstest.Nodes, nodes map[string]*fixture) {
	t.Helper()
	net = topicstest.New(names...)
	net.Pick = pick
	end := net.Run()
	t.Cleanup(func() { end() })
	nodes = make(map[string]*fixture)
	for _, name := range names {
		var server *Server
		t.Cleanup(func() { // once it is closed
			wstest.Until(t, "nothing waits any more", func() bool { return server.held.Total() == 0 })
			server.mu.Lock()
			defer server.mu.Unlock()
			for name, r := range server.realms {
				r.mu.Lock()
				if len(r.clients) > 0 || len(r.absent) > 0 {
					t.Errorf("left behind in %q: %v %v", name, r.clients, r.absent)
				}
				r.mu.Unlock()
			}
		})
		nodes[name] = run(t, signaling.Config{}, Config{Topics: net.Node(name), Discovery: true}, func(s *Server) { s.expiry = time.Hour })
		server = nodes[name].Server
	}
	return net, nodes
}

// TestNodes: peers on two nodes find each other, messages wait for a peer that comes to
// another node, an id is one person's, a reconnect takes it along with whom it knows, and a
// list has all.
func TestNodes(t *testing.T) {
	net, nodes := startNodes(t, nil, "a", "b")
	a, b := nodes["a"], nodes["b"]
	ann := a.peer("ann")
	// To one who comes later, to another node.
	a.send(ann, `{"type":"OFFER","dst":"bob","payload":{"a":[1,null]}}`)
	a.send(ann, `{"type":"CANDIDATE","dst":"bob","payload":2}`)
	bob := b.peer("bob")
	b.want(bob, `{"type":"OFFER","src":"ann","dst":"bob","payload":{"a":[1,null]}}`)
	b.want(bob, `{"type":"CANDIDATE","src":"ann","dst":"bob","payload":2}`)
	b.send(bob, `{"type":"ANSWER","dst":"ann","payload":3}`)
	a.want(ann, `{"type":"ANSWER","src":"bob","dst":"ann","payload":3}`)
	// The id is taken, for as long as its holder answers.
	go func() {
		for {
			if _, _, err := ann.ReadMessage(); err != nil {
				return
			}
		}
	}()
	thief := b.dial("/peerjs?key=peerjs&id=ann&token=another")
	b.want(thief, `{"type":"ID-TAKEN","payload":{"msg":"ID is taken"}}`)
	// A reconnect on another node, and LEAVE from whom it knows.
	again := a.dial("/peerjs?key=peerjs&id=bob&token=t-bob")
	a.want(again, `{"type":"OPEN"}`)
	b.wantClose(bob, int(wire.CloseReplaced))
	wstest.Until(t, "bob's acquaintances are there", func() bool {
		r := a.realms[""]
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.clients["bob"].knows("ann")
	})
	carl := b.peer("carl")
	b.send(carl, `{"type":"LEAVE","dst":"bob"}`) // a stranger's
	b.send(carl, `{"type":"OFFER","dst":"bob","payload":4}`)
	a.want(again, `{"type":"OFFER","src":"carl","dst":"bob","payload":4}`)
	b.send(carl, `{"type":"LEAVE","dst":"bob"}`)
	a.want(again, `{"type":"LEAVE","src":"carl","dst":"bob"}`)
	for _, f := range []*fixture{a, b} {
		if _, _, list := f.request("GET", "/peerjs/peers", ""); strings.TrimSpace(list) != `["ann","bob","carl"]` {
			t.Errorf("the list is %s", list)
		}
	}
	// What expires is told to its sender, who has gone to another node meanwhile, by each node on
	// which he said something, and is counted where it waited.
	b.send(carl, `{"type":"OFFER","dst":"nobody","payload":5}`)
	b.send(carl, `{"type":"CANDIDATE","dst":"nobody","payload":6}`)
	b.send(carl, `{"type":"OFFER","dst":"carl","payload":"all handled"}`)
	b.want(carl, `{"type":"OFFER","src":"carl","dst":"carl","payload":"all handled"}`)
	moved := a.dial("/peerjs?key=peerjs&id=carl&token=t-carl")
	a.want(moved, `{"type":"OPEN"}`)
	b.wantClose(carl, int(wire.CloseReplaced))
	a.send(moved, `{"type":"CANDIDATE","dst":"nobody","payload":7}`)
	a.send(moved, `{"type":"OFFER","dst":"carl","payload":"all handled"}`)
	a.want(moved, `{"type":"OFFER","src":"carl","dst":"carl","payload":"all handled"}`)
	before := a.fates()
	for i, f := range []*fixture{b, a} {
		f.expireFor("nobody")
		a.want(moved, `{"type":"EXPIRE","src":"nobody","dst":"carl"}`)
		if n := f.fates()["expired"]; n != uint64(2-i) {
			t.Errorf("%d have expired", n)
		}
	}
	if before["expired"] = 1; !maps.Equal(a.fates(), before) {
		t.Errorf("%v, and EXPIRE was nobody's message: %v", a.fates(), before)
	}
	// A holder whose network is lost makes room.
	dora := a.peer("dora")
	a.proof = 200 * time.Millisecond
	wstest.LoseNetwork(t, dora.NetConn())
	free := b.dial("/peerjs?key=peerjs&id=dora&token=another")
	b.want(free, `{"type":"OPEN"}`)
	// So does one whose node dies.
	net.Kill("a")
	wstest.Until(t, "a has gone", net.Idle)
	free = b.dial("/peerjs?key=peerjs&id=ann&token=another")
	b.want(free, `{"type":"OPEN"}`)
}

// TestNodesClaim: of many who take one id on three nodes at the same moment one has it.
func TestNodesClaim(t *testing.T) {
	random := rand.New(rand.NewPCG(rand.Uint64(), 1))
	_, nodes := startNodes(t, func(n int) int { return random.IntN(n) }, "a", "b", "c")
	for round := range 8 {
		var open, taken int
		var mu sync.Mutex
		var group sync.WaitGroup
		for i := range 6 {
			group.Go(func() {
				f := nodes[string("abc"[i%3])]
				ws, _, err := websocket.DefaultDialer.Dial(fmt.Sprintf("%s/peerjs?key=peerjs&id=x%d&token=%d", f.ws, round, i), nil)
				if err != nil {
					t.Error(err)
					return
				}
				t.Cleanup(func() { ws.Close() })
				_, text, err := wstest.Read(ws)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err != nil:
					t.Error(err)
				case strings.Contains(string(text), "OPEN"):
					open++
					go func() {
						for {
							if _, _, err := ws.ReadMessage(); err != nil {
								return
							}
						}
					}()
				default:
					taken++
				}
			})
		}
		group.Wait()
		if open != 1 || taken != 5 {
			t.Fatalf("round %d: %d have it, %d have not", round, open, taken)
		}
	}
}

// modelPeer is one client, once on several nodes and once on the one of the reference.
type modelPeer struct {
	node string
	ends [2]*modelEnd
}

type modelEnd struct {
	ws  *websocket.Conn
	mu  sync.Mutex
	got map[string][]string // by src; OPEN and the like by ""
	end bool
}

func (e *modelEnd) log() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var b strings.Builder
	for _, src := range slices.Sorted(maps.Keys(e.got)) {
		fmt.Fprintln(&b, src, e.got[src])
	}
	if e.end {
		b.WriteString("closed")
	}
	return b.String()
}

func modelDial(t *testing.T, base, id, token string) *modelEnd {
	ws, _, err := websocket.DefaultDialer.Dial(base+"/peerjs?key=peerjs&id="+id+"&token="+token, http.Header{"Origin": {"null"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ws.Close() })
	e := &modelEnd{ws: ws, got: make(map[string][]string)}
	go func() {
		for {
			_, text, err := ws.ReadMessage()
			e.mu.Lock()
			if err != nil {
				e.end = true
				e.mu.Unlock()
				return
			}
			var m struct{ Src string }
			_ = json.Unmarshal(text, &m)
			e.got[m.Src] = append(e.got[m.Src], string(text))
			e.mu.Unlock()
		}
	}()
	return e
}

// TestNodesModel plays random schedules on three nodes and on one that is alone: peers come,
// go, reconnect, take each other's ids and write to each other and to those who are not there,
// nodes die, and NATS is cut off; every client has to hear the same of everybody.
func TestNodesModel(t *testing.T) {
	rounds := 1
	if os.Getenv("E2E_LONG") != "" {
		rounds = 40
	}
	for range rounds {
		seed := rand.Uint64()
		t.Run(fmt.Sprint(seed), func(t *testing.T) { playNodes(t, seed) })
	}
}

func playNodes(t *testing.T, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 1))
	order := rand.New(rand.NewPCG(seed, 2))
	names := []string{"a", "b", "c", "d"}
	net, nodes := startNodes(t, func(n int) int { return order.IntN(n) }, names...)
	reference := start(t, signaling.Limits{}, func(s *Server) { s.expiry = time.Hour })
	alive, cut := slices.Clone(names), false
	peers := make(map[string]*modelPeer)
	var said []string
	fences := 0
	calm := func() {
		t.Helper()
		// What they have said has been taken when what they say to themselves comes back.
		fences++
		for id, p := range peers {
			for _, e := range p.ends {
				_ = e.ws.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, `{"type":"ANSWER","dst":%q,"payload":"fence %d"}`, id, fences))
			}
		}
		fence := fmt.Sprintf(`"fence %d"`, fences)
		for id, p := range peers {
			for _, e := range p.ends {
				wstest.Until(t, id+" has said all", func() bool { return strings.Contains(e.log(), fence) })
			}
		}
		over := time.Now().Add(wstest.Patience)
		for {
			same := net.Idle()
			different := ""
			for id, p := range peers {
				if one, other := p.ends[0].log(), p.ends[1].log(); one != other {
					same, different = false, fmt.Sprintf("%s on %s heard\n%s\nand by the reference\n%s", id, p.node, one, other)
				}
			}
			if same {
				return
			}
			if time.Now().After(over) {
				t.Fatalf("%s\nafter:\n%s", different, strings.Join(said[max(0, len(said)-30):], "\n"))
			}
			time.Sleep(time.Millisecond) // the pause of a poll
		}
	}
	note := func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }
	both := func(p *modelPeer, text string) {
		for _, e := range p.ends {
			_ = e.ws.WriteMessage(websocket.TextMessage, []byte(text))
		}
	}
	// At which node what a sender has said waits, by sender and receiver: never at two, each of
	// which would tell the sender when it expires.
	waitsAt := make(map[[2]string]string)
	over := func(id string) { maps.DeleteFunc(waitsAt, func(of [2]string, _ string) bool { return of[1] == id }) }
	expire := func(id string) {
		over(id)
		for _, node := range alive {
			nodes[node].expireFor(id)
		}
		reference.expireFor(id)
		calm()
	}
	expireAll := func() {
		for i := range 6 {
			expire(fmt.Sprint("p", i))
		}
	}
	connect := func(id, token, node string) *modelPeer {
		over(id)
		p := &modelPeer{node: node}
		p.ends[0], p.ends[1] = modelDial(t, nodes[node].ws, id, token), modelDial(t, reference.ws, id, token)
		for _, e := range p.ends {
			wstest.Until(t, "it is answered", func() bool { return e.log() != "" })
		}
		return p
	}
	leave := func(id string) {
		p := peers[id]
		for _, e := range p.ends {
			e.ws.Close()
		}
		delete(peers, id)
		for _, f := range append(slices.Collect(maps.Values(nodes)), reference) {
			wstest.Until(t, "it has gone", func() bool {
				f.mu.Lock()
				r := f.realms[""]
				f.mu.Unlock()
				return r == nil || !slices.Contains(r.ids(), id)
			})
		}
	}
	for step := range 60 {
		id := fmt.Sprint("p", random.IntN(6))
		node := alive[random.IntN(len(alive))]
		p := peers[id]
		switch what := random.IntN(20); {
		case p == nil && what < 5 && !cut: // then a sender who has gone to another node is not told
			note("what waits for %s expires", id)
			expire(id)
		case p == nil && cut:
			continue
		case p == nil:
			note("%s comes to %s", id, node)
			peers[id] = connect(id, "t", node)
		case what == 0 && !cut:
			note("%s reconnects on %s, was on %s", id, node, p.node)
			again := connect(id, "t", node)
			for _, e := range p.ends {
				wstest.Until(t, "the old socket is closed", func() bool { return strings.HasSuffix(e.log(), "closed") })
			}
			peers[id] = again
		case what == 1 && !cut:
			note("somebody takes %s on %s, which is on %s", id, node, p.node)
			thief := connect(id, "another", node)
			for i, e := range thief.ends {
				if !strings.Contains(e.log(), "ID-TAKEN") {
					t.Fatalf("%d: %s\nafter:\n%s", i, e.log(), strings.Join(said, "\n"))
				}
			}
		case what == 2:
			note("%s goes from %s", id, p.node)
			leave(id)
		case what == 3 && len(alive) > 2 && random.IntN(4) == 0 && !cut:
			// What waits on a node dies with it; the reference would keep it.
			expireAll()
			note("%s dies", node)
			net.Kill(node)
			alive = slices.DeleteFunc(alive, func(n string) bool { return n == node })
			for id, p := range peers {
				if p.node == node {
					leave(id)
				}
			}
		case what == 4 && random.IntN(2) == 0:
			cut = !cut
			note("cut: %v", cut)
			net.Cut(cut)
		default:
			// Some messages at a time, of several.
			for range 1 + random.IntN(5) {
				kind := []string{"OFFER", "ANSWER", "CANDIDATE", "CANDIDATE", "LEAVE"}[random.IntN(5)]
				from, to := fmt.Sprint("p", random.IntN(6)), fmt.Sprint("p", random.IntN(6))
				if there := slices.Sorted(maps.Keys(peers)); peers[to] == nil && len(there) > 0 && random.IntN(4) > 0 {
					to = there[random.IntN(len(there))] // mostly to somebody who is there
				}
				sender, receiver := peers[from], peers[to]
				if sender == nil || cut && (receiver == nil || receiver.node != sender.node) {
					continue
				}
				of := [2]string{from, to}
				if at, waits := waitsAt[of]; receiver == nil && kind != "LEAVE" && waits && at != sender.node {
					continue
				} else if receiver == nil && kind != "LEAVE" {
					waitsAt[of] = sender.node
				}
				if kind == "LEAVE" || kind == "OFFER" {
					calm() // who knows whom must be the same in both
				}
				note("%s on %s says %s to %s", from, sender.node, kind, to)
				both(sender, fmt.Sprintf(`{"type":%q,"dst":%q,"payload":%d}`, kind, to, step))
			}
		}
		calm()
	}
	if cut {
		net.Cut(false)
		calm()
	}
	expireAll()
}

// FuzzNodes: whatever another node says of an id does no harm.
func FuzzNodes(f *testing.F) {
	f.Add(append(appendText([]byte{saidMessage}, "a"), messageBody(7, flagOffer, "bob", wsock.Text([]byte("{}")))...))
	f.Add(append(appendText([]byte{saidDone}, "a"), 1))
	f.Add(append(appendText([]byte{saidKnown}, "a"), 3, 'b', 'o', 'b'))
	f.Add(state{kind: stateHas, stamp: 5}.encode())
	f.Fuzz(func(t *testing.T, body []byte) {
		if s := decodeState(body); s.kind != stateWaits && string(s.encode()) != string(body) {
			t.Fatalf("%+v", s)
		}
		s := New(Config{Hub: signaling.NewHub(signaling.Config{}), Topics: topicstest.New("a", "b").Node("a")})
		r := s.enter("")
		r.mu.Lock()
		p := r.placeLocked("ann", nil)
		r.mu.Unlock()
		r.heard(p, "b", body)
		r.heardList("b", body)
		p.timer.Stop()
	})
}

// TestProofOfAnotherClaim: a proof that comes late says nothing of the claim that follows.
func TestProofOfAnotherClaim(t *testing.T) {
	p := &place{claim: &claim{stamp: 5, changed: make(chan struct{}, 1)}}
	if p.provenLocked(4); p.claim.refused {
		t.Error("it refuses the next claim")
	}
	if p.provenLocked(5); !p.claim.refused {
		t.Error("it does not refuse its own")
	}
}
