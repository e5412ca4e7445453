package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed static client/*.js client/turnhub.d.ts
var embedded embed.FS

// assets serves the embedded files. A browser may keep them but asks each time
// whether they are still the same, so that an upgrade shows at once.
type assets struct {
	files map[string]asset
}

type asset struct {
	contents []byte
	mime     string
	etag     string
}

// types are given here: the system's list may be missing or odd, and is slow to
// read.
var types = map[string]string{
	".html": "text/html; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".ts":   "text/plain; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".svg":  "image/svg+xml",
	".json": "application/json; charset=utf-8",
	".txt":  "text/plain; charset=utf-8",

	".png":  "image/png",
	".webp": "image/webp",
	".ico":  "image/x-icon",
	".wasm": "application/wasm",

	".woff2":       "font/woff2",
	".webmanifest": "application/manifest+json",
}

func newAssets() *assets {
	a := &assets{files: make(map[string]asset)}
	fs.WalkDir(embedded, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		contents, err := embedded.ReadFile(name)
		if err != nil {
			return err
		}
		kind := types[path.Ext(name)]
		if kind == "" {
			kind = "application/octet-stream"
		}
		sum := sha256.Sum256(contents)
		a.files[name] = asset{contents, kind, `"` + hex.EncodeToString(sum[:8]) + `"`}
		return nil
	})
	return a
}

// ServeHTTP serves /client/x.js from client, and /static/x and /x from static.
func (a *assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(path.Clean(r.URL.Path), "/")
	if _, ok := a.files[name]; !ok {
		name = "static/" + name
	}
	a.serve(w, r, name)
}

// named serves one file.
func (a *assets) named(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { a.serve(w, r, name) })
}

func (a *assets) serve(w http.ResponseWriter, r *http.Request, name string) {
	file, ok := a.files[name]
	if !ok {
		fail(w, http.StatusNotFound, "not-found", "there is nothing here: the call page is /, the network check /check")
		return
	}
	h := w.Header()
	h.Set("Content-Type", file.mime)
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", file.etag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(file.contents))
}

// answer sends a page that stands for an error.
func (a *assets) answer(w http.ResponseWriter, status int, name string) {
	file := a.files[name]
	h := w.Header()
	h.Set("Content-Type", file.mime)
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(file.contents)
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
