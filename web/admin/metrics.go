package admin

import (
	"cmp"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"turnhub/signaling"
	"turnhub/signaling/media"
	"turnhub/turnsrv"
)

// metric is one name with its labels. Every label takes its values from a small
// fixed set: none is a user, an address or a room.
type metric struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

func counter(name, help string, labels ...string) metric {
	return metric{prometheus.NewDesc("turnhub_"+name, help, labels, nil), prometheus.CounterValue}
}

func gauge(name, help string, labels ...string) metric {
	return metric{prometheus.NewDesc("turnhub_"+name, help, labels, nil), prometheus.GaugeValue}
}

// The metrics of docs/metrics.md, in its order.
var (
	buildInfo = gauge("build_info", "Always 1; the version is the label.", "version")
	processes = gauge("processes", "Processes of this server now: one that serves, and after an upgrade those that carry their last calls; silent ones do not answer.", "state")

	driver       = gauge("relay_driver_info", "Always 1; how the relay sends and receives is the label, see relay.driver.", "driver")
	allocations  = gauge("relay_allocations", "Allocations now.", "transport", "family")
	streams      = gauge("relay_streams", "TCP and TLS clients of the relay now.")
	created      = counter("relay_allocations_created_total", "Allocations made.")
	ended        = counter("relay_allocations_ended_total", "Allocations ended.", "reason")
	packets      = counter("relay_packets_total", "Packets relayed.", "direction", "transport", "family")
	payload      = counter("relay_bytes_total", "Payload bytes relayed.", "direction", "transport", "family")
	bare         = gauge("relay_allocations_without_socket", "Relayed addresses without a socket of their own now, see relay.sockets; among the allocations.")
	inProcess    = counter("relay_in_process_packets_total", "Packets relayed between two clients of this server without a socket between them.")
	kernelInfo   = gauge("relay_kernel_info", "Always 1; how the program that forwards packets inside the kernel comes to interfaces is the label (tcx, clsact, or none where they do not pass there), see relay.kernel.", "attachment")
	kernelFlows  = gauge("relay_kernel_flows", "Directions of calls whose packets pass inside the kernel now, see relay.kernel.")
	kernelPasses = counter("relay_kernel_packets_total", "Packets that passed inside the kernel; one between two clients of this server counts for each. They are among those relayed.")
	kernelNot    = counter("relay_kernel_refused_total", "How often a channel could not pass inside the kernel, by reason: no route or one of another kind (route, tunnel, mtu, interface, ipsec), limits of users for one of whom the tables have no room (user_limits), a full table (full), a scoped address (scope), a driver that cannot (transport), or what it stands on was just changing (changing).", "reason")
	relayDrops   = counter("relay_drops_total", "Packets not relayed or not answered.", "reason")
	streamLate   = counter("relay_stream_late_total", "Packets dropped since they had waited too long for a TCP or TLS client on a slow line; among the drops with the reason late.", "transport")
	auth         = counter("relay_auth_total", "Requests by what came of their credentials.", "result")
	requests     = counter("relay_requests_total", "Requests and indications.", "method")
	errorAnswers = counter("relay_error_responses_total", "Error responses by STUN error code.", "code")
	peersDenied  = counter("relay_peers_denied_total", "Peers refused by the peer policy, or because an allocation asked for more new ones than `limits.new_peers_per_allocation` (new-peers).", "reason")
	quotaRefused = counter("relay_quota_refused_total", "Allocations refused by a quota: of the user, of the household (address), of its wider network (network), or of all (total); rate: more in a second than the household may hold.", "quota")

	streamQueue = prometheus.NewDesc("turnhub_relay_stream_queue_seconds", "How long packets waited here for a TCP or TLS client on a slow line; those that its line took at once are not counted.", []string{"transport"}, nil)

	sockets        = gauge("hub_sockets", "WebSocket and polling connections now.")
	sessions       = gauge("hub_sessions", "Sessions of the native protocol now, those away within their window too.")
	dialectClients = gauge("hub_dialect_sockets", "Connections of PeerJS, Socket.IO, Yjs and raw relay now.")
	rooms          = gauge("hub_rooms", "Rooms now.")
	users          = gauge("hub_users", "User names online now.")
	calls          = gauge("hub_calls", "Calls by name now.", "state")
	invites        = counter("hub_invites_total", "Calls by name begun.")
	callsEnded     = counter("hub_calls_ended_total", "Calls by name ended.", "reason")
	sessionsOpened = counter("hub_sessions_total", "Sessions opened, resumed, or not found again.", "how")
	messages       = counter("hub_messages_total", "Messages in and out.", "direction")
	messageBytes   = counter("hub_message_bytes_total", "Bytes of messages in and out.", "direction")
	relayedSignals = counter("hub_relayed_total", "Messages passed from one person to another.")
	refused        = counter("hub_refused_total", "Connections refused: over the limit of the household (per_ip), of its wider network (per_network) or of all (total), or because of origin, token, or going down (draining).", "reason")
	closed         = counter("hub_closed_total", "Connections ended by the hub.", "code")
	faults         = counter("hub_errors_total", "Requests answered with an error.", "code")
	hubDrops       = counter("hub_drops_total", "Messages dropped.", "reason")
	dialects       = counter("hub_dialect_messages_total", "Messages of the dialects by their fate.", "dialect", "fate")

	paths      = counter("call_paths_total", "First frames by the path of the media, as clients report it.", "path")
	narrow     = counter("call_narrow_total", "Reports of a line that takes less than its call wants, by what fits: a smaller picture (narrow), or none (no-picture). Clients report every ten seconds.", "fits")
	firstFrame = prometheus.NewDesc("turnhub_call_first_frame_seconds", "Time from join or accept to the first remote frame, as clients report it.", nil, nil)

	mediaSockets = gauge("media_sockets", "WebSockets of media now, see relay.websocket_media.")
	mediaPaths   = gauge("media_paths", "Pairs of people whose media go through a WebSocket now.")
	mediaAcross  = gauge("media_paths_across", "Pairs of people whose media go through a WebSocket of each on two nodes now, this one and another, which counts them too; not among those of `turnhub_media_paths`.")
	mediaFrames  = counter("media_frames_total", "Frames of media passed through WebSockets.", "kind")
	mediaBytes   = counter("media_bytes_total", "Bytes of these frames.", "kind")
	mediaCrossed = counter("media_across_frames_total", "Frames of media through WebSockets that were said to another node, or heard of one.", "direction")
	mediaCrossB  = counter("media_across_bytes_total", "Bytes of these frames.", "direction")
	mediaDrops   = counter("media_drops_total", "Frames of media through WebSockets that were dropped: the other end was not there (alone), they had waited too long (late) or too many waited (full), a newer key picture came (newer), a picture before them was dropped (no_key), too many messages waited (flood), they were none (short, kind, text), they came from another node for nobody who is here (stray) or some before them had been lost between the nodes (lost), or a limit of allocations or users did not let them through.", "kind", "reason")
	mediaKeys    = counter("media_keys_total", "Key pictures asked for, since a picture was dropped or somebody has come.")
	mediaClosed  = counter("media_closed_total", "Media sockets ended by the server.", "code")

	connections  = gauge("port_connections", "TCP connections of the universal ports now.")
	accepted     = counter("port_connections_total", "TCP connections by what they turned out to be.", "protocol")
	turnedAway   = counter("port_refused_total", "TCP connections closed before they said what they are, or because of a limit: of the household (per_ip) or of its wider network (per_network); proxy_…: because of a PROXY protocol header: from an address that is not named in listen.trusted_proxies (stranger), not at the very beginning (late), bad (malformed, long, timeout), or of a client that has not come by TCP (family); forward_…: what listen.forward passes on, to a server that takes nothing (down) or over the bound of 8,192 at a time (full).", "reason")
	acceptErrors = counter("port_accept_errors_total", "Failures to accept a TCP connection, such as too many open files.")
	handedOut    = counter("web_credentials_total", "Credentials handed out by /config and /turn.")
	invited      = counter("web_invitations_total", "Invitations made by /invitation.")
	webRefused   = counter("web_refused_total", "Requests for credentials that were refused: over the rate of the household (rate) or of its wider network (rate_network), or while no URL works; and frames of pages that access.embed_origins does not name (embed).", "reason")

	probeUp          = gauge("probe_up", "1 when the last relay round trip through the URL succeeded.", "url")
	probeDuration    = gauge("probe_duration_seconds", "How long the last relay round trip took.", "url")
	probes           = counter("probe_total", "Relay round trips tried.", "url", "result")
	clusterNodes     = gauge("cluster_nodes", "Nodes of the cluster that this one knows, itself with them; none where there is no cluster.", "state")
	clusterUp        = gauge("cluster_up", "1 while NATS, and its key-value store, can be used; `second`: while another node could go on with this one's sessions.", "what")
	clusterLost      = counter("cluster_nats_lost_total", "How often the connection to NATS was lost.")
	clusterBeats     = counter("cluster_beats_total", "Beats of other nodes that were heard.")
	clusterRefused   = counter("cluster_refused_total", "Messages of the NATS side that were not heard: too long (size), not ours (form), of another version (version), by a secret that is not known (secret) or not what was sealed (seal), from another time (clock), heard before (replay), of a process that has been succeeded (superseded), between other processes than the known ones, as after a start (process), under another name (name), more than can be handled (queue, too_many).", "reason")
	clusterPlaced    = counter("cluster_placed_total", "Rooms asked for, by how their node was found: it had one (known), gets one (new), or another since that is gone (anew); without NATS (alone) or its store (byname).", "how")
	clusterQuestions = counter("cluster_questions_total", "Actions of the operator passed on to other nodes, by what came of them.", "result")
	clusterPackets   = counter("cluster_packets_total", "Packets sent to other nodes, of what sessions there and here say to each other.")
	clusterTopics    = gauge("cluster_topics", "Rooms, channels and ids of the dialects that this node has in common with the others.")
	clusterSaid      = counter("cluster_topic_packets_total", "Packets of the dialects between nodes: sent (said), not sent since NATS was away (unsaid), and heard.", "fate")
	clusterLoose     = counter("cluster_datagrams_total", "Datagrams between nodes, of media through WebSockets: sent (said), not sent since NATS was away or did not take them (unsaid), and heard.", "fate")
	clusterVoid      = counter("cluster_streams_void_total", "How often what was to be said to another node was given up and said anew, since it did not take it.")
	clusterMoved     = counter("cluster_rooms_moved_total", "Rooms whose people were sent to the node that has them.")

	emitted    = counter("events_total", "Events made, by type, see docs/events.md.", "type")
	lost       = counter("events_dropped_total", "Events that were lost, by reason: more than can be written down (busy), more than people of one household make (household), journals full since nobody reads them (journals), a disk that does not take them (disk), too large (size), a journal that holds something else (form); of one webhook: its queue was full (queue), no attempt came through (expired), it has answered 410 (refused), it is not configured any more (unnamed); the other nodes could not be told of it (shared).", "reason")
	deliveries = counter("webhook_requests_total", "Requests to webhooks by what came of them.", "result")
	queued     = gauge("webhook_waiting", "Events in the queues of webhooks now.")
	unshared   = gauge("events_unshared", "Events, and words about them, that the other nodes of the cluster are to be told of.")

	pushSubscriptions = gauge("push_subscriptions", "Browsers that are rung by push now.")
	pushUsers         = gauge("push_users", "User names that are kept, since they are rung by push.")
	pushWaiting       = gauge("push_waiting", "Messages to push services that wait, or are on their way.")
	pushUnshared      = gauge("push_unshared", "People who are rung by push of whom the other nodes of the cluster do not know everything yet.")
	pushRequests      = counter("push_requests_total", "Requests to push services, by what came of them: taken (ok), the subscription has ended and is deleted (gone), refused for good (refused), later perhaps (busy), a redirection, which is not followed (redirect), an address inside, which is not reached (address), no answer (tls, timeout, network).", "result")
	pushDropped       = counter("push_dropped_total", "Messages to push services that were dropped: too many waited (queue), no attempt came through in time (late), the call had been answered or had ended (settled), one network or to one user called too often (limit).", "reason")
	pushDeleted       = counter("push_deleted_total", "Subscriptions that were deleted: their service says that they have ended (gone), has refused them ten times in a row (refused), their user has not been here for 90 days (unused).", "reason")
	pushRefused       = counter("push_refused_total", "Subscriptions that were not taken: none, or not at https (form), at a service that push.services does not name (service), too many from one network (rate), or of all (full).", "reason")

	certificate = gauge("certificate_expiry_timestamp_seconds", "When the TLS certificate expires, in unix seconds.")
)

// everyDesc lists what Describe and the table in the docs must agree on.
var everyDesc = []*prometheus.Desc{
	buildInfo.desc, processes.desc, driver.desc, allocations.desc, streams.desc, created.desc, ended.desc, packets.desc, payload.desc, bare.desc, inProcess.desc,
	kernelInfo.desc, kernelFlows.desc, kernelPasses.desc, kernelNot.desc,
	relayDrops.desc, streamLate.desc, streamQueue, auth.desc, requests.desc, errorAnswers.desc, peersDenied.desc, quotaRefused.desc,
	sockets.desc, sessions.desc, dialectClients.desc, rooms.desc, users.desc, calls.desc, invites.desc, callsEnded.desc,
	sessionsOpened.desc, messages.desc, messageBytes.desc, relayedSignals.desc, refused.desc, closed.desc, faults.desc,
	hubDrops.desc, dialects.desc, paths.desc, narrow.desc, firstFrame,
	mediaSockets.desc, mediaPaths.desc, mediaAcross.desc, mediaFrames.desc, mediaBytes.desc, mediaCrossed.desc, mediaCrossB.desc, mediaDrops.desc, mediaKeys.desc, mediaClosed.desc,
	connections.desc, accepted.desc, turnedAway.desc, acceptErrors.desc, handedOut.desc, invited.desc, webRefused.desc,
	probeUp.desc, probeDuration.desc, probes.desc, certificate.desc,
	clusterNodes.desc, clusterUp.desc, clusterLost.desc, clusterBeats.desc, clusterRefused.desc, clusterPlaced.desc, clusterQuestions.desc, clusterPackets.desc, clusterTopics.desc, clusterSaid.desc, clusterLoose.desc, clusterVoid.desc, clusterMoved.desc,
	emitted.desc, lost.desc, deliveries.desc, queued.desc, unshared.desc,
	pushSubscriptions.desc, pushUsers.desc, pushWaiting.desc, pushUnshared.desc, pushRequests.desc, pushDropped.desc, pushDeleted.desc, pushRefused.desc,
}

// collector reads the servers' own counters when Prometheus asks; nothing is
// counted twice.
type collector struct{ cfg *Config }

func (c collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range everyDesc {
		out <- d
	}
}

func (c collector) Collect(out chan<- prometheus.Metric) {
	put := func(m metric, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(m.desc, m.kind, value, labels...)
	}
	put(buildInfo, 1, c.cfg.Version)
	put(driver, 1, c.cfg.Driver)
	put(kernelInfo, 1, cmp.Or(c.cfg.Kernel, "none"))
	others := c.cfg.reports(false)
	states := map[string]int{"serving": 1, "draining": 0, "silent": 0}
	for _, r := range others {
		if r.Silent != "" {
			states["silent"]++
		} else {
			states["draining"]++
		}
	}
	for state, n := range states {
		put(processes, float64(n), state)
	}
	total := c.cfg.total(others)
	collectRelay(total.Relay, put, out)
	collectHub(total.Hub, put, out)
	collectMedia(total.Media, put)
	each(total.Events.Emitted, emitted, put)
	each(total.Events.Dropped, lost, put)
	each(total.Events.Deliveries, deliveries, put)
	put(queued, float64(total.Events.Waiting))
	put(unshared, float64(total.Events.Unshared))
	put(pushSubscriptions, float64(total.Push.Subscriptions))
	put(pushUsers, float64(total.Push.Users))
	put(pushWaiting, float64(total.Push.Waiting))
	put(pushUnshared, float64(total.Push.Unshared))
	each(total.Push.Sent, pushRequests, put)
	each(total.Push.Dropped, pushDropped, put)
	each(total.Push.Deleted, pushDeleted, put)
	each(total.Push.Refused, pushRefused, put)
	ports := total.Ports
	put(connections, float64(ports.Open))
	put(acceptErrors, float64(ports.AcceptErrors))
	each(ports.Accepted, accepted, put)
	each(ports.Refused, turnedAway, put)
	asked := total.Web
	put(handedOut, float64(asked.Credentials))
	put(invited, float64(asked.Invitations))
	put(webRefused, float64(asked.Limited), "rate")
	put(webRefused, float64(asked.LimitedNetwork), "rate_network")
	put(webRefused, float64(asked.Unproved), "no_working_url")
	put(webRefused, float64(asked.EmbedsRefused), "embed")
	for _, p := range c.cfg.Probes() {
		up := 0.0
		if p.Proved {
			up = 1
		}
		put(probeUp, up, p.URL)
		put(probeDuration, p.Latency.Seconds(), p.URL)
		put(probes, float64(p.Passes), p.URL, "pass")
		put(probes, float64(p.Failures), p.URL, "fail")
	}
	if c.cfg.Cluster != nil {
		collectCluster(c.cfg.Nodes(), c.cfg.Cluster(), put)
	}
	if expires := c.cfg.Certificate(); !expires.IsZero() {
		put(certificate, float64(expires.Unix()))
	}
}

func collectRelay(s turnsrv.Stats, put func(metric, float64, ...string), out chan<- prometheus.Metric) {
	for t := range s.Allocations {
		for f := range s.Allocations[t] {
			transport, family := turnsrv.Transport(t).String(), turnsrv.Family(f).String()
			put(allocations, float64(s.Allocations[t][f]), transport, family)
			put(packets, float64(s.ToPeer[t][f].Packets), "to_peer", transport, family)
			put(packets, float64(s.ToClient[t][f].Packets), "to_client", transport, family)
			put(payload, float64(s.ToPeer[t][f].Bytes), "to_peer", transport, family)
			put(payload, float64(s.ToClient[t][f].Bytes), "to_client", transport, family)
		}
	}
	for _, t := range []turnsrv.Transport{turnsrv.TransportTCP, turnsrv.TransportTLS} {
		waited := s.Waited[t]
		put(streamLate, float64(waited.Late), t.String())
		buckets := make(map[float64]uint64, len(turnsrv.WaitedBounds))
		for i, bound := range turnsrv.WaitedBounds {
			buckets[bound.Seconds()] = waited.Within[i]
		}
		sum := time.Duration(waited.Microseconds) * time.Microsecond
		out <- prometheus.MustNewConstHistogram(streamQueue, waited.Sent, sum.Seconds(), buckets, t.String())
	}
	put(streams, float64(s.Streams))
	put(created, float64(s.Created))
	put(ended, float64(s.Expired), "expired")
	put(ended, float64(s.Revoked), "revoked")
	put(ended, float64(s.Replaced), "replaced")
	put(ended, float64(s.Ended-s.Expired-s.Revoked-s.Replaced), "client")
	put(bare, float64(s.Bare))
	put(inProcess, float64(s.InProcess.Packets))
	put(kernelFlows, float64(s.KernelFlows))
	put(kernelPasses, float64(s.Kernel.Packets))
	each(s.KernelRefused, kernelNot, put)
	each(s.Drops, relayDrops, put)
	each(s.Auth, auth, put)
	each(s.Requests, requests, put)
	each(s.Denied, peersDenied, put)
	each(s.Quota, quotaRefused, put)
	for code, n := range s.Errors {
		put(errorAnswers, float64(n), strconv.Itoa(code))
	}
}

func collectHub(s signaling.Stats, put func(metric, float64, ...string), out chan<- prometheus.Metric) {
	put(sockets, float64(s.Sockets))
	put(sessions, float64(s.Sessions))
	put(dialectClients, float64(s.DialectClients))
	put(rooms, float64(s.Rooms))
	put(users, float64(s.Users))
	put(calls, float64(s.Ringing), "ringing")
	put(calls, float64(s.Calls), "accepted")
	put(invites, float64(s.Invites))
	put(sessionsOpened, float64(s.Opened), "opened")
	put(sessionsOpened, float64(s.Resumed), "resumed")
	put(sessionsOpened, float64(s.ResumeFailed), "lost")
	put(messages, float64(s.MessagesIn), "in")
	put(messages, float64(s.MessagesOut), "out")
	put(messageBytes, float64(s.BytesIn), "in")
	put(messageBytes, float64(s.BytesOut), "out")
	put(relayedSignals, float64(s.Relayed))
	each(s.Refused, refused, put)
	each(s.Ended, callsEnded, put)
	each(s.Closed, closed, put)
	each(s.Faults, faults, put)
	each(s.Dropped, hubDrops, put)
	each(s.Paths, paths, put)
	each(s.Narrow, narrow, put)
	for dialect, fates := range s.Dialects {
		for fate, n := range fates {
			put(dialects, float64(n), dialect, fate)
		}
	}
	buckets := make(map[float64]uint64, len(signaling.FirstFrameBounds))
	for i, bound := range signaling.FirstFrameBounds {
		buckets[bound.Seconds()] = s.FirstFrameBuckets[i]
	}
	sum := time.Duration(s.FirstFrameMilliseconds) * time.Millisecond
	out <- prometheus.MustNewConstHistogram(firstFrame, s.FirstFrames, sum.Seconds(), buckets)
}

func collectMedia(s media.Stats, put func(metric, float64, ...string)) {
	put(mediaSockets, float64(s.Sockets))
	put(mediaPaths, float64(s.Paths))
	put(mediaAcross, float64(s.Across))
	put(mediaKeys, float64(s.Keys))
	each(s.Crossed, mediaCrossed, put)
	each(s.CrossedBytes, mediaCrossB, put)
	each(s.Frames, mediaFrames, put)
	each(s.Bytes, mediaBytes, put)
	each(s.Closed, mediaClosed, put)
	for kind, reasons := range s.Dropped {
		for reason, n := range reasons {
			put(mediaDrops, float64(n), kind, reason)
		}
	}
}

func each(counts map[string]uint64, m metric, put func(metric, float64, ...string)) {
	for label, n := range counts {
		put(m, float64(n), label)
	}
}
