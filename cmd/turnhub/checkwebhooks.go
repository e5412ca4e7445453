package main

import (
	"context"
	"net/url"
	"sync"
	"time"

	"turnhub/events"
	"turnhub/internal/config"
	"turnhub/internal/probe"
)

// checkWebhooks sends each webhook a signed event of type webhook.test.
func checkWebhooks(ctx context.Context, cfg *config.Config) []probe.Row {
	if len(cfg.Events.Webhooks) == 0 {
		return nil
	}
	made, err := eventsConfig(cfg, false)
	if err != nil {
		return []probe.Row{{Verdict: probe.Warned, Subject: "events.webhooks", Detail: err.Error(), Remedy: "Start the server once, which makes the secret in the state directory, or name a file in secret_file; and run this as the server's user."}}
	}
	rows := make([]probe.Row, len(made.Webhooks))
	var group sync.WaitGroup
	for i, hook := range made.Webhooks {
		group.Go(func() {
			host := "?"
			if u, err := url.Parse(hook.URL); err == nil {
				host = u.Host // the rest may be a secret
			}
			began := time.Now()
			err := events.Try(ctx, hook, made.Allow)
			rows[i] = probe.Row{Verdict: probe.OK, Subject: "webhook " + host, Took: time.Since(began), Detail: "it has taken a signed event"}
			if err != nil {
				rows[i].Verdict, rows[i].Detail, rows[i].Remedy = probe.Warned, err.Error(), events.Remedy(err)
			}
		})
	}
	group.Wait()
	return rows
}
