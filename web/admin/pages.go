package admin

import (
	"embed"
	"io/fs"
	"net/http"
	"strings"

	"turnhub/internal/assets"
	"turnhub/web"
)

//go:embed static
var static embed.FS

// pages are the console's own files and the libraries of others in /vendor/.
type pages struct{ own, vendor assets.Set }

func newPages() *pages {
	own, err := fs.Sub(static, "static")
	if err != nil {
		panic(err) // the folder is embedded above
	}
	p := new(pages)
	p.own.Add(own)
	p.vendor.Add(web.Vendor())
	return p
}

func (p *pages) serve(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/")
	if name == "" {
		name = "index.html"
	}
	file := p.own.File(name)
	if library, ok := strings.CutPrefix(name, "vendor/"); ok {
		file = p.vendor.File(library)
	}
	if file == nil {
		fail(w, http.StatusNotFound, "there is nothing here: the console is /")
		return
	}
	file.Serve(w, r, assets.Revalidate)
}
