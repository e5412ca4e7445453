package web

import (
	"bytes"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"turnhub/internal/assets"
	"turnhub/internal/words"
)

// Privacy is what of the configuration decides what the server keeps of its visitors:
// what /privacy tells them.
type Privacy struct {
	History  time.Duration // for how long calls are remembered; 0: not at all
	File     bool          // calls are written to a file of the operator's
	Webhooks []string      // URLs that are told of calls; the hosts alone are shown
	LogCalls bool          // the log has lines about calls, and refused addresses
	LogAll   bool          // and about every request
	Push     bool          // who asks for it is rung although the page is closed
	Tokens   bool          // access.mode is token
	Nodes    bool          // there are several machines
	Media    bool          // media may go through a WebSocket
}

// SetPrivacy replaces what /privacy tells, as on a reload.
func (s *Server) SetPrivacy(p Privacy) { s.private.Store(&p) }

// section is a heading of the page and what stands below it.
type section struct {
	Title string
	Items []string
}

// sections are what the page says, in the language of its reader.
func (p Privacy) sections(l *words.Language) []section {
	keeps := section{Title: l.Say("privacy.keeps")}
	kept := func(key string, values ...string) { keeps.Items = append(keeps.Items, l.Say(key, values...)) }
	if p.History > 0 {
		kept("privacy.history")
		kept("privacy.days", "days", strconv.FormatInt(int64((p.History+24*time.Hour-1)/(24*time.Hour)), 10))
	} else {
		kept("privacy.no-history")
	}
	if p.File {
		kept("privacy.file")
	}
	if hosts := p.hosts(); hosts != "" {
		kept("privacy.webhooks", "hosts", hosts)
	}
	switch {
	case p.LogAll:
		kept("privacy.log-all")
	case p.LogCalls:
		kept("privacy.log-calls")
	default:
		kept("privacy.log-none")
	}
	if p.Push {
		kept("privacy.push")
	}
	if p.Tokens {
		kept("privacy.tokens")
	}
	if p.Nodes {
		kept("privacy.nodes")
	}
	between := section{l.Say("privacy.between"), []string{l.Say("privacy.sealed"), l.Say("privacy.symbols")}}
	if p.Media {
		between.Items = append(between.Items, l.Say("privacy.media"))
		if p.Nodes {
			between.Items = append(between.Items, l.Say("privacy.media-nodes"))
		}
	}
	between.Items = append(between.Items, l.Say("privacy.blur"), l.Say("privacy.records"))
	browser := section{l.Say("privacy.browser"), []string{l.Say("privacy.browser-keeps"), l.Say("privacy.in-call")}}
	if !p.Tokens { // there the token is the name's proof
		browser.Items = append(browser.Items, l.Say("privacy.carry"))
	}
	browser.Items = append(browser.Items, l.Say("privacy.no-others"))
	return []section{
		between,
		{l.Say("privacy.sees"), []string{l.Say("privacy.sees-you"), l.Say("privacy.sees-names"), l.Say("privacy.others-see")}},
		keeps,
		browser,
	}
}

// hosts are the hosts of the webhooks, each once.
func (p Privacy) hosts() string {
	var hosts []string
	seen := make(map[string]bool)
	for _, hook := range p.Webhooks {
		if u, err := url.Parse(hook); err == nil && !seen[u.Host] {
			seen[u.Host] = true
			hosts = append(hosts, u.Host)
		}
	}
	return strings.Join(hosts, ", ")
}

// privacyPages are the page in each language, by its tag.
func privacyPages(site *assets.Set) map[string]*template.Template {
	all := map[string]*template.Template{}
	for l := range languages().All {
		page := site.File(assets.InLanguage("static/privacy.html", l.Tag))
		all[l.Tag] = template.Must(template.New("privacy").Parse(string(page.Content)))
	}
	return all
}

// privacy answers GET /privacy: what the server sees of a visitor, and what it keeps.
// Whoever is asked for a token may read it before.
func (s *Server) privacy(w http.ResponseWriter, r *http.Request) {
	l := languageOf(w, r)
	var out bytes.Buffer
	view := struct {
		Home     string
		Sections []section
	}{s.cfg.PublicPath + "/", s.private.Load().sections(l)}
	if err := s.privacyPages[l.Tag].Execute(&out, view); err != nil {
		panic(err) // no value makes it fail, only a mistake in the page
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", assets.Revalidate)
	h.Set("Content-Length", strconv.Itoa(out.Len()))
	_, _ = w.Write(out.Bytes())
}
