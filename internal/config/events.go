package config

import (
	"errors"
	"fmt"
	"net/netip"
	neturl "net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Events says what is told of calls, and to whom.
type Events struct {
	History  time.Duration // for how long calls are remembered; 0: not at all
	File     string        // of JSON lines
	Webhooks []Webhook
	Allow    []netip.Prefix // inside addresses to which webhooks may go
}

// Webhook is where events are sent.
type Webhook struct {
	URL        string
	SecretFile string   // empty: WebhookSecretPath
	Types      []string // of events; empty: all
}

// On reports whether anything is made of events.
func (e *Events) On() bool { return e.History > 0 || e.File != "" || len(e.Webhooks) > 0 }

// WebhookSecretPath is where the secret of a webhook is kept.
func (c *Config) WebhookSecretPath(w Webhook) string {
	if w.SecretFile != "" {
		return w.SecretFile
	}
	return filepath.Join(c.StateDir, "webhook-secret")
}

// webhookFields are the members of a webhook, in their order.
var webhookFields = []string{"url", "secret_file", "types"}

// eventTypes are those of events.Types, to which a test holds them.
var eventTypes = []string{"call.began", "call.joined", "call.left", "call.ended", "call.missed", "allocation.ended", "allocation.refused"}

const maxWebhooks = 16

// webhooks is a list of mappings. As text, in an environment variable, each is
// "url=https://example.org/hook types=call.ended+call.missed".
func webhooks(p *[]Webhook) value {
	v := sequence(p, "list of {url, secret_file, types}", parseWebhook, func(w Webhook) string {
		item := "url=" + w.URL
		if w.SecretFile != "" {
			item += " secret_file=" + w.SecretFile
		}
		if w.Types != nil {
			item += " types=" + strings.Join(w.Types, "+")
		}
		return item
	})
	v.fields = webhookFields
	return v
}

func parseWebhook(s string) (w Webhook, err error) {
	types := ""
	given, err := parseMembers(s, webhookFields, &w.URL, &w.SecretFile, &types)
	if err != nil {
		return w, err
	}
	if w.URL == "" {
		return w, errors.New("url is missing; write where events are sent, such as https://example.org/turnhub")
	}
	u, err := neturl.Parse(w.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return w, fmt.Errorf("url %q is not one of a web server; write https://, a name and a path", w.URL)
	case u.User != nil:
		return w, errors.New("url holds a user's name; requests are signed, see docs/events.md: remove it")
	case u.Fragment != "":
		return w, errors.New("url holds a #, which is never sent; remove it and what is behind it")
	}
	if given["types"] {
		for typ := range strings.SplitSeq(types, "+") {
			if !slices.Contains(eventTypes, typ) {
				return w, fmt.Errorf("%q is not a type of event; write some of %s with + between them, or leave types out for all", typ, strings.Join(eventTypes, ", "))
			}
			w.Types = append(w.Types, typ)
		}
	}
	return w, nil
}

func (c *Config) checkEvents(blame func(complaint string, keys ...string)) {
	if len(c.Events.Webhooks) > maxWebhooks {
		blame(fmt.Sprintf("has %d webhooks; write %d at most", len(c.Events.Webhooks), maxWebhooks), "events.webhooks")
	}
	for i, w := range c.Events.Webhooks {
		if slices.ContainsFunc(c.Events.Webhooks[:i], func(o Webhook) bool { return o.URL == w.URL }) {
			blame("the same url stands twice; write it once, with the types of both", "events.webhooks")
		}
	}
}

func (c *Config) doubtsOfEvents(doubt func(key, problem, remedy string)) {
	for _, w := range c.Events.Webhooks {
		u, err := neturl.Parse(w.URL)
		if err != nil || u.Scheme != "http" {
			continue
		}
		if ip, err := netip.ParseAddr(u.Hostname()); u.Hostname() != "localhost" && (err != nil || !ip.IsLoopback()) {
			doubt("events.webhooks", u.Host+" is told over plain HTTP who calls whom, which everybody on the way can read", "write https://")
		}
	}
	if len(c.Events.Allow) > 0 && len(c.Events.Webhooks) == 0 {
		doubt("events.allow", "has no effect: there are no events.webhooks", "remove it")
	}
}
