package web

import (
	"embed"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"sync"

	"turnhub/internal/assets"
)

//go:embed static client/turnhub.js client/turnhub.d.ts client/base client/session client/call client/check
var embedded embed.FS

// site is made once: the files are the same for every server.
var site = sync.OnceValue(func() *assets.Set { return assets.Site(embedded, assets.MadeBundle) })

// files serves /client/x.js from client, and /static/x and /x from static.
func files(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(path.Clean(r.URL.Path), "/")
	file, caching := site().Find(name)
	if file == nil {
		file, caching = site().Find("static/" + name)
	}
	if file == nil || strings.HasSuffix(name, ".html") { // pages have names of their own
		fail(w, http.StatusNotFound, "not-found", "there is nothing here: the call page is /, the network check /check")
		return
	}
	file.Serve(w, r, caching)
}

// pageFile serves one page.
func pageFile(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		site().File(name).Serve(w, r, assets.Revalidate)
	})
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
