package main

import (
	"reflect"
	"regexp"
	"testing"

	"turnhub/internal/config"
)

// TestPrivacyFollowsConfiguration: each option that decides what is kept of visitors
// changes what /privacy says; one that is added to section events or log has to be
// thought of here.
func TestPrivacyFollowsConfiguration(t *testing.T) {
	load := func(environ ...string) *config.Config {
		cfg, err := config.Load("", append(environ, "TURNHUB_STATE_DIR="+t.TempDir()))
		if err != nil {
			t.Fatalf("%s: %v", environ, err)
		}
		return cfg
	}
	asIs := privacyOf(load())
	if asIs.History.Hours() != 720 || !asIs.LogCalls || asIs.LogAll || asIs.File || len(asIs.Webhooks) > 0 {
		t.Errorf("without a file it says %+v", asIs)
	}
	none := map[string]bool{"events.allow": true, "log.format": true, "push.contact": true, "push.services": true, "push.allow": true} // they keep nothing
	changes := map[string][]string{
		"events.history": {"TURNHUB_EVENTS_HISTORY=0s"}, "events.file": {"TURNHUB_EVENTS_FILE=/var/log/calls"},
		"events.webhooks": {"TURNHUB_EVENTS_WEBHOOKS=url=https://a.example/"}, "log.level": {"TURNHUB_LOG_LEVEL=debug"},
		"access.mode":  {"TURNHUB_ACCESS_MODE=token", "TURNHUB_ACCESS_TOKEN_SECRET_FILE=/etc/key"},
		"cluster.nats": {"TURNHUB_CLUSTER_NATS=nats://a.example", "TURNHUB_CLUSTER_NODE=a", "TURNHUB_CLUSTER_URL=https://a.example", "TURNHUB_CREDENTIALS_SECRETS=a-good-secret-of-all-nodes"}, "push.mode": {"TURNHUB_PUSH_MODE=off"}, "relay.websocket_media": {"TURNHUB_RELAY_WEBSOCKET_MEDIA=off"},
	}
	for key, environ := range changes {
		if said := privacyOf(load(environ...)); reflect.DeepEqual(said, asIs) {
			t.Errorf("%s: it says the same as without: %+v", key, said)
		}
	}
	for _, level := range []string{"warn", "error"} {
		if privacyOf(load("TURNHUB_LOG_LEVEL=" + level)).LogCalls {
			t.Errorf("log.level %s: there are no lines about calls", level)
		}
	}
	for _, found := range regexp.MustCompile("`((?:events|log|push)\\.[a-z_]+)`").FindAllStringSubmatch(config.Reference(), -1) {
		if key := found[1]; changes[key] == nil && !none[key] {
			t.Errorf("%s: does /privacy have to tell of it?", key)
		}
	}
}
