package web

import (
	"strings"
	"testing"
)

// TestEmbed: who may show the call page as a part of a page, and what the others see.
func TestEmbed(t *testing.T) {
	with := func(origins ...string) *Server {
		return server(func(_ *Config, s *Settings) { s.EmbedOrigins = origins })
	}
	shop := with("https://shop.example", "http://localhost:3000")
	for _, c := range []struct {
		name      string
		s         *Server
		path      string
		headers   []string
		status    int
		ancestors string
	}{
		{"not as a part of a page", shop, "/", nil, 200, "'none'"},
		{"with another word in the address", shop, "/?embedded=1", nil, 200, "'none'"},
		{"another page of the server", shop, "/check?embed", nil, 200, "'none'"},
		{"by itself", shop, "/?embed", []string{"Sec-Fetch-Dest: document"}, 200, "https://shop.example http://localhost:3000"},
		{"a named page", shop, "/?embed", []string{"Sec-Fetch-Dest: iframe", "Referer: https://shop.example/"}, 200, "https://shop.example http://localhost:3000"},
		{"in capitals", shop, "/?embed=", []string{"Sec-Fetch-Dest: iframe", "Referer: HTTPS://Shop.Example/cart"}, 200, "https://shop.example http://localhost:3000"},
		{"the frame loads itself again", shop, "/?embed", []string{"Sec-Fetch-Dest: iframe", "Referer: https://example.com/?embed"}, 200, "https://shop.example http://localhost:3000"},
		{"a page that tells nothing", shop, "/?embed", []string{"Sec-Fetch-Dest: iframe"}, 200, "https://shop.example http://localhost:3000"},
		{"another page", shop, "/?embed", []string{"Sec-Fetch-Dest: iframe", "Referer: https://evil.example/"}, 403, "*"},
		{"another port", shop, "/?embed", []string{"Sec-Fetch-Dest: iframe", "Referer: http://localhost:3001/"}, 403, "*"},
		{"a longer name", shop, "/?embed", []string{"Sec-Fetch-Dest: frame", "Referer: https://shop.example.evil/"}, 403, "*"},
		{"as an object", shop, "/?embed", []string{"Sec-Fetch-Dest: object", "Referer: https://evil.example/"}, 403, "*"},
		{"nobody is named", with(), "/?embed", []string{"Sec-Fetch-Dest: iframe", "Referer: https://shop.example/"}, 403, "*"},
		{"nobody is named, the server's own page", with(), "/?embed", []string{"Sec-Fetch-Dest: iframe", "Referer: https://example.com/"}, 403, "*"},
		{"nobody is named, a page that tells nothing", with(), "/?embed", []string{"Sec-Fetch-Dest: iframe"}, 200, "'none'"},
		{"the server's own pages", with("same"), "/?embed", []string{"Sec-Fetch-Dest: iframe", "Referer: https://example.com/a"}, 200, "'self'"},
		{"everybody", with("*"), "/?embed", []string{"Sec-Fetch-Dest: iframe", "Referer: https://any.example/"}, 200, "*"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := get(c.s, c.path, append(c.headers, "Accept: text/html", "Sec-Fetch-Mode: navigate")...)
			policy := w.Header().Get(policyName)
			if w.Code != c.status || !strings.HasSuffix(policy, "; frame-ancestors "+c.ancestors) || strings.Count(policy, "frame-ancestors") != 1 {
				t.Error(w.Code, policy)
			}
			refused := c.status == 403
			if said := strings.Contains(w.Body.String(), "access.embed_origins"); said != refused {
				t.Error("said:", said)
			}
			if refused && !strings.Contains(w.Body.String(), "<body data-view=\"notice\" data-state=\"not-embedded\" data-embedded>") {
				t.Error(w.Body.String())
			}
		})
	}
	if n := shop.Stats().EmbedsRefused; n != 4 {
		t.Errorf("%d refusals are counted, want 4", n)
	}
	if said := get(shop, "/?embed", "Accept: text/html", "Sec-Fetch-Dest: iframe", "Referer: https://x.example/<script>").Body.String(); !strings.Contains(said, "https://x.example may not show calls") || strings.Contains(said, "check") {
		t.Error(said)
	}
	w := get(shop, "/?embed", "Sec-Fetch-Dest: iframe", "Referer: https://evil.example/")
	if w.Header().Get("Content-Type") != "application/json; charset=utf-8" || !strings.Contains(w.Body.String(), `"error":"embed"`) {
		t.Error("a program:", w.Header(), w.Body)
	}
}
