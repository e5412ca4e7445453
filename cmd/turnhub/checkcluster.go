package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"turnhub/cluster"
	"turnhub/internal/config"
	"turnhub/internal/probe"
)

// checkCluster says what this configuration's NATS servers know of the other nodes, and
// who differs in what.
func checkCluster(ctx context.Context, cfg *config.Config) (rows []probe.Row) {
	if !cfg.Cluster.On() {
		return nil
	}
	row := func(verdict probe.Verdict, subject, detail, remedy string) {
		rows = append(rows, probe.Row{Verdict: verdict, Subject: subject, Detail: detail, Remedy: remedy})
	}
	secrets, _, err := cfg.Secrets(false)
	if err != nil {
		row(probe.Warned, "cluster", err.Error(), "")
		return rows
	}
	view, err := cluster.Look(ctx, clusterConfig(cfg), secrets, digestsOf(cfg, secrets))
	if err != nil {
		row(probe.Warned, "cluster.nats", err.Error(), "Without NATS each node is alone: people of one call may come to two nodes and not meet. Start it, or correct section cluster.")
		return rows
	}
	detail := fmt.Sprintf("NATS %s, %d nodes", view.Server, len(view.Members))
	if view.Store != nil {
		row(probe.Warned, "cluster.nats", detail+", without a key-value store: "+view.Store.Error(), "Switch JetStream on in the NATS servers and let this node use it; without it rooms get their nodes by their names alone, and revocations are on each node's own disk only.")
	} else {
		row(probe.OK, "cluster.nats", detail, "")
	}
	if len(view.Denied) > 0 {
		row(probe.Failed, "cluster.nats", "NATS does not let this user "+strings.Join(view.Denied, ", "), "Add these subjects to the permissions of the NATS user, as in deploy/cluster/nats.conf and under Rights and TLS in docs/cluster.md.")
	}
	for _, m := range view.Members {
		subject, wrong := "node "+m.Node, wrongWith(m)
		what := m.URL
		if m.Draining {
			what += ", goes down"
		}
		if len(m.URLs) == 0 {
			wrong = append(wrong, "no TURN URL of its own has been proved")
		}
		if m.Gone {
			what += ", has ended"
		}
		if len(wrong) == 0 {
			row(probe.OK, subject, what, "")
		} else {
			row(probe.Warned, subject, what+": "+strings.Join(wrong, "; "), "All nodes need the same secrets, keys, policies and version, and clocks that are right; run `turnhub check` there too.")
		}
		if ends, remedy := unkept(m); ends != "" {
			row(probe.Warned, subject, ends, remedy)
		}
	}
	for _, name := range view.Strangers {
		row(probe.Failed, "node "+name, "it has none of this configuration's credentials.secrets", "Give all nodes the same credentials.secrets; if there is no such node, look who has access to NATS.")
	}
	for _, name := range view.Others {
		row(probe.Failed, "node "+name, "it is of another version of turnhub: the others cannot read what it says, nor it them", "Let all nodes run the same version; meanwhile its people and theirs do not meet.")
	}
	for _, why := range slices.Sorted(maps.Keys(view.Refused)) {
		if why != "secret" && (why != "version" || len(view.Others) == 0) {
			row(probe.Warned, "cluster.nats", fmt.Sprintf("%d messages were not heard: %s", view.Refused[why], why), "See docs/cluster.md; somebody else may have access to NATS.")
		}
	}
	return rows
}
