package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"turnhub/cluster"
	"turnhub/internal/config"
	"turnhub/signaling"
	"turnhub/web"
	"turnhub/web/admin"
)

// makeCluster makes this node's end of a cluster, where cluster.nats names one.
func (n *node) makeCluster(secrets []string) (err error) {
	n.digests.Store(digestsOf(n.cfg, secrets))
	if !n.cfg.Cluster.On() {
		return nil
	}
	cfg := clusterConfig(n.cfg)
	cfg.State = n.clusterState
	cfg.Uncovered = n.hub.Uncovered
	cfg.Rooms = n.hub.Rooms
	cfg.Other = otherHub{n.hub}
	cfg.Elsewhere = func(room, node string, signalings []string) {
		if told := n.hub.Elsewhere(room, node, signalings); told > 0 {
			n.log.Info("another node has this room: its people are sent there", "room", room, "people", told, "to", signalings[0])
		}
	}
	cfg.Retold = n.hub.RefreshConfig
	cfg.Revoked = n.revokedElsewhere
	cfg.Revocations = n.access.Revocations
	cfg.Do = n.doForNode
	cfg.Answer = n.answerNode
	cfg.Logger = n.log
	if n.cluster, err = cluster.New(cfg, secrets); err != nil {
		return err
	}
	n.hub.ShareSeen(n.cluster.Topics(), n.relaysAt) // before it serves
	n.media.Across(n.cluster.Datagrams(n.media.Heard, n.media.NodesChanged))
	n.pusher.share(n.cluster)
	n.recorder.share(n.cluster)
	n.shareLimits()
	return nil
}

// roomOpened tells the cluster of a room; nil where this server is alone. The hub is made
// before the cluster.
func (n *node) roomOpened() func(room string) {
	if !n.cfg.Cluster.On() {
		return nil
	}
	return func(room string) { n.cluster.RoomOpened(room) }
}

// streams are those to other nodes, for the hub, which is made before the cluster. It sends
// nothing before it is told of the first.
type streams struct{ n *node }

func (s streams) Send(node string, generation uint64, frames ...[]byte) bool {
	return s.n.cluster.Send(node, generation, frames...)
}

func (s streams) Roomy(node string) bool { return s.n.cluster.Roomy(node) }

func (s streams) Void(node string) { s.n.cluster.Void(node) }

func (s streams) Deaf() bool { return s.n.cluster.Deaf() }

func (s streams) Suspect(node string) signaling.NodeState {
	switch s.n.cluster.Suspect(node) {
	case cluster.Lives:
		return signaling.NodeLives
	case cluster.Leaves:
		return signaling.NodeLeaves
	case cluster.Gone:
		return signaling.NodeGone
	}
	return signaling.NodeUnsure
}

// Name implements signaling.Seconds.
func (s streams) Name(run, node string, image uint64, done func(ok bool)) {
	s.n.cluster.NameSecond(run, node, image, done)
}

// Take implements signaling.Seconds.
func (s streams) Take(node, run string, image uint64, done func(ok, lives bool)) {
	s.n.cluster.TakeSessions(node, run, image, done)
}

// otherHub is the hub as the cluster tells it of streams.
type otherHub struct{ *signaling.Hub }

func (h otherHub) NodeLost(node string, how cluster.Loss) {
	switch how {
	case cluster.LossEnded:
		h.Hub.NodeLost(node, signaling.Ended)
	case cluster.LossSilent:
		h.Hub.NodeLost(node, signaling.Silent)
	default:
		h.Hub.NodeLost(node, signaling.Void)
	}
}

// seconds is where it is asked who may go on with a dead node's sessions; nil where this
// server is alone.
func (n *node) seconds() signaling.Seconds {
	if !n.cfg.Cluster.On() {
		return nil
	}
	return streams{n}
}

// streams returns them; nil where this server is alone.
func (n *node) streams() signaling.Nodes {
	if !n.cfg.Cluster.On() {
		return nil
	}
	return streams{n}
}

// topics are what the dialects say to each other by; nil where this server is alone.
func (n *node) topics() signaling.Topics {
	if n.cluster == nil {
		return nil
	}
	return n.cluster.Topics()
}

// relaysAt are the addresses at which others see what is relayed here.
func (n *node) relaysAt() (list []netip.Addr) {
	for _, r := range n.addresses.Relay() {
		if r.Advertise.IsValid() {
			list = append(list, r.Advertise.Unmap())
		}
	}
	return list
}

func clusterConfig(cfg *config.Config) cluster.Config {
	c := &cfg.Cluster
	return cluster.Config{
		NATS: c.NATS, CredsFile: c.CredsFile, CAFile: c.TLS.CAFile, CertFile: c.TLS.CertFile, KeyFile: c.TLS.KeyFile,
		Node: c.Node, URL: c.URL, Region: c.Region, Software: softwareVersion(),
	}
}

// digestsOf are what every node must have alike, by what it is, so that a difference can
// be told by its name and nothing else.
func digestsOf(cfg *config.Config, secrets []string) map[string]string {
	of := func(values ...any) string {
		h := sha256.New()
		for _, v := range values {
			fmt.Fprintf(h, "%v\x00", v)
		}
		return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:9])
	}
	r, l := cfg.Relay, cfg.Limits
	return map[string]string{
		// Who reads it has no more of a secret than from a signature by it.
		"credentials.secrets":   of("turnhub digest of secrets", strings.Join(secrets, "\x00")),
		"credentials.ttl":       of(cfg.Credentials.TTL),
		"access keys":           of(cfg.Access.Mode, fileDigest(cfg.Access.TokenSecretFile), fileDigest(cfg.Access.TokenJWKSFile)),
		"allowed_origins":       of(cfg.Access.AllowedOrigins),
		"embed_origins":         of(cfg.Access.EmbedOrigins),
		"relay.peers":           of(r.Peers, r.AllowPeers, r.DenyPeers),
		"relay.websocket_media": of(r.WebSocketMedia),
		"limits":                of(l),
		"public_path":           of(cfg.PublicPath),
		"events.webhooks":       of(webhooksOf(cfg)...),
	}
}

// fileDigest is of what a file holds; empty where there is none.
func fileDigest(path string) string {
	if path == "" {
		return ""
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "unreadable"
	}
	sum := sha256.Sum256([]byte(strings.TrimSpace(string(text))))
	return string(sum[:])
}

// clusterState is what this node says of itself to the others.
func (n *node) clusterState() cluster.State {
	digests, _ := n.digests.Load().(map[string]string)
	hub, turn := n.hub.Stats(), n.turn.Stats()
	load := cluster.Load{
		Processors: runtime.GOMAXPROCS(0), CPU: n.busy.share(),
		Sessions: hub.Sessions + hub.DialectClients, Rooms: hub.Rooms,
	}
	for _, families := range turn.Allocations {
		for _, count := range families {
			load.Allocations += count
		}
	}
	ports := int(n.cfg.Relay.PortMax) - int(n.cfg.Relay.PortMin) + 1
	if most := n.settings().Limits.AllocationsTotal; most > 0 {
		ports = min(ports, most)
	}
	load.Full = load.Allocations*20 > ports*19
	var urls []string
	if !n.draining.Load() {
		urls = n.prober.URLs(0)
	}
	return cluster.State{URLs: urls, Range: n.relayRange(), Load: load, Digests: digests}
}

// busy follows how much of the processors this process uses, over some seconds.
type busy struct {
	mu   sync.Mutex
	at   time.Time
	used time.Duration
	last float64 // 0 to 1
}

// busyOver is over how long the share is at least.
const busyOver = 3 * time.Second

func (b *busy) share() float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	var u syscall.Rusage
	if now.Sub(b.at) < busyOver || syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return b.last
	}
	used := time.Duration(u.Utime.Nano() + u.Stime.Nano())
	if !b.at.IsZero() {
		b.last = min(1, max(0, float64(used-b.used)/float64(now.Sub(b.at))/float64(runtime.GOMAXPROCS(0))))
	}
	b.at, b.used = now, used
	return b.last
}

// place tells /config where a room is; nil where this server is alone.
func (n *node) place() func(context.Context, string) web.Placement {
	if n.cluster == nil {
		return nil
	}
	return func(ctx context.Context, room string) web.Placement {
		p := n.cluster.Place(ctx, room)
		return web.Placement{Local: p.Local, URLs: p.URLs, Next: p.Next, Range: p.Range, Signalings: p.Signalings}
	}
}

// revokedElsewhere takes in what was revoked on other nodes.
func (n *node) revokedElsewhere(revoked map[string]time.Time) {
	news := false
	for name, at := range revoked {
		if !at.After(n.access.RevokedAt(name)) {
			continue
		}
		news = true
		sessions := n.hub.Revoked(name, at)
		n.turn.Revoke(name)
		n.family.tell(admin.ActRevoke, name) // to those that carry their calls since an upgrade
		n.log.Info("revoked on another node", "user", name, "at", at, "sessions", sessions)
	}
	if news {
		_ = n.access.Keep() // it has logged what is wrong
	}
}

// doForNode does an action of the operator for another node, in all processes of this
// one.
func (n *node) doForNode(action, argument string) (json.RawMessage, error) {
	done, err := n.family.admin.Do(action, argument)
	if err != nil {
		return nil, err
	}
	for _, told := range n.family.tell(action, argument) {
		if told.Err != nil {
			err = errors.Join(err, fmt.Errorf("process %d: %w", told.PID, told.Err))
		}
		done.Sessions += told.Sessions
		done.Allocations += told.Allocations
		done.Ended = done.Ended || told.Ended
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal(done)
}

// tellAll has the other processes of this node, and all other nodes, do an action of the
// operator.
func (n *node) tellAll(action, argument string) []admin.Told {
	told := n.family.tell(action, argument)
	if n.cluster == nil {
		return told
	}
	ctx, cancel := context.WithTimeout(context.Background(), askPatience+time.Second)
	defer cancel()
	if action == admin.ActRevoke {
		if err := n.cluster.KeepRevoked(ctx, argument, n.access.RevokedAt(argument)); err != nil {
			n.log.Warn("a revocation is not in the cluster's store yet: nodes that start before this one has put it there do not know it", "user", argument, "error", err)
		}
	}
	for _, a := range n.cluster.Tell(ctx, action, argument) {
		t := admin.Told{Node: a.Node, Err: a.Err}
		if a.Err == nil {
			t.Err = json.Unmarshal(a.Body, &t.Outcome)
		}
		told = append(told, t)
	}
	return told
}

// nodes are those of the cluster as the console and the metrics show them.
func (n *node) nodes() (list []admin.Node) {
	if n.cluster == nil {
		return nil
	}
	for _, m := range n.cluster.Members() {
		a := admin.Node{
			Name: m.Node, URL: m.URL, Region: m.Region, Version: m.Software, Self: m.Self, Gone: m.Gone, Draining: m.Draining,
			Silent: m.Silent.Seconds(), Sessions: m.Load.Sessions, Rooms: m.Load.Rooms, Allocations: m.Load.Allocations, CPU: m.Load.CPU,
		}
		a.Wrong = wrongWith(m)
		if what, remedy := unkept(m); what != "" {
			a.Wrong = append(a.Wrong, what+". "+remedy)
		}
		list = append(list, a)
	}
	return list
}

// clockOff is how far the clocks of two nodes may be apart before it is told: less
// than what the check of tokens forgives.
const clockOff = 5 * time.Second

// wrongWith says what about a node is not as it must be.
func wrongWith(m cluster.Member) (wrong []string) {
	if len(m.Differs) > 0 {
		wrong = append(wrong, "other "+strings.Join(m.Differs, ", "))
	}
	if m.ClockOff > clockOff || m.ClockOff < -clockOff {
		wrong = append(wrong, "its clock is off by "+m.ClockOff.Round(time.Second).String())
	}
	if m.Software != softwareVersion() {
		wrong = append(wrong, "version "+m.Software)
	}
	if !m.Speaks() {
		wrong = append(wrong, "it says what it says to other nodes in another way: people on it and on nodes of this version do not meet")
	}
	if m.Twice != "" {
		wrong = append(wrong, "another process at "+m.Twice+" has the same name")
	}
	return wrong
}

// unkept says of a node that its sessions would end with it, and what to do; empty: another one
// could go on with them.
func unkept(m cluster.Member) (what, remedy string) {
	if m.Gone || !m.Unkept() {
		return "", ""
	}
	what, remedy = "the reason is one that this version does not know", "Its log says more."
	switch m.Bare {
	case signaling.NoOther:
		what, remedy = "it is alone, there is no other node of its version", "Start another one."
	case signaling.NoneSwift:
		what, remedy = "no other node keeps up with it", "Look at the processors of the others and at their way to NATS, or start one more."
	case signaling.NotYet:
		what, remedy = "the node that is to keep them does not have them all yet", "Its log says which one that is: look at the processors of both and at their way to NATS."
	case cluster.NoStore:
		what, remedy = "NATS has no key-value store in which it could name the node that keeps them", "Switch JetStream on in the NATS servers, and let this node use it."
	case cluster.NoNATS:
		what, remedy = "it is without NATS, or was so a moment ago", "Start the NATS servers, or correct section cluster."
	}
	return "its sessions would end with it: " + what, remedy
}

// clusterStats are the counters of the cluster; nil: there is none.
func (n *node) clusterStats() func() cluster.Stats {
	if n.cluster == nil {
		return nil
	}
	return n.cluster.Stats
}
