package socketio

import (
	"embed"
	"io/fs"
	"net/http"
	"strings"

	"turnhub/internal/assets"
)

// client is the distribution of the npm package socket.io-client, unchanged:
//
//	npm pack socket.io-client@4.8.4, folder dist
//
//go:embed client-dist/socket.io.js client-dist/socket.io.min.js client-dist/socket.io.esm.min.js
var client embed.FS

func loadAssets() *assets.Set {
	dist, err := fs.Sub(client, "client-dist")
	if err != nil {
		panic(err) // the folder is embedded above
	}
	all := new(assets.Set)
	all.Add(dist)
	return all
}

// serveAsset answers GET /socket.io/socket.io.js and its siblings.
func serveAsset(all *assets.Set, w http.ResponseWriter, r *http.Request, name string) {
	file := all.File(name)
	if file == nil {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	if strings.HasSuffix(name, ".esm.min.js") {
		// A module of another origin is loaded with CORS by everybody.
		h.Set("Access-Control-Allow-Origin", "*")
		h.Del("Access-Control-Allow-Credentials")
	}
	file.Serve(w, r, "public, max-age=3600")
}
