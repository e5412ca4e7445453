package web

import (
	"embed"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"sync"

	"turnhub/internal/assets"
	"turnhub/internal/words"
)

//go:embed static client/turnhub.js client/turnhub.d.ts client/base client/session client/call client/check client/frame client/vendor/opus/opus.wasm client/vendor/opus/COPYING.txt
var embedded embed.FS

// site is made once: the files are the same for every server.
var site = sync.OnceValue(func() *assets.Set { return assets.Site(embedded, assets.MadeBundle) })

// files serves /client/x.js from client, and /static/x and /x from static.
func (s *Server) files(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(path.Clean(r.URL.Path), "/")
	file, caching := s.site.Find(name)
	if file == nil {
		file, caching = s.site.Find("static/" + name)
	}
	if file == nil || strings.HasSuffix(name, ".html") { // pages have names of their own
		fail(w, http.StatusNotFound, "not-found", "there is nothing here: the call page is /, the network check /check")
		return
	}
	if file == s.site.File(blurWorker) {
		allowWebAssembly(w.Header())
	}
	file.Serve(w, r, caching)
}

// blurWorker runs WebAssembly of ours, on a policy of its own: the page's would not do.
const blurWorker = "static/blur.worker.js"

// pageFile serves one page, in the visitor's language.
func (s *Server) pageFile(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l := languageOf(w, r)
		s.site.File(assets.InLanguage(name, l.Tag)).Serve(w, r, assets.Revalidate)
	})
}

// languages are those that the pages are there in.
var languages = sync.OnceValue(func() *words.Languages {
	all, err := words.Load(embedded, assets.WordsFolder)
	if err != nil {
		panic(err) // the files are built in
	}
	return all
})

// languageName is the cookie that says which language a visitor has chosen; where
// cookies are forbidden, ?language= does (static/language.js).
const languageName = "turnhub-language"

// languageOf returns the language for an answer, and says so in its headers: the one
// that the visitor has chosen, in the address or before, else the best of those that
// the browser speaks, which are those of navigator.languages.
func languageOf(w http.ResponseWriter, r *http.Request) *words.Language {
	chosen := languages().Tag(r.URL.Query().Get("language"))
	if cookie, err := r.Cookie(languageName); chosen == nil && err == nil {
		chosen = languages().Tag(cookie.Value)
	}
	if chosen == nil {
		chosen = languages().Accepted(strings.Join(r.Header.Values("Accept-Language"), ","))
	}
	h := w.Header()
	h.Set("Content-Language", chosen.Tag)
	h.Add("Vary", "Accept-Language, Cookie")
	return chosen
}

// Vendor returns the libraries of others that the pages use, for the admin
// console to use them too.
func Vendor() fs.FS {
	vendor, err := fs.Sub(embedded, "static/vendor")
	if err != nil {
		panic(err) // the folder is embedded above
	}
	return vendor
}
