package main

// A row is one load that all rivals are put under.
type row struct {
	name  string   // short, for -only and the plots
	title string   // for people
	kind  string   // media, idle or churn: turnload's subcommand
	args  []string // of turnload
	over  string   // transport: udp, tcp or tls
	aim   float64  // turnhub must reach so many times coturn's figure; 0: no aim
	share float64  // fixed rate as a share of what coturn relays saturated in the row `of`
	of    string
	who   []string // the only rivals that take part; empty: all
	bare  bool     // the forwarder takes part too
	judge string   // latency: the row is judged by its p99, not by its throughput
}

// few are enough in the rows that only vary another one.
var few = []string{"coturn", "coturn-new", "coturn-mux", "turnhub", "forwarder"}

// brief leaves the row to the coturns and turnhub.
func brief(r row) row {
	r.who = few
	return r
}

// bare lets the forwarder take part.
func bare(r row) row {
	r.bare = true
	return r
}

func media(name, title, over string, aim float64, args ...string) row {
	return row{name: name, title: title, kind: "media", over: over, aim: aim, args: args}
}

// relayRows are the loads in the order in which they are run and shown. The
// aims are those that the project has set itself against Debian's coturn.
var relayRows = []row{
	bare(media("udp-172", "UDP client to UDP peer, 172 B", "udp", 1.4)),
	bare(media("udp-1200", "UDP client to UDP peer, 1200 B", "udp", 1.4, "-size", "1200")),
	media("udp-1200x8", "… 1200 B in trains of 8", "udp", 1.4, "-size", "1200", "-burst", "8"),
	brief(media("udp-1200x8-gro", "… 1200 B in trains of 8, the peer takes trains too (UDP_GRO)", "udp", 1.4, "-size", "1200", "-burst", "8", "-gro")),
	brief(media("udp-1200x8-mmsg", "… 1200 B, 8 single packets back to back", "udp", 0, "-size", "1200", "-burst", "8", "-burst-by", "mmsg")),
	bare(brief(media("udp-172-200", "… 172 B, 200 clients", "udp", 1.4, "-clients", "200"))),
	brief(media("udp-172-both", "… 172 B, both directions", "udp", 0, "-direction", "both")),
	brief(media("udp-172-down", "UDP peer to UDP client, 172 B", "udp", 0, "-direction", "down")),
	bare(media("udp-20k-tick", "UDP client to UDP peer, 172 B, 20,000 packets/s over 200 clients in steps of 1 ms", "udp", 1.2,
		"-clients", "200", "-rate", "20000", "-tick", "1ms")),
	bare(brief(media("udp-20k", "… 20,000 packets/s evenly spread", "udp", 1.2, "-clients", "200", "-rate", "20000"))),
	brief(media("udp-60k", "… 60,000 packets/s evenly spread", "udp", 0, "-clients", "200", "-rate", "60000")),
	media("pair-172", "both ends are clients of this server, 172 B", "udp", 2.5, "-pair"),
	media("pair-1200x8", "… 1200 B in trains of 8, taken as trains (UDP_GRO)", "udp", 5, "-pair", "-size", "1200", "-burst", "8", "-gro"),
	brief(media("pair-1200x8-plain", "… 1200 B in trains of 8, taken one by one", "udp", 0, "-pair", "-size", "1200", "-burst", "8")),
	media("tcp-172", "TCP client to UDP peer, 172 B", "tcp", 1.25),
	brief(media("tcp-1200", "… 1200 B", "tcp", 1.25, "-size", "1200")),
	media("tcp-1200x8", "… 8 frames of 1200 B a write", "tcp", 1.25, "-size", "1200", "-burst", "8"),
	brief(media("tcp-172-down", "UDP peer to TCP client, 172 B", "tcp", 0, "-direction", "down")),
	media("tls-172", "TLS client to UDP peer, 172 B", "tls", 1.4),
	brief(media("tls-1200", "… 1200 B", "tls", 1.4, "-size", "1200")),
	media("tls-1200x8", "… 8 frames of 1200 B a write", "tls", 1.4, "-size", "1200", "-burst", "8"),
	brief(media("tls-172-down", "UDP peer to TLS client, 172 B", "tls", 0, "-direction", "down")),
	media("send-172", "Send indications, 172 B", "udp", 1.3, "-method", "send"),
	{
		name: "latency-20", title: "172 B at 20 % of what coturn relays saturated", kind: "media", over: "udp",
		share: 0.2, of: "udp-172", judge: "latency",
	},
	{name: "churn", title: "clients that come and go", kind: "churn", over: "udp", aim: 2},
	{name: "idle", title: "10,000 idle allocations", kind: "idle", over: "udp", args: []string{"-n", "10000", "-hold", "8s", "-refresh", "8s"}},
	{
		name: "hold", title: "15,000 allocations held for a minute, each refreshed every 20 s", kind: "idle", over: "udp",
		who: []string{"turnhub"}, args: []string{"-n", "15000", "-hold", "60s", "-refresh", "20s"},
	},
}
