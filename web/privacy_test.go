package web

import (
	"strings"
	"testing"
	"time"
)

// TestPrivacy: the page says what the configuration has the server keep, in every
// language, and nothing else.
func TestPrivacy(t *testing.T) {
	nothing := server(nil)
	for l := range languages().All {
		plain := get(nothing, "/privacy?language="+l.Tag).Body.String()
		if !strings.Contains(plain, `lang="`+l.Tag+`"`) || strings.Contains(plain, "privacy.") || strings.Contains(plain, "{{") || strings.Contains(plain, "[[") {
			t.Errorf("%s: %s", l.Tag, plain)
		}
		for name, x := range map[string]struct {
			says Privacy
			key  string
		}{
			"history":   {Privacy{History: 30 * 24 * time.Hour}, "privacy.history"},
			"file":      {Privacy{File: true}, "privacy.file"},
			"log":       {Privacy{LogCalls: true}, "privacy.log-calls"},
			"whole log": {Privacy{LogCalls: true, LogAll: true}, "privacy.log-all"},
			"tokens":    {Privacy{Tokens: true}, "privacy.tokens"},
			"push":      {Privacy{Push: true}, "privacy.push"},
			"nodes":     {Privacy{Nodes: true}, "privacy.nodes"},
			"media":     {Privacy{Media: true}, "privacy.media"},
			"both":      {Privacy{Media: true, Nodes: true}, "privacy.media-nodes"},
		} {
			s := server(func(c *Config, _ *Settings) { c.Privacy = x.says })
			if page := get(s, "/privacy?language="+l.Tag).Body.String(); !strings.Contains(page, "<li>"+l.Say(x.key)+"</li>") {
				t.Errorf("%s, %s: it does not say so", l.Tag, name)
			}
			if strings.Contains(plain, "<li>"+l.Say(x.key)+"</li>") {
				t.Errorf("%s, %s: it says so always", l.Tag, name)
			}
		}
		if !strings.Contains(plain, "<li>"+l.Say("privacy.no-history")+"</li>") || !strings.Contains(plain, "<li>"+l.Say("privacy.log-none")+"</li>") {
			t.Errorf("%s: it does not say that nothing is kept", l.Tag)
		}
	}

	carry := "<li>" + languages().Tag("en").Say("privacy.carry") + "</li>"
	if !strings.Contains(get(nothing, "/privacy").Body.String(), carry) {
		t.Error("it does not say how a call name comes to another device")
	}
	tokens := server(func(c *Config, _ *Settings) { c.Privacy = Privacy{Tokens: true} })
	if strings.Contains(get(tokens, "/privacy").Body.String(), carry) {
		t.Error("it says so where tokens prove the name")
	}

	s := server(func(c *Config, _ *Settings) {
		c.Privacy = Privacy{History: 36 * time.Hour, Webhooks: []string{"https://a.example/x?key=secret", "https://a.example/y", "http://b.example:8080/"}}
		c.PublicPath = "/calls"
	})
	page := get(s, "/calls/privacy").Body.String()
	for _, want := range []string{"Days for which that is kept: 2", "Each call is also told to: a.example, b.example:8080", `href="/calls/"`, `/calls/static/`} {
		if !strings.Contains(page, want) {
			t.Errorf("it does not say %q", want)
		}
	}
	if strings.Contains(page, "key=") {
		t.Error("it says more of a webhook than its host")
	}
	if home := get(s, "/calls/").Body.String(); !strings.Contains(home, `href="/calls/privacy"`) {
		t.Error("the start page has no link to it")
	}
	s.SetPrivacy(Privacy{})
	if page := get(s, "/calls/privacy").Body.String(); !strings.Contains(page, "There is no history of calls.") {
		t.Error("after a reload it says what was so before")
	}
}
